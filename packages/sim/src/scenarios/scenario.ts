/** What a scenario is, and what several of them draw alike. */
import type { Fault, FaultAction, Operation, Plan, Target } from '../plan.js';
import type { Random } from '../random.js';
import type { World } from '../world.js';

export interface Scenario {
  readonly name: string;
  /** The row of the table. */
  readonly title: string;
  /** Fewer replicas make no sense of it. */
  readonly replicasMin: number;
  /** What to change of the drawn plan. */
  readonly shape?: (plan: Plan) => Plan;
  /** How much is done with the data model; otherwise drawn. */
  readonly data?: number;
  readonly faults: (random: Random, plan: Plan) => readonly Fault[];
  /** What to change of the drawn operations. */
  readonly operations?: (operations: readonly Operation[], plan: Plan) => readonly Operation[];
  /** More disks are lost than the members survive: nothing comes round any more, and what is left is judged. */
  readonly isHopeless?: boolean;
  /** Throws when what is expected did not come about. Called with a world that every judge was content with. */
  readonly expect?: (world: World) => void;
}

/** The same kind of fault several times, at random times. */
export function often(
  times: readonly [number, number],
  draw: (random: Random, plan: Plan) => FaultAction,
): Scenario['faults'] {
  return (random, plan) =>
    Array.from({ length: random.integer(...times) }, () => ({
      ...draw(random, plan),
      atMs: random.between(1500, plan.calmMs - 1000),
    }));
}

export function anybody(random: Random, { replicas }: Plan): Target {
  return random.chance(0.5) ? 'leader' : random.integer(1, replicas);
}

export function crash(writes: 'lost' | 'some' | 'all', what: 'send' | 'write' | null): Scenario['faults'] {
  return often([4, 10], (random, plan) => ({
    kind: 'crash',
    replica: anybody(random, plan),
    downMs: plan.electionTimeoutMs * random.between(0.1, 4),
    writes,
    sideLags: random.chance(0.5),
    fuse: what === null ? null : { what, count: random.integer(1, 8) },
  }));
}

export function electionMs({ electionTimeoutMs }: Plan, random: Random, low: number, high: number): number {
  return electionTimeoutMs * random.between(low, high);
}

/** Single faults, far enough apart for a failover between them. */
export function apart(draw: (random: Random, plan: Plan) => FaultAction): Scenario['faults'] {
  return (random, plan) =>
    [4000, 9000, 14_000].map((atMs) => ({ ...draw(random, plan), atMs: atMs + random.between(0, 500) }));
}

const KVD_TIMING = { tickMs: 20, heartbeatMs: 60, electionTimeoutMs: 400 } as const;
const MILD = { loss: 0, duplication: 0, reordering: 0, delayMs: 0.5, jitterMs: 1 } as const;

/** As kvd runs by default, on a good network. */
export const kvdTiming = (plan: Plan): Plan => ({
  ...plan,
  ...KVD_TIMING,
  drift: plan.drift.map(() => 1),
  weather: MILD,
  syncMs: 0.5,
  clients: plan.clients.map((client) => ({
    ...client,
    attemptMs: 200,
    deadlineMs: 6000,
    loyalty: 0,
    slowMs: 0,
  })),
});
