/**
 * From a seed to a plan: the size of the cluster, its timing, its weather, which kinds of faults come and how often,
 * and what the clients do. Each seed draws its own mixture, so that faults come alone and together. What goes wrong
 * goes wrong in episodes, and the clients are busy then: two faults at once find more than two an hour apart.
 */
import { drawFault, drawWeather, FAULT_KINDS } from './generate-faults.js';
import { drawDataOperations } from './generate-data.js';
import { drawMembers } from './generate-members.js';
import { drawRecipe } from './recipes.js';
import type { ClientPlan, Fault, Operation, OperationKind, Plan } from './plan.js';
import { Random } from './random.js';

export interface PlanRequest {
  readonly seed: number;
  /** Null: drawn from the seed. */
  readonly replicas: number | null;
}

export type Shape = Omit<Plan, 'seed' | 'scenario' | 'faults' | 'operations'>;

/** With the time of grace after it, every run lasts for thirty virtual seconds at least (world.ts). */
const CALM_MS = 24_000;
const SIZES = [3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 5, 5, 5, 4, 2, 3, 5, 4, 1, 7, 6, 3, 9, 3, 8, 3, 3];
/** One seed in so many runs in slow motion: cluster time passes by hours, sessions and keys expire. */
const SLOW_MOTION = 24;
export const SLOWNESS = [60, 240] as const;

export function randomPlan({ seed, replicas }: PlanRequest): Plan {
  const random = new Random(seed, 'plan');
  const drawn = drawShape(random, replicas ?? random.pick(SIZES), new Random(seed, 'limits'));
  const members = drawMembers(new Random(seed, 'members'), drawn, drawFaults(random.fork('faults'), drawn));
  const { shape, faults } = members;
  const operations = [
    ...drawOperations(random.fork('operations'), shape, faults),
    ...drawDataOperations(random.fork('data'), shape, faults, random.pick([0, 0, 1, 1, 2])),
  ].sort((a, b) => a.atMs - b.atMs);
  const plan: Plan = { seed, scenario: 'random', ...shape, faults, operations };
  return seed % SLOW_MOTION === SLOW_MOTION - 1 ? inSlowMotion(plan, random.pick(SLOWNESS)) : plan;
}

/** `limits`: dice of what was added later, so that all else stays as it was drawn. */
export function drawShape(random: Random, replicas: number, limits: Random): Shape {
  const tickMs = random.pick([20, 30, 50, 50]);
  const heartbeatMs = tickMs * random.integer(3, 5);
  const electionTimeoutMs = heartbeatMs * random.integer(3, 6);
  const drifting = random.chance(0.35);
  // The last alpha slots stay in the log: where snapshots are to come, it has to be small.
  const alpha = random.pick([2, 2, 2, 8, 8, 32, 256]);
  return {
    replicas,
    spares: 0,
    witnesses: [],
    acceptQuorum: 0,
    readmit: 'auto',
    tickMs,
    heartbeatMs,
    electionTimeoutMs,
    alpha,
    inFlightSlots: random.pick([1, 2, 8, 8]),
    batchCommands: random.pick([1, 1, 2, 4096]),
    snapshotSlots: random.pick([1, 4, 16, 10_000]),
    drift: Array.from({ length: replicas }, () => (drifting ? random.between(0.6, 1.5) : 1)),
    weather: drawWeather(random),
    syncMs: random.pick([0.5, 2, 8]),
    readMs: 0.3,
    keys: random.pick([1, 3, 8]),
    calmMs: CALM_MS,
    graceMs: 4000 + 5 * electionTimeoutMs,
    endMs: CALM_MS + 14_000 + 20 * electionTimeoutMs,
    clients: Array.from({ length: random.integer(2, 4) }, () => drawClient(random, electionTimeoutMs)),
    ...drawLimits(limits, alpha),
  };
}

/** What is rare with the product's own limits, for runs are short and values small; and what is no promise of the world. */
function drawLimits(
  random: Random,
  alpha: number,
): Pick<Shape, 'promiseEntries' | 'digestSlots' | 'lateFrames' | 'twoQueues'> {
  return {
    // A change of the members fills alpha slots; who needs many more round trips than an election lasts is never elected.
    promiseEntries: Math.max(random.pick([1024, 1024, 1024, 1, 2, 3, 8]), Math.ceil(alpha / 8)),
    digestSlots: random.pick([1024, 64, 16, 4, 1]),
    lateFrames: random.chance(0.25),
    twoQueues: random.chance(0.25),
  };
}

function drawClient(random: Random, electionTimeoutMs: number): ClientPlan {
  return {
    session: random.chance(0.75),
    concurrency: random.pick([1, 1, 2, 4]),
    attemptMs: Math.round(electionTimeoutMs * random.pick([0.6, 1.5, 4])),
    deadlineMs: electionTimeoutMs * random.pick([4, 12]),
    backoffMs: 40,
    hedging: random.chance(0.3) ? 0.2 : 0,
    slowMs: random.chance(0.1) ? random.between(30, 150) : 0,
    loyalty: random.pick([0.2, 0.9]),
  };
}

const KINDS: readonly OperationKind[] = [
  ...Array<OperationKind>(6).fill('put'),
  ...Array<OperationKind>(6).fill('get'),
  'delete',
  'scan',
  'delete-range',
  'keyed-put',
];

export function drawOperations(random: Random, shape: Shape, faults: readonly Fault[]): Operation[] {
  const { keys, clients, electionTimeoutMs, calmMs } = shape;
  const operations: Operation[] = [];
  const count = random.pick([60, 120, 160]);
  for (let i = 0; i < count; i++) {
    const key = random.integer(0, keys - 1);
    const busy = faults.length > 0 && random.chance(0.6);
    const atMs = busy
      ? random.pick(faults).atMs + random.between(-0.5, 4) * electionTimeoutMs
      : random.between(0, calmMs * 1.1);
    operations.push({
      atMs: Math.max(0, atMs),
      client: random.integer(0, clients.length - 1),
      kind: random.pick(KINDS),
      key,
      span: random.integer(1, Math.max(1, keys - key)),
      valueBytes: random.chance(0.05) ? random.integer(100, 5000) : 0,
    });
  }
  return operations;
}

function drawFaults(random: Random, shape: Shape): Fault[] {
  if (random.chance(0.03)) return [];
  const kinds = random.sample(FAULT_KINDS, random.pick([1, 2, 3, 5, FAULT_KINDS.length]));
  const episodes = random.pick([1, 3, 5, 8]);
  const faults: Fault[] = [];
  for (let episode = 0; episode < episodes; episode++) {
    const beginMs = random.between(200, CALM_MS - 500);
    if (random.chance(0.25)) {
      faults.push(...drawRecipe(random, shape, beginMs).filter(({ atMs }) => atMs < CALM_MS));
      continue;
    }
    const count = random.pick([1, 1, 2, 3, 4]);
    for (let i = 0; i < count; i++) {
      const atMs = beginMs + random.exponential(shape.electionTimeoutMs / 3);
      if (atMs < CALM_MS) faults.push({ ...drawFault(random, random.pick(kinds), shape), atMs });
    }
  }
  return faults.sort((a, b) => a.atMs - b.atMs);
}

/** Everything takes `factor` times as long, but for the network and the disks. */
export function inSlowMotion(plan: Plan, factor: number): Plan {
  const slow = (ms: number): number => Math.round(ms * factor);
  return {
    ...plan,
    tickMs: slow(plan.tickMs),
    heartbeatMs: slow(plan.heartbeatMs),
    electionTimeoutMs: slow(plan.electionTimeoutMs),
    calmMs: slow(plan.calmMs),
    graceMs: slow(plan.graceMs),
    endMs: slow(plan.endMs),
    weather: { ...plan.weather, jitterMs: slow(plan.weather.jitterMs) / 4 },
    clients: plan.clients.map((client) => ({
      ...client,
      attemptMs: slow(client.attemptMs),
      deadlineMs: slow(client.deadlineMs),
      backoffMs: slow(client.backoffMs),
    })),
    faults: plan.faults.map((fault) => slowFault(fault, slow)),
    operations: plan.operations.map((operation) => ({
      ...operation,
      atMs: slow(operation.atMs),
      ...(operation.ttlMs !== undefined && { ttlMs: slow(operation.ttlMs) }),
    })),
  };
}

function slowFault(fault: Fault, slow: (ms: number) => number): Fault {
  const slowed = { ...fault, atMs: slow(fault.atMs) };
  if ('forMs' in slowed) return { ...slowed, forMs: slow(slowed.forMs) };
  if ('downMs' in slowed) return { ...slowed, downMs: slow(slowed.downMs) };
  return slowed;
}
