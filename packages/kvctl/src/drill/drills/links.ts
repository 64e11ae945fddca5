/** Drills on the network: parts cut off, links that work one way, that flap, that are slow. */
import type { Drill } from '../drill.js';
import type { Stage } from '../stage.js';

const DID = { held: 'pieces held back', late: 'pieces made late', reset: 'connections ended' } as const;

/** What the links were told to do they have to have done, or the drill was none. */
function checkLinks(stage: Stage, ...kinds: readonly (keyof typeof DID)[]): void {
  const effects = stage.network.effects();
  const detail = kinds.map((kind) => `${effects[kind]} ${DID[kind]}`).join(', ');
  stage.check(
    'the links did as they were told',
    kinds.every((kind) => effects[kind] > 0),
    detail,
  );
}

export const partitionLeader: Drill = {
  name: 'partition-leader',
  about:
    'the leader is cut off from all others, clients still reach it: it may acknowledge nothing, the rest goes on',
  replicas: 5,
  replicasMin: 3,
  goesOn: true,
  async inflict(stage) {
    do {
      const victim = await stage.leader();
      const others = stage.others(victim);
      stage.inject(`replica ${victim}, the leader, cut off from the others`);
      stage.network.part([victim], others);
      await stage.pause(1_500, 2_500);
      const next = await stage.leader();
      stage.check('another one leads', next !== victim, `replica ${next} while replica ${victim} is cut off`);
      stage.inject('links healed');
      stage.network.heal();
      await stage.pause(300, 800);
    } while (!stage.isOver);
    checkLinks(stage, 'held');
  },
};

export const partitionHalves: Drill = {
  name: 'partition-halves',
  about:
    'the replicas fall into a minority and a majority that do not hear each other: only the majority goes on',
  replicas: 5,
  replicasMin: 3,
  goesOn: true,
  async inflict(stage) {
    do {
      const minority = stage.pick(stage.tolerated);
      const majority = stage.others(...minority);
      stage.inject(`replicas ${minority.join(', ')} parted from ${majority.join(', ')}`);
      stage.network.part(minority, majority);
      await stage.pause(1_200, 2_200);
      stage.inject('links healed');
      stage.network.heal();
      await stage.pause(300, 800);
    } while (!stage.isOver);
    checkLinks(stage, 'held');
  },
};

export const oneWayLink: Drill = {
  name: 'one-way-link',
  about:
    'what one replica says does not arrive while it hears all others, or the other way round: nobody is blocked',
  replicas: 5,
  replicasMin: 3,
  goesOn: true,
  async inflict(stage) {
    let kind = Math.floor(stage.random() * 3);
    do {
      const leader = await stage.leader();
      const follower = stage.pickOne(stage.others(leader));
      if (kind === 0) {
        stage.inject(`nothing that replica ${leader}, the leader, says arrives`);
        stage.network.mute([leader], stage.ids);
      } else if (kind === 1) {
        stage.inject(`replica ${leader}, the leader, hears nobody`);
        stage.network.mute(stage.ids, [leader]);
      } else {
        stage.inject(`replica ${follower} does not hear replica ${leader}, the leader`);
        stage.network.mute([leader], [follower]);
      }
      kind = (kind + 1) % 3;
      await stage.pause(1_000, 2_000);
      stage.inject('links healed');
      stage.network.heal();
      await stage.pause(300, 600);
    } while (!stage.isOver);
    checkLinks(stage, 'held');
  },
};

export const flappingLink: Drill = {
  name: 'flapping-link',
  about: 'the links of the leader and of another replica break and come back several times a second',
  replicas: 5,
  replicasMin: 3,
  goesOn: true,
  async inflict(stage) {
    do {
      const leader = await stage.leader();
      const follower = stage.pickOne(stage.others(leader));
      stage.inject(`the links between replica ${leader}, the leader, and replica ${follower} flap`);
      for (let flap = 0; flap < 8; flap++) {
        stage.network.reset(leader, follower);
        if (flap % 4 === 3) for (const id of stage.others(leader)) stage.network.reset(leader, id);
        stage.network.part([leader], [follower]);
        await stage.pause(20, 150);
        stage.network.heal();
        await stage.pause(20, 150);
      }
    } while (!stage.isOver);
    checkLinks(stage, 'held', 'reset');
  },
};

export const slowLink: Drill = {
  name: 'slow-link',
  about:
    'what the leader and the others say to each other is late by up to 150 ms, then one replica is half a second away',
  replicas: 5,
  replicasMin: 3,
  goesOn: true,
  async inflict(stage) {
    do {
      const leader = await stage.leader();
      stage.inject(`all links of replica ${leader}, the leader, are late by 20 to 150 ms`);
      const late = { type: 'slow', delayMs: 20, jitterMs: 130 } as const;
      stage.network.set([leader], stage.ids, late);
      stage.network.set(stage.ids, [leader], late);
      await stage.pause(1_000, 2_000);
      stage.network.heal();
      const distant = stage.pickOne();
      stage.inject(`replica ${distant} is 500 ms away`);
      const far = { type: 'slow', delayMs: 500, jitterMs: 50 } as const;
      stage.network.set([distant], stage.ids, far);
      stage.network.set(stage.ids, [distant], far);
      await stage.pause(1_000, 2_000);
      stage.inject('links healed');
      stage.network.heal();
      await stage.pause(200, 400);
    } while (!stage.isOver);
    checkLinks(stage, 'late');
  },
};
