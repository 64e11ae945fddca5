/** A witness's directory and its state that is none: how far it has come is how far its log has come on disk. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import type { Configuration, ConfigurationAt, LogEntry, Value } from '@kvd/paxos';
import type { Done, SnapshotReader } from '@kvd/replica';
import { decodeIdentity, encodeIdentity } from '../src/identity-file.js';
import {
  KvState,
  MemoryDisk,
  openDirectory,
  type OpenedDirectory,
  openMemoryDirectory,
  StoreError,
  WitnessState,
} from '../src/index.js';
import {
  BALLOT,
  batch,
  bytes,
  call,
  entry,
  FOUNDING,
  IDENTITY,
  persist,
  put,
  run,
  scanRequest,
  scratch,
} from './helpers.js';

const REQUEST = { replicaId: 1, founding: FOUNDING };
const ALPHA = 4;
const NOOP: Value = { type: 'noop' };
const REFUSED = { code: 'KVD_UNAVAILABLE', message: 'a witness keeps no state' };

/** As a start of kvd does; the one before is closed, or died. */
type Open = (witness?: boolean) => Promise<OpenedDirectory>;

function asked(witness: boolean | undefined): { readonly witness?: boolean } {
  return witness === undefined ? {} : { witness };
}

function onDisk(t: Test): { readonly open: Open } {
  const path = join(scratch(t), 'data');
  return { open: (witness) => openDirectory(path, { ...REQUEST, ...asked(witness) }) };
}

function inMemory(): { readonly disk: MemoryDisk; readonly open: Open } {
  const disk = new MemoryDisk();
  let count = 0;
  const newIncarnation = (): string => `${++count}`.padStart(32, '0');
  return {
    disk,
    open: (witness) => openMemoryDirectory(disk, { ...REQUEST, ...asked(witness), newIncarnation }),
  };
}

function configuration(replaces: number): Configuration {
  const members = [{ ...IDENTITY, role: 'witness' as const, address: 'a:1' }];
  return { clusterId: 'cd'.repeat(16), alpha: ALPHA, replaces, members, acceptQuorum: 0 };
}

function change(replaces: number): Value {
  return { type: 'configuration', configuration: configuration(replaces) };
}

function at(slot: number, replaces: number): ConfigurationAt {
  return { slot, configuration: configuration(replaces) };
}

function witnessOf({ state }: OpenedDirectory): WitnessState {
  if (state instanceof WitnessState) return state;
  throw new Error('the directory keeps a state');
}

/** Slots `from` … `through` accepted and, but for the mark, chosen. */
async function accept(
  { log }: OpenedDirectory,
  from: number,
  through: number,
  mark = through,
): Promise<void> {
  const entries: LogEntry[] = [];
  for (let slot = from; slot <= through; slot += 1) entries.push(entry(slot, `value ${slot}`));
  await call<number>((done) => log.write(persist(entries, { promised: BALLOT, chosenThrough: mark }), done));
}

async function witness(): Promise<OpenedDirectory> {
  return inMemory().open(true);
}

const slotsOf = (list: readonly ConfigurationAt[]): number[] => list.map(({ slot }) => slot);

for (const [kind, opener] of [
  ['LevelDB', onDisk],
  ['its twin', inMemory],
] as const) {
  test(`a witness comes back where its log's mark is, without a state, on ${kind}`, async (t) => {
    const { open } = opener(t);
    const first = await open(true);
    t.match(first, { isNew: true, mayFound: true, setAside: [] });
    t.match(witnessOf(first), { appliedThrough: 0, durableThrough: 0, configurations: [] });
    await accept(first, 1, 12, 9);
    const { state } = first;
    for (let slot = 1; slot <= 12; slot += 1) state.apply(slot, NOOP);
    t.match(state, { appliedThrough: 12, durableThrough: 9 });
    await first.close();

    const second = await open(true);
    t.match(second, { isNew: false, mayFound: true, setAside: [] });
    t.match(witnessOf(second), { appliedThrough: 9, durableThrough: 9 });
    t.same(
      second.log.recovered.accepted.map(({ slot }) => slot),
      [10, 11, 12],
    );
    await second.close();
  });

  test(`a directory of one kind is refused as one of the other and left alone, on ${kind}`, async (t) => {
    const { open } = opener(t);
    for (const witness of [true, false]) {
      const mine = opener(t);
      const first = await mine.open(witness);
      await accept(first, 1, 3);
      await first.close();
      const refused = await mine.open(!witness).catch((error: unknown) => error);
      t.match(refused, { name: 'DirectoryError', kind: 'foreign', message: /witness/ });
      const again = await mine.open(witness);
      t.match(again, { isNew: false, setAside: [], identity: first.identity });
      t.equal(again.log.recovered.chosenThrough, 3);
      await again.close();
    }
    const plain = await open();
    t.ok(plain.state instanceof KvState, 'unless it is asked for there is a state');
    await plain.close();
  });
}

test('a witness has no state/, and its identity says so; that of others says what it always said', async (t) => {
  const path = join(scratch(t), 'data');
  await (await openDirectory(path, { ...REQUEST, witness: true })).close();
  t.notOk(existsSync(join(path, 'state')));
  const text = readFileSync(join(path, 'identity.json'), 'utf8');
  const identity = decodeIdentity(text);
  t.equal(identity.witness, true);
  const plain = encodeIdentity({ ...identity, witness: false });
  t.notMatch(plain, /witness/);
  t.equal(decodeIdentity(plain).witness, false);
  t.throws(() => decodeIdentity(text.replace('"witness":true,', '')), /fails its checksum/);
});

test('a witness whose log is damaged starts anew as a witness, and votes no more', async (t) => {
  const { disk, open } = inMemory();
  const first = await open(true);
  await accept(first, 1, 5);
  disk.crash();
  disk.log?.loseTail(1);
  const second = await open(true);
  t.match(second, { isNew: true, mayFound: false, setAside: [/acknowledged/] });
  t.equal(witnessOf(second).appliedThrough, 0);
  t.not(second.identity.incarnation, first.identity.incarnation);
  t.equal(disk.state, undefined);
});

test('slots are passed by in order; what they would have answered is refused, one by one', async (t) => {
  const { state } = await witness();
  const value = batch([put('a', '1'), put('b', '2')]);
  t.equal(
    state.prepare(value, () => {}),
    true,
  );
  t.match(state.apply(1, value), [REFUSED, REFUSED]);
  t.same(state.apply(2, NOOP), []);
  t.same(state.apply(3, { type: 'batch', bytes: bytes('no batch') }), []);
  t.throws(() => state.apply(5, NOOP), /S6/);
  t.match(state, { appliedThrough: 3, revision: 0, stateHash: '', clusterMs: 0, dirtyKeys: 0 });
  t.same(state.takeRevisions(), []);
  t.same(state.dueLeases(1e12, 10), []);
});

test('nothing is read from a witness, and no snapshot taken', async (t) => {
  const { state } = await witness();
  await run(state, [put('a', '1')]);
  const stale = { timeoutMs: 1000, consistency: 'stale' as const };
  t.throws(() => state.get(bytes('a')), REFUSED);
  t.throws(() => state.leases({ type: 'leases', ...stale, lease: 0, after: 0 }), REFUSED);
  const ways: ((done: Done<unknown>) => void)[] = [
    (done) => state.getAt({ type: 'get', ...stale, key: bytes('a'), revision: 1 }, done),
    (done) => state.scan(scanRequest(), done),
    (done) => {
      const from = { from: bytes(''), to: bytes(''), start: { revision: 1, index: 0 }, limit: 0 };
      state.history({ ...from, previous: false }, done);
    },
    (done) => state.openSnapshot(done),
  ];
  for (const ask of ways) {
    let returned = false;
    const answered = call<unknown>((done) =>
      ask((error, result) => {
        t.ok(returned, 'answered after the call returned');
        done(error, result);
      }),
    );
    returned = true;
    await t.rejects(answered, REFUSED);
  }
  const nothing = await new Promise<SnapshotReader>((resolve) => {
    state.openSnapshot((_error, reader) => resolve(reader));
  });
  await t.rejects(
    call<Uint8Array | null>((done) => nothing.next(1000, done)),
    REFUSED,
  );
});

test('a flush writes nothing: what was passed by is durable when the mark of the log covers it', async (t) => {
  const opened = await witness();
  const { state } = opened;
  await accept(opened, 1, 6, 2);
  for (let slot = 1; slot <= 5; slot += 1) state.apply(slot, NOOP);
  t.equal(state.freeze(), 5);
  t.equal(state.durableThrough, 2);
  await call<number>((done) => opened.log.write(persist([], { chosenThrough: 6 }), done));
  await call<void>((done) => state.writeFrozen(done));
  t.equal(state.durableThrough, 5, 'not the 6 that it has not come to');
});

test('a write that fails makes nothing durable', async (t) => {
  const { disk, open } = inMemory();
  const opened = await open(true);
  const { log, state } = opened;
  await accept(opened, 1, 3);
  for (let slot = 1; slot <= 3; slot += 1) state.apply(slot, NOOP);
  disk.log?.failWrites(new StoreError('no-space', 'full'), 'always');
  const failing = call<number>((done) => {
    log.write(persist([entry(4, 'x')], { chosenThrough: 4, configurations: [at(4, 0)] }), done);
  });
  await t.rejects(failing, { name: 'StoreError', kind: 'no-space' });
  state.apply(4, change(0));
  t.match(state, { appliedThrough: 4, durableThrough: 3 });
  disk.log?.heal();
  await call((done) => log.reload(done));
  await call<void>((done) => state.reload(done));
  t.match(state, { appliedThrough: 3, durableThrough: 3, configurations: [] });
});

test('the configurations are those that the next slot and the last alpha ask for (S9)', async (t) => {
  const opened = await witness();
  const { log, state } = opened;
  const upTo = (through: number): void => {
    while (state.appliedThrough < through) state.apply(state.appliedThrough + 1, NOOP);
  };
  state.apply(1, change(0));
  upTo(4);
  state.apply(5, change(1));
  state.apply(6, change(1));
  t.same(state.configurations, [at(1, 0), at(5, 1)], 'one that does not replace the latest is a no-op');
  upTo(5 + ALPHA - 2);
  t.same(slotsOf(state.configurations), [1, 5]);
  upTo(5 + ALPHA - 1);
  t.same(slotsOf(state.configurations), [5], 'in force from the next slot on');

  // The log's come first, and what is newer than they are is added.
  const configurations = [at(1, 0), at(5, 1)];
  await call<number>((done) => log.write(persist([], { chosenThrough: 8, configurations }), done));
  t.same(state.configurations, [at(5, 1)]);
  upTo(9);
  state.apply(10, change(5));
  t.same(state.configurations, [at(5, 1), at(10, 5)]);
  await call<number>((done) =>
    log.write(persist([], { chosenThrough: 12, configurations: [at(5, 1), at(10, 5), at(12, 10)] }), done),
  );
  t.same(slotsOf(state.configurations), [5, 10], 'not those of slots that it has not come to');
  await call<void>((done) => state.reload(done));
  t.equal(state.appliedThrough, 12);
  t.same(slotsOf(state.configurations), [5, 10, 12]);
});

test('a snapshot that is nothing but its head is skipped to; its configurations come with the log', async (t) => {
  const opened = await witness();
  const { log, state } = opened;
  state.apply(1, change(0));
  const installer = state.createInstaller();
  await call<void>((done) => installer.write(Buffer.alloc(0), done));
  await call<void>((done) => installer.finish(1000, done));
  t.match(state, { appliedThrough: 1000, durableThrough: 0 });
  const configurations = [at(990, 800), at(999, 990)];
  const mark = { chosenThrough: 1000, cutThrough: 1000, configurations };
  await call<number>((done) => log.write(persist([], mark), done));
  t.match(state, { appliedThrough: 1000, durableThrough: 1000, configurations });
  state.apply(1001, change(999));
  t.same(slotsOf(state.configurations), [990, 999, 1001]);
});

test('a skip that never reached the log did not take place', async (t) => {
  const { disk, open } = inMemory();
  const first = await open(true);
  await accept(first, 1, 3);
  await call<void>((done) => first.state.createInstaller().finish(1000, done));
  disk.crash();
  const second = await open(true);
  t.match(second.state, { appliedThrough: 3, durableThrough: 3 });
  await call<void>((done) => second.state.createInstaller().finish(1000, done));
  await call<void>((done) => second.state.reload(done));
  t.equal(second.state.appliedThrough, 3);
});

test('a snapshot with records, one that was given up, one that a reload overtook: none is skipped to', async (t) => {
  const { state } = await witness();
  const withRecords = state.createInstaller();
  await t.rejects(
    call<void>((done) => withRecords.write(bytes('records'), done)),
    { name: 'StoreError', kind: 'damaged' },
  );
  const aborted = state.createInstaller();
  aborted.abort();
  const overtaken = state.createInstaller();
  await call<void>((done) => state.reload(done));
  for (const installer of [withRecords, aborted, overtaken])
    await t.rejects(
      call<void>((done) => installer.finish(7, done)),
      { name: 'StoreError' },
    );
  t.equal(state.appliedThrough, 0);
});
