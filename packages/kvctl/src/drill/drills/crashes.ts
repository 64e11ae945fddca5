/** Drills that end processes: kill -9 of one, two or all, and restarts in good order. */
import type { Drill } from '../drill.js';

/** kvd promises to end within 5 s of SIGTERM; the rest is for a busy machine. */
const STOP_MS_MAX = 7_000;

export const crashAcceptor: Drill = {
  name: 'crash-acceptor',
  about: 'kill -9 of a replica that does not lead, start it again: nobody should notice',
  replicas: 5,
  replicasMin: 3,
  goesOn: true,
  async inflict(stage) {
    do {
      const leader = await stage.leader();
      const victim = stage.pickOne(stage.others(leader));
      stage.inject(`kill -9 of replica ${victim}`);
      await stage.cluster.kill(victim);
      await stage.pause(300, 900);
      stage.inject(`replica ${victim} started again`);
      stage.restart(victim);
      await stage.ready(victim);
      await stage.pause(100, 500);
    } while (!stage.isOver);
  },
};

export const crashLeader: Drill = {
  name: 'crash-leader',
  about: 'kill -9 of the leader, start it again once another leads: the rest elects one and goes on',
  replicas: 5,
  replicasMin: 3,
  goesOn: true,
  async inflict(stage) {
    do {
      const victim = await stage.leader();
      stage.inject(`kill -9 of replica ${victim}, the leader`);
      await stage.cluster.kill(victim);
      const next = await stage.leader();
      stage.check('another one leads', next !== victim, `replica ${next} after replica ${victim}`);
      await stage.pause(300, 900);
      stage.inject(`replica ${victim} started again`);
      stage.restart(victim);
      await stage.ready(victim);
      await stage.pause(200, 600);
    } while (!stage.isOver);
  },
};

export const crashTwoOfFive: Drill = {
  name: 'crash-two-of-five',
  about: 'kill -9 of any two replicas at once, start them again: five survive the loss of two',
  replicas: 5,
  replicasMin: 5,
  goesOn: true,
  async inflict(stage) {
    do {
      const victims = stage.pick(2);
      stage.inject(`kill -9 of replicas ${victims.join(' and ')}`);
      await stage.cluster.kill(...victims);
      await stage.leader();
      await stage.pause(300, 900);
      stage.inject(`replicas ${victims.join(' and ')} started again`);
      stage.restart(...victims);
      await stage.ready(...victims);
      await stage.pause(100, 500);
    } while (!stage.isOver);
  },
};

export const crashAll: Drill = {
  name: 'crash-all',
  about:
    'kill -9 of all replicas at once, start them again: what was acknowledged is on disk. (A power cut would also drop ' +
    'what the operating system had not written; the simulator does that.)',
  replicas: 5,
  replicasMin: 3,
  goesOn: false,
  async inflict(stage) {
    do {
      await stage.pause(500, 1_200);
      stage.inject('kill -9 of all replicas');
      await stage.cluster.kill(...stage.ids);
      await stage.pause(50, 200);
      stage.inject('all replicas started again');
      stage.restart(...stage.ids);
      await stage.ready(...stage.ids);
      await stage.pause(500, 1_000);
    } while (!stage.isOver);
  },
};

export const rollingRestart: Drill = {
  name: 'rolling-restart',
  about:
    'SIGTERM to one replica after the other, each started again and ready before the next: an upgrade in operation',
  replicas: 5,
  replicasMin: 3,
  goesOn: true,
  async inflict(stage) {
    do {
      for (const id of stage.ids) {
        const fromMs = stage.now;
        stage.inject(`replica ${id} asked to stop`);
        const { code, signal } = await stage.cluster.stop(id);
        const tookMs = Math.round(stage.now - fromMs);
        const how = `${signal ?? `exit ${code}`} after ${tookMs} ms`;
        stage.check('replicas stop in order', code === 0 && tookMs <= STOP_MS_MAX, `replica ${id}: ${how}`);
        stage.inject(`replica ${id} started again`);
        stage.restart(id);
        await stage.ready(id);
        await stage.pause(100, 200);
      }
    } while (!stage.isOver);
  },
};
