/** Data directories on a real file system: formatted, opened again, refused, damaged in every way of issue 2, point 6. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { crc32 } from 'node:zlib';
import t, { type Test, test } from 'tap';
import type { RecoveredLog } from '@kvd/paxos';
import type { Command, Entry } from '@kvd/protocol';
import type { Done } from '@kvd/replica';
import { type DirectoryRequest, openOnDisk } from '../src/directory.js';
import { FileDisk, levelOptions } from '../src/file-disk.js';
import { decodeIdentity, encodeIdentity } from '../src/identity-file.js';
import {
  DirectoryError,
  openDirectory,
  type OpenedDirectory,
  OrderedLogStore,
  WitnessState,
} from '../src/index.js';
import { LevelStore } from '../src/level-store.js';
import { type LoadedLog, loadLog } from '../src/log-loader.js';
import type { KeyRange, OrderedStore, Pair, RangeReader, StoreBatch, StoreOp } from '../src/ordered-store.js';
import { DiskSideFile } from '../src/side-file.js';
import { type LoadedState, loadState } from '../src/state-loader.js';
import { ALL_VALUES, LAST_VALUE_KEY } from '../src/state-records.js';
import { verifyInChild } from '../src/verify-child.js';
import {
  BALLOT,
  call,
  entry,
  flush,
  FOUNDING,
  kept,
  persist,
  put,
  run,
  scanAll,
  scratch,
  text,
} from './helpers.js';

const REQUEST = { replicaId: 1, founding: FOUNDING };
const CLUSTER = 'cd'.repeat(16);

interface Used {
  readonly path: string;
  readonly incarnation: string;
}

let template: Used | null = null;

/** A copy of a directory with 40 slots accepted, 30 chosen and applied, the first 5 cut, and closed. */
async function used(owner: Test): Promise<Used> {
  if (template === null) {
    const path = mkdtempSync(join(tmpdir(), 'kvd-store-'));
    t.teardown(() => rmSync(path, { recursive: true, force: true }));
    const opened = await openDirectory(path, REQUEST);
    await fill(opened);
    await opened.close();
    template = { path, incarnation: opened.identity.incarnation };
  }
  const path = join(scratch(owner), 'data');
  cpSync(template.path, path, { recursive: true });
  return { path, incarnation: template.incarnation };
}

async function fill({ log, state }: OpenedDirectory): Promise<void> {
  for (let slot = 1; slot <= 40; slot += 1) {
    const accepted = [entry(slot, `value ${slot} ${'x'.repeat(200)}`)];
    const chosenThrough = Math.min(slot - 1, 30);
    await call<number>((done) => log.write(persist(accepted, { promised: BALLOT, chosenThrough }), done));
    if (slot <= 30) await run(state, [...smallPuts(slot), put(`key ${slot}`, valueOf(slot))]);
    if (slot % 3 === 0) await flush(state);
  }
  await call<number>((done) => log.write(persist([], { cutThrough: 5 }), done));
}

const SMALL_PUTS = 6;

/** Of values that lie in their records: more than a block of LevelDB's log file holds, when all are taken together. */
function smallPuts(slot: number): Command[] {
  return Array.from({ length: SMALL_PUTS }, (_, i) => put(`key ${slot}`, `${i} ${'v'.repeat(400)}`));
}

/** One that lies apart, for which the same holds. */
function valueOf(slot: number): string {
  return `${slot} ${'v'.repeat(4000)}`;
}

/** The file of `part` whose name matches; the largest one. */
function fileOf(path: string, part: string, pattern: RegExp): string {
  const names = readdirSync(join(path, part)).filter((name) => pattern.test(name));
  const sized = names
    .map((name) => join(path, part, name))
    .sort((a, b) => statSync(b).size - statSync(a).size);
  const largest = sized[0];
  if (largest === undefined) throw new Error(`no file like ${pattern} in ${part}`);
  return largest;
}

function flip(file: string, offset: number): void {
  const content = readFileSync(file);
  content.writeUInt8(content.readUInt8(offset) ^ 0x10, offset);
  writeFileSync(file, content);
}

async function refused(promise: Promise<OpenedDirectory>): Promise<DirectoryError> {
  try {
    const opened = await promise;
    await opened.close();
  } catch (error) {
    if (error instanceof DirectoryError) return error;
    throw error;
  }
  throw new Error('the directory was opened');
}

test('a directory that does not exist is formatted and may found a cluster', async (t) => {
  const path = join(scratch(t), 'a', 'b');
  const opened = await openDirectory(path, REQUEST);
  t.match(opened, { isNew: true, mayFound: true, setAside: [], clusterId: '', foundingList: FOUNDING });
  t.match(opened.identity.incarnation, /^[0-9a-f]{32}$/);
  t.match(opened.log.recovered, { chosenThrough: 0, marker: 1, accepted: [] });
  t.equal(opened.state.appliedThrough, 0);
  opened.setClusterId(CLUSTER);
  t.throws(() => opened.setClusterId('ef'.repeat(16)), { name: 'DirectoryError', kind: 'foreign' });
  await opened.close();

  const again = await openDirectory(path, { replicaId: 1, founding: null });
  t.match(again, { isNew: false, mayFound: true, setAside: [], clusterId: CLUSTER, foundingList: FOUNDING });
  t.equal(again.identity.incarnation, opened.identity.incarnation);
  await again.close();
});

test('what was promised, accepted, chosen and applied is there after a restart', async (t) => {
  const { path, incarnation } = await used(t);
  const opened = await openDirectory(path, REQUEST);
  const { log, state, identity, setAside } = opened;
  t.same(setAside, []);
  t.equal(identity.incarnation, incarnation);
  t.same(log.recovered.promised, BALLOT);
  t.equal(log.recovered.chosenThrough, 30);
  t.same(
    log.recovered.accepted.map(({ slot }) => slot),
    [31, 32, 33, 34, 35, 36, 37, 38, 39, 40],
  );
  t.equal(state.appliedThrough, 30);
  t.equal(state.revision, 30 * (1 + SMALL_PUTS));
  t.equal(text(state.get(Buffer.from('key 7'))?.value ?? Buffer.of()), valueOf(7));
  await call<void>((done) => kept(state).scrub(done));
  await opened.close();
});

test('a directory in use is refused', async (t) => {
  const { path } = await used(t);
  const opened = await openDirectory(path, REQUEST);
  const error = await refused(openDirectory(path, REQUEST));
  t.equal(error.kind, 'locked');
  await opened.close();
  t.notOk(existsSync(join(path, 'set-aside')));

  // By another process, whose end frees it.
  const script =
    "import('level').then(({ Level }) => new Level(process.argv[1]).open()).then(() => console.log('open'))";
  const other = spawn(process.execPath, ['-e', `${script}; setInterval(() => {}, 1000)`, join(path, 'log')], {
    cwd: new URL('..', import.meta.url),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(other.stdout, 'data');
  t.equal((await refused(openDirectory(path, REQUEST))).kind, 'locked');
  other.kill('SIGKILL');
  await once(other, 'exit');
  await (await openDirectory(path, REQUEST)).close();
});

test('a directory of the four formats before this one is taken over, and one before them is refused', async (t) => {
  const { path } = await used(t);
  const file = join(path, 'identity.json');
  const present = decodeIdentity(readFileSync(file, 'utf8'));
  const older = { ...present, format: 2 };
  writeFileSync(file, encodeIdentity(older));
  const directory = await openDirectory(path, REQUEST);
  t.strictSame(directory.setAside, [], 'nothing was lost');
  await directory.close();
  t.equal(decodeIdentity(readFileSync(file, 'utf8')).format, 6);
  writeFileSync(file, encodeIdentity({ ...present, format: 1 }));
  const { kind, message } = await refused(openDirectory(path, REQUEST));
  t.equal(kind, 'newer-format');
  t.match(message, /has format 1, this program knows formats 2 to 6/);
});

/** Makes of a directory what it would be in format 5: the values that lie apart are among the records. */
async function toFormat5(path: string): Promise<void> {
  const open = (part: 'state' | 'values'): Promise<LevelStore> =>
    LevelStore.open(join(path, part), levelOptions(part));
  const [state, values] = [await open('state'), await open('values')];
  const pairs = await call<readonly Pair[]>((done) => values.range(ALL_VALUES).next(1000, done));
  const ops: StoreOp[] = pairs.map(([key, value]) => ({ key, value }));
  await call<void>((done) => state.batch([...ops, { key: LAST_VALUE_KEY, value: null }], done));
  for (const store of [state, values]) await call<void>((done) => store.close(done));
  rmSync(join(path, 'values'), { recursive: true });
  const file = join(path, 'identity.json');
  writeFileSync(file, encodeIdentity({ ...decodeIdentity(readFileSync(file, 'utf8')), format: 5 }));
}

test('a state whose values lie among its records is gone on with, and its values go when they are compacted', async (t) => {
  const { path } = await used(t);
  await toFormat5(path);
  const opened = await openDirectory(path, REQUEST);
  t.strictSame(opened.setAside, [], 'nothing was lost');
  const state = kept(opened.state);
  const read = (slot: number): string => text(state.get(Buffer.from(`key ${slot}`))?.value ?? Buffer.of());
  const whole = async (what: string): Promise<void> => {
    await call<void>((done) => state.scrub(done));
    for (let slot = 2; slot <= 30; slot += 1) t.equal(read(slot), valueOf(slot), `${what}: ${slot}`);
    const found = (await scanAll(state)).map(({ key, value }) => `${text(key)} = ${text(value)}`);
    t.ok(found.includes(`key 7 = ${valueOf(7)}`), `${what}: a scan`);
  };
  await whole('at first');
  const { revision } = state;
  await run(state, [put('key 1', valueOf(31))]);
  await flush(state);
  await whole('with one of its own');
  const before = await call<Entry | null>((done) =>
    state.getAt(
      { type: 'get', timeoutMs: 1, consistency: 'stale', key: Buffer.from('key 1'), revision },
      done,
    ),
  );
  t.equal(text(before?.value ?? Buffer.of()), valueOf(1), 'the past too');
  await run(state, [{ type: 'compact', revision: state.revision }]);
  await flush(state);
  await call<void>((done) => state.writeFrozen(done));
  await whole('compacted');
  await opened.close();

  const store = await LevelStore.open(join(path, 'state'), levelOptions('state'));
  const left = await call<readonly Pair[]>((done) => store.range(ALL_VALUES).next(1000, done));
  t.equal(left.length, 29, 'that of key 1 is gone');
  await call<void>((done) => store.close(done));
  const again = await openDirectory(path, REQUEST);
  t.strictSame(again.setAside, []);
  t.equal(text(again.state.get(Buffer.from('key 1'))?.value ?? Buffer.of()), valueOf(31));
  await again.close();
});

test('the directory of another replica, another founding or a newer format is refused and left alone', async (t) => {
  const { path } = await used(t);
  const before = readFileSync(join(path, 'identity.json'), 'utf8');
  const foreign = await refused(openDirectory(path, { replicaId: 2, founding: FOUNDING }));
  t.equal(foreign.kind, 'foreign');
  t.match(foreign.message, /belongs to replica 1, this is replica 2/);
  const differs = await refused(
    openDirectory(path, { replicaId: 1, founding: '1=127.0.0.1:1,2=127.0.0.1:2' }),
  );
  t.equal(differs.kind, 'founding-differs');
  t.match(differs.message, /3=127\.0\.0\.1:3/);
  writeFileSync(join(path, 'identity.json'), encodeIdentity({ ...decodeIdentity(before), format: 7 }));
  t.equal((await refused(openDirectory(path, REQUEST))).kind, 'newer-format');
  t.throws(
    () => decodeIdentity(before.replace('"format":6', '"format":7')),
    /fails its checksum/,
    'a flipped bit',
  );
  const older = encodeIdentity({ ...decodeIdentity(before), format: 2 });
  t.throws(
    () => decodeIdentity(older.replace('"format":2', '"format":7')),
    /fails its checksum/,
    'and in an older one',
  );
  t.throws(
    () =>
      decodeIdentity(before.replace('"format":6', '"format":7').replace('"replicaId":1', '"replicaId":3')),
    /fails its checksum/,
    'and with another elsewhere: no later version',
  );
  const later = { ...JSON.parse(before), format: 7, more: [1], check: undefined };
  const check = crc32(JSON.stringify(later)).toString(16).padStart(8, '0');
  t.equal(
    decodeIdentity(JSON.stringify({ ...later, check })).format,
    7,
    'one that says more than is known here',
  );
  writeFileSync(join(path, 'identity.json'), before);
  t.notOk(existsSync(join(path, 'set-aside')));

  const moved = await openDirectory(path, { replicaId: 1, founding: FOUNDING.replaceAll('127.0.0.1', 'db') });
  t.equal(moved.foundingList, FOUNDING, 'other addresses are no other founding');
  await moved.close();
  const empty = await refused(openDirectory(join(scratch(t), 'x'), { replicaId: 1, founding: null }));
  t.equal(empty.kind, 'founding-missing');
});

test('a directory that joins a cluster founds none, whatever list is given later', async (t) => {
  const path = join(scratch(t), 'joined');
  const opened = await openDirectory(path, { replicaId: 4, founding: '' });
  t.match(opened, { isNew: true, mayFound: false, foundingList: '' });
  await opened.close();
  for (const founding of ['', null]) {
    const again = await openDirectory(path, { replicaId: 4, founding });
    t.match(again, { isNew: false, mayFound: false, foundingList: '' });
    t.equal(again.identity.incarnation, opened.identity.incarnation);
    await again.close();
  }
  const founder = await refused(openDirectory(path, { replicaId: 4, founding: '4=127.0.0.1:4' }));
  t.equal(founder.kind, 'founding-differs');
  t.match(founder.message, /joined a cluster that others founded, given are '4=127\.0\.0\.1:4'/);

  const founded = await used(t);
  const joins = await openDirectory(founded.path, { replicaId: 1, founding: '' });
  t.match(joins, { mayFound: true, foundingList: FOUNDING }, 'a founding member stays one');
  await joins.close();
  rmSync(join(founded.path, 'log', 'CURRENT'));
  const lost = await openDirectory(founded.path, { replicaId: 1, founding: '' });
  t.match(lost, { isNew: true, mayFound: false, foundingList: FOUNDING });
  await lost.close();
});

test('the role of a founding member is part of the founding, its address is not', async (t) => {
  const path = join(scratch(t), 'd');
  const founding = '1=a:1,2=b:2,3=c:3/witness';
  await (await openDirectory(path, { replicaId: 1, founding })).close();
  await (await openDirectory(path, { replicaId: 1, founding: '1=x:1,2=y:2,3=z:3/witness' })).close();
  const differs = await refused(openDirectory(path, { replicaId: 1, founding: '1=a:1,2=b:2,3=c:3' }));
  t.equal(differs.kind, 'founding-differs');

  const witness = join(scratch(t), 'w');
  await (await openDirectory(witness, { replicaId: 3, founding, witness: true })).close();
  await (await openDirectory(witness, { replicaId: 3, founding: null })).close();
  t.ok(
    existsSync(join(witness, 'log')) && !existsSync(join(witness, 'state')),
    'it is what it was formatted as',
  );
  t.equal(
    (await refused(openDirectory(witness, { replicaId: 3, founding, witness: false }))).kind,
    'foreign',
  );
});

test('the directory of a replica that was removed opens no more, damaged or not', async (t) => {
  const { path } = await used(t);
  const opened = await openDirectory(path, REQUEST);
  opened.noteRemoved('replica 1 was removed from the cluster (configuration of slot 17)');
  await opened.close();
  const removed = /^replica 1 was removed from the cluster \(configuration of slot 17\)$/;
  t.match(await refused(openDirectory(path, REQUEST)), { kind: 'removed', message: removed });
  t.equal((await refused(openDirectory(path, { ...REQUEST, replicaId: 2 }))).kind, 'foreign');
  rmSync(join(path, 'log'), { recursive: true });
  t.match(await refused(openDirectory(path, REQUEST)), { kind: 'removed', message: removed });
  t.notOk(existsSync(join(path, 'set-aside')));
});

const LOG_DAMAGES: Record<string, (path: string) => void> = {
  'a byte flipped in the middle of its LevelDB log file': (path) => {
    const file = fileOf(path, 'log', /\.log$/);
    flip(file, Math.floor(statSync(file).size / 2));
  },
  'the last 100 bytes of its LevelDB log file cut off': (path) => {
    const file = fileOf(path, 'log', /\.log$/);
    truncateSync(file, statSync(file).size - 100);
  },
  'CURRENT removed': (path) => rmSync(join(path, 'log', 'CURRENT')),
  'CURRENT naming nothing': (path) => writeFileSync(join(path, 'log', 'CURRENT'), 'MANIFEST-999999\n'),
  'its MANIFEST removed': (path) => rmSync(fileOf(path, 'log', /^MANIFEST/)),
  'its MANIFEST overwritten': (path) => writeFileSync(fileOf(path, 'log', /^MANIFEST/), 'x'.repeat(100)),
  'its LevelDB log file removed': (path) => rmSync(fileOf(path, 'log', /\.log$/)),
  'log/ removed': (path) => rmSync(join(path, 'log'), { recursive: true }),
  'log/ emptied': (path) => {
    for (const name of readdirSync(join(path, 'log'))) rmSync(join(path, 'log', name));
  },
  'both sectors of the side file damaged': (path) => {
    flip(join(path, 'acknowledged'), 7);
    flip(join(path, 'acknowledged'), 512 + 7);
  },
  'the side file removed': (path) => rmSync(join(path, 'acknowledged')),
  'the side file ahead of the log': (path) => {
    const ahead = join(path, '..', 'ahead');
    cpSync(join(path, 'log'), ahead, { recursive: true });
    rmSync(join(path, 'log'), { recursive: true });
    cpSync(ahead, join(path, 'log'), { recursive: true });
    const file = fileOf(path, 'log', /\.log$/);
    truncateSync(file, Math.floor(statSync(file).size / 3));
  },
  'the identity file removed': (path) => rmSync(join(path, 'identity.json')),
  'a bit flipped in the identity file': (path) => flip(join(path, 'identity.json'), 14),
};

for (const [name, damage] of Object.entries(LOG_DAMAGES)) {
  test(`${name}: set aside, formatted anew, never founds`, async (t) => {
    const { path, incarnation } = await used(t);
    damage(path);
    const opened = await openDirectory(path, REQUEST);
    t.match(opened, { isNew: true, mayFound: false, foundingList: FOUNDING });
    t.equal(opened.setAside.length, 1);
    t.match(opened.setAside[0], /set-aside/);
    t.not(opened.identity.incarnation, incarnation);
    t.equal(opened.log.recovered.marker, 1);
    t.equal(opened.state.appliedThrough, 0);
    const [place] = readdirSync(join(path, 'set-aside'));
    t.ok(existsSync(join(path, 'set-aside', place ?? '', 'REASON')));
    t.ok(existsSync(join(path, 'set-aside', place ?? '', 'state', 'CURRENT')), 'nothing was deleted');
    await opened.close();

    const again = await openDirectory(path, { replicaId: 1, founding: null });
    t.match(again, { isNew: false, mayFound: false, setAside: [] });
    t.equal(again.identity.incarnation, opened.identity.incarnation);
    await again.close();
  });
}

test('tidying up what was set aside does not make a replica forget that it lost its disk', async (t) => {
  const { path } = await used(t);
  rmSync(join(path, 'log'), { recursive: true });
  await (await openDirectory(path, REQUEST)).close();
  rmSync(join(path, 'set-aside'), { recursive: true });
  const tidied = await openDirectory(path, REQUEST);
  t.equal(tidied.mayFound, false);
  await tidied.close();
});

test('a bit flipped in a table of the log is noticed, or hits what nobody reads any more', async (t) => {
  const { path, incarnation } = await used(t);
  // The first opening writes the write-ahead file out as a table.
  const before = await openDirectory(path, REQUEST);
  const { recovered } = before.log;
  await before.close();
  const table = fileOf(path, 'log', /\.(ldb|sst)$/);
  const size = statSync(table).size;
  let noticed = 0;
  for (const at of [0.2, 0.4, 0.6, 0.7, 0.97]) {
    const copy = join(scratch(t), 'copy');
    cpSync(path, copy, { recursive: true });
    flip(join(copy, 'log', basename(table)), Math.floor(size * at));
    const opened = await openDirectory(copy, REQUEST);
    if (opened.identity.incarnation === incarnation) t.same(opened.log.recovered, recovered, `at ${at}`);
    else noticed += 1;
    await opened.close();
  }
  t.ok(noticed >= 2, `${noticed} of 5 were noticed`);
});

const STATE_DAMAGES: Record<string, (path: string) => void> = {
  'state/ removed': (path) => rmSync(join(path, 'state'), { recursive: true }),
  'CURRENT of state/ removed': (path) => rmSync(join(path, 'state', 'CURRENT')),
  'a byte flipped in the LevelDB log file of state/': (path) => {
    const file = fileOf(path, 'state', /\.log$/);
    flip(file, Math.floor(statSync(file).size / 2));
  },
  'values/ removed': (path) => rmSync(join(path, 'values'), { recursive: true }),
  'CURRENT of values/ removed': (path) => rmSync(join(path, 'values', 'CURRENT')),
  'CURRENT of values/ naming nothing': (path) =>
    writeFileSync(join(path, 'values', 'CURRENT'), 'MANIFEST-999999\n'),
  'a byte flipped in the LevelDB log file of values/': (path) => {
    const file = fileOf(path, 'values', /\.log$/);
    flip(file, Math.floor(statSync(file).size / 2));
  },
  'the last 100 bytes of the LevelDB log file of values/ cut off': (path) => {
    const file = fileOf(path, 'values', /\.log$/);
    truncateSync(file, statSync(file).size - 100);
  },
  'all of values/ overwritten': (path) => overwrite(join(path, 'values')),
  'all of state/ overwritten': (path) => overwrite(join(path, 'state')),
};

function overwrite(folder: string): void {
  for (const name of readdirSync(folder)) {
    const file = join(folder, name);
    const fd = openSync(file, 'r+');
    writeSync(fd, Buffer.alloc(statSync(file).size, 0x55));
    closeSync(fd);
  }
}

for (const [name, damage] of Object.entries(STATE_DAMAGES)) {
  test(`${name}: the state begins anew, and the replica keeps its vote`, async (t) => {
    const { path, incarnation } = await used(t);
    damage(path);
    const opened = await openDirectory(path, REQUEST);
    t.match(opened, { isNew: false, mayFound: true });
    t.match(opened.setAside, [/the state was dropped/]);
    t.equal(opened.identity.incarnation, incarnation);
    t.equal(opened.log.recovered.chosenThrough, 30);
    t.equal(opened.state.appliedThrough, 0);
    t.notOk(existsSync(join(path, 'set-aside')));
    await opened.close();
  });
}

test('a condemned state is dropped at the next start, once', async (t) => {
  const { path, incarnation } = await used(t);
  const opened = await openDirectory(path, REQUEST);
  opened.condemnState("its hash is not the majority's");
  await opened.close();
  const again = await openDirectory(path, REQUEST);
  t.equal(again.state.appliedThrough, 0);
  t.equal(again.identity.incarnation, incarnation);
  t.match(again.setAside, [/majority/]);
  await again.close();
  const third = await openDirectory(path, REQUEST);
  t.same(third.setAside, []);
  await third.close();
});

test('a damaged state that no other member has is not dropped, unless its log reaches back to the beginning', async (t) => {
  const member = (replicaId: number, role: 'voter' | 'witness') => ({
    replicaId,
    incarnation: `${replicaId}`.repeat(32),
    address: `127.0.0.1:${replicaId}`,
    role,
  });
  for (const [others, isDropped] of [
    [[], false],
    [[member(2, 'witness')], false],
    [[member(2, 'witness'), member(3, 'voter')], true],
  ] as const) {
    const { path } = await used(t);
    const opened = await openDirectory(path, REQUEST);
    const members = [{ ...member(1, 'voter'), incarnation: opened.identity.incarnation }, ...others];
    const configuration = { clusterId: CLUSTER, alpha: 4, replaces: 0, members, acceptQuorum: 0 };
    const configurations = [{ slot: 1, configuration }];
    await call<number>((done) => opened.log.write(persist([], { configurations }), done));
    await opened.close();
    const current = join(path, 'state', 'CURRENT');
    rmSync(current);
    if (isDropped) {
      const again = await openDirectory(path, REQUEST);
      t.match(again.setAside, [/the state was dropped/]);
      await again.close();
      continue;
    }
    const before = readdirSync(join(path, 'state')).filter(
      (name) => name.endsWith('.ldb') || name.endsWith('.log'),
    );
    await t.rejects(openDirectory(path, REQUEST), {
      name: 'StoreError',
      message: /no other member keeps one/,
    });
    t.strictSame(
      readdirSync(join(path, 'state')).filter((name) => before.includes(name)),
      before,
      'it was left as it is',
    );
    t.notOk(existsSync(join(path, 'state-dropped')));
  }
});

test('a folder that is used for something else is refused, and nothing in it is touched', async (t) => {
  for (const folders of [['log', 'state'], ['log'], ['photos'], ['log', 'photos']]) {
    const path = scratch(t);
    for (const folder of folders) {
      mkdirSync(join(path, folder));
      writeFileSync(join(path, folder, 'syslog.log'), 'keep');
    }
    const { kind, message } = await refused(openDirectory(path, REQUEST));
    t.equal(kind, 'foreign');
    t.match(message, new RegExp(`is no replica's, .*${folders[0]}`));
    t.strictSame(readdirSync(path).sort(), [...folders].sort());
    for (const folder of folders) t.strictSame(readdirSync(join(path, folder)), ['syslog.log']);
  }
  const path = scratch(t);
  mkdirSync(join(path, 'lost+found'));
  writeFileSync(join(path, 'kvd.out'), 'what was printed');
  const opened = await openDirectory(path, REQUEST);
  t.ok(opened.isNew, 'beside files, and what a file system makes');
  await opened.close();
});

test('a format that was interrupted starts over', async (t) => {
  const { path } = await used(t);
  // As a crash before the identity file was written leaves it.
  rmSync(join(path, 'identity.json'));
  writeFileSync(join(path, 'formatting'), '');
  const opened = await openDirectory(path, REQUEST);
  t.match(opened, { isNew: true, mayFound: true, setAside: [] });
  t.equal(opened.log.recovered.marker, 1);
  t.notOk(existsSync(join(path, 'formatting')));
  await opened.close();
});

test('the log of another directory is noticed', async (t) => {
  const mine = await used(t);
  const other = join(scratch(t), 'other');
  const stranger = await openDirectory(other, REQUEST);
  await stranger.close();
  rmSync(join(mine.path, 'log'), { recursive: true });
  cpSync(join(other, 'log'), join(mine.path, 'log'), { recursive: true });
  cpSync(join(other, 'acknowledged'), join(mine.path, 'acknowledged'));
  const opened = await openDirectory(mine.path, REQUEST);
  t.equal(opened.mayFound, false);
  t.match(opened.setAside, [/were not formatted together/]);
  t.notOk([mine.incarnation, stranger.identity.incarnation].includes(opened.identity.incarnation));
  await opened.close();
});

/** A LevelDB whose next batch fails. */
class FailingOnce implements OrderedStore {
  failure: Error | null = null;
  constructor(private readonly inner: OrderedStore) {}
  get = (key: Buffer): Buffer | undefined => this.inner.get(key);
  range = (range: KeyRange): RangeReader => this.inner.range(range);
  begin = (): StoreBatch => this.inner.begin();
  sweep = (): void => this.inner.sweep();
  bytes = (range: KeyRange | null, done: Done<number>): void => this.inner.bytes(range, done);
  compact = (range: KeyRange, done: Done<void>): void => this.inner.compact(range, done);
  defer = (task: () => void): void => this.inner.defer(task);
  open = (done: Done<void>): void => this.inner.open(done);
  close = (done: Done<void>): void => this.inner.close(done);
  batch(ops: readonly StoreOp[], done: Done<void>): void {
    const { failure } = this;
    this.failure = null;
    if (failure === null) this.inner.batch(ops, done);
    else this.inner.defer(() => done(failure, undefined));
  }
  batchOf(pages: Iterable<readonly StoreOp[]>, done: Done<void>): void {
    this.batch([...pages].flat(), done);
  }
}

test('a log whose write failed is verified by a child process, and goes on', async (t) => {
  const { path } = await used(t);
  const store = new FailingOnce(await LevelStore.open(join(path, 'log'), levelOptions('log')));
  const loaded = await call<LoadedLog | null>((done) => loadLog(store, done));
  if (loaded === null) throw new Error('nothing was loaded');
  const parts = {
    store,
    side: new DiskSideFile(join(path, 'acknowledged')),
    verify(done: Done<void>) {
      verifyInChild(path, ['log']).then(
        ({ logDamage }) => done(logDamage === null ? null : new Error(logDamage), undefined),
        (error: unknown) => done(error instanceof Error ? error : new Error(String(error)), undefined),
      );
    },
  };
  const log = new OrderedLogStore(parts, loaded);
  const write = (slot: number): Promise<number> =>
    call<number>((done) => log.write(persist([entry(slot, 'x')]), done));
  const marker = await write(41);
  store.failure = new Error('no space left on device');
  await t.rejects(write(42), { name: 'StoreError', kind: 'no-space' });
  await t.rejects(write(42), { name: 'StoreError', kind: 'no-space' });
  const recovered = await call<RecoveredLog>((done) => log.reload(done));
  t.equal(recovered.marker, marker);
  t.equal(recovered.accepted.at(-1)?.slot, 41);
  t.equal(await write(42), marker + 1);
  store.failure = new Error('no space left on device');
  await t.rejects(write(43));
  parts.side.write(marker + 9);
  await t.rejects(
    call<RecoveredLog>((done) => log.reload(done)),
    /was acknowledged/,
  );
  await call<void>((done) => log.close(done));
});

test('a verification that has no memory says nothing about the disk', async (t) => {
  const { path } = await used(t);
  await t.rejects(verifyInChild(path, ['log', 'state'], 4), {
    kind: 'io',
    message: /did not take place \(.*out of memory\)/,
  });
});

test('the reserve is given back and taken again', async (t) => {
  const { path } = await used(t);
  const opened = await openDirectory(path, REQUEST);
  t.ok(existsSync(join(path, 'reserve')));
  opened.setReserve(false);
  t.notOk(existsSync(join(path, 'reserve')));
  opened.setReserve(true);
  const { size } = statSync(join(path, 'reserve'));
  t.ok(size > 0);
  writeFileSync(join(path, 'reserve'), 'a part of it');
  opened.setReserve(true);
  t.equal(statSync(join(path, 'reserve')).size, size, 'what is there is made whole');
  await opened.close();
});

/** Opens it with a disk that throws instead of doing `method`; after `times` calls of it. */
async function crashAt(
  path: string,
  request: DirectoryRequest,
  method: keyof FileDisk,
  times = 0,
): Promise<void> {
  const disk = new FileDisk(path);
  const real = disk[method] as (...args: unknown[]) => unknown;
  let left = times;
  const dies = (...args: unknown[]): unknown => {
    if (left === 0) throw new Error('the process dies');
    left -= 1;
    return real.apply(disk, args);
  };
  Object.defineProperty(disk, method, { value: dies });
  await openOnDisk(disk, request).then(
    () => {
      throw new Error('it was to die');
    },
    (error: Error) => {
      if (error.message !== 'the process dies') throw error;
    },
  );
}

test('a crash while a directory is set aside and formatted anew forgets nothing of whose it is', async (t) => {
  const asWritten = { replicaId: 1, founding: null };
  for (const method of ['writeText', 'openStore', 'createSide', 'setReserve'] as const) {
    const path = join(scratch(t), 'data');
    const first = await openDirectory(path, { ...REQUEST, witness: true });
    first.setClusterId(CLUSTER);
    first.condemnLog('it forgot a promise');
    await first.close();
    // createSide and setReserve come when the log is open already, which a dead process would not keep locked.
    if (method === 'writeText' || method === 'openStore') await crashAt(path, asWritten, method);
    else await crashInChild(path, method);
    const opened = await openDirectory(path, asWritten);
    t.match(opened, { isNew: true, clusterId: CLUSTER, foundingList: FOUNDING, mayFound: false }, method);
    t.type(opened.state, WitnessState, 'a witness stays one');
    const { incarnation } = opened.identity;
    await opened.close();
    const again = await openDirectory(path, asWritten);
    t.match(again, { isNew: false, setAside: [], mayFound: false }, 'and what was formatted is believed');
    t.equal(again.identity.incarnation, incarnation);
    await again.close();
  }
});

test('a crash while a state is dropped does not put nothing in its place', async (t) => {
  for (const times of [0, 1]) {
    const { path } = await used(t);
    const opened = await openDirectory(path, REQUEST);
    opened.condemnState("its hash is not the majority's");
    await opened.close();
    // Before anything else is written, and when the state is dropped and no new one is there.
    await crashAt(path, REQUEST, times === 0 ? 'writeText' : 'openStore', times);
    for (let start = 0; start < 2; start += 1) {
      const again = await openDirectory(path, REQUEST);
      t.equal(again.state.appliedThrough, 0);
      await again.close();
      t.equal(await keysOf(join(path, 'state-dropped')), 30, 'the state that was dropped is kept');
    }
    t.notOk(existsSync(join(path, 'state-condemned')));
  }
});

/** Live keys of a state that nobody has open. */
async function keysOf(path: string): Promise<number> {
  const store = await LevelStore.open(path, levelOptions('state'));
  const loaded = await call<LoadedState | null>((done) => loadState(store, done));
  await call<void>((done) => store.close(done));
  return loaded?.head.keys ?? 0;
}

/** In a process of its own: LevelDB's lock goes with it. */
async function crashInChild(path: string, method: keyof FileDisk): Promise<void> {
  const store = new URL('../dist/', import.meta.url).href;
  const script = `
    const { FileDisk } = await import('${store}file-disk.js');
    const { openOnDisk } = await import('${store}directory.js');
    const disk = new FileDisk(${JSON.stringify(path)});
    disk[${JSON.stringify(method)}] = () => process.kill(process.pid, 'SIGKILL');
    await openOnDisk(disk, { replicaId: 1, founding: null });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
  const [, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  if (signal !== 'SIGKILL') throw new Error('it was to die');
}
