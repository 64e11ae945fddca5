/**
 * Real LevelDBs on a file system that refuses for a while: the limit of a process on the size of its files, set and lifted
 * by prlimit, fails writes in the middle as a full disk or a quota does.
 */
import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openOnDisk } from '../src/directory.js';
import { StoreError } from '../src/errors.js';
import { FileDisk, levelOptions } from '../src/file-disk.js';
import { openDirectory } from '../src/index.js';
import { LevelStore } from '../src/level-store.js';
import { FOUNDING, scratch } from './helpers.js';

const REQUEST = { replicaId: 1, founding: FOUNDING };
const skip = spawnSync('prlimit', ['--version']).error === undefined ? false : 'there is no prlimit';
const DIST = new URL('../dist/', import.meta.url).href;

/** Runs a module in a process under a limit on the bytes of a file. */
function limited(limit: string, script: string) {
  // Node.js ignores the signal that comes with the refusal; with what tap has every process load, it ends it.
  const node = ['env', '-u', 'NODE_OPTIONS', process.execPath, '--input-type=module', '-e', script];
  return spawnSync('prlimit', [`--fsize=${limit}`, ...node], { encoding: 'utf8' });
}

test('what is reported as written is there, whatever failed before it', { skip }, async (t) => {
  const path = join(scratch(t), 'db');
  const script = `
    import { execFileSync } from 'node:child_process';
    import { LevelStore } from '${DIST}level-store.js';
    const store = await LevelStore.open(${JSON.stringify(path)}, ${JSON.stringify({ ...levelOptions('state'), createIfMissing: true })});
    const limit = (bytes) => execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=' + bytes + ':']);
    const put = (name, bytes) => new Promise((resolve) =>
      store.batch([{ key: Buffer.from(name), value: Buffer.alloc(bytes, 1) }], (error) => {
        console.log(name, error === null ? 'ok' : error.kind);
        resolve();
      }));
    await put('before', 100);
    limit(1_000_000);
    // The second is under way when the first fails.
    await Promise.all([put('large', 2_000_000), put('behind', 100)]);
    limit('unlimited');
    for (let i = 0; i < 5; i++) await put('after' + i, 100);
    await new Promise((resolve) => store.close(resolve));
    await new Promise((resolve) => store.open(resolve));
    await put('reopened', 100);
    process.kill(process.pid, 'SIGKILL');`;
  const child = limited('unlimited', script);
  t.equal(child.signal, 'SIGKILL', child.stderr);
  const outcomes = new Map(
    child.stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ') as [string, string]),
  );
  t.equal(outcomes.get('large'), 'io', 'the disk did refuse');
  t.equal(outcomes.get('reopened'), 'ok', 'opened anew it goes on');
  const store = await LevelStore.open(path, levelOptions('state'));
  for (const [name, outcome] of outcomes)
    if (outcome === 'ok') t.ok(store.get(Buffer.from(name)), `${name} was reported as written`);
  await new Promise<void>((resolve) => store.close(() => resolve()));
});

test('a disk that refuses costs no log: neither set aside nor formatted anew', { skip }, async (t) => {
  const path = join(scratch(t), 'data');
  const first = await openDirectory(path, REQUEST);
  await first.close();
  const script = `
    import { openDirectory } from '${DIST}index.js';
    await openDirectory(${JSON.stringify(path)}, ${JSON.stringify(REQUEST)}).then(
      () => console.log('opened'),
      (error) => console.log(error.name, error.kind, error.message.replace(/ .*:/, '')));`;
  t.equal(limited('0', script).stdout, 'StoreError io log/: File too large\n');
  t.notOk(existsSync(join(path, 'set-aside')));
  const again = await openDirectory(path, REQUEST);
  t.equal(again.isNew, false);
  t.equal(again.identity.incarnation, first.identity.incarnation);
  t.strictSame(again.setAside, []);
  await again.close();
});

test('what is missing or is none is damage, and no trouble of the disk', async (t) => {
  for (const spoil of [
    (log: string) => appendFileSync(join(log, 'CURRENT'), 'x'),
    // What is behind a zero byte is in no message of LevelDB's.
    (log: string) => writeFileSync(join(log, 'CURRENT'), 'MANIFEST-\0\n'),
    (log: string) => writeFileSync(join(log, 'CURRENT'), `MANIFEST-${'9'.repeat(300)}\n`),
  ]) {
    const path = join(scratch(t), 'data');
    await (await openDirectory(path, REQUEST)).close();
    spoil(join(path, 'log'));
    const opened = await openDirectory(path, REQUEST);
    t.equal(opened.isNew, true);
    t.ok(existsSync(join(path, 'set-aside')));
    await opened.close();
  }
});

test('a side file that cannot be opened costs no log either', async (t) => {
  const path = join(scratch(t), 'data');
  const first = await openDirectory(path, REQUEST);
  await first.close();
  const side = join(path, 'acknowledged');
  renameSync(side, `${side}.kept`);
  symlinkSync(side, side);
  await t.rejects(openDirectory(path, REQUEST), { name: 'StoreError', kind: 'io', message: /ELOOP/ });
  renameSync(`${side}.kept`, side);
  const again = await openDirectory(path, REQUEST);
  t.equal(again.identity.incarnation, first.identity.incarnation);
  await again.close();
});

test('the reserve is given up for a start on a full disk', async (t) => {
  const path = join(scratch(t), 'data');
  await (await openDirectory(path, REQUEST)).close();
  const reserve = join(path, 'reserve');
  for (const step of ['verify', 'openStore'] as const) {
    const disk = new FileDisk(path);
    disk.setReserve(true);
    const real = disk[step].bind(disk) as (...args: unknown[]) => Promise<unknown>;
    let refusals = 0;
    const onFullDisk = async (...args: unknown[]): Promise<unknown> => {
      if (existsSync(reserve)) {
        refusals += 1;
        throw new StoreError('no-space', 'log/: No space left on device');
      }
      return real(...args);
    };
    Object.defineProperty(disk, step, { value: onFullDisk });
    const opened = await openOnDisk(disk, REQUEST);
    t.equal(refusals, 1, step);
    t.equal(opened.isNew, false);
    await opened.close();
  }
  const full = new FileDisk(path);
  Object.defineProperty(full, 'verify', {
    value: () => Promise.reject(new StoreError('no-space', 'still full')),
  });
  await t.rejects(openOnDisk(full, REQUEST), { name: 'StoreError', kind: 'no-space' });
});
