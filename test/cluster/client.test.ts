/** @kvd/client on real replicas: what it promises while they are killed, paused and come back. */
import { connect, KvdError } from '@kvd/client';
import t from 'tap';
import { startCluster } from '../support/cluster.js';

t.test('reads, writes and scans through any replica', async (t) => {
  const cluster = await startCluster({ replicas: 3 });
  t.teardown(() => cluster.close());
  for (const id of cluster.ids) {
    const kv = await connect({ endpoints: cluster.address(id) });
    const { revision } = await kv.put(`key/${id}`, `value ${id}`);
    t.match(await kv.get(`key/${id}`), { key: `key/${id}`, modRevision: revision, version: 1 });
    t.equal(await kv.count({ prefix: 'key/' }), id);
    await kv.close();
  }
  const kv = await connect({ endpoints: cluster.endpoints });
  t.teardown(() => kv.close());
  const keys: string[] = [];
  for await (const entry of kv.scan({ from: 'key/2' })) keys.push(`${entry.key}=${entry.text()}`);
  t.same(keys, ['key/2=value 2', 'key/3=value 3']);
  t.match(await kv.delete({ prefix: 'key/' }), { deleted: 3 });
  await cluster.waitSameState();
});

t.test('a scan of more than a page returns every key once, in order', async (t) => {
  const cluster = await startCluster({ replicas: 1 });
  t.teardown(() => cluster.close());
  const kv = await connect({ endpoints: cluster.endpoints });
  t.teardown(() => kv.close());
  const count = 9_000;
  const name = (i: number) => `n/${String(i).padStart(6, '0')}`;
  await Promise.all(Array.from({ length: count }, (_, i) => kv.put(name(i), String(i))));
  let next = 0;
  for await (const entry of kv.scan({ prefix: 'n/' })) if (entry.key === name(next)) next++;
  t.equal(next, count);
  t.equal(await kv.count({ prefix: 'n/' }), count);
});

t.test('writers never notice that leaders are killed, and nothing is written twice', async (t) => {
  const cluster = await startCluster({ replicas: 3 });
  t.teardown(() => cluster.close());
  const kv = await connect({ endpoints: cluster.endpoints, timeoutMs: 20_000 });
  t.teardown(() => kv.close());
  let stop = false;
  const counts = new Map<number, number>();
  const write = async (worker: number): Promise<void> => {
    for (let i = 1; !stop; i++) {
      await kv.put(`w/${worker}`, String(i));
      counts.set(worker, i);
    }
  };
  const writers = [1, 2, 3, 4].map(write);
  for (let round = 0; round < 3; round++) {
    const leader = await cluster.leader();
    await cluster.kill(leader);
    const total = () => [...counts.values()].reduce((a, b) => a + b, 0);
    const before = total();
    await cluster.waitFor('writes to go on', () => (total() > before + 100 ? true : undefined));
    await cluster.restart(leader);
  }
  stop = true;
  await Promise.all(writers);
  for (const [worker, count] of counts) {
    const entry = await kv.get(`w/${worker}`);
    t.equal(entry?.text(), String(count), 'the last value');
    t.equal(entry?.version, count, 'each put took effect once');
  }
  await cluster.waitSameState();
});

t.test('a paused leader is left within seconds', async (t) => {
  const cluster = await startCluster({ replicas: 3 });
  t.teardown(() => cluster.close());
  const kv = await connect({ endpoints: cluster.endpoints, timeoutMs: 15_000 });
  t.teardown(() => kv.close());
  await kv.put('a', '0');
  const leader = await cluster.leader();
  cluster.pause(leader);
  await kv.put('a', '1');
  t.equal((await kv.get('a'))?.text(), '1');
  cluster.resume(leader);
  t.equal((await kv.get('a'))?.version, 2);
  await cluster.waitSameState();
});

t.test('without a quorum nothing is done, and that is what is said', async (t) => {
  const cluster = await startCluster({ replicas: 3 });
  t.teardown(() => cluster.close());
  const leader = await cluster.leader();
  const rest = cluster.ids.filter((id) => id !== leader);
  const kv = await connect({ endpoints: cluster.endpoints });
  t.teardown(() => kv.close());
  await kv.put('a', '0');
  await cluster.waitSameState();
  await Promise.all([cluster.kill(leader), cluster.kill(rest[0] ?? 0)]);
  const survivor = rest[1] ?? 0;
  await cluster.waitFor('the survivor to see that it is alone', async () =>
    (await cluster.status(survivor))?.ready === false ? true : undefined,
  );
  const error = await kv.put('a', '1', { timeoutMs: 1_500 }).then(
    () => null,
    (reason: unknown) => reason,
  );
  t.ok(error instanceof KvdError);
  t.match(error, { code: 'KVD_UNAVAILABLE', outcome: 'not-done' });
  t.equal((await kv.get('a', { consistency: 'stale' }))?.text(), '0', 'stale reads need no quorum');
  await cluster.restart(leader);
  t.equal((await kv.get('a', { timeoutMs: 20_000 }))?.version, 1);
});
