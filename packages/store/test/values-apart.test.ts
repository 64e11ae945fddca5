/** Values that lie apart: written once, found, removed with their record, and missed when they are gone. */
import type { Entry, HistoryPage, HistoryPosition } from '@kvd/protocol';
import type { SnapshotReader } from '@kvd/replica';
import { test } from 'tap';
import { KvState, type KvStateOptions, MemoryContent, MemoryStore } from '../src/index.js';
import type { Pair, StoreOp } from '../src/ordered-store.js';
import { formatStateOps, freshState, loadState, type LoadedState } from '../src/state-loader.js';
import { generationRanges, stateKey, valueKey } from '../src/state-records.js';
import {
  bytes,
  call,
  del,
  delRange,
  flush,
  install,
  put,
  readSnapshot,
  run,
  scanAll,
  text,
} from './helpers.js';

const APART = { cacheBytes: 0, apartBytes: 5, spanRevisions: 4, versions: 'spans' } as const;
const GET = { type: 'get', timeoutMs: 1_000, consistency: 'stale', revision: 5 } as const;
const INLINE = { cacheBytes: 0, apartBytes: 1_000_000, spanRevisions: 4, versions: 'spans' } as const;

function formatted(): MemoryContent {
  const content = new MemoryContent();
  content.apply(formatStateOps());
  return content;
}

async function opened(content: MemoryContent, options: KvStateOptions = APART): Promise<KvState> {
  const store = new MemoryStore(content);
  const loaded = await call<LoadedState | null>((done) => loadState(store, done));
  if (loaded === null) throw new Error('nothing loaded');
  return new KvState(store, loaded, options);
}

/** The values that lie apart, as `revision key`. */
function values(content: MemoryContent): string[] {
  const [, range] = generationRanges(0, 100);
  if (range === undefined) throw new Error('no range of values');
  return content.slice(range).map(([key]) => `${key.readBigUInt64BE(6)} ${key.toString('latin1', 14)}`);
}

function valueOf(content: MemoryContent, key: string, revision: number): Pair {
  const diskKey = stateKey(1, valueKey(bytes(key), revision));
  const record = content.get(diskKey);
  if (record === undefined) throw new Error(`no value of ${key} at ${revision}`);
  return [diskKey, record];
}

/** As tap compares an error. */
const DAMAGED = { kind: 'damaged' } as unknown as Error;

const compact = (revision: number) => ({ type: 'compact', revision }) as const;

test('a value is written once, and goes with its record', async (t) => {
  const content = formatted();
  const state = await opened(content);
  await run(state, [put('a', 'first value'), put('b', 'tiny')]);
  await flush(state);
  t.strictSame(values(content), ['1 a']);
  const before = valueOf(content, 'a', 1)[1];
  await run(state, [put('a', 'second value')]);
  await run(state, [put('a', 'third value'), put('b', 'not so tiny')]);
  await flush(state);
  t.strictSame(
    values(content),
    ['1 a', '3 a', '4 a', '5 b'],
    'what was superseded before a flush lies there too',
  );
  t.equal(valueOf(content, 'a', 1)[1], before, 'the first was not written again');
  for (const pair of content.slice(generationRanges(0, 100)[0] as { gte: Buffer; lt: Buffer }))
    t.notMatch(pair[1].toString('latin1'), 'value', 'and is in no other record');

  await run(state, [del('b'), compact(5)]);
  await flush(state);
  await call<void>((done) => state.writeFrozen(done));
  t.strictSame(values(content), ['4 a', '5 b'], 'compacted');
  await call<void>((done) => state.scrub(done));
  await run(state, [compact(6)]);
  await flush(state);
  await call<void>((done) => state.writeFrozen(done));
  t.strictSame(values(content), ['4 a'], 'only the present one is left');
  await call<void>((done) => state.scrub(done));
  t.equal(text(state.get(bytes('a'))?.value ?? bytes('')), 'third value');
});

test('where a value lies is no part of what the state is', async (t) => {
  const apart = await opened(formatted());
  const inline = await opened(formatted(), INLINE);
  for (const state of [apart, inline]) {
    await run(state, [put('a', 'a long value'), put('b', 'b'), put('c', 'another')]);
    await flush(state);
    await run(state, [put('a', 'a longer value'), del('c')]);
    await flush(state);
  }
  t.equal(apart.contentHash, inline.contentHash);
  t.equal(apart.stateHash, inline.stateHash);
  t.strictSame(await scanAll(apart), await scanAll(inline));
});

test('a state whose values are all in their records is gone on with', async (t) => {
  const content = formatted();
  const before = await opened(content, INLINE);
  await run(before, [put('a', 'a long value'), put('b', 'b long value')]);
  await flush(before);
  const state = await opened(content);
  await run(state, [put('a', 'a longer value')]);
  await flush(state);
  t.strictSame(values(content), ['3 a']);
  t.strictSame(
    (await scanAll(state)).map(({ key, value }) => `${text(key)} ${text(value)}`),
    ['a a longer value', 'b b long value'],
  );
  const entry = await call((done: Parameters<KvState['getAt']>[1]) =>
    state.getAt({ type: 'get', timeoutMs: 1, consistency: 'stale', key: bytes('a'), revision: 2 }, done),
  );
  t.equal(text(entry?.value ?? bytes('')), 'a long value', 'the version keeps its value in it');
  await call<void>((done) => state.scrub(done));
  await run(state, [compact(3)]);
  await flush(state);
  await call<void>((done) => state.writeFrozen(done));
  await call<void>((done) => state.scrub(done));
});

/** Counts the values that are read one by one. */
class CountingStore extends MemoryStore {
  valuesRead = 0;

  override get(key: Buffer): Buffer | undefined {
    const [, { gte, lt } = { gte: key, lt: key }] = generationRanges(0, 100);
    if (Buffer.compare(gte, key) <= 0 && Buffer.compare(key, lt) < 0) this.valuesRead += 1;
    return super.get(key);
  }
}

const NO_ORIGIN = { session: 0, sequence: 0, lowestUnanswered: 0 };

/** Grants a lease and puts its keys, each with a value of its name. */
async function leased(state: KvState, keys: readonly string[], value = (key: string) => `value of ${key}`) {
  const [granted] = await run(state, [{ type: 'lease-grant', origin: NO_ORIGIN, ttlMs: 1_000 }]);
  const lease = granted?.type === 'lease' ? granted.lease : 0;
  for (const key of keys) {
    const operation = { type: 'put', key: bytes(key), value: bytes(value(key)), lease } as const;
    await run(state, [{ type: 'txn', origin: NO_ORIGIN, compares: [], success: [operation], failure: [] }]);
  }
  return lease;
}

const KEYS = ['a', 'b', 'c', 'd', 'e'];

/** Supersedes each of KEYS in a way of its own. */
async function supersedeAll(state: KvState, lease: number): Promise<void> {
  const operation = { type: 'put', key: bytes('b'), value: bytes('another b'), lease: 0 } as const;
  const txn = { type: 'txn', origin: NO_ORIGIN, compares: [], success: [operation], failure: [] } as const;
  await run(state, [put('a', 'another a'), txn, del('c'), delRange('d', 'e')]);
  await run(state, [{ type: 'lease-revoke', origin: NO_ORIGIN, lease }]);
}

const query = { from: bytes(''), to: bytes(''), start: { revision: 6, index: 0 }, limit: 0, previous: true };

test('what is superseded stays where it lies: it is not read for it, and found there', async (t) => {
  for (const watched of [false, true]) {
    const store = new CountingStore(formatted());
    const state = new KvState(store, freshState(), APART);
    const lease = await leased(state, KEYS);
    await flush(state);
    state.watchRevisions(watched);
    await supersedeAll(state, lease);
    t.equal(store.valuesRead, watched ? 5 : 0, watched ? 'watchers are told of it' : 'nobody asks');
    const told = state.takeRevisions().flatMap(({ events }) => events);
    const previous = told.map((event) => text(event.previous?.value ?? bytes('')));
    t.strictSame(previous, watched ? KEYS.map((key) => `value of ${key}`) : []);

    const past = async (name: string): Promise<void> => {
      for (const key of KEYS) {
        const entry = await call<Entry | null>((done) => state.getAt({ ...GET, key: bytes(key) }, done));
        t.equal(text(entry?.value ?? bytes('')), `value of ${key}`, `${name}: a read of ${key}`);
      }
      const entries = await scanAll(state, { revision: 5 });
      t.strictSame(
        entries.map(({ value }) => text(value)),
        KEYS.map((key) => `value of ${key}`),
        `${name}: a scan`,
      );
      const page = await call<HistoryPage>((done) => state.history(query, done));
      const values = page.revisions.flatMap(({ events }) => events.map((event) => event.previous?.value));
      t.strictSame(
        values.map((value) => text(value ?? bytes(''))),
        KEYS.map((key) => `value of ${key}`),
        `${name}: the history`,
      );
    };
    await past('in memory');
    await flush(state);
    await past('on disk');
    await call<void>((done) => state.scrub(done));
  }
});

test('a lease may hold more than memory does: its end is told in pages of the history', async (t) => {
  const store = new CountingStore(formatted());
  const state = new KvState(store, freshState(), APART);
  const keys = Array.from({ length: 65 }, (_, i) => `key ${100 + i}`);
  const lease = await leased(state, keys, () => 'x'.repeat(1024 * 1024));
  await flush(state);
  state.watchRevisions(true);
  await run(state, [{ type: 'lease-revoke', origin: NO_ORIGIN, lease }, put('later', 'value')]);
  t.strictSame(state.takeRevisions(), [], 'nothing from there on');
  t.equal(store.valuesRead, 0);
  let start: HistoryPosition | null = { revision: keys.length + 1, index: 0 };
  let events = 0;
  while (start !== null) {
    const at: HistoryPosition = start;
    const page: HistoryPage = await call((done) => state.history({ ...query, start: at }, done));
    t.ok(page.revisions.length > 0);
    events += page.revisions.flatMap((revision) => revision.events).length;
    start = page.next;
  }
  t.equal(events, keys.length + 1);
  await run(state, [put('later', 'still')]);
  t.equal(state.takeRevisions().length, 1, 'and then on as before');
});

test('a value that is damaged, gone, or another one is noticed by a read and by the scrub', async (t) => {
  const damages: Record<string, (content: MemoryContent) => void> = {
    'a flipped bit in the value': (content) => content.corrupt(valueOf(content, 'a', 1)[0], 9),
    'a flipped bit in its checksum': (content) => content.corrupt(valueOf(content, 'a', 1)[0], 2),
    'another format': (content) => content.corrupt(valueOf(content, 'a', 1)[0], 0),
    'a flipped bit in the length, of which the record says it': (content) =>
      content.corrupt(stateKey(1, Buffer.from('ka')), 44),
    'a flipped bit in the check that the record has': (content) =>
      content.corrupt(stateKey(1, Buffer.from('ka')), 47),
    gone: (content) => content.drop(valueOf(content, 'a', 1)[0]),
    'two values exchanged': (content) => {
      const [a, b] = [valueOf(content, 'a', 1), valueOf(content, 'b', 2)];
      const ops: StoreOp[] = [
        { key: a[0], value: b[1] },
        { key: b[0], value: a[1] },
      ];
      content.apply(ops);
    },
  };
  for (const [what, damage] of Object.entries(damages)) {
    const content = formatted();
    const state = await opened(content);
    await run(state, [put('a', 'value of a'), put('b', 'value of b')]);
    await flush(state);
    damage(content);
    const after = await opened(content);
    t.throws(() => after.get(bytes('a')), DAMAGED, what);
    await t.rejects(scanAll(after), DAMAGED, `${what}, a scan`);
    await t.rejects(
      call<void>((done) => after.scrub(done)),
      DAMAGED,
      `${what}, the scrub`,
    );
    await t.rejects(
      call<SnapshotReader>((done) => after.openFlushed('present', done)).then((reader) =>
        readSnapshot(reader),
      ),
      DAMAGED,
      `${what}, a backup`,
    );
  }
});

test('a value that belongs to nothing is noticed by the scrub', async (t) => {
  const content = formatted();
  const state = await opened(content);
  await run(state, [put('a', 'value of a')]);
  await flush(state);
  const [, record] = valueOf(content, 'a', 1);
  content.apply([{ key: stateKey(1, valueKey(bytes('z'), 1)), value: record }]);
  await t.rejects(
    call<void>((done) => state.scrub(done)),
    DAMAGED,
  );
});

test('a backup that is read slowly has the values of its beginning', async (t) => {
  const content = formatted();
  const state = await opened(content);
  await run(state, [put('a', 'value of a'), put('b', 'value of b')]);
  await flush(state);
  const reader = await call<SnapshotReader>((done) => state.openFlushed('present', done));
  await run(state, [put('a', 'new'), put('b', 'new')]);
  await flush(state);
  await run(state, [compact(4)]);
  await flush(state);
  await call<void>((done) => state.writeFrozen(done));
  t.strictSame(values(content), [], 'they are gone from the disk');
  const found = Buffer.concat(await readSnapshot(reader)).toString('latin1');
  t.match(found, 'value of a');
  t.match(found, 'value of b');
});

test('what an install that was broken off left of values alone is removed, and its generation not used again', async (t) => {
  const content = formatted();
  const first = await opened(content);
  await run(first, [put('a', 'value of a')]);
  await flush(first);
  const [, record] = valueOf(content, 'a', 1);
  content.apply([{ key: stateKey(7, valueKey(bytes('a'), 1)), value: record }]);
  const store = new MemoryStore(content);
  const loaded = await call<LoadedState | null>((done) => loadState(store, done));
  t.equal(loaded?.lastGeneration, 7);
  const state = await opened(content);
  const reader = await call<SnapshotReader>((done) => first.openFlushed('all', done));
  await install(state, await readSnapshot(reader), reader.slot);
  await call<void>((done) => state.scrub(done));
  t.strictSame(
    content
      .slice(generationRanges(0, 100)[1] as { gte: Buffer; lt: Buffer })
      .map(([key]) => key.readUInt32BE(1)),
    [8],
  );
});
