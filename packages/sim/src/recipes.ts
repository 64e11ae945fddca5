/**
 * Faults that belong together: the stories behind the rules of the protocol, each with times of its own. Alone, dice
 * tell them too seldom.
 */
import type { Fault, Plan } from './plan.js';
import type { Random } from './random.js';

type Sizes = Pick<Plan, 'replicas' | 'electionTimeoutMs'>;
type Recipe = (random: Random, sizes: Sizes, atMs: number) => Fault[];

/** A leader sleeps and wakes up cut off, and believes that it leads. (S7) */
const sleepingLeader: Recipe = (random, { electionTimeoutMs }, atMs) => {
  const forMs = electionTimeoutMs * random.between(1.5, 4);
  const longer = forMs + electionTimeoutMs * random.between(0.3, 2);
  return [
    { kind: 'partition', side: ['leader'], oneWay: false, noticed: false, forMs: longer, atMs },
    { kind: 'pause', replica: 'leader', forMs, atMs: atMs + 1 },
  ];
};

/** A leader that is cut off proposes to itself; its successor dies with values that few know. (S3) */
const twoLeaders: Recipe = (random, { electionTimeoutMs }, atMs) => {
  const forMs = electionTimeoutMs * random.between(1.5, 3.5);
  return [
    { kind: 'partition', side: ['leader'], oneWay: false, noticed: false, forMs, atMs },
    {
      kind: 'crash',
      replica: 'leader',
      downMs: electionTimeoutMs * random.between(1, 6),
      writes: random.pick(['lost', 'some']),
      sideLags: false,
      fuse: { what: random.pick(['send', 'write']), count: random.integer(1, 20) },
      atMs: atMs + forMs * random.between(0.9, 1),
    },
  ];
};

/** A leader dies between the accepts that it sends to one and to another, and the next one soon after. (S3) */
const halfTold: Recipe = (random, { electionTimeoutMs }, atMs) => {
  const crash = (laterMs: number): Fault => ({
    kind: 'crash',
    replica: 'leader',
    downMs: electionTimeoutMs * random.between(0.2, 5),
    writes: random.pick(['lost', 'some']),
    sideLags: false,
    fuse: { what: 'send', count: random.integer(1, 9) },
    atMs: atMs + laterMs,
  });
  return [crash(0), crash(electionTimeoutMs * random.between(1.2, 3))];
};

/** Replicas restart faster than anybody notices, again and again. */
const hiccups: Recipe = (random, { replicas, electionTimeoutMs }, atMs) =>
  Array.from({ length: random.integer(2, 5) }, (_, i) => ({
    kind: 'crash',
    replica: random.integer(1, replicas),
    downMs: 1,
    writes: random.pick(['lost', 'some']),
    sideLags: random.chance(0.3),
    fuse: null,
    atMs: atMs + i * electionTimeoutMs * random.between(0.1, 0.5),
  }));

/** Somebody who lags far behind comes back, while others restart. (S9, S10) */
const lateFollower: Recipe = (random, { replicas, electionTimeoutMs }, atMs) => {
  const replica = random.integer(1, replicas);
  const forMs = electionTimeoutMs * random.between(4, 10);
  const crash = (victim: number | 'leader', laterMs: number): Fault => ({
    kind: 'crash',
    replica: victim,
    downMs: random.pick([1, electionTimeoutMs]),
    writes: random.pick(['lost', 'some']),
    sideLags: false,
    fuse: random.chance(0.5) ? { what: 'write', count: random.integer(1, 6) } : null,
    atMs: atMs + forMs + laterMs,
  });
  return [
    { kind: 'partition', side: [replica], oneWay: false, noticed: random.chance(0.5), forMs, atMs },
    crash(replica, electionTimeoutMs * random.between(0, 1)),
    crash('leader', electionTimeoutMs * random.between(0, 1)),
  ];
};

const RECIPES = {
  'sleeping-leader': sleepingLeader,
  'two-leaders': twoLeaders,
  'half-told': halfTold,
  hiccups,
  'late-follower': lateFollower,
} as const satisfies Record<string, Recipe>;

export type RecipeName = keyof typeof RECIPES;

/** The faults of one recipe, a random one unless it is named, beginning at `atMs`. */
export function drawRecipe(random: Random, sizes: Sizes, atMs: number, name?: RecipeName): Fault[] {
  const recipe = RECIPES[name ?? random.pick(Object.keys(RECIPES) as RecipeName[])];
  return recipe(random, sizes, atMs).sort((a, b) => a.atMs - b.atMs);
}
