/** Scenarios of clocks, of clients that try again, and of roles that are killed. */
import { inSlowMotion, SLOWNESS } from '../generate.js';
import { drawRecipe } from '../recipes.js';
import { anybody, crash, electionMs, often, type Scenario } from './scenario.js';

/** Of the scenario of leaders that take turns. */
const IDLE_UNTIL_MS = 13_000;

export const CLOCKS_AND_CLIENTS: readonly Scenario[] = [
  {
    name: 'clock-jumps',
    title: 'clock jumps an hour, runs slow: nothing ends early, no stale read',
    replicasMin: 1,
    shape: (plan) => ({ ...plan, drift: plan.drift.map((_, i) => [0.6, 1.5, 1, 0.8, 1.2][i % 5] ?? 1) }),
    faults: often([4, 12], (random, plan) => {
      const replica = anybody(random, plan);
      return random.chance(0.7)
        ? { kind: 'clock-jump', replica, byMs: random.pick([3_600_000, -3_600_000]) }
        : { kind: 'pause', replica, forMs: electionMs(plan, random, 0.5, 3) };
    }),
  },
  {
    name: 'client-retries',
    title: 'client times out and retries elsewhere: applied once',
    replicasMin: 2,
    shape: (plan) => ({
      ...plan,
      clients: plan.clients.map((client) => ({
        ...client,
        session: true,
        attemptMs: Math.round(plan.electionTimeoutMs / 3),
        deadlineMs: plan.electionTimeoutMs * 12,
        hedging: 0.4,
        loyalty: 0,
      })),
    }),
    faults: (random, plan) => [
      ...crash('some', 'send')(random, plan),
      ...often([1, 4], () => ({ kind: 'pause', replica: 'leader', forMs: plan.electionTimeoutMs }))(
        random,
        plan,
      ),
    ],
  },
  {
    name: 'expired-session',
    title: 'retries after expiry: an explicit error',
    replicasMin: 1,
    shape: (plan) => inSlowMotion(plan, SLOWNESS[0]),
    faults: (random, plan) => crash('some', null)(random, plan).slice(0, 3),
    // Nobody asks for anything from a quarter on, for longer than a session lives.
    operations: (operations, { calmMs }) =>
      operations.map((operation) => {
        const idle = operation.atMs > calmMs * 0.25 && operation.atMs < calmMs * 0.85;
        return idle ? { ...operation, atMs: operation.atMs / 4 } : operation;
      }),
  },
  {
    name: 'data-model',
    title:
      'watches, leases, transactions and history across restarts, followers that are far behind, jumping clocks',
    replicasMin: 3,
    data: 4,
    // Snapshots come often, and what is done is not drowned in what is retried.
    shape: (plan) => ({ ...plan, alpha: 2, snapshotSlots: 4 }),
    faults: (random, plan) => [
      ...crash('some', 'send')(random, plan).slice(0, 3),
      ...drawRecipe(random, plan, random.between(3000, 9000), 'late-follower'),
      ...often([2, 6], (dice, { replicas }) => {
        const replica = dice.chance(0.5) ? 'leader' : dice.integer(1, replicas);
        const forMs = electionMs(plan, dice, 0.3, 3);
        return dice.pick([
          { kind: 'clock-jump', replica, byMs: 3_600_000 },
          { kind: 'pause', replica, forMs },
          { kind: 'campaign', replica },
          { kind: 'slow-disk', replica, factor: 50, forMs },
        ] as const);
      })(random, plan),
    ],
  },
  {
    name: 'leaders-take-turns',
    title: 'who led through an idle time leads again: no lease ends early',
    replicasMin: 2,
    data: 3,
    // The first one leads for long while nothing is written, and its clock goes on; then another one grants leases.
    faults: (random, { replicas }) => {
      const first = random.integer(1, replicas);
      const second = (first % replicas) + 1;
      return [
        { kind: 'campaign', replica: first, atMs: 1500 },
        { kind: 'campaign', replica: second, atMs: IDLE_UNTIL_MS },
        ...[1500, 3000, 4500, 6000].map((laterMs, i) => ({
          kind: 'campaign' as const,
          replica: i % 2 === 0 ? first : second,
          atMs: IDLE_UNTIL_MS + laterMs + random.between(0, 500),
        })),
      ];
    },
    operations: (operations, { calmMs }) =>
      operations.map((operation) => {
        const { atMs } = operation;
        const busy = atMs < 1000 || atMs > IDLE_UNTIL_MS;
        const share = (calmMs - IDLE_UNTIL_MS) / calmMs;
        return busy ? operation : { ...operation, atMs: IDLE_UNTIL_MS + 200 + atMs * share * 0.7 };
      }),
  },
  {
    name: 'role-kills',
    title: 'roles killed and rebuilt (chaos)',
    replicasMin: 1,
    faults: often([4, 14], (random, plan) => ({
      kind: 'kill-role',
      replica: anybody(random, plan),
      role: random.pick(['acceptor', 'learner', 'proposer']),
      downMs: electionMs(plan, random, 0.1, 3),
    })),
  },
];
