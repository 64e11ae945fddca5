/** The acceptor's log, on the memory twin and on LevelDB: what it keeps, cuts, refuses, and how it fails. */
import type { Configuration, LogEntry, Persist, RecoveredLog } from '@kvd/paxos';
import {
  closeSync,
  cpSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test, type Test } from 'tap';
import { levelOptions } from '../src/file-disk.js';
import { createMemoryLog, MemoryContent, MemoryStore, OrderedLogStore } from '../src/index.js';
import { LevelStore } from '../src/level-store.js';
import { formatLogOps, freshLog, loadLog, type LoadedLog } from '../src/log-loader.js';
import { entryKey, markerKey } from '../src/log-records.js';
import type { KeyRange, OrderedStore } from '../src/ordered-store.js';
import { DiskSideFile, formatSide, MemorySideFile, type SideFile } from '../src/side-file.js';
import { verifyLogPart } from '../src/verification.js';
import type { Done } from '@kvd/replica';
import { BALLOT, call, entry, IDENTITY, INCARNATION, persist, randomFrom, scratch } from './helpers.js';

const KINDS = ['the memory twin', 'LevelDB'] as const;

interface Rig {
  readonly log: OrderedLogStore;
  readonly store: OrderedStore;
  readonly side: SideFile;
}

async function rig(t: Test, kind: (typeof KINDS)[number]): Promise<Rig> {
  if (kind === 'the memory twin') return memoryRig();
  const path = scratch(t);
  const store = await LevelStore.open(join(path, 'log'), { ...levelOptions('log'), createIfMissing: true });
  t.teardown(() => call<void>((done) => store.close(done)));
  await call<void>((done) => store.batch(formatLogOps(IDENTITY), done));
  writeFileSync(join(path, 'side'), formatSide(1));
  const side = new DiskSideFile(join(path, 'side'));
  const log = new OrderedLogStore(
    { store, side, verify: (done) => done(null, undefined) },
    freshLog(IDENTITY),
  );
  return { log, store, side };
}

function memoryRig(): Rig & { readonly content: MemoryContent; readonly side: MemorySideFile } {
  const content = new MemoryContent();
  content.apply(formatLogOps(IDENTITY));
  const store = new MemoryStore(content);
  const side = new MemorySideFile(formatSide(1));
  const verify = (done: (error: Error | null, result: void) => void): void =>
    verifyLogPart(new MemoryStore(content), side, done);
  return { content, store, side, log: new OrderedLogStore({ store, side, verify }, freshLog(IDENTITY)) };
}

const write = (log: OrderedLogStore, batch: Persist): Promise<number> =>
  call<number>((done) => log.write(batch, done));
const reload = (log: OrderedLogStore): Promise<RecoveredLog> =>
  call<RecoveredLog>((done) => log.reload(done));
const verify = ({ store, side }: Rig): Promise<void> =>
  call<void>((done) => verifyLogPart(store, side, done));
const read = (log: OrderedLogStore, from: number, through: number, bytesMax = 1e6): Promise<LogEntry[]> =>
  call<LogEntry[]>((done) => log.read(from, through, bytesMax, done));
const slotsOf = (entries: readonly LogEntry[]): number[] => entries.map(({ slot }) => slot);

function configuration(replaces: number): Configuration {
  const members = [{ ...IDENTITY, role: 'voter' as const, address: 'a:1' }];
  return { clusterId: 'cd'.repeat(16), alpha: 4, replaces, members, acceptQuorum: 0 };
}

for (const kind of KINDS) {
  test(`what was written is recovered, on ${kind}`, async (t) => {
    const { log } = await rig(t, kind);
    t.match(log.recovered, {
      identity: IDENTITY,
      marker: 1,
      chosenThrough: 0,
      accepted: [],
      configurations: [],
    });
    t.equal(
      await write(log, persist([entry(1, 'one'), entry(2, 'two'), entry(4, 'four')], { promised: BALLOT })),
      2,
    );
    const configurations = [{ slot: 1, configuration: configuration(0) }];
    const higher = { counter: 9, replicaId: 2, incarnation: 'cd'.repeat(16) };
    const noop: LogEntry = { slot: 2, ballot: higher, value: { type: 'noop' }, chosen: true };
    t.equal(await write(log, persist([noop], { promised: higher, chosenThrough: 2, configurations })), 3);
    const founding: LogEntry = {
      ...noop,
      slot: 5,
      value: { type: 'configuration', configuration: configuration(1) },
    };
    t.equal(await write(log, persist([founding])), 4);

    const recovered = await reload(log);
    t.match(recovered, { identity: IDENTITY, marker: 4, promised: higher, chosenThrough: 2, cutThrough: 0 });
    t.same(recovered.configurations, configurations);
    t.same(slotsOf(recovered.accepted), [4, 5]);
    t.same(recovered.accepted[1], founding);
    t.equal(log.recovered, recovered);
    const [first, second] = await read(log, 1, 2);
    t.same(Buffer.from(first?.value.type === 'batch' ? first.value.bytes : []).toString(), 'one');
    t.same(second, noop);
    t.equal(await write(log, persist([], { promised: BALLOT })), 5, 'numbers go on');
  });

  test(`reads give contiguous pages, at least one entry each, on ${kind}`, async (t) => {
    const { log } = await rig(t, kind);
    await write(log, persist([1, 2, 3, 4, 5, 7].map((slot) => entry(slot, 'x'.repeat(500)))));
    t.same(slotsOf(await read(log, 1, 5)), [1, 2, 3, 4, 5]);
    t.same(slotsOf(await read(log, 2, 3)), [2, 3]);
    t.same(slotsOf(await read(log, 4, 9)), [4, 5], 'ends at a gap');
    t.same(slotsOf(await read(log, 6, 9)), []);
    t.same(slotsOf(await read(log, 1, 5, 1200)), [1, 2]);
    t.same(slotsOf(await read(log, 1, 5, 1)), [1]);
    t.same(slotsOf(await read(log, 3, 2)), []);
    await write(log, persist([], { chosenThrough: 5, cutThrough: 3 }));
    t.same(slotsOf(await read(log, 3, 5)), []);
    t.same(slotsOf(await read(log, 4, 5)), [4, 5]);
  });

  test(`a random life keeps a log that verifies, and its twin in a Map, on ${kind}`, async (t) => {
    const seed = Number(process.env.SEED ?? 77);
    t.comment(`SEED=${seed}`);
    const random = randomFrom(seed);
    const pick = (n: number): number => Math.floor(random() * n);
    const parts = await rig(t, kind);
    const { log } = parts;
    const model = new Map<number, string>();
    let [chosen, cut, last, markers] = [0, 0, 0, 1];
    for (let step = 0; step < 300; step += 1) {
      const entries: LogEntry[] = [];
      for (let i = pick(6); i > 0; i -= 1) {
        const slot = chosen + 1 + pick(20);
        const content = `${slot}.${step}.${i}`;
        entries.push(entry(slot, content));
        model.set(slot, content);
        last = Math.max(last, slot);
      }
      while (pick(2) === 0 && model.has(chosen + 1)) chosen += 1;
      if (pick(10) === 0) cut = Math.max(cut, chosen - pick(10));
      for (const slot of model.keys()) if (slot <= cut) model.delete(slot);
      const more = pick(8) === 0 ? { promised: { ...BALLOT, counter: step } } : {};
      markers += 1;
      t.equal(
        await write(log, persist(entries, { ...more, chosenThrough: chosen, cutThrough: cut })),
        markers,
      );
      if (step % 50 !== 49) continue;
      await verify(parts);
      const recovered = await reload(log);
      t.match(recovered, { chosenThrough: chosen, cutThrough: cut, marker: markers });
      const kept = [...model.keys()].sort((a, b) => a - b);
      t.same(
        slotsOf(recovered.accepted),
        kept.filter((slot) => slot > chosen),
      );
      for (const found of await read(log, cut + 1, last)) {
        t.equal(
          found.value.type === 'batch' && Buffer.from(found.value.bytes).toString(),
          model.get(found.slot),
        );
      }
    }
  });
}

test('a snapshot installed far ahead leaves nothing of what was before', async (t) => {
  const parts = memoryRig();
  const { log } = parts;
  await write(log, persist([entry(1, 'a'), entry(2, 'b'), entry(9, 'c')]));
  await write(
    log,
    persist([entry(3, 'late'), entry(1_000_001, 'new')], { chosenThrough: 1_000_000, cutThrough: 1_000_000 }),
  );
  await verify(parts);
  const recovered = await reload(log);
  t.match(recovered, { chosenThrough: 1_000_000, cutThrough: 1_000_000 });
  t.same(slotsOf(recovered.accepted), [1_000_001]);
});

test('the series of markers is cut with the log, and does not grow while nothing is', async (t) => {
  const parts = memoryRig();
  const { log, content } = parts;
  const markers = (): number => content.keys().filter((key) => key[0] === markerKey(1)[0]).length;
  for (let slot = 1; slot <= 500; slot += 1) {
    const cutThrough = slot % 100 === 0 ? slot - 10 : 0;
    await write(log, persist([entry(slot, 'x')], { chosenThrough: slot, cutThrough }));
  }
  t.ok(markers() < 150, `${markers()} markers are kept`);
  await verify(parts);
  // Promises alone, with an old entry that never goes.
  for (let counter = 1; counter <= 5000; counter += 1)
    await write(log, persist([], { promised: { ...BALLOT, counter } }));
  t.ok(markers() < 4500, `${markers()} markers are kept`);
  await verify(parts);
  t.same(slotsOf(await read(log, 491, 500)).length, 10);
});

/** Says how large it is, and keeps in mind what it is to compact. */
class SizedStore extends MemoryStore {
  size = 0;
  readonly compacted: KeyRange[] = [];

  override bytes(_range: KeyRange | null, done: Done<number>): void {
    this.defer(() => done(null, this.size));
  }

  override compact(range: KeyRange, done: Done<void>): void {
    this.compacted.push(range);
    this.size /= 2;
    this.defer(() => done(null, undefined));
  }
}

test('what is cut is compacted once the log has grown by half, and by what may be dead besides', async (t) => {
  const content = new MemoryContent();
  content.apply(formatLogOps(IDENTITY));
  const store = new SizedStore(content);
  const side = new MemorySideFile(formatSide(1));
  const verify = (done: Done<void>): void => done(null, undefined);
  const log = new OrderedLogStore({ store, side, verify, deadBytesMax: 100 }, freshLog(IDENTITY));
  let slot = 0;
  const cutAt = async (size: number): Promise<number> => {
    slot += 1;
    store.size = size;
    await write(log, persist([entry(slot, 'a')], { chosenThrough: slot, cutThrough: slot - 1 }));
    await new Promise((soon) => setImmediate(soon));
    return store.compacted.length;
  };
  t.equal(await cutAt(1_000), 0, 'nothing is cut yet');
  t.equal(await cutAt(99), 0);
  t.equal(await cutAt(1_000), 1);
  t.same(store.compacted[0], { gte: entryKey(0), lt: entryKey(slot) }, 'what is cut, and nothing else');
  t.equal(await cutAt(849), 1, '500 were left');
  t.equal(await cutAt(850), 2);
  store.size = 10_000;
  await write(log, persist([entry(slot + 1, 'a')]));
  await new Promise((soon) => setImmediate(soon));
  t.equal(store.compacted.length, 2, 'a write that cuts nothing frees nothing');
});

test('a write error poisons the log until it is reloaded', async (t) => {
  const { log, content } = memoryRig();
  await write(log, persist([entry(1, 'a')]));
  content.failWrites(new Error('disk on fire'), 'once');
  await t.rejects(write(log, persist([entry(2, 'b')])), {
    code: 'KVD_STORAGE',
    kind: 'io',
    message: /disk on fire/,
  });
  await t.rejects(write(log, persist([entry(2, 'b')])), /disk on fire/, 'although the disk is well again');
  t.same(slotsOf(await read(log, 1, 2)), [1], 'reads go on');
  const recovered = await reload(log);
  t.same(slotsOf(recovered.accepted), [1]);
  t.equal(await write(log, persist([entry(2, 'b')])), 3);
});

test('a reload after a failed write verifies what is on the disk', async (t) => {
  const { log, content } = memoryRig();
  for (let slot = 1; slot <= 5; slot += 1)
    await write(log, persist([entry(slot, 'x')], { chosenThrough: slot }));
  content.failWrites(new Error('no space left on device'), 'once');
  await t.rejects(write(log, persist([entry(6, 'x')])), { name: 'StoreError', kind: 'no-space' });
  content.corrupt(entryKey(3), 40);
  await t.rejects(reload(log), { name: 'StoreError', kind: 'damaged' });
  await t.rejects(
    write(log, persist([entry(6, 'x')])),
    { name: 'StoreError', kind: 'damaged' },
    'and stays poisoned',
  );
});

test('a reload waits for the write in flight', async (t) => {
  const { log } = memoryRig();
  const written = write(log, persist([entry(1, 'a')]));
  t.throws(() => log.write(persist([]), () => {}), /S1/, 'one write at a time');
  const recovered = await reload(log);
  t.equal(await written, 2);
  t.same(slotsOf(recovered.accepted), [1]);
});

test('a chosen entry that is damaged or gone is an error, not an end of the log', async (t) => {
  const { log, content } = memoryRig();
  await write(
    log,
    persist(
      [1, 2, 3, 4].map((slot) => entry(slot, 'x')),
      { chosenThrough: 4 },
    ),
  );
  content.corrupt(entryKey(2), 30);
  await t.rejects(read(log, 1, 4), { name: 'StoreError', kind: 'damaged' });
  content.drop(entryKey(2));
  await t.rejects(read(log, 1, 4), /slot 2 is chosen and missing/);
  t.same(slotsOf(await read(log, 3, 4)), [3, 4]);
});

test('the verification finds every kind of loss', async (t) => {
  const damages: Record<string, (content: MemoryContent) => void> = {
    'a lost tail': (content) => content.loseTail(1),
    'a marker gone': (content) => content.drop(markerKey(4)),
    'an entry gone': (content) => content.drop(entryKey(3)),
    'the last entry gone': (content) => content.drop(entryKey(6)),
    'an entry damaged': (content) => content.corrupt(entryKey(2), 3),
    'a marker damaged': (content) => content.corrupt(markerKey(5), 20),
    'the head damaged': (content) => content.corrupt(Buffer.from('h'), 20),
    'the head gone': (content) => content.drop(Buffer.from('h')),
    'the identity gone': (content) => content.drop(Buffer.from('i')),
    'the configurations gone': (content) => content.drop(Buffer.from('c')),
  };
  for (const [name, damage] of Object.entries(damages)) {
    const parts = memoryRig();
    for (let slot = 1; slot <= 6; slot += 1) {
      const configurations =
        slot === 1 ? { configurations: [{ slot: 1, configuration: configuration(0) }] } : {};
      await write(parts.log, persist([entry(slot, 'x')], { chosenThrough: slot - 1, ...configurations }));
    }
    await verify(parts);
    damage(parts.content);
    await t.rejects(verify(parts), { name: 'StoreError', kind: 'damaged' }, name);
  }
});

test('an entry overwritten by an older version of itself is noticed', async (t) => {
  const parts = memoryRig();
  await write(parts.log, persist([entry(1, 'old')]));
  const old = parts.content.get(entryKey(1));
  await write(parts.log, persist([entry(1, 'new')]));
  await verify(parts);
  parts.content.apply([{ key: entryKey(1), value: old ?? null }]);
  await t.rejects(verify(parts), /slot 1 was last written by marker 3, not 2/);
});

test('the side file survives a torn sector, and not two', (t) => {
  const side = new MemorySideFile(formatSide(1));
  for (const marker of [2, 3, 4]) side.write(marker);
  t.equal(side.read(), 4);
  side.bytes.fill(0x55, 0, 100);
  t.equal(side.read(), 3, 'the one before');
  side.write(4);
  t.equal(side.read(), 4);
  side.bytes.fill(0, 0, 512);
  side.bytes.fill(0, 512, 1024);
  t.throws(() => side.read(), { name: 'StoreError', kind: 'damaged' });
  t.end();
});

test('the memory twin completes nothing before its call returned', async (t) => {
  const log = createMemoryLog({ replicaId: 2, incarnation: INCARNATION });
  let completed = false;
  const done = write(log, persist([entry(1, 'a')])).then(() => (completed = true));
  t.equal(completed, false);
  await done;
  t.equal(completed, true);
});

test('a last write torn at any byte is cut off, and what was acknowledged is kept', async (t) => {
  const path = scratch(t);
  const live = join(path, 'log');
  const options = levelOptions('log');
  const store = await LevelStore.open(live, { ...options, createIfMissing: true });
  await call<void>((done) => store.batch(formatLogOps(IDENTITY), done));
  const sidePath = join(path, 'side');
  writeFileSync(sidePath, formatSide(1));
  const log = new OrderedLogStore(
    { store, side: new DiskSideFile(sidePath), verify: (done) => done(null, undefined) },
    freshLog(IDENTITY),
  );
  for (let slot = 1; slot <= 3; slot += 1)
    await write(log, persist([entry(slot, `value ${slot}`)], { chosenThrough: slot - 1 }));
  const walName = readdirSync(live).find((name) => name.endsWith('.log')) ?? '';
  const acknowledged = { size: statSync(join(live, walName)).size, side: readFileSync(sidePath) };
  await write(log, persist([entry(4, 'the last one')], { promised: { ...BALLOT, counter: 9 } }));
  const wal = readFileSync(join(live, walName));
  await call<void>((done) => log.close(done));

  const closed = join(path, 'closed');
  cpSync(live, closed, { recursive: true });
  let [kept, lost] = [0, 0];
  for (let end = acknowledged.size; end <= wal.length; end += 1) {
    const copy = join(path, 'copy', `${end}`);
    mkdirSync(join(path, 'copy'), { recursive: true });
    cpSync(closed, copy, { recursive: true });
    const fd = openSync(join(copy, walName), 'r+');
    writeSync(fd, wal, 0, end, 0);
    closeSync(fd);
    truncateSync(join(copy, walName), end);
    const torn = await LevelStore.open(copy, options);
    // Never acknowledged: the side file was not written for it.
    const side = new MemorySideFile(acknowledged.side);
    await call<void>((done) => verifyLogPart(torn, side, done));
    const loaded = await call<LoadedLog | null>((done) => loadLog(torn, done));
    const slots = slotsOf(loaded?.recovered.accepted ?? []);
    const whole = slots.length === 2;
    t.same(slots, whole ? [3, 4] : [3], `cut at ${end}`);
    t.equal(loaded?.recovered.promised.counter, whole ? 9 : 0);
    if (whole) kept += 1;
    else lost += 1;
    // Acknowledged after all, it must be noticed.
    const ahead = new MemorySideFile(readFileSync(sidePath));
    const verdict = call<void>((done) => verifyLogPart(torn, ahead, done));
    if (whole) await verdict;
    else await t.rejects(verdict, /was acknowledged/);
    await call<void>((done) => torn.close(done));
  }
  t.equal(kept, 1);
  t.equal(lost, wal.length - acknowledged.size);
});
