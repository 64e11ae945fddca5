/** The memory twin of a whole directory: what a simulator does to it, through the code that opens real ones. */
import { test } from 'tap';
import {
  type DirectoryRequest,
  MemoryDisk,
  openMemoryDirectory,
  type OpenedDirectory,
} from '../src/index.js';
import { BALLOT, call, entry, flush, FOUNDING, persist, put, run, text } from './helpers.js';

const REQUEST: DirectoryRequest = { replicaId: 1, founding: FOUNDING };

/** Opens it; incarnations are counted, so that they can be told apart. */
function opener(disk: MemoryDisk): (request?: Partial<DirectoryRequest>) => Promise<OpenedDirectory> {
  let incarnations = 0;
  const newIncarnation = (): string => {
    incarnations += 1;
    return `${incarnations}`.padStart(32, '0');
  };
  return (request = {}) => openMemoryDirectory(disk, { ...REQUEST, ...request, newIncarnation });
}

async function fill({ log, state }: OpenedDirectory): Promise<void> {
  for (let slot = 1; slot <= 10; slot += 1) {
    await call<number>((done) =>
      log.write(persist([entry(slot, 'x')], { promised: BALLOT, chosenThrough: slot - 1 }), done),
    );
    await run(state, [put(`key ${slot}`, 'v')]);
  }
  await flush(state);
}

test('a crash loses what was not synced, and nothing else', async (t) => {
  const disk = new MemoryDisk();
  const open = opener(disk);
  const first = await open();
  await fill(first);
  await run(first.state, [put('not flushed', '')]);
  let acknowledged = false;
  first.log.write(persist([entry(11, 'lost')]), () => (acknowledged = true));
  disk.crash();
  const second = await open();
  t.equal(acknowledged, false);
  t.equal(second.identity.incarnation, first.identity.incarnation);
  t.same(
    second.log.recovered.accepted.map(({ slot }) => slot),
    [10],
  );
  t.same(second.log.recovered.promised, BALLOT);
  t.equal(second.state.appliedThrough, 10);
  t.equal(text(second.state.get(Buffer.from('key 3'))?.value ?? Buffer.of()), 'v');
  t.same(second.setAside, []);
});

test('a disk that is open is locked; wiped, it is new', async (t) => {
  const disk = new MemoryDisk();
  const open = opener(disk);
  const first = await open();
  await t.rejects(open(), { name: 'DirectoryError', kind: 'locked' });
  await first.close();
  await t.rejects(open({ replicaId: 2 }), { name: 'DirectoryError', kind: 'foreign' });
  const second = await open({ founding: null });
  disk.wipe();
  const third = await open();
  t.match(third, { isNew: true, mayFound: true, setAside: [] });
  t.not(third.identity.incarnation, second.identity.incarnation);
});

test('a lost tail, a flipped bit, a lost side file cost the vote; a lost state does not', async (t) => {
  const damages: Record<string, (disk: MemoryDisk) => void> = {
    'a sync that lied': (disk) => disk.log?.loseTail(1),
    'a flipped bit': (disk) => disk.log?.corrupt(disk.log.keys()[4] ?? Buffer.of(), 20),
    'no side file': (disk) => (disk.side = null),
    'no log': (disk) => disk.stores.delete('log'),
  };
  for (const [name, damage] of Object.entries(damages)) {
    const disk = new MemoryDisk();
    const open = opener(disk);
    const first = await open();
    await fill(first);
    disk.crash();
    damage(disk);
    const second = await open({ founding: null });
    t.match(second, { isNew: true, mayFound: false, foundingList: FOUNDING }, name);
    t.equal(second.state.appliedThrough, 0);
    t.equal(disk.aside.length, 1);
  }
  const disk = new MemoryDisk();
  const open = opener(disk);
  const first = await open();
  await fill(first);
  disk.crash();
  disk.state?.corrupt(disk.state.keys()[2] ?? Buffer.of(), 45);
  const second = await open();
  t.match(second, { isNew: false, mayFound: true });
  t.match(second.setAside, [/the state was dropped/]);
  t.equal(second.state.appliedThrough, 0);
  t.equal(second.log.recovered.chosenThrough, 9);
});

test('damage at any moment of an opening costs what it costs before it, and refuses no start', async (t) => {
  let late = 0;
  for (const part of ['log', 'state'] as const) {
    for (let at = 0, reads = Number.POSITIVE_INFINITY; at < reads; at += 1) {
      const disk = new MemoryDisk();
      const first = await opener(disk)();
      await fill(first);
      disk.crash();
      const content = disk[part];
      reads = 0;
      const second = await openMemoryDirectory(
        disk,
        { ...REQUEST, newIncarnation: () => 'e'.repeat(32) },
        (task) =>
          queueMicrotask(() => {
            if (reads === at) for (const key of content?.keys() ?? []) content?.corrupt(key, 20);
            reads += 1;
            task();
          }),
      );
      const noticed = second.setAside.length > 0;
      t.equal(second.isNew, noticed && part === 'log', `${part}, read ${at}`);
      t.equal(second.state.appliedThrough, noticed ? 0 : 10);
      if (noticed) late += 1;
    }
  }
  t.ok(late > 4, `${late} of the openings noticed`);
});
