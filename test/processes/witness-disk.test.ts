/**
 * A witness whose disk fills up while one of the two data replicas is away, on real processes and a real small disk:
 * what it accepted may be all that is left of a write, so it stops accepting rather than cut (W4 in docs/MEMBERSHIP.md).
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { connect, KvdError } from '@kvd/client';
import { type Test, test } from 'tap';
import { freePorts, TestCluster } from '../support/cluster.js';

const WITNESS = 3;
const DISK_MB = 96;
const ENLARGED_MB = 512;
/** Kept behind the applied slots: few, so that whoever may cut does. */
const SNAPSHOT_SLOTS = 50;
const FLAGS = ['--snapshot-slots', String(SNAPSHOT_SLOTS), '--alpha', '16', '--batch-commands', '1'];
/** Twice the slots after which the hashes of the states are compared. */
const BEFORE = 2 * 1024;
const VALUE = 'x'.repeat(128 * 1024);
/** Twice what the disk holds: who takes more has cut. */
const VALUES_MAX = (2 * DISK_MB * 1024 * 1024) / VALUE.length;
const PATIENCE_MS = 30_000;
/** After so long a write counts as refused, if the witness has stopped. */
const REFUSED_MS = 3_000;

/** Why no small disk can be made here; false: one can. */
function whyNot(): string | false {
  if (process.platform !== 'linux') return 'a small disk can only be made on Linux here';
  return process.getuid?.() === 0 ? false : 'mounting a small tmpfs takes root';
}

function mount(directory: string, options: string): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', directory], { stdio: 'pipe' });
}

/** Two data replicas and a witness that has its data on a small disk. */
async function start(t: Test): Promise<TestCluster> {
  const options = { replicas: 3, witnesses: [WITNESS], flags: FLAGS };
  const cluster = new TestCluster(await freePorts(3), options);
  const disk = cluster.dataDir(WITNESS);
  mkdirSync(disk);
  mount(disk, `size=${DISK_MB}m`);
  t.teardown(async () => {
    execFileSync('umount', ['-l', disk], { stdio: 'pipe' });
    await cluster.close();
  });
  await Promise.all(cluster.ids.map((id) => cluster.start(id)));
  await cluster.waitReady();
  return cluster;
}

async function cutThrough(cluster: TestCluster, id: number): Promise<number> {
  return (await cluster.status(id))?.cutThrough ?? Number.NaN;
}

test('a witness that runs out of space stops accepting rather than cut', { skip: whyNot() }, async (t) => {
  const cluster = await start(t);
  const kv = await connect({ endpoints: cluster.endpoints, timeoutMs: PATIENCE_MS });
  t.teardown(() => kv.close());
  const leader = await cluster.leader();
  const away = leader === 1 ? 2 : 1;

  // While all are there it cuts like anybody, and has no state that those of the others could contradict.
  await Promise.all(Array.from({ length: BEFORE }, (_, i) => kv.put(`before ${i}`, 'small')));
  const cutsAll = async (): Promise<true | undefined> =>
    (await cutThrough(cluster, WITNESS)) > BEFORE - 4 * SNAPSHOT_SLOTS || undefined;
  await cluster.waitFor('the witness to cut', cutsAll);
  t.notMatch(cluster.log(WITNESS), /state-diverged/);
  await cluster.kill(away);
  const chosenBefore = (await cluster.status(leader))?.chosenThrough ?? 0;

  const acknowledged: string[] = [];
  const stopped = async (): Promise<boolean> => (await cluster.status(WITNESS))?.role === 'stopped';
  for (let refused = false; !refused && acknowledged.length < VALUES_MAX; ) {
    const key = `key ${acknowledged.length}`;
    try {
      await kv.put(key, VALUE, { timeoutMs: REFUSED_MS });
      acknowledged.push(key);
    } catch (error) {
      if (!(error instanceof KvdError)) throw error;
      // It gives up its reserve once, and goes on for as long as that lasts.
      refused = await stopped();
    }
  }
  t.comment(`${acknowledged.length} values of ${VALUE.length / 1024} KiB on a disk of ${DISK_MB} MiB`);
  t.ok(acknowledged.length > 2 * SNAPSHOT_SLOTS, 'there was something that it could have cut');
  t.match(await cluster.status(WITNESS), { role: 'stopped', reason: /its log failed/ });
  t.match(cluster.log(WITNESS), /log-out-of-space/);
  for (const id of [leader, WITNESS])
    t.ok((await cutThrough(cluster, id)) <= chosenBefore, `replica ${id} cut nothing that the other lacks`);

  mount(cluster.dataDir(WITNESS), `remount,size=${ENLARGED_MB}m`);
  await cluster.waitFor('the witness to go on', async () => !(await stopped()) || undefined);
  await kv.put('after', 'there is room again');
  t.ok((await cutThrough(cluster, WITNESS)) <= chosenBefore, 'what it accepted is still there');

  // The only other replica that has all of it is gone for good: what was acknowledged comes back from the witness.
  await cluster.kill(leader);
  cluster.wipe(leader);
  await cluster.start(away);
  t.equal((await kv.get('after'))?.text(), 'there is room again');
  const missing: string[] = [];
  for (const key of acknowledged) if ((await kv.get(key))?.text() !== VALUE) missing.push(key);
  t.same(missing, []);
  t.equal((await cluster.status(away))?.role, 'leader', 'a witness never leads');
});
