/**
 * Revisions and their history: reads, scans and events of the past against a model that forgets nothing, through flushes,
 * reloads, snapshots and compaction; transactions, leases, outcomes.
 */
import {
  type Command,
  type CommandResult,
  type Compare,
  type HistoryPage,
  type HistoryPosition,
  type KvEvent,
  LEASE_KEYS_MAX,
  type TxnOperation,
  encodeCommand,
  encodeResponse,
  PAGE_BYTES_MAX,
  PRINCIPAL_BYTES_MAX,
  REASON_BYTES_MAX,
} from '@kvd/protocol';
import type { Done } from '@kvd/replica';
import { test, type Test } from 'tap';
import { createMemoryState, KvState, type KvStateOptions, MemoryContent, MemoryStore } from '../src/index.js';
import { LevelStore } from '../src/level-store.js';
import { levelOptions } from '../src/file-disk.js';
import type { KeyRange, OrderedStore, RangeReader, StoreOp } from '../src/ordered-store.js';
import { formatStateOps, freshState } from '../src/state-loader.js';
import {
  apply,
  batch,
  bytes,
  call,
  del,
  delRange,
  flush,
  install,
  keyed,
  put,
  randomFrom,
  readSnapshot,
  run,
  scanPage,
  scratch,
  text,
} from './helpers.js';

const KINDS = ['the memory twin', 'LevelDB'] as const;
/** Most values of the fuzz lie apart, some do not. */
const OPTIONS = { cacheBytes: 2000, apartBytes: 6, spanRevisions: 50, versions: 'spans' } as const;
const NO_ORIGIN = { session: 0, sequence: 0, lowestUnanswered: 0 };

async function freshStore(t: Test, kind: (typeof KINDS)[number]): Promise<OrderedStore> {
  if (kind === 'the memory twin') {
    const store = new MemoryStore(new MemoryContent());
    await call<void>((done) => store.batch(formatStateOps(), done));
    return store;
  }
  const store = await LevelStore.open(scratch(t), { ...levelOptions('state'), createIfMissing: true });
  t.teardown(() => call<void>((done) => store.close(done)));
  await call<void>((done) => store.batch(formatStateOps(), done));
  return store;
}

async function one(state: KvState, command: Command, clusterMs = 0): Promise<CommandResult> {
  const [result] = await run(state, [command], clusterMs);
  if (result === undefined) throw new Error('no result');
  return result;
}

function txn(
  compares: readonly Compare[],
  success: readonly TxnOperation[],
  failure: readonly TxnOperation[] = [],
): Command {
  return { type: 'txn', origin: NO_ORIGIN, compares, success, failure };
}

const putOp = (key: string, value: string, lease = 0): TxnOperation => ({
  type: 'put',
  key: bytes(key),
  value: bytes(value),
  lease,
});
const getOp = (key: string): TxnOperation => ({ type: 'get', key: bytes(key) });
const addOp = (key: string, delta: bigint): TxnOperation => ({ type: 'add', key: bytes(key), delta });

function getAt(state: KvState, key: string, revision: number): Promise<string | null> {
  const request = { type: 'get', timeoutMs: 1, consistency: 'stale', key: bytes(key), revision } as const;
  return call<{ readonly value: Uint8Array } | null>((done) => state.getAt(request, done)).then((entry) =>
    entry === null ? null : text(entry.value),
  );
}

async function history(state: KvState, from: string, to: string, revision: number): Promise<HistoryPage[]> {
  const pages: HistoryPage[] = [];
  let start: HistoryPosition | null = { revision, index: 0 };
  while (start !== null) {
    const query = { from: bytes(from), to: bytes(to), start, limit: 0, previous: true };
    const page: HistoryPage = await call((done) => state.history(query, done));
    pages.push(page);
    start = page.next;
  }
  return pages;
}

/** An event as one line: its revision, key, what it left and what was there before. */
function line(revision: number, event: KvEvent): string {
  const before = event.previous === null ? '-' : text(event.previous.value);
  const key = event.type === 'put' ? event.entry.key : event.key;
  return `${revision} ${text(key)} ${event.type === 'put' ? text(event.entry.value) : '-'} ${before}`;
}

function lines(pages: readonly HistoryPage[]): string[] {
  return pages.flatMap(({ revisions }) =>
    revisions.flatMap(({ revision, events }) => events.map((event) => line(revision, event))),
  );
}

for (const kind of KINDS) {
  test(`a fuzz of the past agrees with a model that keeps everything, on ${kind}`, async (t) => {
    const seed = Number(process.env.SEED ?? 20_26);
    t.comment(`SEED=${seed}`);
    const random = randomFrom(seed);
    const pick = (n: number): number => Math.floor(random() * n);
    // Zero bytes and prefixes of one another: the order of keys must survive their encoding.
    const names = Array.from(
      { length: 40 },
      (_, i) => ['a', 'a\0', 'a\0b', 'ab', 'b\xff'][i % 5] + `${i % 8}`,
    );
    const key = (): string => names[pick(names.length)] ?? 'a';
    // At first as up to format 4: what a reload finds is then a directory that was upgraded.
    const options: { -readonly [K in keyof KvStateOptions]: KvStateOptions[K] } = {
      ...OPTIONS,
      versions: 'as-format-4',
    };
    let state = new KvState(await freshStore(t, kind), freshState(), options);
    const witness = createMemoryState();
    /** The whole state after every revision. */
    const states: Map<string, string>[] = [new Map()];
    const events: string[] = [];
    const log: ReturnType<typeof batch>[] = [];
    let compacted = 0;

    const change = (changes: ReadonlyMap<string, string | null>): void => {
      const before = states.at(-1) ?? new Map();
      const after = new Map(before);
      const lived = [...changes].filter(([name, value]) => value !== null || before.has(name));
      if (lived.length === 0) return;
      for (const [name, value] of lived) {
        events.push(`${states.length} ${name} ${value ?? '-'} ${before.get(name) ?? '-'}`);
        if (value === null) after.delete(name);
        else after.set(name, value);
      }
      states.push(after);
    };

    for (let step = 0; step < 300; step += 1) {
      const commands: Command[] = [];
      for (let i = pick(6); i >= 0; i -= 1) {
        const dice = pick(10);
        const present = states.at(-1) ?? new Map<string, string>();
        if (dice === 0) {
          const [from = '', to = ''] = [key(), key()].sort();
          commands.push(delRange(from, to));
          const gone = [...present.keys()].filter((name) => name >= from && name < to).sort();
          change(new Map(gone.map((name) => [name, null])));
        } else if (dice < 3) {
          const name = key();
          commands.push(del(name));
          change(new Map([[name, null]]));
        } else if (dice < 6) {
          const name = key();
          const value = `v${pick(1e6)}`;
          commands.push(put(name, value));
          change(new Map([[name, value]]));
        } else {
          // Two keys move together when a third one exists; else one of them goes.
          const [a, b, c] = [key(), key(), key()];
          if (a === b) continue;
          const value = `t${pick(1e6)}`;
          commands.push(
            txn(
              [{ key: bytes(c), target: 'exists', exists: true }],
              [putOp(a, value), putOp(b, value)],
              [{ type: 'delete', key: bytes(a) }],
            ),
          );
          change(
            present.has(c)
              ? new Map([
                  [a, value],
                  [b, value],
                ])
              : new Map([[a, null]]),
          ); // prettier-ignore
        }
      }
      const value = batch(commands, step);
      log.push(value);
      t.strictSame(await apply(state, value), await apply(witness, value), `results of slot ${log.length}`);
      const what = pick(12);
      if (what < 4) await flush(state);
      else if (what === 4) state.freeze();
      else if (what === 5) {
        if (step > 60) options.versions = 'spans';
        await call<void>((done) => state.reload(done));
        for (let slot = state.appliedThrough; slot < log.length; slot += 1)
          await apply(state, log[slot] ?? { type: 'noop' });
      } else if (what === 6 && pick(3) === 0) {
        compacted = Math.max(compacted, pick(states.length));
        const compact = batch([{ type: 'compact', revision: compacted }], step);
        log.push(compact);
        t.strictSame(await apply(state, compact), [{ type: 'done' }]);
        await apply(witness, compact);
      } else if (what === 7 && pick(4) === 0) {
        // Another replica takes the snapshot, and goes on as this one.
        const reader = await call<Parameters<Parameters<KvState['openFlushed']>[1]>[1]>((done) =>
          state.openFlushed('all', done),
        );
        const other = new KvState(await freshStore(t, kind), freshState(), options);
        await install(other, await readSnapshot(reader), reader.slot);
        state = other;
      }
      t.equal(state.stateHash, witness.stateHash);
      if (step % 10 !== 0) continue;

      // In a scan, revision 0 stands for the present.
      const past = Math.max(Math.min(1, states.length - 1), compacted + pick(states.length - compacted));
      if (past === 0) continue;
      const then = states[past] ?? new Map<string, string>();
      const name = key();
      t.equal(await getAt(state, name, past), then.get(name) ?? null, `${name} after revision ${past}`);
      const [from = '', to = ''] = [key(), key()].sort();
      const reverse = pick(2) === 0;
      const wanted = [...then]
        .filter(([found]) => found >= from && found < to)
        .sort(([a], [b]) => (a < b ? -1 : 1));
      if (reverse) wanted.reverse();
      const found: string[][] = [];
      let range: { from: Uint8Array; to: Uint8Array } | null = { from: bytes(from), to: bytes(to) };
      while (range !== null) {
        const page = await scanPage(state, { ...range, reverse, revision: past, limit: 1 + pick(4) });
        t.equal(page.revision, past);
        for (const entry of page.entries) found.push([text(entry.key), text(entry.value)]);
        if (page.next === null) range = null;
        else range = reverse ? { ...range, to: page.next } : { ...range, from: page.next };
        // What happens between two pages does not show.
        if (pick(4) === 0) await flush(state);
      }
      t.strictSame(found, wanted, `scan of ${from} to ${to} after revision ${past}`);
      const since = compacted + 1 + pick(states.length - compacted);
      t.strictSame(
        lines(await history(state, from, to, since)),
        events.filter((event) => {
          const [revision, changed = ''] = event.split(' ');
          return Number(revision) >= since && changed >= from && changed < to;
        }),
        `events from revision ${since} on`,
      );
      if (compacted > 0) {
        await t.rejects(getAt(state, name, compacted - 1), { code: 'KVD_COMPACTED' });
        await t.rejects(scanPage(state, { revision: compacted - 1 || states.length }), {
          code: compacted === 1 ? 'KVD_FUTURE_REVISION' : 'KVD_COMPACTED',
        });
        await t.rejects(history(state, '', '', compacted), { code: 'KVD_COMPACTED' });
      }
      await t.rejects(getAt(state, name, states.length), { code: 'KVD_FUTURE_REVISION' });
    }
    await flush(state);
    await call<void>((done) => state.scrub(done));
    await call<void>((done) => state.reload(done));
    t.equal(state.stateHash, witness.stateHash);
    t.equal(state.contentHash, witness.contentHash);
  });

  test(`compaction leaves on disk what is needed and nothing else, on ${kind}`, async (t) => {
    const store = await freshStore(t, kind);
    const state = new KvState(store, freshState());
    for (let i = 0; i < 50; i += 1) {
      await run(
        state,
        Array.from({ length: 20 }, (_, k) => put(`k${k}`, `${i}`)),
      );
      await flush(state);
    }
    const records = (): Promise<number> => countRecords(store);
    const before = await records();
    await one(state, { type: 'compact', revision: state.revision });
    await flush(state);
    // In the background, by batches of its own: until the disk says that it is through.
    while ((await records()) > 20 + 1) await flush(state);
    t.ok(before > 1000, `${before} records before`);
    t.equal(await getAt(state, 'k3', state.revision), '49');
    await call<void>((done) => state.scrub(done));
    await call<void>((done) => state.reload(done));
    t.equal(await getAt(state, 'k3', state.revision), '49');
    t.same(lines(await history(state, '', '', state.revision + 1)), []);
  });
}

async function countRecords(store: OrderedStore): Promise<number> {
  const reader = store.range({ gte: Buffer.from('G'), lt: Buffer.from('H') });
  let count = 0;
  for (;;) {
    const pairs = await call<readonly unknown[]>((done) => reader.next(1000, done));
    if (pairs.length === 0) break;
    count += pairs.length;
  }
  reader.close();
  return count;
}

test('a scan of the recent past does not read the older one: keys of many versions cost it nothing', async (t) => {
  const state = createMemoryState();
  const keys = Array.from({ length: 30 }, (_, i) => `k${String(i).padStart(2, '0')}`);
  // Far more versions than the way along them has patience for.
  for (let i = 0; i < 100; i += 1)
    await run(
      state,
      keys.map((key) => put(key, `${i}`)),
    );
  await one(state, del('k07'));
  await flush(state);
  const then = state.revision;
  await run(state, [
    put('k03', 'later'),
    put('k03', 'twice'),
    del('k04'),
    put('k07', 'again'),
    put('new', ''),
  ]);
  for (const flushed of [false, true]) {
    if (flushed) await flush(state);
    for (const reverse of [false, true]) {
      const found: string[] = [];
      let range: { from: Uint8Array; to: Uint8Array } | null = { from: bytes('k'), to: bytes('z') };
      while (range !== null) {
        const page = await scanPage(state, { ...range, reverse, revision: then, limit: 7 });
        for (const entry of page.entries) found.push(text(entry.key) + text(entry.value));
        if (page.next === null) range = null;
        else range = reverse ? { ...range, to: page.next } : { ...range, from: page.next };
      }
      const wanted = keys.filter((key) => key !== 'k07').map((key) => `${key}99`);
      t.same(found, reverse ? wanted.reverse() : wanted);
    }
    const { count } = await scanPage(state, { revision: then, countOnly: true });
    t.equal(count, 29);
  }
});

/** The disk of another thread: a batch is there when `land` is called, and its writer learns of it when `answer` is. */
class LandingStore extends MemoryStore {
  /** Called before every reader is made. */
  beforeRange = (): void => undefined;
  land = (): void => undefined;
  answer = (): void => undefined;

  constructor(private readonly disk = new MemoryContent()) {
    super(disk);
  }

  override range(...ranges: readonly KeyRange[]): RangeReader {
    this.beforeRange();
    return super.range(...ranges);
  }

  override batchOf(pages: Iterable<readonly StoreOp[]>, done: Done<void>): void {
    const ops = [...pages].flat();
    this.land = () => this.disk.apply(ops);
    this.answer = () => done(null, undefined);
  }
}

test('a flush that reaches the disk while a read of the past begins is seen by it, or is in memory', async (t) => {
  for (const landsAt of [1, 2, 3, 4, 5, 6]) {
    const store = new LandingStore();
    await call<void>((done) => store.batch(formatStateOps(), done));
    const state = new KvState(store, freshState(), OPTIONS);
    // Enough that a scan of the past goes by what was done since, and that a flush writes several records of it.
    const write = async (count: number): Promise<void> => {
      const first = state.revision + 1;
      await run(
        state,
        Array.from({ length: count }, (_, i) => put('hot', `at ${first + i}`)),
      );
    };
    await write(3_000);
    let flushed = flush(state);
    store.land();
    store.answer();
    await flushed;
    await write(400);
    flushed = flush(state);
    let readers = 0;
    store.beforeRange = () => {
      readers += 1;
      if (readers === landsAt) store.land();
    };
    const then = 3_050;
    const scanned = scanPage(state, { revision: then });
    const read = history(state, '', '', then + 1);
    for (let turn = 0; turn < 20; turn += 1)
      await call<void>((done) => store.defer(() => done(null, undefined)));
    if (readers < landsAt) store.land();
    store.answer();
    await flushed;
    const pages = await read;
    t.same(
      (await scanned).entries.map(({ value, modRevision }) => [text(value), modRevision]),
      [[`at ${then}`, then]],
      `${landsAt}: a scan`,
    );
    t.strictSame(
      lines(pages).map((found) => found.split(' ')[0]),
      Array.from({ length: 350 }, (_, i) => String(then + 1 + i)),
      `${landsAt}: the history`,
    );
  }
});

/** Counts what is read of it one by one. */
class CountingStore extends MemoryStore {
  lookups = 0;

  override get(key: Buffer): Buffer | undefined {
    this.lookups += 1;
    return super.get(key);
  }
}

test('a page of history ends before it has looked in too many places', async (t) => {
  const content = new MemoryContent();
  content.apply(formatStateOps());
  const store = new CountingStore(content);
  // Every revision in a span of its own, and every version superseded three hundred revisions after it was made.
  const state = new KvState(store, freshState(), { ...OPTIONS, cacheBytes: 0, spanRevisions: 1 });
  const keys = Array.from({ length: 300 }, (_, i) => `k${i}`);
  for (const value of ['first', 'second'])
    await run(
      state,
      keys.map((key) => put(key, value)),
    );
  await flush(state);
  let most = 0;
  const query = { from: bytes(''), to: bytes(''), limit: 0, previous: true };
  const found: string[] = [];
  let start: HistoryPosition | null = { revision: 1, index: 0 };
  while (start !== null) {
    store.lookups = 0;
    const at: HistoryPosition = start;
    const page: HistoryPage = await call((done) => state.history({ ...query, start: at }, done));
    found.push(...lines([page]));
    most = Math.max(most, store.lookups);
    start = page.next;
  }
  t.strictSame(found, [
    ...keys.map((key, i) => `${1 + i} ${key} first -`),
    ...keys.map((key, i) => `${301 + i} ${key} second first`),
  ]);
  t.ok(most < 10_000, `${most} lookups for a page`);
});

test('a revision of more events than a page or a record holds is read whole, in parts', async (t) => {
  const state = createMemoryState();
  for (let first = 0; first < 10_000; first += 2_000)
    await run(
      state,
      Array.from({ length: 2_000 }, (_, i) => put(`k${String(first + i).padStart(5, '0')}`, 'v')),
    ); // prettier-ignore
  await one(state, delRange('k', 'l'));
  const inMemory = lines(await history(state, '', '', 10_001));
  await flush(state);
  const pages = await history(state, '', '', 10_001);
  t.ok(pages.length > 2, `${pages.length} pages`);
  t.equal(inMemory.length, 10_000);
  t.strictSame(lines(pages), inMemory);
  t.equal(inMemory[9_999], '10001 k09999 - v');
});

test('a transaction: compares, branches, results; all or nothing', async (t) => {
  const state = createMemoryState();
  await run(state, [put('a', '1'), put('n', '41')]);
  t.strictSame(
    await one(
      state,
      txn(
        [
          { key: bytes('a'), target: 'value', comparison: '=', value: bytes('1') },
          { key: bytes('a'), target: 'version', comparison: '<', number: 2 },
          { key: bytes('nobody'), target: 'create-revision', comparison: '=', number: 0 },
          { key: bytes('nobody'), target: 'value', comparison: '!=', value: bytes('') },
        ],
        [
          putOp('a', '2'),
          getOp('a'),
          addOp('n', 1n),
          addOp('fresh', -5n),
          { type: 'delete', key: bytes('x') },
        ],
      ),
    ),
    {
      type: 'txn',
      revision: 3,
      succeeded: true,
      results: [
        { type: 'put' },
        {
          type: 'entry',
          entry: {
            key: Buffer.from('a'),
            value: Buffer.from('2'),
            createRevision: 1,
            modRevision: 3,
            version: 2,
            lease: 0,
          },
        },
        { type: 'added', value: 42n },
        { type: 'added', value: -5n },
        { type: 'deleted', deleted: 0 },
      ],
    },
  );
  const { revision } = state;
  const refused = await one(state, txn([], [putOp('b', '1'), addOp('a', 2n ** 63n - 1n)]));
  t.match(refused, { type: 'error', code: 'KVD_NOT_AN_INTEGER' });
  t.equal(state.get(bytes('b')), null, 'nothing of it was done');
  t.match(await one(state, txn([], [putOp('b', '1', 77)])), { code: 'KVD_LEASE_NOT_FOUND' });
  t.equal(state.revision, revision);
  t.match(await one(state, txn([{ key: bytes('a'), target: 'exists', exists: false }], [], [getOp('n')])), {
    succeeded: false,
    revision,
    results: [{ type: 'entry' }],
  });
  const twice = await one(state, txn([], [putOp('c', '1')]));
  t.match(twice, { type: 'txn', revision: revision + 1 });
});

test('a transaction that is sent again is answered as the first time, whatever is true by then', async (t) => {
  const state = createMemoryState();
  const opened = await one(state, { type: 'open-session', principal: 'ward 3' });
  if (opened.type !== 'session') throw new Error('no session');
  const origin = { session: opened.session, sequence: 1, lowestUnanswered: 1 };
  const create: Command = {
    type: 'txn',
    origin,
    compares: [{ key: bytes('k'), target: 'exists', exists: true }],
    success: [putOp('k', 'changed')],
    failure: [getOp('k'), getOp('big')],
  };
  await run(state, [put('big', 'x'.repeat(10_000))]);
  const first = await one(state, create);
  t.match(first, { succeeded: false });
  await run(state, [put('k', 'now it is there')]);
  await flush(state);
  await call<void>((done) => state.reload(done));
  t.same(await one(state, create), first, 'kept through flush and reload, large as it is');
  t.equal(text(state.get(bytes('k'))?.value ?? bytes('')), 'now it is there');
  await one(state, put('z', '1', { ...origin, sequence: 2, lowestUnanswered: 2 }));
  await flush(state);
  await call<void>((done) => state.scrub(done));
  const [last] = (await history(state, 'z', '', 1)).flatMap(({ revisions }) => revisions);
  t.match(last?.note, { session: opened.session, sequence: 2, principal: 'ward 3' });
});

test('a page of history fits a frame, however long its notes are', async (t) => {
  const state = createMemoryState();
  const noted = {
    type: 'noted',
    principal: 'p'.repeat(PRINCIPAL_BYTES_MAX),
    reason: 'r'.repeat(REASON_BYTES_MAX),
    command: encodeCommand(put('k', 'v')),
  } as const;
  for (let i = 0; i < 10; i += 1) await run(state, Array(200).fill(noted));
  const pages = await history(state, '', '', 1);
  t.equal(pages.flatMap(({ revisions }) => revisions).length, 2_000);
  for (const page of pages) {
    const { length } = encodeResponse(1, page);
    t.ok(length <= 2 * PAGE_BYTES_MAX, `${length} bytes`);
  }
});

test('a lease ends when it is due and not before, with all its keys in one revision', async (t) => {
  const state = createMemoryState();
  const granted = await one(state, { type: 'lease-grant', origin: NO_ORIGIN, ttlMs: 1_000 }, 500);
  if (granted.type !== 'lease') throw new Error('no lease');
  const { lease } = granted;
  await one(state, txn([], [putOp('b', '1', lease), putOp('a', '2', lease), putOp('c', '3', lease)]), 600);
  await one(state, put('c', 'taken out of it'), 700);
  t.same(state.dueLeases(1_499, 10), []);
  t.same(state.dueLeases(1_500, 10), [lease]);
  await one(state, { type: 'expire-leases', leases: [lease] }, 1_499);
  t.ok(state.get(bytes('a')), 'apply looks again');
  t.same(await one(state, { type: 'lease-keep-alive', lease }, 1_499), {
    type: 'lease',
    lease,
    ttlMs: 1_000,
  });
  await flush(state);
  await call<void>((done) => state.reload(done));
  await one(state, { type: 'expire-leases', leases: [lease] }, 2_498);
  t.ok(state.get(bytes('a')), 'it was kept alive');
  t.match(state.leases({ type: 'leases', timeoutMs: 1, consistency: 'stale', lease, after: 0 }), {
    leases: [{ lease, ttlMs: 1_000, remainingMs: 1, keys: [bytes('a'), bytes('b')] }],
  });
  const before = state.revision;
  await one(state, { type: 'expire-leases', leases: [lease] }, 2_499);
  t.equal(state.revision, before + 1);
  const ended = await history(state, '', '', before + 1);
  t.same(lines(ended), [`${before + 1} a - 2`, `${before + 1} b - 1`]);
  t.match(ended[0]?.revisions[0]?.note, { reason: `lease ${lease} expired` });
  t.equal(text(state.get(bytes('c'))?.value ?? bytes('')), 'taken out of it');
  t.match(await one(state, { type: 'lease-keep-alive', lease }, 2_499), { code: 'KVD_LEASE_NOT_FOUND' });
  t.match(await one(state, { type: 'lease-revoke', origin: NO_ORIGIN, lease }), {
    code: 'KVD_LEASE_NOT_FOUND',
  });
  await flush(state);
  await call<void>((done) => state.scrub(done));
  await call<void>((done) => state.reload(done));
  t.same(state.dueLeases(1e9, 10), []);
});

test('a lease takes no more keys than can be deleted at once', async (t) => {
  const state = createMemoryState();
  const granted = await one(state, { type: 'lease-grant', origin: NO_ORIGIN, ttlMs: 1_000 });
  const lease = granted.type === 'lease' ? granted.lease : 0;
  for (let first = 0; first < LEASE_KEYS_MAX; first += 1_000)
    await one(
      state,
      txn(
        [],
        Array.from({ length: 1_000 }, (_, i) => putOp(`k${first + i}`, '', lease)),
      ),
    ); // prettier-ignore
  t.match(await one(state, txn([], [putOp('one more', '', lease)])), { code: 'KVD_TOO_LARGE' });
  t.match(await one(state, txn([], [putOp('k1', 'again', lease)])), { type: 'txn' });
  t.match(await one(state, { type: 'lease-revoke', origin: NO_ORIGIN, lease }), { deleted: LEASE_KEYS_MAX });
});

test('what became of an operation: applied, or never will be; fenced for good', async (t) => {
  const state = createMemoryState();
  const opened = await one(state, { type: 'open-session' });
  const session = opened.type === 'session' ? opened.session : 0;
  const outcome = (sequence: number): Promise<CommandResult> =>
    one(state, { type: 'outcome', session, sequence });
  await one(state, put('a', '1', { session, sequence: 1, lowestUnanswered: 1 }));
  t.same(await outcome(1), {
    type: 'outcome',
    outcome: { status: 'applied', result: { type: 'put', revision: 1 } },
  });
  t.same(await outcome(2), { type: 'outcome', outcome: { status: 'never' } });
  await flush(state);
  await call<void>((done) => state.reload(done));
  const late = await one(state, put('a', '2', { session, sequence: 2, lowestUnanswered: 1 }));
  t.match(late, { type: 'error', code: 'KVD_FENCED' });
  t.same(await outcome(2), { type: 'outcome', outcome: { status: 'never' } });
  await one(state, put('a', '3', { session, sequence: 3, lowestUnanswered: 3 }));
  t.same(await outcome(1), { type: 'outcome', outcome: { status: 'answered' } });
  t.match(await one(state, put('a', '2', { session, sequence: 2, lowestUnanswered: 2 })), {
    code: 'KVD_SEQUENCE_FORGOTTEN',
  });
  await one(state, { type: 'close-session', session });
  t.same(await outcome(9), { type: 'outcome', outcome: { status: 'forgotten' } });

  await one(state, keyed('order 1', put('b', '1')));
  t.match(await one(state, { type: 'keyed-outcome', idempotencyKey: bytes('order 1') }), {
    outcome: { status: 'applied', result: { type: 'put' } },
  });
  t.match(await one(state, { type: 'keyed-outcome', idempotencyKey: bytes('order 2') }), {
    outcome: { status: 'never' },
  });
  await flush(state);
  await call<void>((done) => state.reload(done));
  t.match(await one(state, keyed('order 2', put('b', '2'))), { code: 'KVD_FENCED' });
  await call<void>((done) => state.scrub(done));
});

test('retention, compaction and what they refuse', async (t) => {
  const state = createMemoryState();
  await run(state, [put('a', '1'), put('a', '2')]);
  t.match(await one(state, { type: 'compact', revision: 3 }), { code: 'KVD_FUTURE_REVISION' });
  t.same(await one(state, { type: 'compact', revision: 2 }), { type: 'done' });
  t.same(await one(state, { type: 'compact', revision: 1 }), { type: 'done' }, 'it never goes back');
  t.equal(state.compactRevision, 2);
  await one(state, { type: 'set-retention', origin: NO_ORIGIN, keepRevisions: 7, keepMs: 60_000 });
  await flush(state);
  await call<void>((done) => state.reload(done));
  t.same(state.retention, { keepRevisions: 7, keepMs: 60_000 });
  t.equal(state.compactRevision, 2);
  t.equal(await getAt(state, 'a', 2), '2');
});

test('who watches is given every revision once, as it is applied', async (t) => {
  const state = createMemoryState();
  await run(state, [put('a', '1')]);
  state.watchRevisions(true);
  await run(state, [put('a', '2'), del('nothing')]);
  await one(state, txn([], [putOp('b', '3'), { type: 'delete', key: bytes('a') }]));
  const taken = state.takeRevisions();
  t.same(
    taken.flatMap(({ revision, events }) => events.map((event) => line(revision, event))),
    ['2 a 2 1', '3 b 3 -', '3 a - 2'],
  );
  t.same(state.takeRevisions(), []);
});
