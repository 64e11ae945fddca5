/** Plans and new clusters from real data directories: what is read, what is refused, and that no original changes. */
import type { Configuration, ConfigurationAt, LogEntry, Persist, Value } from '@kvd/paxos';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import {
  type OpenedDirectory,
  openDirectory,
  openRecovery,
  type Recovery,
  RecoverError,
} from '../../src/index.js';
import { apply, batch, call, flush, put, scratch, text } from '../helpers.js';

const FOUNDING = [1, 2, 3, 4, 5].map((id) => `${id}=127.0.0.1:${id}`).join(',');
const CLUSTER = 'c'.repeat(32);
const incarnationOf = (id: number): string => `${id}`.repeat(32);

interface Written {
  /** Slots 2 … that it knows chosen, each a put of its own. */
  readonly known: number;
  /** Of those, applied on disk; default all. */
  readonly applied?: number;
  readonly accepted?: readonly LogEntry[];
  readonly cut?: number;
}

const valueOf = (slot: number): Value => batch([put(`k${slot}`, `v${slot}`)]);

const acceptedAt = (slot: number, counter = 1): LogEntry => ({
  slot,
  ballot: { counter, replicaId: 5, incarnation: incarnationOf(5) },
  value: valueOf(slot),
  chosen: false,
});

/** Data directories of replicas 1 to `count` of a cluster of five, in DIR/1 …, as their processes would leave them. */
async function survivors(t: Test, written: readonly Written[]): Promise<string[]> {
  const root = scratch(t);
  const opened: OpenedDirectory[] = [];
  for (const index of written.keys()) {
    const replicaId = index + 1;
    opened.push(await openDirectory(join(root, `${replicaId}`), { replicaId, founding: FOUNDING }));
  }
  const members = [1, 2, 3, 4, 5].map((id) => ({
    replicaId: id,
    incarnation: opened[id - 1]?.identity.incarnation ?? incarnationOf(id),
    role: 'voter' as const,
    address: `127.0.0.1:${id}`,
  }));
  const configuration: Configuration = {
    clusterId: CLUSTER,
    alpha: 16,
    replaces: 0,
    members,
    acceptQuorum: 0,
  };
  const configurations: ConfigurationAt[] = [{ slot: 1, configuration }];
  for (const [index, directory] of opened.entries()) {
    const { known, applied = known, accepted = [], cut = 0 } = written[index] as Written;
    const chosen: LogEntry[] = [{ ...acceptedAt(1), value: { type: 'configuration', configuration } }];
    for (let slot = 2; slot <= known; slot += 1) chosen.push(acceptedAt(slot));
    const entries = [...chosen, ...accepted];
    const promised = entries.map(({ ballot }) => ballot).reduce((a, b) => (b.counter > a.counter ? b : a));
    const persist: Persist = { entries, promised, chosenThrough: known, configurations };
    await call((done) => directory.log.write(persist, done));
    for (const { slot, value } of chosen) if (slot <= applied) await apply(directory.state, value);
    if (applied > 0) await flush(directory.state);
    if (cut > 0) await call((done) => directory.log.write({ entries: [], cutThrough: cut }, done));
    directory.setClusterId(CLUSTER);
    await directory.close();
  }
  return written.map((_, index) => join(root, `${index + 1}`));
}

async function recovery(t: Test, directories: readonly string[]): Promise<Recovery> {
  const opened = await openRecovery(directories, { scratch: scratch(t) });
  t.teardown(() => opened.close());
  return opened;
}

/** Every file below, with its bytes and times. */
function picture(path: string): Record<string, unknown> {
  const files: Record<string, unknown> = {};
  const visit = (name: string): void => {
    const { mtimeMs, ctimeMs, size, nlink, ino } = statSync(join(path, name));
    const isDirectory = statSync(join(path, name)).isDirectory();
    const bytes = isDirectory ? null : readFileSync(join(path, name)).toString('base64');
    files[name] = { mtimeMs, ctimeMs, size, nlink, ino, bytes };
    if (isDirectory) for (const child of readdirSync(join(path, name))) visit(join(name, child));
  };
  visit('.');
  return files;
}

async function refusal(t: Test, directories: readonly string[]): Promise<string> {
  const place = scratch(t);
  try {
    const opened = await openRecovery(directories, { scratch: place });
    await opened.close();
    return 'not refused';
  } catch (error) {
    return error instanceof RecoverError ? error.kind : String(error);
  } finally {
    t.same(readdirSync(place), [], 'no private copy is left');
  }
}

t.test('two of five: the one that knows more, what both say, and what may be missing', async (t) => {
  const directories = await survivors(t, [
    { known: 20, applied: 15 },
    { known: 18, accepted: [acceptedAt(19), acceptedAt(20), acceptedAt(21, 2), acceptedAt(23, 2)] },
  ]);
  const { plan } = await recovery(t, directories);
  t.match(plan, {
    clusterId: CLUSTER,
    alpha: 16,
    nothingLost: false,
    knownThrough: 20,
    provenThrough: 20,
    voters: { quorum: 3, lost: 3 },
    unseen: { first: 21, last: null },
    outOfReach: null,
    safeThroughRevision: 19,
    startFrom: { directory: directories[0], replicaId: 1 },
    recovered: { base: directories[1], baseSlot: 18, slot: 21, revision: 20 },
  });
  t.match(plan.directories[0], {
    replicaId: 1,
    role: 'voter',
    logDamage: null,
    stateDamage: null,
    promised: '1.5',
    chosenThrough: 20,
    accepted: 0,
    state: { appliedThrough: 15, revision: 14, keys: 14 },
  });
  t.match(plan.directories[1], { replicaId: 2, promised: '2.5', chosenThrough: 18, accepted: 4 });
  t.match(plan.slots, [
    { slot: 21, verdict: 'may-be-chosen', kept: true, unseen: true, holders: [2], revisions: [19, 20] },
    { slot: 22, verdict: 'nothing-here', kept: false, unseen: true },
    { slot: 23, verdict: 'may-be-chosen', kept: false, unseen: true, acknowledged: true },
  ]);
  const keys = plan.slots.map(({ value }) => value?.commands.map((c) => c.keys.map((key) => text(key))));
  t.same(keys, [[['k21']], undefined, [['k23']]]);
});

t.test('three of five: nothing that was acknowledged can be missing', async (t) => {
  const directories = await survivors(t, [
    { known: 20 },
    { known: 20, accepted: [acceptedAt(21)] },
    { known: 12, applied: 5 },
  ]);
  const { plan } = await recovery(t, directories);
  t.match(plan, {
    nothingLost: true,
    unseen: null,
    recovered: { slot: 21, revision: 20 },
    safeThroughRevision: 20,
  });
});

t.test('no original changes: no byte, no time, no name', async (t) => {
  const directories = await survivors(t, [
    { known: 20, applied: 9 },
    { known: 17, accepted: [acceptedAt(18)] },
  ]);
  const before = directories.map(picture);
  const opened = await recovery(t, directories);
  await opened.seed({ directory: join(scratch(t), 'new'), members: seedMembers(3), revisionStep: 1000 });
  await opened.close();
  t.same(directories.map(picture), before);
  truncateSync(join(directories[0] as string, 'log', 'CURRENT'), 3);
  const damaged = directories.map(picture);
  await (await recovery(t, directories)).close();
  t.same(directories.map(picture), damaged, 'a damaged one neither, though its copy is repaired');
});

t.test('a new cluster: every kept write, a new identity, revisions that go on', async (t) => {
  const directories = await survivors(t, [{ known: 20 }, { known: 17, accepted: [acceptedAt(21, 2)] }]);
  const opened = await recovery(t, directories);
  const root = join(scratch(t), 'new');
  const seeded = await opened.seed({ directory: root, members: seedMembers(3), revisionStep: 1000 });
  t.not(seeded.clusterId, CLUSTER);
  t.match(seeded, { revision: 1020, keys: 20, contentHash: opened.plan.recovered?.contentHash });
  for (const { replicaId, path } of seeded.directories) {
    const directory = await openDirectory(path, { replicaId, founding: null });
    t.equal(directory.clusterId, seeded.clusterId);
    t.equal(directory.isNew, false);
    for (let slot = 2; slot <= 21; slot += 1) {
      const entry = directory.state.get(Buffer.from(`k${slot}`));
      t.equal(text(entry?.value ?? Buffer.of()), `v${slot}`);
    }
    await directory.close();
  }
});

t.test('the state of one and the log of another', async (t) => {
  const directories = await survivors(t, [
    { known: 20, applied: 4 },
    { known: 12, applied: 12, cut: 6 },
  ]);
  const [first, second] = directories as [string, string];
  truncateState(first);
  const { plan } = await recovery(t, directories);
  t.match(plan.directories[0]?.stateDamage ?? '', /state|damaged|flush|marker|CURRENT|LevelDB|Corruption/i);
  t.match(plan, {
    startFrom: { directory: first },
    recovered: { base: second, baseSlot: 12, slot: 20, revision: 19 },
  });
});

t.test('a log from its beginning and no state at all: an empty state, and all slots', async (t) => {
  const directories = await survivors(t, [{ known: 20 }]);
  rmSync(join(directories[0] as string, 'state'), { recursive: true });
  const { plan } = await recovery(t, directories);
  t.match(plan.directories[0], { state: null, stateDamage: null, logDamage: null });
  t.match(plan.recovered, { base: null, baseSlot: 0, slot: 20, revision: 19 });
});

t.test('chosen, and out of reach: the only state is damaged and the log was cut', async (t) => {
  const directories = await survivors(t, [{ known: 20, cut: 8 }, { known: 5 }]);
  truncateState(directories[0] as string);
  const { plan } = await recovery(t, directories);
  t.match(plan, {
    nothingLost: false,
    knownThrough: 20,
    outOfReach: { first: 6, last: 20 },
    recovered: { baseSlot: 5, slot: 5, revision: 4 },
    safeThroughRevision: 4,
  });
});

t.test('nothing to make a cluster of: a cut log and no state', async (t) => {
  const directories = await survivors(t, [{ known: 20, cut: 8 }]);
  truncateState(directories[0] as string);
  const opened = await recovery(t, directories);
  t.match(opened.plan, { nothingLost: false, recovered: null, outOfReach: { first: 1, last: 20 } });
  const refused = await opened
    .seed({ directory: join(scratch(t), 'n'), members: seedMembers(1), revisionStep: 1 })
    .catch((error: unknown) => error);
  t.match(refused, { name: 'RecoverError', kind: 'unrecoverable' });
});

const DAMAGES: readonly { readonly name: string; readonly inflict: (directory: string) => void }[] = [
  { name: 'its side file says that more was written', inflict: (directory) => truncateTail(directory) },
  {
    name: 'the CURRENT of its log is gone',
    inflict: (directory) => rmSync(join(directory, 'log', 'CURRENT')),
  },
  { name: 'log/ is missing', inflict: (directory) => rmSync(join(directory, 'log'), { recursive: true }) },
  {
    name: 'it was condemned',
    inflict: (directory) => writeFileSync(join(directory, 'log-condemned'), 'rolled back'),
  },
];

for (const { name, inflict } of DAMAGES) {
  t.test(`a damaged log is a lost vote, and what it still says is said: ${name}`, async (t) => {
    const directories = await survivors(t, [
      { known: 20 },
      { known: 20 },
      { known: 20, accepted: [acceptedAt(21)] },
    ]);
    inflict(directories[2] as string);
    const { plan } = await recovery(t, directories);
    t.type(plan.directories[2]?.logDamage, 'string');
    t.match(plan, {
      nothingLost: false,
      voters: { lost: 3 },
      knownThrough: 20,
      unseen: { first: 21, last: null },
    });
    const isReadable = name !== 'log/ is missing' && !name.startsWith('its side file');
    t.equal(plan.slots.length, isReadable ? 1 : 0);
    t.equal(plan.recovered?.slot, isReadable ? 21 : 20);
  });
}

t.test('a damaged state of a replica whose log is whole costs no vote', async (t) => {
  const directories = await survivors(t, [{ known: 20 }, { known: 20 }, { known: 20 }]);
  truncateState(directories[2] as string);
  t.match((await recovery(t, directories)).plan, { nothingLost: true, recovered: { slot: 20 } });
});

t.test(
  'refused: what is no data directory, twice the same, two clusters, two copies of a replica',
  async (t) => {
    const [one, two] = (await survivors(t, [{ known: 5 }, { known: 5 }])) as [string, string];
    const root = scratch(t);
    t.equal(await refusal(t, [root]), 'no-directory');
    t.equal(await refusal(t, [join(root, 'nowhere')]), 'no-directory');
    t.equal(await refusal(t, [one, join(two, '..', '1')]), 'twice');
    cpSync(one, join(root, 'copy'), { recursive: true });
    t.equal(await refusal(t, [one, join(root, 'copy')]), 'twice');
    const other = await openDirectory(join(root, 'other'), { replicaId: 2, founding: FOUNDING });
    other.setClusterId('d'.repeat(32));
    await other.close();
    t.equal(await refusal(t, [one, join(root, 'other')]), 'other-cluster');
  },
);

t.test('refused: a directory that a process has open, which is not disturbed', async (t) => {
  const [one] = (await survivors(t, [{ known: 5 }])) as [string];
  const holder = await holdOpen(t, one);
  const before = picture(one);
  t.equal(await refusal(t, [one]), 'locked');
  t.same(picture(one), before);
  holder.stdin?.end();
  t.same(await once(holder, 'exit'), [0, null], 'it could write to the end');
  t.equal(await refusal(t, [one]), 'not refused');
});

t.test('the private copies are removed', async (t) => {
  const directories = await survivors(t, [{ known: 5 }]);
  const place = join(scratch(t), 'copies');
  mkdirSync(place);
  const opened = await openRecovery(directories, { scratch: place });
  t.equal(readdirSync(place).length, 1);
  await opened.close();
  t.same(readdirSync(place), []);
  rmSync(join(directories[0] as string, 'identity.json'));
  await (await openRecovery(directories, { scratch: place })).close();
  t.same(readdirSync(place), []);
});

function seedMembers(count: number): { replicaId: number; address: string; role: 'voter' }[] {
  return Array.from({ length: count }, (_, index) => ({
    replicaId: index + 1,
    address: `127.0.0.1:${15_000 + index}`,
    role: 'voter',
  }));
}

function truncateState(directory: string): void {
  truncateSync(join(directory, 'state', 'CURRENT'), 3);
}

/** What LevelDB wrote last goes, as if the disk had not kept its word. */
function truncateTail(directory: string): void {
  const log = join(directory, 'log');
  for (const name of readdirSync(log)) if (name.endsWith('.log')) truncateSync(join(log, name), 0);
}

/** Another process that has the directory open, until its stdin ends; then it writes, and closes. */
async function holdOpen(t: Test, directory: string): Promise<ChildProcess> {
  const index = fileURLToPath(new URL('../../dist/index.js', import.meta.url));
  const program = `
    const { openDirectory } = await import(${JSON.stringify(index)});
    const opened = await openDirectory(${JSON.stringify(directory)}, { replicaId: 1, founding: null });
    console.log('open');
    process.stdin.resume();
    process.stdin.on('end', () => opened.log.write({ entries: [], chosenThrough: 5 }, (error) => {
      if (error) throw error;
      opened.close();
    }));`;
  t.ok(existsSync(index));
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child;
}
