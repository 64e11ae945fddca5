/**
 * @kvd/level on three real replicas: the public suite of abstract-level, and what a database on a cluster has beyond it:
 * other clients, limits, replicas that are killed, history that is compacted.
 */
import { createRequire } from 'node:module';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { connect, KvdError } from '@kvd/client';
import { KvdLevel, type KvdLevelOptions } from '@kvd/level';
import { EntryStream } from 'level-read-stream';
import t, { type Test } from 'tap';
import { root, runProgram, startCluster } from '../support/cluster.js';
import { type AssertionCount, tapeTest } from '../support/tape.js';

/** Without types, and in a directory that only require() finds. */
const abstractLevelSuite = createRequire(import.meta.url)('abstract-level/test') as (options: {
  readonly test: ReturnType<typeof tapeTest>;
  readonly factory: (options?: object) => KvdLevel;
}) => void;
/** Of 4,700 with abstract-level 3.1.1: a feature that is not claimed any more takes hundreds away. */
const SUITE_ASSERTIONS_MIN = 4_700;
/** A range deletion of more keys is refused by the state machine. */
const RANGE_KEYS_MAX = 100_000;
const BATCH_MAX = 1_024;

const cluster = await startCluster({ replicas: 3 });
t.teardown(() => cluster.close());

let databases = 0;
/** A database of its own; closed when the test ends, if it is not yet. */
function database(t: Test, options: Partial<KvdLevelOptions> = {}): KvdLevel {
  const db = new KvdLevel({ endpoints: cluster.endpoints, prefix: `db-${++databases}/`, ...options });
  t.teardown(() => db.close());
  return db;
}

function codes(operation: Promise<unknown>): Promise<unknown> {
  return operation.then(
    () => 'done',
    (error: { code: string; cause?: { code: string } }) => [error.code, error.cause?.code],
  );
}

const puts = (count: number, value: string) =>
  Array.from({ length: count }, (_, i) => ({
    type: 'put' as const,
    key: `k${String(i).padStart(6, '0')}`,
    value,
  }));

t.test('a snapshot of a cluster that nothing was ever written to stays empty', async (t) => {
  const db = database(t, { prefix: '' });
  await db.open();
  const snapshot = db.snapshot();
  const iterator = db.iterator();
  await db.put('a', '1');
  t.equal(await db.get('a', { snapshot }), undefined);
  t.same(await db.getMany(['a', 'b'], { snapshot }), [undefined, undefined]);
  t.same(await db.hasMany(['a'], { snapshot }), [false]);
  t.same(await db.keys({ snapshot }).all(), []);
  t.same(await iterator.all(), []);
  await db.clear({ snapshot });
  t.same(await db.iterator().all(), [['a', '1']], 'a database without a prefix has the keys as they are');
  t.same(await codes(db.put('', 'x')), ['LEVEL_INVALID_KEY', 'KVD_BAD_REQUEST']);
  await db.clear();
  t.same(await db.keys().all(), []);
});

t.test(`the suite abstract-level/test passes, ${SUITE_ASSERTIONS_MIN} assertions`, async (t) => {
  const count: AssertionCount = { passed: 0, failed: 0 };
  const factory = (options: object = {}) =>
    new KvdLevel({ endpoints: cluster.endpoints, prefix: `suite-${++databases}/`, ...options });
  const { supports } = factory();
  t.match(supports, {
    implicitSnapshots: true,
    explicitSnapshots: true,
    has: true,
    seek: true,
    permanence: true,
  });
  t.match(supports, { createIfMissing: false, errorIfExists: false, signals: { iterators: true } });
  await t.test('abstract-level/test', (t) => {
    abstractLevelSuite({ test: tapeTest(t, count), factory });
    t.end();
  });
  t.comment(`abstract-level/test: ${count.passed} assertions passed, ${count.failed} failed`);
  t.equal(count.failed, 0);
  t.ok(count.passed >= SUITE_ASSERTIONS_MIN, `${count.passed} assertions`);
});

t.test('what is written after a read was begun is not in it, awaited or not', async (t) => {
  const db = database(t);
  await db.put('k', '0');
  const wrong: number[] = [];
  for (let i = 1; i <= 200; i++) {
    const got = db.get('k');
    const both = db.getMany(['k', 'k']);
    const iterator = db.values();
    const has = db.has(`new-${i}`);
    const written = db.batch([
      { type: 'put', key: 'k', value: String(i) },
      { type: 'put', key: `new-${i}`, value: '' },
    ]);
    const [value] = await iterator.all();
    const seen = [await got, ...(await both), value];
    if ((await has) || seen.some((value) => value !== String(i - 1))) wrong.push(i);
    await written;
  }
  t.same(wrong, []);
  t.equal(await db.get('k'), '200');
});

t.test('databases share a cluster, and a client sees their keys under the prefix', async (t) => {
  const [a, b] = [database(t, { prefix: 'share/a/' }), database(t, { prefix: Buffer.from('share/b/') })];
  await Promise.all([a.put('k', 'a'), b.put('k', 'b')]);
  const kv = await connect({ endpoints: cluster.endpoints });
  t.teardown(() => kv.close());
  t.equal((await kv.get('share/a/k'))?.text(), 'a');
  await kv.put('share/a/other', 'by a client');
  t.equal(await a.get('other'), 'by a client');
  await a.clear();
  t.same(await a.keys().all(), []);
  t.same(await b.iterator().all(), [['k', 'b']]);
});

t.test('a batch is done whole or not at all, and a snapshot sees it whole or not at all', async (t) => {
  const [writer, reader] = [database(t, { prefix: 'batch/' }), database(t, { prefix: 'batch/' })];
  let stop = false;
  const write = async (): Promise<void> => {
    for (let i = 0; !stop; i++) await writer.batch(puts(100, String(i)));
  };
  await writer.batch(puts(100, 'first'));
  const writing = write();
  for (let i = 0; i < 20; i++) {
    const values = new Set(await reader.values().all());
    if (values.size !== 1) t.fail(`values of ${values.size} batches at once`);
  }
  stop = true;
  await writing;
  const [, before] = (await reader.iterator({ limit: 1 }).all())[0] ?? [];
  await writer.batch(puts(BATCH_MAX, before ?? ''));
  t.same(await codes(writer.batch(puts(BATCH_MAX + 1, 'x'))), ['LEVEL_BATCH_TOO_LARGE', undefined]);
  t.same(await codes(writer.batch(puts(2, 'x'.repeat(800_000)))), ['LEVEL_BATCH_TOO_LARGE', 'KVD_TOO_LARGE']);
  t.same(new Set(await reader.values().all()), new Set([before]), 'nothing was done of what was refused');
  await writer.batch([
    { type: 'put', key: 'twice', value: '1' },
    { type: 'del', key: 'twice' },
    { type: 'put', key: 'twice', value: '2' },
    { type: 'put', key: 'gone', value: '1' },
    { type: 'del', key: 'gone' },
  ]);
  t.same(
    await reader.getMany(['twice', 'gone']),
    ['2', undefined],
    'operations on a key count in their order',
  );
});

t.test('the limits of keys and values', async (t) => {
  const db = database(t, { prefix: 'limits/' });
  const longest = 'x'.repeat(4_096 - 'limits/'.length);
  const largest = 'v'.repeat(1024 * 1024);
  await db.put(longest, largest);
  t.equal(await db.get(longest), largest);
  t.same(await db.keys({ gte: longest, lte: longest }).all(), [longest]);
  t.same(await db.keys({ gt: longest }).all(), []);
  t.same(await db.keys({ lt: `${longest}and more` }).all(), [longest], 'bounds may be of any length');
  t.same(await codes(db.put(`${longest}x`, '')), ['LEVEL_INVALID_KEY', 'KVD_TOO_LARGE']);
  t.same(await codes(db.get(`${longest}x`)), ['LEVEL_INVALID_KEY', 'KVD_TOO_LARGE']);
  t.same(await codes(db.put('k', `${largest}x`)), ['LEVEL_INVALID_VALUE', 'KVD_TOO_LARGE']);
  await db.put('', '');
  t.same(await db.iterator({ lte: '' }).all(), [['', '']], 'under a prefix a key may be empty');
  await db.clear({ gte: longest, lte: longest });
  t.same(await db.keys().all(), ['']);
});

t.test('getMany() and hasMany() take more keys than a client takes at once', async (t) => {
  const db = database(t, { prefix: 'many/', timeoutMs: 20_000 });
  await db.put('there', '1');
  const keys = Array.from({ length: 90_000 }, (_, i) => (i === 80_000 ? 'there' : `absent ${i}`));
  const values = await db.getMany(keys);
  t.equal(values.length, keys.length);
  t.same(
    values.flatMap((value, i) => (value === undefined ? [] : [[i, value]])),
    [[80_000, '1']],
  );
  t.equal((await db.hasMany(keys.slice(79_000))).indexOf(true), 1_000);
});

t.test(
  'a prefix that is no text and no bytes is refused, for without one the database is the cluster',
  async (t) => {
    for (const prefix of [5, {}, true, new ArrayBuffer(2)])
      t.throws(() => new KvdLevel({ endpoints: cluster.endpoints, prefix: prefix as string }), TypeError);
  },
);

t.test('clear() empties what is more than one command may delete', async (t) => {
  const db = database(t, { prefix: 'large/', timeoutMs: 20_000 });
  const count = RANGE_KEYS_MAX + 1;
  const all = puts(count, '');
  const batches = Array.from({ length: Math.ceil(count / BATCH_MAX) }, (_, i) =>
    all.slice(i * BATCH_MAX, (i + 1) * BATCH_MAX),
  );
  await Promise.all(batches.map((batch) => db.batch(batch)));
  const kv = await connect({ endpoints: cluster.endpoints });
  t.teardown(() => kv.close());
  t.equal(await kv.count({ prefix: 'large/' }), count);
  await db.clear();
  t.same(await db.keys({ limit: 1 }).all(), []);
});

t.test('snapshots and half-read iterators outlive the leader', async (t) => {
  const db = database(t, { timeoutMs: 20_000 });
  await db.batch(puts(500, 'before'));
  const snapshot = db.snapshot();
  const iterator = db.iterator();
  const read = await iterator.nextv(100);
  const leader = await cluster.leader();
  await cluster.kill(leader);
  await db.batch(puts(500, 'after'));
  read.push(...(await iterator.all()));
  t.same(
    read,
    puts(500, 'before').map(({ key, value }) => [key, value]),
  );
  t.same(new Set(await db.values({ snapshot }).all()), new Set(['before']));
  t.same(new Set(await db.values().all()), new Set(['after']));
  await snapshot.close();
  await cluster.restart(leader);
});

t.test('in a snapshot an index fits its data, streamed too, while leaders are killed', async (t) => {
  const open = async (): Promise<KvdLevel> => {
    const db = database(t, { prefix: 'players/', timeoutMs: 20_000 });
    await db.open();
    return db;
  };
  const tables = (db: KvdLevel) => ({
    players: db.sublevel<string, { score: number }>('players', { valueEncoding: 'json' }),
    scores: db.sublevel('scores'),
  });
  const [writer, reader] = [await open(), await open()];
  const names = ['alice', 'bob', 'carol'];
  const indexKey = (score: number, name: string) => `${String(score).padStart(6, '0')}!${name}`;
  let rounds = 0;
  let stop = false;
  const play = async (name: string): Promise<void> => {
    const { players, scores } = tables(writer);
    for (let score = 1; !stop; score++, rounds++) {
      const batch = writer.batch().put(name, { score }, { sublevel: players });
      batch.del(indexKey(score - 1, name), { sublevel: scores });
      await batch.put(indexKey(score, name), '', { sublevel: scores }).write();
    }
  };
  const playing = names.map(play);
  const { players, scores } = tables(reader);
  const check = async (): Promise<void> => {
    const snapshot = reader.snapshot();
    const index: string[] = [];
    const stream = new EntryStream(scores, { snapshot }) as unknown as Readable;
    for await (const { key } of stream as AsyncIterable<{ key: string }>) index.push(key);
    const found = await players.iterator({ snapshot }).all();
    t.same(index, found.map(([name, { score }]) => indexKey(score, name)).sort());
    await snapshot.close();
  };
  for (let kill = 1; kill <= 2; kill++) {
    const before = rounds;
    const id = await cluster.leader();
    await cluster.kill(id);
    await cluster.waitFor('the game to go on', async () => {
      await check();
      return rounds > before + 20 ? true : undefined;
    });
    await cluster.restart(id);
  }
  stop = true;
  await Promise.all(playing);
  t.same(await players.keys().all(), names);
  await cluster.waitSameState();
});

t.test('the example', async (t) => {
  const program = path.join(root, 'packages', 'level', 'examples', 'index.mjs');
  const { stdout, stderr, code } = await runProgram(program, [cluster.endpoints.join(',')]);
  t.match({ stdout, stderr, code }, { stdout: 'alice 620\ncarol 310\n', stderr: '', code: 0 });
});

t.test('of compacted history a snapshot says so', async (t) => {
  const db = database(t);
  await db.put('k', 'old');
  const snapshot = db.snapshot();
  const iterator = db.iterator();
  t.equal(await db.get('k', { snapshot }), 'old');
  await db.put('k', 'new');
  const kv = await connect({ endpoints: cluster.endpoints });
  t.teardown(() => kv.close());
  await kv.compact(await kv.revision());
  const compacted = ['LEVEL_SNAPSHOT_COMPACTED', 'KVD_COMPACTED'];
  t.same(await codes(db.get('k', { snapshot })), compacted);
  t.same(await codes(db.has('k', { snapshot })), compacted);
  t.same(await codes(db.iterator({ snapshot }).all()), compacted);
  t.same(await codes(db.clear({ snapshot })), compacted);
  t.same(await codes(iterator.next()), compacted);
  await iterator.close();
  t.equal(await db.get('k'), 'new');
});

t.test('a snapshot belongs to its database; what is created or missing is not for a cluster', async (t) => {
  const [a, b] = [database(t), database(t)];
  await Promise.all([a.open(), b.open()]);
  t.same(await codes(a.get('k', { snapshot: b.snapshot() })), ['LEVEL_NOT_SUPPORTED', undefined]);
  const { endpoints } = cluster;
  for (const options of [{ errorIfExists: true }, { createIfMissing: false }]) {
    const db = new KvdLevel({ endpoints, ...options });
    t.same(await codes(db.open()), ['LEVEL_DATABASE_NOT_OPEN', 'LEVEL_NOT_SUPPORTED']);
  }
  t.throws(() => new KvdLevel({} as KvdLevelOptions), TypeError);
});

t.test(
  'close() waits for what is under way; without a quorum errors say that nothing was done',
  async (t) => {
    const db = database(t, { timeoutMs: 1_500 });
    await db.open();
    const writes = Promise.all(puts(100, 'v').map(({ key, value }) => db.put(key, value)));
    await db.close();
    await writes;
    await db.open();
    t.equal((await db.keys().all()).length, 100);
    const leader = await cluster.leader();
    const [other = 0, survivor = 0] = cluster.ids.filter((id) => id !== leader);
    await Promise.all([cluster.kill(leader), cluster.kill(other)]);
    await cluster.waitFor('the survivor to see that it is alone', async () =>
      (await cluster.status(survivor))?.ready === false ? true : undefined,
    );
    const error: unknown = await db.put('k', 'v').catch((error: unknown) => error);
    t.match(error, { code: 'LEVEL_UNAVAILABLE', cause: { code: 'KVD_UNAVAILABLE', outcome: 'not-done' } });
    t.ok((error as Error).cause instanceof KvdError);
    t.match(await codes(db.get('k')), ['LEVEL_UNAVAILABLE', /^KVD_(UNAVAILABLE|TIMEOUT)$/]);
    const snapshot = db.snapshot();
    t.match(await codes(db.get('k', { snapshot })), ['LEVEL_UNAVAILABLE', /^KVD_(UNAVAILABLE|TIMEOUT)$/]);
    await cluster.kill(survivor);
    const late = new KvdLevel({ endpoints: cluster.endpoints, timeoutMs: 500 });
    t.same(await codes(late.get('k')), ['LEVEL_DATABASE_NOT_OPEN', undefined], 'a deferred operation');
    t.same(await codes(late.open()), ['LEVEL_DATABASE_NOT_OPEN', 'LEVEL_UNAVAILABLE']);
  },
);
