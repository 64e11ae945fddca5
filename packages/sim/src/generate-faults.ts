/** Draws single faults and weathers. Times are in proportion to the election time-out, where things get interesting. */
import type { FaultAction, FaultKind, Plan, Target, Weather } from './plan.js';
import type { Random } from './random.js';

/** What belongs to scenarios only is not drawn, and what concerns the members is drawn elsewhere (generate-members.ts). */
export type DrawnKind = Exclude<
  FaultKind,
  'roll-back' | 'diverge' | 'swap-disks' | 'members' | 'join' | 'return' | 'twin'
>;

/** How often each kind is drawn, where it is drawn at all. */
export const FAULT_KINDS: readonly DrawnKind[] = [
  'crash',
  'crash',
  'crash',
  'crash-all',
  'stop',
  'partition',
  'partition',
  'partition',
  'flap',
  'slow-disk',
  'stuck-disk',
  'write-error',
  'read-error',
  'flip-bit',
  'lose-tail',
  'wipe',
  'pause',
  'pause',
  'clock-jump',
  'kill-role',
  'campaign',
  'storm',
];

export function drawWeather(random: Random): Weather {
  const bad = random.chance(0.5);
  return {
    loss: bad ? random.pick([0, 0.01, 0.05, 0.15]) : 0,
    duplication: bad ? random.pick([0, 0.02, 0.2]) : 0,
    reordering: bad ? random.pick([0, 0.05, 0.3]) : 0,
    delayMs: random.pick([0.2, 1, 5]),
    jitterMs: random.pick([0.2, 2, 20]),
  };
}

type Sizes = Pick<Plan, 'replicas' | 'electionTimeoutMs'>;

export function drawFault(random: Random, kind: DrawnKind, sizes: Sizes): FaultAction {
  switch (kind) {
    case 'crash':
    case 'crash-all':
    case 'stop':
    case 'kill-role':
    case 'campaign':
      return drawProcessFault(random, kind, sizes);
    case 'partition':
    case 'flap':
    case 'storm':
      return drawNetworkFault(random, kind, sizes);
    case 'pause':
      return { kind, replica: drawTarget(random, sizes), forMs: drawMs(random, sizes) };
    case 'clock-jump':
      return {
        kind,
        replica: drawTarget(random, sizes),
        byMs: random.pick([-3_600_000, 3_600_000, 86_400_000]),
      };
    default:
      return drawDiskFault(random, kind, sizes);
  }
}

type ProcessFault = 'crash' | 'crash-all' | 'stop' | 'kill-role' | 'campaign';

function drawProcessFault(random: Random, kind: ProcessFault, sizes: Sizes): FaultAction {
  const replica = drawTarget(random, sizes);
  const downMs = random.chance(0.3) ? 1 : drawMs(random, sizes);
  switch (kind) {
    case 'crash': {
      const fuse = random.chance(0.7)
        ? { what: random.pick(['send', 'write'] as const), count: random.integer(1, 12) }
        : null;
      return {
        kind,
        replica,
        downMs,
        writes: random.pick(['lost', 'some', 'all']),
        sideLags: random.chance(0.3),
        fuse,
      };
    }
    case 'crash-all':
      return { kind, downMs, writes: random.pick(['lost', 'some']) };
    case 'stop':
      return { kind, replica, downMs };
    case 'kill-role':
      return { kind, replica, role: random.pick(['acceptor', 'learner', 'proposer']), downMs };
    case 'campaign':
      return { kind, replica };
  }
}

function drawNetworkFault(random: Random, kind: 'partition' | 'flap' | 'storm', sizes: Sizes): FaultAction {
  const forMs = drawMs(random, sizes);
  switch (kind) {
    case 'partition': {
      const alone = random.chance(0.6);
      const ids = Array.from({ length: sizes.replicas }, (_, i) => i + 1);
      const size = random.integer(1, Math.max(1, Math.floor(sizes.replicas / 2)));
      const side: Target[] = alone ? [drawTarget(random, sizes)] : random.sample(ids, size);
      return { kind, side, oneWay: random.chance(0.35), noticed: random.chance(0.5), forMs };
    }
    case 'flap':
      return {
        kind,
        replica: drawTarget(random, sizes),
        periodMs: sizes.electionTimeoutMs * random.pick([0.1, 0.5, 1.5]),
        forMs: forMs * 2,
      };
    case 'storm':
      return { kind, weather: { ...drawWeather(random), loss: random.pick([0.1, 0.4]) }, forMs };
  }
}

type DiskFault = Exclude<DrawnKind, ProcessFault | 'partition' | 'flap' | 'storm' | 'pause' | 'clock-jump'>;

function drawDiskFault(random: Random, kind: DiskFault, sizes: Sizes): FaultAction {
  const replica = drawTarget(random, sizes);
  const forMs = drawMs(random, sizes);
  const downMs = random.chance(0.3) ? 1 : forMs;
  const part = random.pick(['log', 'state'] as const);
  switch (kind) {
    case 'slow-disk':
      return { kind, replica, factor: random.pick([10, 50, 300]), forMs };
    case 'stuck-disk':
      return { kind, replica, forMs };
    case 'write-error':
      return {
        kind,
        replica,
        part,
        error: random.pick(['no-space', 'io']),
        extent: random.pick(['once', 'always']),
        forMs,
      };
    case 'read-error':
      return { kind, replica, part, forMs };
    case 'flip-bit':
      return {
        kind,
        replica,
        part: random.pick(['log', 'log', 'state', 'state', 'side', 'identity'] as const),
        where: random.next(),
        live: random.chance(0.3),
        downMs,
      };
    case 'lose-tail':
      return { kind, replica, part, batches: random.integer(1, 20), downMs };
    case 'wipe':
      return { kind, replica, downMs };
  }
}

function drawTarget(random: Random, { replicas }: Sizes): Target {
  return random.chance(0.5) ? 'leader' : random.integer(1, replicas);
}

function drawMs(random: Random, { electionTimeoutMs }: Sizes): number {
  return electionTimeoutMs * random.pick([0.1, 0.7, 1.5, 4]) * random.between(0.6, 1.5);
}
