/** @kvd/client on real replicas: what it promises while they are killed, paused and come back. */
import { once } from 'node:events';
import { type AddressInfo, connect as dial, createServer, type Server, type Socket } from 'node:net';
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

t.test('a watch leaves a replica that is cut off from the others', async (t) => {
  const gates = new Map<number, Gate>();
  for (const id of [1, 2, 3]) gates.set(id, await Gate.open());
  t.teardown(() => Promise.all([...gates.values()].map((gate) => gate.close())));
  const dialOf = (id: number) =>
    [...gates].filter(([peer]) => peer !== id).map(([peer, { port }]) => `${peer}=127.0.0.1:${port}`);
  const flagsOf = (id: number) => ['--dial', dialOf(id).join(',')];
  const cluster = await startCluster({ replicas: 3, flagsOf, noWait: true });
  t.teardown(() => cluster.close());
  for (const [id, gate] of gates) gate.target = Number(cluster.address(id).split(':')[1]);
  await cluster.waitReady();

  const leader = await cluster.leader();
  const watching = await connect({ endpoints: cluster.endpoints });
  const others = await connect({ endpoints: cluster.endpoints.filter((_, i) => i !== leader - 1) });
  t.teardown(() => Promise.all([watching.close(), others.close()]));
  const watch = watching.watch({ key: 'key', fromRevision: 1 });
  const events = watch[Symbol.asyncIterator]();
  await others.put('key', 'before');
  t.equal((await events.next()).value?.text(), 'before');
  gates.get(leader)?.cut();
  await cluster.waitFor('another leader', async () => {
    const statuses = await cluster.statuses();
    return statuses.some(({ id, role }) => role === 'leader' && id !== leader) || undefined;
  });
  await others.put('key', 'meanwhile');
  t.equal((await events.next()).value?.text(), 'meanwhile', 'of which the old leader knows nothing');
  t.equal((await cluster.status(leader))?.leader, 0, 'which is cut off still');
  watch.close();
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

/** What the other replicas dial instead of one: until it is cut, all passes. */
class Gate {
  /** A port of this machine; 0: nobody is let in yet. */
  target = 0;
  private readonly sockets = new Set<Socket>();
  private isCut = false;

  private constructor(private readonly server: Server) {
    server.on('connection', (socket) => this.accept(socket));
  }

  static async open(): Promise<Gate> {
    const server = createServer({ noDelay: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Gate(server);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  cut(): void {
    this.isCut = true;
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private accept(socket: Socket): void {
    if (this.isCut || this.target === 0) return void socket.destroy();
    const onward = dial({ port: this.target, host: '127.0.0.1', noDelay: true });
    for (const end of [socket, onward]) {
      this.sockets.add(end);
      end.on('error', () => end.destroy());
      end.on('close', () => {
        this.sockets.delete(end);
        socket.destroy();
        onward.destroy();
      });
    }
    socket.pipe(onward).pipe(socket);
  }
}
