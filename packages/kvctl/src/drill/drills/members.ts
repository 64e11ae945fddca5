/** Drills on who the members are: disks lost and their replicas admitted again, growing and shrinking, all replaced. */
import type { Drill } from '../drill.js';
import { changeMembers, joinOne, votesAgain } from '../members.js';
import type { Stage } from '../stage.js';

/** How kvd ends that was removed. */
const REMOVED = 6;

export const loseDisks: Drill = {
  name: 'lose-disks',
  about:
    'kill -9 of a replica, its directory removed, and again with another one, and with the leader: each is admitted again by itself',
  replicas: 5,
  replicasMin: 3,
  goesOn: true,
  async inflict(stage) {
    do {
      const leader = await stage.leader();
      for (const victim of stage.pick(2, stage.others(leader))) await loseDisk(stage, victim);
      await loseDisk(stage, await stage.leader());
    } while (!stage.isOver);
  },
};

export const growAndShrink: Drill = {
  name: 'grow-and-shrink',
  about:
    'two replicas join and become voters, then leave again, one of them perhaps as the leader: nobody should notice',
  replicas: 3,
  replicasMin: 3,
  goesOn: true,
  async inflict(stage) {
    do {
      const joined: number[] = [];
      for (let count = 0; count < 2; count++) {
        const id = await joinOne(stage);
        stage.inject(`replica ${id} joined, and is added`);
        await changeMembers(stage, { type: 'add', replicaId: id, promote: true, replaces: 0 });
        joined.push(id);
      }
      await stage.pause(200, 600);
      const leaving = stage.pickOne(joined);
      await changeMembers(stage, { type: 'move-leader', replicaId: leaving });
      for (const id of joined) {
        stage.inject(`replica ${id} is removed${id === leaving ? ', which may lead' : ''}`);
        stage.cluster.release(id, null);
        await changeMembers(stage, { type: 'remove', replicaId: id });
        await stopped(stage, id);
      }
      await stage.pause(200, 400);
    } while (!stage.isOver);
  },
};

export const replaceAll: Drill = {
  name: 'replace-all',
  about: 'every replica is replaced by a new one, one after the other, the leader too: nobody should notice',
  replicas: 3,
  replicasMin: 3,
  goesOn: true,
  async inflict(stage) {
    do {
      for (const old of stage.ids) {
        const young = await joinOne(stage);
        stage.inject(`replica ${young} replaces replica ${old}`);
        stage.cluster.release(old, young);
        await changeMembers(stage, { type: 'add', replicaId: young, promote: true, replaces: old });
        await stopped(stage, old);
        await stage.pause(50, 200);
      }
    } while (!stage.isOver);
  },
};

async function loseDisk(stage: Stage, id: number): Promise<void> {
  const before = (await stage.cluster.state(id))?.incarnation ?? '';
  stage.inject(`kill -9 of replica ${id}, and its disk wiped`);
  await stage.cluster.kill(id);
  stage.cluster.wipe(id);
  await stage.pause(50, 300);
  stage.restart(id);
  await votesAgain(stage, id, before);
}

async function stopped(stage: Stage, id: number): Promise<void> {
  const ended = await stage.cluster.ended(id);
  const how = ended === null ? 'still runs' : (ended.signal ?? `exit ${ended.code}`);
  stage.check('who is removed stops', ended?.code === REMOVED, `replica ${id}: ${how}`);
}
