/** Drills on disks: one that is wiped, one with flipped bits, one that is full. */
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  openSync,
  closeSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { type Drill, NotHere } from '../drill.js';
import { changeMembers, votesAgain, waitsForReadmit } from '../members.js';
import { SHARED_PREFIX } from '../workload.js';
import { staleScan } from '../drill-client.js';
import type { Stage } from '../stage.js';

const FLIPS = 3;
const SMALL_DISK_MB = 64;
const CHUNK = Buffer.alloc(64 * 1024);
const IN_FLIGHT_MS = 300;

export const wipeDisk: Drill = {
  name: 'wipe-disk',
  about:
    'kill -9 of a replica, its directory removed, --readmit manual: it comes back as a learner that serves reads and does not vote, even when its vote is what a majority lacks, until it is admitted again',
  replicas: 5,
  replicasMin: 3,
  goesOn: false,
  environment: () => ({ KVD_READMIT: 'manual' }),
  async inflict(stage) {
    const victim = stage.pickOne();
    const before = await incarnationOf(stage, victim);
    await stage.pause(300, 600);
    stage.inject(`kill -9 of replica ${victim}, and its disk wiped`);
    await stage.cluster.kill(victim);
    await stage.leader();
    stage.cluster.wipe(victim);
    stage.restart(victim);
    await becomesLearner(stage, victim, before);
    await lacksItsVote(stage, victim);
    await waitsForReadmit(stage, victim);
    stage.inject(`replica ${victim} is admitted again`);
    await changeMembers(stage, { type: 'readmit', replicaId: victim });
    await votesAgain(stage, victim, before);
    while (!stage.isOver) await stage.pause(200);
  },
};

export const flipBits: Drill = {
  name: 'flip-bits',
  about:
    'kill -9 of a replica, bits flipped in its state, then in the log of the same one: the first is rebuilt, after the second it is admitted again as one that lost its disk, and both are noticed',
  replicas: 5,
  replicasMin: 3,
  goesOn: true,
  async inflict(stage) {
    const victim = stage.pickOne();
    const before = await incarnationOf(stage, victim);
    await stage.pause(300, 600);
    stage.inject(`kill -9 of replica ${victim}, ${FLIPS} bits flipped in its state`);
    await stage.cluster.kill(victim);
    flip(stage, path.join(stage.cluster.dataDir(victim), 'state'));
    stage.restart(victim);
    await stage.ready(victim);
    await stage.pause(200, 400);
    const said = stage.cluster.log(victim).length;
    stage.inject(`kill -9 of replica ${victim}, ${FLIPS} bits flipped in its log`);
    await stage.cluster.kill(victim);
    flip(stage, path.join(stage.cluster.dataDir(victim), 'log'));
    stage.restart(victim);
    await votesAgain(stage, victim, before);
    const noticed = stage.cluster.log(victim).slice(said).includes('directory-set-aside');
    stage.check(
      'the damage was noticed',
      noticed,
      noticed ? 'the damaged directory was set aside' : 'not a word of it',
    );
    while (!stage.isOver) await stage.pause(200);
  },
};

export const diskFull: Drill = {
  name: 'disk-full',
  about: `the disk of one replica (a ${SMALL_DISK_MB} MiB tmpfs) fills up and is cleared again: it says so, votes on nothing meanwhile, and comes back by itself`,
  replicas: 5,
  replicasMin: 3,
  goesOn: true,
  whyNot() {
    if (process.platform !== 'linux') return 'a small disk can only be made on Linux here';
    if (process.getuid?.() !== 0) return 'mounting a small tmpfs takes root';
    return null;
  },
  prepare(stage) {
    const victim = stage.pickOne();
    const disk = diskOf(stage);
    mkdirSync(disk);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SMALL_DISK_MB}m`, 'tmpfs', disk], {
        stdio: 'pipe',
      });
    } catch {
      throw new NotHere('a small tmpfs cannot be mounted here');
    }
    process.prependOnceListener('exit', () => unmount(disk));
    stage.cluster.move(victim, path.join(disk, `replica-${victim}`));
  },
  async inflict(stage) {
    const victim = stage.ids.find((id) => stage.cluster.dataDir(id).startsWith(diskOf(stage))) ?? 1;
    const filler = path.join(diskOf(stage), 'filler');
    do {
      stage.inject(`the disk of replica ${victim} fills up`);
      await fillUntilNoticed(stage, victim, filler);
      await stage.pause(400, 1_000);
      stage.inject(`the disk of replica ${victim} has room again`);
      rmSync(filler);
      await stage.untilState(victim, 'votes again', ({ role, ready }) => ready && role !== 'stopped');
      stage.check('it came back by itself', true, `replica ${victim} votes again`);
      await stage.pause(100, 300);
    } while (!stage.isOver);
  },
  cleanUp(stage) {
    unmount(diskOf(stage));
  },
};

async function incarnationOf(stage: Stage, id: number): Promise<string> {
  return (await stage.cluster.state(id))?.incarnation ?? '';
}

async function becomesLearner(stage: Stage, id: number, before: string): Promise<void> {
  await stage.untilState(id, 'is a learner', (state) => state.role === 'learner');
  const incarnation = await incarnationOf(stage, id);
  const what = `replica ${id} is a learner and another incarnation`;
  stage.check('it knows that its disk is lost', incarnation !== before, what);
  const goal = Math.max(0, ...(await stage.cluster.states()).map((state) => state.chosenThrough));
  await stage.untilState(id, `has learned ${goal} slots`, (state) => state.appliedThrough >= goal);
  const read = await staleScan(stage.cluster.address(id), SHARED_PREFIX);
  stage.check('it serves reads', read.outcome === 'ok', `stale read: ${read.outcome}`);
}

/** With one voter too few, the learner would make the majority if it voted: nothing may be acknowledged. */
async function lacksItsVote(stage: Stage, learner: number): Promise<void> {
  const victims = stage.pick(stage.tolerated, stage.others(learner));
  stage.inject(`kill -9 of replicas ${victims.join(', ')}: no majority without the wiped one's vote`);
  await stage.cluster.kill(...victims);
  // What was answered before the kill may still be on its way.
  await stage.pause(IN_FLIGHT_MS);
  const before = stage.load.successes.length;
  await stage.pause(1_500);
  const acknowledged = stage.load.successes.length - before;
  const detail = `${acknowledged} operations succeeded without a majority of voters`;
  stage.check('the wiped replica does not vote', acknowledged === 0, detail);
  stage.inject(`replicas ${victims.join(', ')} started again`);
  stage.restart(...victims);
  await stage.ready(...stage.ids);
}

/** In the largest write-ahead file, away from its ends: what is there counts. */
function flip(stage: Stage, directory: string): void {
  const sizeOf = (file: string): number => statSync(file).size;
  const files = readdirSync(directory)
    .filter((name) => name.endsWith('.log'))
    .map((name) => path.join(directory, name))
    .sort((a, b) => sizeOf(b) - sizeOf(a));
  const [file] = files;
  if (file === undefined || sizeOf(file) < 1_024) throw new Error(`nothing to damage in ${directory}`);
  const bytes = readFileSync(file);
  const handle = openSync(file, 'r+');
  for (let flipped = 0; flipped < FLIPS; flipped++) {
    const at = Math.floor(bytes.length * (0.25 + stage.random() / 2));
    writeSync(handle, Buffer.of((bytes[at] ?? 0) ^ (1 << Math.floor(stage.random() * 8))), 0, 1, at);
  }
  closeSync(handle);
}

function diskOf(stage: Stage): string {
  return path.join(stage.dir, 'small-disk');
}

/** Takes all room, again and again: a replica gives up a reserve and may free more, before it says that it is stuck. */
async function fillUntilNoticed(stage: Stage, victim: number, filler: string): Promise<void> {
  const handle = openSync(filler, 'a');
  const fill = (): void => {
    try {
      for (;;) writeSync(handle, CHUNK);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
    }
  };
  try {
    await stage.untilState(victim, 'says that its log has no room', (state) => {
      fill();
      return state.role === 'stopped';
    });
    stage.check('it says that its disk is full', true, `replica ${victim} votes on nothing`);
  } finally {
    closeSync(handle);
  }
}

function unmount(disk: string): void {
  try {
    execFileSync('umount', ['-l', disk], { stdio: 'pipe' });
  } catch {
    // It is not mounted (any more).
  }
}
