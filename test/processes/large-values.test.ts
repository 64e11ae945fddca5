/**
 * Values that lie apart on disk, on real processes and real LevelDB directories: present and past through kill -9 of each
 * replica, a snapshot for one that was down, compaction and a backup.
 */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { connect, type KvdClient } from '@kvd/client';
import { test } from 'tap';
import { root, startCluster, type TestCluster } from '../support/cluster.js';

const KEYS = 20;
/** Some are small, the largest takes 200 KB. */
const SIZES = [10, 1_023, 1_024, 5_000, 20_000, 200_000];

/** The value of the nth put, which says which it is. */
function nth(n: number): string {
  const name = `${n}:`;
  return name + 'x'.repeat((SIZES[n % SIZES.length] as number) - name.length);
}

/** Puts one after the other, until it is told to stop. */
class Writer {
  /** By revision. */
  readonly acknowledged = new Map<number, { readonly key: string; readonly n: number }>();
  readonly #ended: Promise<void>;
  #stopped = false;
  #next = 0;

  constructor(private readonly kv: KvdClient) {
    this.#ended = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#ended;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const n = this.#next++;
      const key = `key${n % KEYS}`;
      const { revision } = await this.kv.put(key, nth(n));
      this.acknowledged.set(revision, { key, n });
    }
  }
}

async function progress(cluster: TestCluster, { acknowledged }: Writer, puts: number): Promise<void> {
  const { size } = acknowledged;
  await cluster.waitFor(`${puts} more puts`, () => (acknowledged.size >= size + puts ? true : undefined));
}

async function staleRead(cluster: TestCluster, id: number, key: string): Promise<string> {
  const answer = await fetch(`http://${cluster.address(id)}/v1/kv/${key}?consistency=stale`);
  return answer.text();
}

/** How often it has read its whole state and found it as it was written. */
function scrubs(cluster: TestCluster, id: number): number {
  return cluster.log(id).split('state-scrubbed').length - 1;
}

test('large values, and what they were before, outlive every replica', async (t) => {
  const cluster = await startCluster({ replicas: 3, flags: ['--snapshot-slots', '300'] });
  t.teardown(() => cluster.close());
  const kv = await connect({ endpoints: cluster.endpoints, timeoutMs: 20_000 });
  t.teardown(() => kv.close());
  const writer = new Writer(kv);
  for (const id of cluster.ids) {
    await progress(cluster, writer, 100);
    await cluster.kill(id);
    await progress(cluster, writer, 100);
    await cluster.restart(id);
  }
  const missedFrom = (await cluster.status(1))?.chosenThrough ?? 0;
  // Were it killed while it takes a snapshot, the sender would keep its log for it until it gives up.
  await cluster.waitFor('replica 3 to catch up', async () =>
    ((await cluster.status(3))?.appliedThrough ?? 0) > missedFrom ? true : undefined,
  );
  await cluster.kill(3);
  await cluster.waitFor('the others to cut their logs', async () => {
    const statuses = await Promise.all([1, 2].map((id) => cluster.status(id)));
    return statuses.every((status) => (status?.cutThrough ?? 0) > missedFrom + 100) ? true : undefined;
  });
  await cluster.restart(3);
  await writer.stop();
  await cluster.waitSameState();
  t.match(cluster.log(3), /snapshot-installed/, 'replica 3 took a snapshot');

  const latest = new Map<string, number>();
  let wrong = 0;
  for (const [revision, { key, n }] of writer.acknowledged) {
    if ((await kv.get(key, { revision }))?.text() !== nth(n)) wrong += 1;
    latest.set(key, n);
  }
  t.equal(wrong, 0, `each of ${writer.acknowledged.size} acknowledged puts is in the past`);
  let events = 0;
  for await (const { events: all } of kv.history({ prefix: 'key' }))
    for (const event of all) if (event.type === 'put' && event.text() !== '') events += 1;
  t.ok(events >= writer.acknowledged.size, `${events} events`);

  // What is not needed any more goes from every disk, and the rest is whole when each is opened again.
  await kv.compact(await kv.revision());
  for (const id of cluster.ids) await cluster.kill(id);
  const before = new Map(cluster.ids.map((id) => [id, scrubs(cluster, id)]));
  for (const id of cluster.ids) await cluster.start(id);
  await cluster.waitReady();
  await cluster.waitSameState();
  for (const id of cluster.ids) {
    for (const [key, n] of latest)
      if ((await staleRead(cluster, id, key)) !== nth(n)) t.fail(`${key} on replica ${id}`);
    await cluster.waitFor(`replica ${id} to have read its whole state`, () =>
      scrubs(cluster, id) > (before.get(id) ?? 0) ? true : undefined,
    );
  }
  const found = new Map<string, string>();
  for await (const entry of kv.scan({ prefix: 'key' })) found.set(entry.key, entry.text());
  t.strictSame(
    found,
    new Map([...latest].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, n]) => [key, nth(n)])),
  );

  const file = path.join(cluster.dir, 'large.backup');
  const kvctl = path.join(root, 'bin/kvctl');
  const run = (...args: string[]): Promise<{ stdout: string }> =>
    promisify(execFile)(process.execPath, [kvctl, '-o', 'json', '-e', cluster.endpoints.join(','), ...args]);
  const saved = JSON.parse((await run('snapshot', 'save', file)).stdout) as Record<string, unknown>;
  const checked = JSON.parse((await run('snapshot', 'status', file)).stdout) as Record<string, unknown>;
  t.equal(checked['contentHash'], saved['contentHash'], 'a backup of them is whole');
});
