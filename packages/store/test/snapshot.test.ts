/** Snapshots: there and back, cut short, altered, interrupted, overtaken. */
import { test } from 'tap';
import { createMemoryState, KvState, MemoryContent, MemoryStore } from '../src/index.js';
import { LevelStore } from '../src/level-store.js';
import { levelOptions } from '../src/file-disk.js';
import { formatStateOps, freshState } from '../src/state-loader.js';
import type { SnapshotReader } from '@kvd/replica';
import {
  bytes,
  call,
  flush,
  install,
  keyed,
  put,
  readSnapshot,
  run,
  scanAll,
  scratch,
  text,
} from './helpers.js';

/** Some values lie apart. */
const OPTIONS = { cacheBytes: 1024 * 1024, apartBytes: 9, spanRevisions: 8, versions: 'spans' } as const;

interface Rig {
  readonly content: MemoryContent;
  readonly store: MemoryStore;
  readonly state: KvState;
}

function rig(): Rig {
  const content = new MemoryContent();
  content.apply(formatStateOps());
  const store = new MemoryStore(content);
  return { content, store, state: new KvState(store, freshState(), OPTIONS) };
}

/** Keys, a session with results, an idempotency record; some of it flushed, some not. */
async function lived(state: KvState): Promise<void> {
  await run(state, [{ type: 'open-session' }], 1000);
  for (let sequence = 1; sequence <= 300; sequence += 1) {
    const origin = { session: 65_536, sequence, lowestUnanswered: Math.max(1, sequence - 100) };
    await run(state, [put(`key ${sequence % 120}`, `value ${sequence}`, origin)]);
    if (sequence === 200) await flush(state);
  }
  await run(state, [keyed('order', put('ordered', 'yes'))], 2000);
}

const openSnapshot = (state: KvState): Promise<SnapshotReader> =>
  call<SnapshotReader>((done) => state.openFlushed('all', done));

async function snapshotOf(state: KvState): Promise<{ readonly slot: number; readonly chunks: Uint8Array[] }> {
  const reader = await openSnapshot(state);
  return { slot: reader.slot, chunks: await readSnapshot(reader) };
}

/** All that a state shows, to be compared. */
async function contents(state: KvState): Promise<unknown> {
  const { appliedThrough, revision, clusterMs, stateHash, contentHash } = state;
  const entries = (await scanAll(state)).map((found) => [
    text(found.key),
    text(found.value),
    found.modRevision,
  ]);
  return { appliedThrough, revision, clusterMs, stateHash, contentHash, entries };
}

test('a snapshot installed on another disk is the same state, exactly-once table included', async (t) => {
  const { state } = rig();
  await lived(state);
  const { slot, chunks } = await snapshotOf(state);
  t.equal(slot, state.appliedThrough);
  t.ok(chunks.length > 5, `${chunks.length} chunks`);

  const store = await LevelStore.open(scratch(t), { ...levelOptions('state'), createIfMissing: true });
  t.teardown(() => call<void>((done) => store.close(done)));
  await call<void>((done) => store.batch(formatStateOps(), done));
  const other = new KvState(store, freshState(), OPTIONS);
  await run(other, [put('what was here before', '1'), put('key 5', 'old')]);
  await flush(other);
  await run(other, [put('not even flushed', '1')]);
  await install(other, chunks, slot);
  t.equal(other.durableThrough, slot);
  t.equal(other.dirtyKeys, 0);
  t.same(await contents(other), await contents(state));
  await call<void>((done) => other.scrub(done));

  const retry = put('key 5', 'again', { session: 65_536, sequence: 290, lowestUnanswered: 200 });
  t.same(await run(other, [retry]), [{ type: 'put', revision: 290 }]);
  t.same(await run(other, [keyed('order', put('ordered', 'yes'))]), [{ type: 'put', revision: 301 }]);
  await call<void>((done) => other.reload(done));
  t.same(await contents(other), await contents(state), 'a restart finds it installed');
  await call<void>((done) => other.scrub(done));
});

test('both go on alike after an install', async (t) => {
  const { state } = rig();
  await lived(state);
  const { slot, chunks } = await snapshotOf(state);
  const other = createMemoryState();
  await install(other, chunks, slot);
  for (const one of [state, other]) {
    await run(one, [put('a', '1')], 700_000);
    await run(one, [{ type: 'keep-alive', session: 65_536 }], 5_000_000);
  }
  t.equal(other.stateHash, state.stateHash);
  t.equal(other.contentHash, state.contentHash);
});

test('a snapshot does not show what came after it was opened', async (t) => {
  const { state } = rig();
  await run(state, [put('a', '1')]);
  const reader = await openSnapshot(state);
  await run(state, [put('a', '2'), put('b', '2')]);
  await flush(state);
  const other = createMemoryState();
  await install(other, await readSnapshot(reader), reader.slot);
  t.same(
    (await scanAll(other)).map(({ key, value }) => text(key) + text(value)),
    ['a1'],
  );
});

test('a snapshot that is cut short, altered or mixed up changes nothing', async (t) => {
  const { state } = rig();
  await lived(state);
  const { slot, chunks } = await snapshotOf(state);
  const spoil = (index: number, at: number): Uint8Array[] => {
    const copy = chunks.map((chunk) => Buffer.from(chunk));
    const chunk = copy[index];
    if (chunk !== undefined) chunk[at % chunk.length] = (chunk[at % chunk.length] ?? 0) ^ 1;
    return copy;
  };
  const bad: Record<string, readonly Uint8Array[]> = {
    empty: [],
    'without its end': chunks.slice(0, -1),
    'without its head': chunks.slice(1),
    'a chunk missing': chunks.filter((_, index) => index !== 3),
    'a chunk twice': [...chunks.slice(0, 4), chunks[3] ?? Buffer.of(), ...chunks.slice(4)],
    'half a chunk': [...chunks.slice(0, 2), (chunks[2] ?? Buffer.of()).subarray(0, 500)],
    'goes on after its end': [...chunks, chunks[1] ?? Buffer.of()],
    rubbish: [bytes('rubbish')],
  };
  for (let index = 0; index < chunks.length; index += 1)
    bad[`a bit flipped in chunk ${index}`] = spoil(index, 37 * index + 3);

  const other = rig();
  await run(other.state, [put('mine', '1')]);
  const before = await contents(other.state);
  for (const [name, chunksOfIt] of Object.entries(bad)) {
    const installer = other.state.createInstaller();
    for (const chunk of chunksOfIt)
      await call<void>((done) => installer.write(chunk, (_error, result) => done(null, result)));
    await t.rejects(
      call<void>((done) => installer.finish(slot, done)),
      name,
    );
    t.same(await contents(other.state), before, name);
  }
  await t.rejects(install(other.state, chunks, slot + 1), /is of slot/);
  await flush(other.state);
  await call<void>((done) => other.state.scrub(done));
  await call<void>((done) => other.state.reload(done));
  t.same(await contents(other.state), before);
});

test('what an interrupted install left behind is removed', async (t) => {
  const { state } = rig();
  await lived(state);
  const { slot, chunks } = await snapshotOf(state);
  const { content, store, state: other } = rig();
  await run(other, [put('mine', '1')]);
  await flush(other);
  const clean = content.size;
  const installer = other.createInstaller();
  for (const chunk of chunks.slice(0, 3)) await call<void>((done) => installer.write(chunk, done));
  t.ok(content.size > clean);
  store.crash();

  const after = new KvState(new MemoryStore(content), freshState(), OPTIONS);
  await call<void>((done) => after.reload(done));
  await settled(t, () => content.size === clean);
  t.equal(text(after.get(bytes('mine'))?.value ?? bytes('')), '1');
  await install(after, chunks, slot);
  t.same(await contents(after), await contents(state));
  await flush(after);
  const generations = (): number =>
    new Set(content.keys().map((key) => (key[0] === 0x47 ? key.readUInt32BE(1) : 0))).size;
  await settled(t, () => generations() === 2);
  await call<void>((done) => after.scrub(done));
});

test('a crash at any write of an install leaves the old state or the new one', async (t) => {
  const { state } = rig();
  await lived(state);
  const { slot, chunks } = await snapshotOf(state);
  const expected = { old: '', new: JSON.stringify(await contents(state)) };
  const seen = new Set<string>();
  for (let writes = 0; writes <= chunks.length + 1; writes += 1) {
    const { content, state: other } = rig();
    await run(other, [put('mine', '1')]);
    await flush(other);
    expected.old = JSON.stringify(await contents(other));
    // The process dies with its write number `writes` of the install still under way.
    let left = writes;
    const store: { current: MemoryStore | null } = { current: null };
    const dying = new MemoryStore(content, (task, kind) => {
      if (kind === 'write') {
        if (left === 0) store.current?.crash();
        left -= 1;
      }
      queueMicrotask(task);
    });
    store.current = dying;
    const victim = new KvState(dying, freshState(), OPTIONS);
    // Opening reads only.
    const ready = new Promise<void>((resolve) => dying.defer(resolve));
    await ready;
    const installer = victim.createInstaller();
    const dead = new Promise<void>((resolve) => setImmediate(resolve));
    for (const chunk of chunks) installer.write(chunk, () => {});
    installer.finish(slot, () => {});
    await dead;
    const after = new KvState(new MemoryStore(content), freshState(), OPTIONS);
    await call<void>((done) => after.reload(done));
    const found = JSON.stringify(await contents(after));
    t.ok(found === expected.old || found === expected.new, `after ${writes} writes`);
    seen.add(found === expected.new ? 'new' : 'old');
    await call<void>((done) => after.scrub(done));
  }
  t.same([...seen].sort(), ['new', 'old']);
});

test('an install begun before a reload or another install is void', async (t) => {
  const { state } = rig();
  await lived(state);
  const { slot, chunks } = await snapshotOf(state);
  const { state: other } = rig();
  const overtaken = other.createInstaller();
  for (const chunk of chunks) await call<void>((done) => overtaken.write(chunk, done));
  await install(other, chunks, slot);
  await t.rejects(
    call<void>((done) => overtaken.finish(slot, done)),
    { name: 'StoreError', kind: 'closed' },
  );
  t.same(await contents(other), await contents(state));
  await call<void>((done) => other.scrub(done));
});

/** Waits for background work, which goes on by microtasks. */
async function settled(t: { fail(message: string): unknown }, isSo: () => boolean): Promise<void> {
  for (let turn = 0; turn < 1000; turn += 1) {
    if (isSo()) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  t.fail('it never settled');
}
