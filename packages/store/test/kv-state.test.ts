/** What commands do to the state: revisions, sessions, idempotency keys, ranges, scans, flushes, hashes. */
import type { Configuration, Value } from '@kvd/paxos';
import {
  type Command,
  type CommandResult,
  encodeBatch,
  encodeCommand,
  IDEMPOTENCY_TTL_MS,
  NO_LEADER,
  PAGE_BYTES_MAX,
  SESSION_IN_FLIGHT_MAX,
  SESSION_TTL_MS,
} from '@kvd/protocol';
import type { SnapshotReader } from '@kvd/replica';
import { test, type Test } from 'tap';
import { createMemoryState, KvState, MemoryContent, MemoryStore } from '../src/index.js';
import { LevelStore } from '../src/level-store.js';
import { levelOptions } from '../src/file-disk.js';
import { ACTIVITY_GRAIN_MS } from '../src/sessions.js';
import { DELETE_RANGE_KEYS_MAX } from '../src/delete-ranges.js';
import type { OrderedStore } from '../src/ordered-store.js';
import { formatStateOps, freshState } from '../src/state-loader.js';
import {
  apply,
  batch,
  bytes,
  call,
  del,
  delRange,
  flush,
  IDENTITY,
  install,
  keyed,
  put,
  randomFrom,
  readSnapshot,
  run,
  scanAll,
  scanPage,
  scratch,
  text,
} from './helpers.js';

/** Most values of the fuzz lie apart, some do not. */
const OPTIONS = { cacheBytes: 4000, apartBytes: 6, spanRevisions: 32, versions: 'spans' } as const;
const KINDS = ['the memory twin', 'LevelDB'] as const;

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

/** One command in a slot of its own. */
async function one(state: KvState, command: Command, clusterMs = 0): Promise<CommandResult> {
  const [result] = await run(state, [command], clusterMs);
  if (result === undefined) throw new Error('no result');
  return result;
}

async function openSession(state: KvState, clusterMs = 0): Promise<number> {
  const result = await one(state, { type: 'open-session' }, clusterMs);
  if (result.type !== 'session') throw new Error('no session');
  return result.session;
}

const keysOf = (entries: readonly { readonly key: Uint8Array }[]): string[] =>
  entries.map(({ key }) => text(key));

for (const kind of KINDS) {
  test(`revisions, versions and what a delete counts, on ${kind}`, async (t) => {
    const state = new KvState(await freshStore(t, kind), freshState());
    t.same(await one(state, put('a', '1')), { type: 'put', revision: 1 });
    t.same(await run(state, [put('a', '2'), put('b', '3')]), [
      { type: 'put', revision: 2 },
      { type: 'put', revision: 3 },
    ]);
    t.match(state.get(bytes('a')), { createRevision: 1, modRevision: 2, version: 2 });
    t.same(await one(state, del('nothing')), { type: 'deleted', revision: 3, deleted: 0 });
    t.same(await one(state, del('a')), { type: 'deleted', revision: 4, deleted: 1 });
    t.equal(state.get(bytes('a')), null);
    await flush(state);
    t.equal(state.get(bytes('a')), null);
    t.equal(text(state.get(bytes('b'))?.value ?? bytes('')), '3');
    t.same(await one(state, put('a', '4')), { type: 'put', revision: 5 });
    t.match(state.get(bytes('a')), { createRevision: 5, modRevision: 5, version: 1 });
    await call<void>((done) => state.reload(done));
    t.equal(state.appliedThrough, 4, 'a reload goes back to the last flush');
    t.equal(state.revision, 4);
  });

  test(`a fuzz of puts, deletes, ranges, flushes and reloads agrees with a Map, on ${kind}`, async (t) => {
    const seed = Number(process.env.SEED ?? 20_26);
    t.comment(`SEED=${seed}`);
    const random = randomFrom(seed);
    const pick = (n: number): number => Math.floor(random() * n);
    const key = (): string => `k${String(pick(300)).padStart(3, '0')}`;
    const state = new KvState(await freshStore(t, kind), freshState(), OPTIONS);
    // The same slots on a second state that flushes at other times, if ever.
    const witness = createMemoryState();
    const model = new Map<string, string>();
    const log: Value[] = [];
    for (let step = 0; step < 400; step += 1) {
      const commands: Command[] = [];
      for (let i = pick(12); i >= 0; i -= 1) {
        const dice = pick(20);
        if (dice === 0) {
          const [from = '', last = ''] = [key(), key()].sort();
          const to = pick(5) === 0 ? '' : last;
          commands.push(delRange(from, to));
          for (const known of model.keys()) {
            if (known >= from && (to === '' || known < to)) model.delete(known);
          }
        } else if (dice < 6) {
          const gone = key();
          commands.push(del(gone));
          model.delete(gone);
        } else {
          const [name, value] = [key(), `v${pick(1e6)}`];
          commands.push(put(name, value));
          model.set(name, value);
        }
      }
      const value = batch(commands, step);
      log.push(value);
      t.same(
        await apply(state, value),
        await apply(witness, value),
        `results of slot ${state.appliedThrough}`,
      );
      const what = pick(10);
      if (what < 3) {
        state.freeze();
        if (what === 0) {
          log.push({ type: 'noop' });
          await apply(state, { type: 'noop' });
          await apply(witness, { type: 'noop' });
        }
        await call<void>((done) => state.writeFrozen(done));
      } else if (what === 3 && pick(4) === 0) {
        await call<void>((done) => state.reload(done));
        // What the flush did not write is replayed.
        for (let slot = state.appliedThrough; slot < log.length; slot += 1)
          await apply(state, log[slot] ?? { type: 'noop' });
      }
      if (state.stateHash !== witness.stateHash) {
        throw new Error(`hashes differ after slot ${state.appliedThrough}`);
      }
      if (step % 20 === 0) {
        const entries = await scanAll(state, { limit: 1 + pick(50) });
        t.same(
          entries.map((found) => [text(found.key), text(found.value)]),
          [...model].sort(([a], [b]) => (a < b ? -1 : 1)),
        );
      }
    }
    t.equal(state.contentHash, witness.contentHash);
    await flush(state);
    await call<void>((done) => state.scrub(done));
    await call<void>((done) => state.reload(done));
    t.equal(state.stateHash, witness.stateHash);
    t.equal(keysOf(await scanAll(state)).length, model.size);
  });

  test(`the exactly-once table survives flush, reload and what comes after, on ${kind}`, async (t) => {
    const state = new KvState(await freshStore(t, kind), freshState());
    const session = await openSession(state);
    t.equal(session, 65_536, 'slot 1, index 0');
    const results: CommandResult[] = [];
    for (let sequence = 1; sequence <= 600; sequence += 1) {
      results.push(
        await one(state, put('counter', `${sequence}`, { session, sequence, lowestUnanswered: 1 })),
      );
      if (sequence % 150 === 0) await flush(state);
    }
    await call<void>((done) => state.reload(done));
    const hash = state.contentHash;
    for (const sequence of [1, 255, 256, 257, 600]) {
      const again = await one(state, put('counter', 'again', { session, sequence, lowestUnanswered: 1 }));
      t.same(again, results[sequence - 1], `retry of ${sequence}`);
    }
    t.equal(state.revision, 600);
    t.equal(state.contentHash, hash, 'retries change nothing');

    await one(state, put('counter', 'on', { session, sequence: 601, lowestUnanswered: 300 }));
    t.match(await one(state, put('x', '', { session, sequence: 299, lowestUnanswered: 299 })), {
      code: 'KVD_SEQUENCE_FORGOTTEN',
    });
    t.same(await one(state, put('x', '', { session, sequence: 300, lowestUnanswered: 300 })), results[299]);
    await flush(state);
    await call<void>((done) => state.scrub(done));
    await call<void>((done) => state.reload(done));
    t.match(await one(state, put('x', '', { session, sequence: 299, lowestUnanswered: 299 })), {
      code: 'KVD_SEQUENCE_FORGOTTEN',
    });
    t.same(await one(state, put('x', '', { session, sequence: 300, lowestUnanswered: 300 })), results[299]);
    t.same(await one(state, { type: 'close-session', session }), { type: 'done' });
    await flush(state);
    await call<void>((done) => state.scrub(done));
    t.match(await one(state, put('x', '', { session, sequence: 602, lowestUnanswered: 300 })), {
      code: 'KVD_SESSION_EXPIRED',
    });
  });
}

test('a session expires on cluster time alone, never early, and alike after a reload', async (t) => {
  const state = createMemoryState();
  const idle = await openSession(state, 1_000);
  const busy = await openSession(state, 1_000);
  t.same(await one(state, { type: 'keep-alive', session: busy }, SESSION_TTL_MS), { type: 'done' });
  await flush(state);
  await call<void>((done) => state.reload(done));
  t.same(await one(state, { type: 'keep-alive', session: busy }, 1_000 + SESSION_TTL_MS), { type: 'done' });
  t.same(
    await one(
      state,
      put('a', '1', { session: idle, sequence: 1, lowestUnanswered: 1 }),
      900 + SESSION_TTL_MS,
    ),
    {
      type: 'put',
      revision: 1,
    },
  );
  t.equal(state.clusterMs, 1_000 + SESSION_TTL_MS, 'cluster time does not go back');
  const later = 1_000 + 2 * SESSION_TTL_MS + ACTIVITY_GRAIN_MS;
  t.match(await one(state, { type: 'keep-alive', session: idle }, later), { code: 'KVD_SESSION_EXPIRED' });
  t.match(await one(state, { type: 'keep-alive', session: busy }, later), { code: 'KVD_SESSION_EXPIRED' });
});

test('a session that acknowledges nothing is refused before it fills the memory', async (t) => {
  const state = createMemoryState();
  const session = await openSession(state);
  for (let first = 1; first <= SESSION_IN_FLIGHT_MAX; first += 4096) {
    const commands = Array.from({ length: 4096 }, (_, i) =>
      put('k', 'v', { session, sequence: first + i, lowestUnanswered: 1 }),
    );
    await run(state, commands);
  }
  const sequence = SESSION_IN_FLIGHT_MAX + 1;
  t.match(await one(state, put('k', 'v', { session, sequence, lowestUnanswered: 1 })), {
    code: 'KVD_OVERLOADED',
  });
  t.match(await one(state, put('k', 'v', { session, sequence, lowestUnanswered: sequence })), {
    type: 'put',
  });
});

test('an Idempotency-Key: the same result, a conflict, and a new key after its time', async (t) => {
  const state = createMemoryState();
  t.same(await one(state, keyed('order 1', put('a', '1')), 5), { type: 'put', revision: 1 });
  await flush(state);
  await call<void>((done) => state.reload(done));
  t.same(await one(state, keyed('order 1', put('a', '1')), 6), { type: 'put', revision: 1 });
  t.match(await one(state, keyed('order 1', put('a', '2')), 7), { code: 'KVD_IDEMPOTENCY_CONFLICT' });
  t.same(await one(state, keyed('order 1', put('a', '1')), 4 + IDEMPOTENCY_TTL_MS), {
    type: 'put',
    revision: 1,
  });
  t.same(await one(state, keyed('order 1', put('a', '1')), 5 + IDEMPOTENCY_TTL_MS), {
    type: 'put',
    revision: 2,
  });
  await flush(state);
  await call<void>((done) => state.scrub(done));
});

test('a table of Idempotency-Keys that is as full as it gets is read back, whatever key comes first', async (t) => {
  const state = createMemoryState();
  const value = Buffer.alloc(64 * 1024 - 1_000);
  await run(state, [{ ...put('large', ''), value } as Command]);
  await one(state, keyed('zz, which is read last', put('a', '1')));
  const read = { type: 'get', key: bytes('large') } as const;
  const origin = { session: 0, sequence: 0, lowestUnanswered: 0 };
  const txn: Command = { type: 'txn', origin, compares: [], success: [read], failure: [] };
  let kept = 0;
  for (;;) {
    const results = await run(
      state,
      Array.from({ length: 64 }, (_, i) => keyed(`key ${kept + i}`, txn)),
    );
    kept += results.filter(({ type }) => type === 'txn').length;
    const refused = results.find(({ type }) => type === 'error');
    if (refused === undefined) continue;
    t.match(refused, { code: 'KVD_OVERLOADED' });
    break;
  }
  t.ok(kept > 1_000, `${kept} large results`);
  await flush(state);
  await call<void>((done) => state.scrub(done));
  const before = state.contentHash;
  await call<void>((done) => state.reload(done));
  t.equal(state.contentHash, before);
  t.match(await one(state, keyed('one more', put('b', '1'))), { code: 'KVD_OVERLOADED' });
});

test('what became of a request is not asked under an Idempotency-Key, which would be asked about in its turn', async (t) => {
  const state = createMemoryState();
  await one(state, keyed('done', put('a', '1')));
  const about = (key: string): Command => ({ type: 'keyed-outcome', idempotencyKey: bytes(key) });
  for (const inner of [about('mine'), about('done'), { type: 'outcome', session: 1, sequence: 1 } as const]) {
    t.match(await one(state, keyed('mine', inner)), { type: 'error', code: 'KVD_BAD_REQUEST' });
    const noted = { type: 'noted', principal: 'p', reason: '', command: encodeCommand(inner) } as const;
    t.match(await one(state, keyed('mine', noted)), { type: 'error', code: 'KVD_BAD_REQUEST' });
  }
  t.match(await one(state, about('done')), { type: 'outcome', outcome: { status: 'applied' } });
  t.match(await one(state, about('mine')), { type: 'outcome', outcome: { status: 'never' } });
  t.match(await one(state, keyed('mine', put('b', '1'))), { code: 'KVD_FENCED' });
  await flush(state);
  await call<void>((done) => state.scrub(done));
  const before = state.contentHash;
  await call<void>((done) => state.reload(done));
  t.equal(state.contentHash, before);
});

test('a retry of a range deletion gets its answer, however many others come with it', async (t) => {
  const state = createMemoryState();
  const session = await openSession(state);
  await one(state, put('x1', ''));
  const retried = delRange('x', 'y', { session, sequence: 1, lowestUnanswered: 1 });
  const first = await one(state, retried);
  const others = Array.from({ length: 20 }, (_, i) =>
    delRange('x', 'y', { session, sequence: 2 + i, lowestUnanswered: 1 }),
  );
  const results = await run(state, [...others, retried]);
  t.match(results[19], { code: 'KVD_OVERLOADED' }, 'as a first attempt it is refused');
  t.same(results[20], first);
});

test('a transaction stops to read where its results become too large', async (t) => {
  const state = createMemoryState();
  await run(state, [{ ...put('large', ''), value: Buffer.alloc(1024 * 1024) } as Command]);
  const get = { type: 'get', key: bytes('large') } as const;
  const never = { type: 'add', key: bytes('large'), delta: 1n } as const;
  const origin = { session: 0, sequence: 0, lowestUnanswered: 0 };
  const txn = { type: 'txn', origin, compares: [], failure: [] } as const;
  t.match(await one(state, { ...txn, success: Array(1000).fill(get) }), { code: 'KVD_TOO_LARGE' });
  t.match(
    await one(state, { ...txn, success: [get, never] }),
    { code: 'KVD_TOO_LARGE' },
    'what follows is not looked at any more',
  );
});

test('an error under an Idempotency-Key is not kept, so the key is free for another try', async (t) => {
  const state = createMemoryState();
  const command = put('a', '1', { session: 77, sequence: 1, lowestUnanswered: 1 });
  t.match(await one(state, keyed('k', command)), { code: 'KVD_SESSION_EXPIRED' });
  t.same(await one(state, keyed('k', put('a', '1'))), { type: 'put', revision: 1 });
});

test('a range deletion sees what earlier commands of its own batch did, in memory and on disk', async (t) => {
  const state = createMemoryState();
  await run(state, [put('a1', ''), put('a2', ''), put('a3', ''), put('b', '')]);
  await flush(state);
  await run(state, [put('a4', ''), del('a1')]);
  state.freeze();
  await run(state, [put('a5', ''), del('a4')]);
  const results = await run(state, [
    put('a6', ''),
    del('a2'),
    delRange('a', 'b'),
    put('a7', ''),
    delRange('a', 'b'),
  ]);
  t.same(results[2], { type: 'deleted', revision: 11, deleted: 3 }, 'a3, a5 and a6');
  t.same(results[4], { type: 'deleted', revision: 13, deleted: 1 }, 'a7');
  t.same(keysOf(await scanAll(state)), ['b']);
  t.same(await one(state, delRange('x', '')), { type: 'deleted', revision: 13, deleted: 0 });
  t.same(await one(state, delRange('b', 'a')), { type: 'deleted', revision: 13, deleted: 0 });
});

test('a flush that ends between prepare and apply takes nothing from a range deletion', async (t) => {
  const state = createMemoryState();
  await run(state, [put('a', ''), put('b', '')]);
  state.freeze();
  await run(state, [put('c', '')]);
  const value = batch([delRange('', '')]);
  await call<void>((done) => t.equal(state.prepare(value, done), false));
  await call<void>((done) => state.writeFrozen(done));
  await flush(state);
  t.same(state.apply(state.appliedThrough + 1, value), [{ type: 'deleted', revision: 4, deleted: 3 }]);
  t.same(await scanAll(state), []);
});

test('a range of more keys than one command may delete is refused whole', async (t) => {
  const state = createMemoryState();
  for (let first = 0; first <= DELETE_RANGE_KEYS_MAX; first += 8000) {
    await run(
      state,
      Array.from({ length: 8000 }, (_, i) => put(`k${first + i}`, '')),
    );
  }
  const { revision } = state;
  t.match(await one(state, delRange('k', '')), { code: 'KVD_TOO_LARGE' });
  await flush(state);
  t.match(await one(state, delRange('k', '')), { code: 'KVD_TOO_LARGE' });
  t.equal(state.revision, revision);
  t.match(await one(state, delRange('k1', 'k2')), { type: 'deleted' });
});

test('a scan page is bounded by entries, bytes and its limit, and says where to go on', async (t) => {
  const state = createMemoryState();
  const big = 'x'.repeat(300_000);
  await run(state, [put('a', big), put('b', big), put('c', big)]);
  await flush(state);
  await run(state, [put('bb', big), put('d', '')]);
  const first = await scanPage(state);
  t.same(keysOf(first.entries), ['a', 'b', 'bb']);
  t.ok(first.entries.reduce((sum, { value }) => sum + value.length, 0) <= PAGE_BYTES_MAX);
  t.equal(text(first.next ?? bytes('')), 'c');
  t.same(keysOf(await scanAll(state)), ['a', 'b', 'bb', 'c', 'd']);
  t.match(await scanPage(state, { limit: 2, from: bytes('b') }), { count: 2, next: bytes('c') });
  const keys = await scanPage(state, { keysOnly: true });
  t.equal(keys.next, null);
  t.same(
    keys.entries.map(({ value }) => value.length),
    [0, 0, 0, 0, 0],
  );
  t.match(await scanPage(state, { countOnly: true }), { count: 5, entries: [], next: null, revision: 5 });
});

test('a scan shows the state as of its call', async (t) => {
  const state = createMemoryState();
  await run(state, [put('a', '1'), put('c', '1')]);
  await flush(state);
  await run(state, [put('b', '1')]);
  const page = scanPage(state);
  state.apply(state.appliedThrough + 1, batch([del('a'), put('bb', '1'), put('c', '2')]));
  t.same(
    (await page).entries.map(({ key, value }) => text(key) + text(value)),
    ['a1', 'b1', 'c1'],
  );
});

test('commands that cannot be read have error results and leave the rest alone', async (t) => {
  const state = createMemoryState();
  t.same(await apply(state, { type: 'batch', bytes: bytes('rubbish') }), []);
  const value = batch([put('a', '1'), put('b', '2')]);
  if (value.type !== 'batch') throw new Error('no batch');
  // The type byte of the first command.
  const spoilt = Buffer.from(value.bytes);
  spoilt[spoilt.indexOf(0x04)] = 0x63;
  const results = await apply(state, { type: 'batch', bytes: spoilt });
  t.match(results, [
    { type: 'error', code: 'KVD_BAD_REQUEST' },
    { type: 'put', revision: 1 },
  ]);
});

/** A batch of one put and a time, as the leader of this ballot proposes it. */
function proposedBy(counter: number, replicaId: number, key: string, clusterMs: number): Value {
  const commands = [encodeCommand(put(key, `${counter}.${replicaId}`))];
  return {
    type: 'batch',
    bytes: encodeBatch({ ballot: { counter, replicaId }, clusterMs, wallMs: 0, commands }),
  };
}

test('a batch of a leader that was overtaken does nothing, on whichever replica', async (t) => {
  const state = createMemoryState();
  t.strictSame(state.leader, NO_LEADER);
  t.equal((await apply(state, proposedBy(5, 2, 'a', 100))).length, 1);
  t.equal((await apply(state, proposedBy(5, 2, 'b', 200))).length, 1, 'its own later ones count');
  t.equal((await apply(state, { type: 'noop' })).length, 0);
  t.strictSame(state.leader, { counter: 5, replicaId: 2 });
  const { revision, contentHash } = state;
  t.strictSame(
    await apply(state, proposedBy(5, 1, 'a', 10_000)),
    [],
    'the lower replica of the same counter',
  );
  t.strictSame(await apply(state, proposedBy(4, 3, 'a', 10_000)), [], 'the lower counter');
  t.match(state, { revision, contentHash, clusterMs: 200, leader: { counter: 5, replicaId: 2 } });

  await flush(state);
  await call<void>((done) => state.reload(done));
  t.strictSame(await apply(state, proposedBy(5, 1, 'a', 10_000)), [], 'after a start');
  const reader = await call<SnapshotReader>((done) => state.openSnapshot(done));
  const twin = createMemoryState();
  await install(twin, await readSnapshot(reader), reader.slot);
  t.strictSame(twin.leader, state.leader, 'and in a snapshot');
  for (const each of [state, twin]) {
    while (each.appliedThrough < 8) await apply(each, { type: 'noop' });
    t.strictSame(await apply(each, proposedBy(4, 9, 'a', 10_000)), []);
    t.equal((await apply(each, proposedBy(6, 1, 'a', 300))).length, 1, 'the next leader is heard');
  }
  t.equal(twin.stateHash, state.stateHash);
});

test('a batch that does not say whose it is counts, as all did', async (t) => {
  const state = createMemoryState();
  await apply(state, proposedBy(5, 2, 'a', 100));
  t.equal((await apply(state, proposedBy(0, 0, 'b', 200))).length, 1);
  t.match(state, { clusterMs: 200, leader: { counter: 5, replicaId: 2 } });
});

test('slots out of order are a bug', async (t) => {
  const state = createMemoryState();
  t.throws(() => state.apply(2, { type: 'noop' }), /S6/);
  await apply(state, { type: 'noop' });
  t.throws(() => state.apply(1, { type: 'noop' }), /S6/);
});

test('configurations are kept as long as S9 asks for them', async (t) => {
  const state = createMemoryState();
  const configuration = (replaces: number): Configuration => ({
    clusterId: 'cd'.repeat(16),
    alpha: 4,
    replaces,
    members: [{ ...IDENTITY, role: 'voter', address: 'a:1' }],
    acceptQuorum: 0,
  });
  const slots = (): number[] => state.configurations.map(({ slot }) => slot);
  await apply(state, { type: 'configuration', configuration: configuration(0) });
  await apply(state, { type: 'noop' });
  await apply(state, { type: 'configuration', configuration: configuration(1) });
  await apply(state, { type: 'configuration', configuration: configuration(1) });
  t.same(slots(), [1, 3], 'one that does not replace the latest is a no-op');
  await apply(state, { type: 'noop' });
  t.same(slots(), [1, 3], 'slot 6 still has the founding one');
  await apply(state, { type: 'noop' });
  t.same(slots(), [3], 'slot 7 has that of slot 3');
  await flush(state);
  await call<void>((done) => state.reload(done));
  t.same(slots(), [3]);
});

test('a crash between freeze and writeFrozen goes back to the flush before', async (t) => {
  const content = new MemoryContent();
  content.apply(formatStateOps());
  const store = new MemoryStore(content);
  const state = new KvState(store, freshState());
  await run(state, [put('a', '1')]);
  await flush(state);
  await run(state, [put('a', '2')]);
  t.equal(state.freeze(), 2);
  store.crash();
  const after = new KvState(new MemoryStore(content), freshState());
  await call<void>((done) => after.reload(done));
  t.equal(after.appliedThrough, 1);
  t.equal(text(after.get(bytes('a'))?.value ?? bytes('')), '1');
});

test('a failed flush keeps reads going, and a reload mends it', async (t) => {
  const content = new MemoryContent();
  content.apply(formatStateOps());
  const state = new KvState(new MemoryStore(content), freshState());
  await run(state, [put('a', '1')]);
  content.failWrites(new Error('ENOSPC: no space left on device'), 'once');
  await t.rejects(flush(state), { name: 'StoreError', kind: 'no-space' });
  t.equal(state.durableThrough, 0);
  await run(state, [put('a', '2')]);
  t.equal(text(state.get(bytes('a'))?.value ?? bytes('')), '2');
  await t.rejects(flush(state), { name: 'StoreError', kind: 'no-space' }, 'poisoned until a reload');
  await call<void>((done) => state.reload(done));
  t.equal(state.appliedThrough, 0);
  await run(state, [put('a', '1')]);
  await flush(state);
  t.equal(state.durableThrough, 1);
});

test('a damaged record is an error for whoever reads it, and the scrub finds it', async (t) => {
  const content = new MemoryContent();
  content.apply(formatStateOps());
  const state = new KvState(new MemoryStore(content), freshState());
  await run(state, [put('a', '1'), put('b', '2'), put('c', '3')]);
  await flush(state);
  await call<void>((done) => state.reload(done));
  const record = content.keys().find((key) => key.toString('latin1').endsWith('kb'));
  if (record === undefined) throw new Error('no record of b');
  content.corrupt(record, 41);
  t.equal(text(state.get(bytes('a'))?.value ?? bytes('')), '1');
  t.throws(() => state.get(bytes('b')), { name: 'StoreError', kind: 'damaged' });
  await t.rejects(scanPage(state), { name: 'StoreError', kind: 'damaged' });
  await t.rejects(
    call<void>((done) => state.scrub(done)),
    { name: 'StoreError', kind: 'damaged' },
  );
  content.drop(record);
  await t.rejects(
    call<void>((done) => state.scrub(done)),
    /2 keys .*, 3 keys/,
  );
});

test('a slot that a damaged record stopped half way is never flushed', async (t) => {
  const content = new MemoryContent();
  content.apply(formatStateOps());
  const state = new KvState(new MemoryStore(content), freshState());
  await run(state, [put('b', '2')]);
  await flush(state);
  await call<void>((done) => state.reload(done));
  const record = content.keys().find((key) => key.toString('latin1').endsWith('kb'));
  if (record === undefined) throw new Error('no record of b');
  content.corrupt(record, 41);
  await t.rejects(run(state, [put('a', '1'), put('b', '3')]), { name: 'StoreError', kind: 'damaged' });
  await t.rejects(flush(state), { name: 'StoreError', kind: 'damaged' });
  await t.rejects(run(state, [put('a', '1')]));
  await call<void>((done) => state.reload(done));
  t.equal(state.get(bytes('a')), null);
});
