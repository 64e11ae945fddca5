/**
 * Membership in a plan: who there is besides the founders, what the operator asks for, and which disks are lost on top of
 * what goes wrong anyway. In two seeds of five, by dice of their own.
 */
import type { Shape } from './generate.js';
import type { Fault, FaultAction, MemberAsk, Target } from './plan.js';
import type { Random } from './random.js';

const SHARE = 0.4;
const REPLICAS_MAX = 9;
/** What is asked for, and how often. `readmit` is what the leader does by itself, but where that is turned off. */
const ASKS: readonly MemberAsk['type'][] = [
  'add',
  'add',
  'add',
  'replace',
  'replace',
  'remove',
  'remove',
  'remove',
  'demote',
  'promote',
  'accept-quorum',
  'move-leader',
  'readmit',
];

export function drawMembers(
  random: Random,
  drawn: Shape,
  faults: readonly Fault[],
): { readonly shape: Shape; readonly faults: readonly Fault[] } {
  if (!random.chance(SHARE)) return { shape: drawn, faults };
  const shape = withMachines(random, drawn);
  const moved = faults.map((fault) => (random.chance(0.25) ? atSpare(random, shape, fault) : fault));
  return {
    shape,
    faults: [...moved, ...drawEpisodes(random, shape, faults)].sort((a, b) => a.atMs - b.atMs),
  };
}

/** Spares, witnesses and quorums. */
function withMachines(random: Random, drawn: Shape): Shape {
  const { replicas } = drawn;
  const spares = Math.min(REPLICAS_MAX - replicas, replicas <= 3 ? random.pick([1, 2, 2, 3]) : 1);
  const witnesses: number[] = [];
  // As many as can be no quorum by themselves.
  const witnessesMax = Math.floor((replicas - 1) / 2);
  if (witnessesMax > 0 && random.chance(0.3)) {
    const count = random.integer(1, witnessesMax);
    for (let id = replicas; witnesses.length < count; id--) witnesses.push(id);
  }
  if (spares > 1 && random.chance(0.25)) witnesses.push(replicas + spares);
  const flexible = witnesses.length === 0 && random.chance(0.2);
  return {
    ...drawn,
    spares,
    witnesses,
    acceptQuorum: flexible ? random.integer(1, replicas) : 0,
    readmit: random.chance(0.15) ? 'manual' : 'auto',
    drift: [...drawn.drift, ...Array.from({ length: spares }, () => 1)],
    // A change takes alpha slots.
    alpha: Math.min(drawn.alpha, 32),
  };
}

/** The same fault, but it strikes one of the spares. */
function atSpare(random: Random, { replicas, spares }: Shape, fault: Fault): Fault {
  if (!('replica' in fault) || typeof fault.replica !== 'number' || spares === 0) return fault;
  return { ...fault, replica: replicas + random.integer(1, spares) } as Fault;
}

/** Changes come alone, in quick succession, and when something else goes wrong. */
function drawEpisodes(random: Random, shape: Shape, faults: readonly Fault[]): Fault[] {
  const { electionTimeoutMs, calmMs } = shape;
  const drawn: Fault[] = [];
  for (let episode = random.integer(1, 4); episode > 0; episode--) {
    const near = faults.length > 0 && random.chance(0.5) ? random.pick(faults).atMs : null;
    const beginMs = near ?? random.between(1500, calmMs - 4000);
    for (let change = random.pick([1, 1, 2, 3]); change > 0; change--)
      drawn.push({
        ...drawChange(random, shape),
        atMs: beginMs + random.between(-1, 6) * electionTimeoutMs,
      });
  }
  return drawn.map((fault) => ({ ...fault, atMs: Math.min(Math.max(fault.atMs, 500), calmMs - 2000) }));
}

function drawChange(random: Random, shape: Shape): FaultAction {
  const { electionTimeoutMs, replicas, spares } = shape;
  const dice = random.next();
  if (dice < 0.3) {
    const downMs = random.chance(0.5) ? 1 : electionTimeoutMs * random.between(0.3, 4);
    return { kind: 'wipe', replica: drawMember(random, shape), downMs };
  }
  if (dice < 0.36) return { kind: 'join', replica: replicas + random.integer(1, Math.max(1, spares)) };
  if (dice < 0.42) return { kind: 'return', replica: random.integer(1, replicas + spares) };
  return { kind: 'members', ask: drawAsk(random, shape) };
}

function drawAsk(random: Random, shape: Shape): MemberAsk {
  const { replicas, spares } = shape;
  const type = random.pick(ASKS);
  const newcomer = replicas + random.integer(1, Math.max(1, spares));
  switch (type) {
    case 'add':
      return { type, replica: newcomer, promote: random.chance(0.8) };
    case 'replace':
      return { type, replica: newcomer, leaves: drawMember(random, shape) };
    case 'accept-quorum':
      return { type, size: random.pick([0, 0, 1, 2, 3, 4]) };
    default:
      return { type, replica: drawMember(random, shape) };
  }
}

function drawMember(random: Random, { replicas, spares }: Shape): Target {
  return random.chance(0.3) ? 'leader' : random.integer(1, replicas + spares);
}
