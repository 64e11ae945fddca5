/** Scenarios of leaders and links that come and go. */
import { drawRecipe } from '../recipes.js';
import type { Fault } from '../plan.js';
import { Violation } from '../violation.js';
import type { World } from '../world.js';
import { anybody, apart, electionMs, kvdTiming, often, type Scenario } from './scenario.js';

/** A leader that is gone has a successor within this, at kvd's own timing. */
const FAILOVER_MS = 2000;

/** After each of these faults, which hit the leader, somebody else leads within the time of a failover. */
function expectFailover(kind: Fault['kind']): (world: World) => void {
  return ({ plan, leaderships }) => {
    for (const { atMs, kind: struck } of plan.faults) {
      if (struck !== kind) continue;
      const next = leaderships.find((leadership) => leadership.atMs > atMs);
      if (next !== undefined && next.atMs <= atMs + FAILOVER_MS) continue;
      const when = next === undefined ? 'never' : `${(next.atMs - atMs).toFixed(0)} ms later`;
      throw new Violation(
        'liveness',
        'failover',
        `the leader was hit at ${atMs.toFixed(0)} ms, the next one led ${when}`,
      );
    }
  };
}

export const NETWORKS: readonly Scenario[] = [
  {
    name: 'leader-cut-off',
    title: 'leader cut off: chooses nothing, serves no linearizable read; the rest elects within 2 s',
    replicasMin: 3,
    shape: kvdTiming,
    faults: apart((random) => ({
      kind: 'partition',
      side: ['leader'],
      oneWay: false,
      noticed: random.chance(0.5),
      forMs: 3000,
    })),
    expect: expectFailover('partition'),
  },
  {
    name: 'leader-paused',
    title: 'leader paused and resumed; the rest elects within 2 s',
    replicasMin: 3,
    shape: kvdTiming,
    faults: apart(() => ({ kind: 'pause', replica: 'leader', forMs: 3000 })),
    expect: expectFailover('pause'),
  },
  {
    name: 'leader-wakes-up-alone',
    title: 'leader paused, cut off and resumed: no stale read',
    replicasMin: 3,
    faults: (random, plan) =>
      [2000, 6000, 10_000, 14_000].flatMap((atMs) => drawRecipe(random, plan, atMs, 'sleeping-leader')),
  },
  {
    name: 'one-way-links',
    title: 'one-way links: one proposer makes progress',
    replicasMin: 3,
    faults: often([3, 8], (random, plan) => ({
      kind: 'partition',
      side: [anybody(random, plan)],
      oneWay: true,
      noticed: random.chance(0.3),
      forMs: electionMs(plan, random, 1, 8),
    })),
  },
  {
    name: 'flapping-links',
    title: 'flapping links: no livelock',
    replicasMin: 3,
    faults: often([2, 5], (random, plan) => ({
      kind: 'flap',
      replica: anybody(random, plan),
      periodMs: electionMs(plan, random, 0.1, 2),
      forMs: electionMs(plan, random, 4, 16),
    })),
  },
  {
    name: 'two-candidates',
    title: 'two candidates at once: no livelock',
    replicasMin: 3,
    faults: (random, plan) =>
      Array.from({ length: 8 }, (_, i) => 1500 + i * 2000 + random.between(0, 500)).flatMap((atMs) =>
        random
          .sample(
            Array.from({ length: plan.replicas }, (_, i) => i + 1),
            random.integer(2, plan.replicas),
          )
          .map((replica): Fault => ({ kind: 'campaign', replica, atMs: atMs + random.between(0, 5) })),
      ),
  },
  {
    name: 'bad-network',
    title: 'messages lost, doubled, reordered, from old ballots',
    replicasMin: 2,
    shape: (plan) => ({
      ...plan,
      weather: { loss: 0.1, duplication: 0.2, reordering: 0.4, delayMs: 1, jitterMs: 20 },
    }),
    faults: often([0, 3], (_, plan) => ({
      kind: 'storm',
      weather: { loss: 0.4, duplication: 0.3, reordering: 0.6, delayMs: 1, jitterMs: 60 },
      forMs: plan.electionTimeoutMs * 4,
    })),
  },
  {
    name: 'two-leaders',
    title:
      'a leader that is cut off accepts alone, its successor dies in its first slots: the higher ballot counts',
    replicasMin: 3,
    shape: (plan) => ({
      ...plan,
      alpha: 32,
      inFlightSlots: 8,
      batchCommands: 1,
      clients: plan.clients.map((client) => ({ ...client, concurrency: 4, loyalty: 0.2 })),
    }),
    faults: (random, plan) =>
      [2000, 7000, 12_000, 17_000].flatMap((atMs): Fault[] => {
        const successorMs = electionMs(plan, random, 1.1, 2.4);
        const forMs = successorMs + electionMs(plan, random, 0, 1);
        return [
          { kind: 'partition', side: ['leader'], oneWay: false, noticed: false, forMs, atMs },
          {
            kind: 'crash',
            replica: 'leader',
            downMs: electionMs(plan, random, 3, 6),
            writes: random.pick(['lost', 'some']),
            sideLags: false,
            fuse: { what: 'send', count: random.integer(4, 24) },
            atMs: atMs + successorMs,
          },
        ];
      }),
  },
  {
    name: 'read-after-election',
    title: 'read right after an election: waits until the leader has chosen in its own ballot',
    replicasMin: 3,
    shape: (plan) => ({ ...plan, inFlightSlots: 8, batchCommands: 1 }),
    faults: (random, plan) =>
      [2000, 6000, 10_000, 14_000].flatMap((atMs) => drawRecipe(random, plan, atMs, 'half-told')),
  },
];
