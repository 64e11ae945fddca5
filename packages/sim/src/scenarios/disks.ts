/** Scenarios of disks that are full, slow, damaged, exchanged or empty. */
import type { Fault } from '../plan.js';
import { Violation } from '../violation.js';
import { expectReadmitted } from './members.js';
import { anybody, apart, electionMs, kvdTiming, often, type Scenario } from './scenario.js';

export const DISKS: readonly Scenario[] = [
  {
    name: 'flipped-bits',
    title: 'flipped bit in log, state, side file or identity',
    replicasMin: 3,
    faults: often([2, 6], (random, plan) => ({
      kind: 'flip-bit',
      replica: anybody(random, plan),
      part: random.pick(['log', 'state', 'side', 'identity']),
      where: random.next(),
      live: random.chance(0.3),
      downMs: electionMs(plan, random, 0.1, 3),
    })),
  },
  {
    name: 'damaged-source',
    title: 'flipped bit in the log or state of a leader that a newcomer wants to learn from',
    replicasMin: 5,
    // Either what is asked for is cut from the log, and a snapshot is wanted, or nothing is ever cut.
    shape: (plan) => ({
      ...plan,
      alpha: 2,
      snapshotSlots: plan.seed % 2 === 0 ? 1 : 10_000,
      batchCommands: 1,
    }),
    faults: (random, plan) => [
      {
        kind: 'flip-bit',
        replica: 'leader',
        part: plan.seed % 2 === 0 ? 'state' : 'log',
        where: random.next(),
        live: true,
        downMs: 1,
        atMs: random.between(5000, 8000),
      },
      {
        kind: 'wipe',
        replica: random.integer(1, plan.replicas),
        downMs: 1,
        atMs: random.between(8000, 14_000),
      },
    ],
  },
  {
    name: 'damaged-record',
    title:
      'flipped bits in a state that is then read anew: what is not in memory is noticed at the next read',
    replicasMin: 3,
    shape: (plan) => ({ ...plan, keys: 8 }),
    faults: (random, plan) => {
      const replica = random.integer(1, plan.replicas);
      return [3000, 7000, 11_000].flatMap((atMs): Fault[] => [
        { kind: 'flip-bit', replica, part: 'state', where: random.next(), live: true, downMs: 1, atMs },
        { kind: 'kill-role', replica, role: 'learner', downMs: 50, atMs: atMs + 20 },
      ]);
    },
  },
  {
    name: 'lost-tail',
    title: 'cut in log or state: a disk that lied about its last syncs',
    replicasMin: 3,
    faults: often([1, 4], (random, plan) => ({
      kind: 'lose-tail',
      replica: anybody(random, plan),
      part: random.pick(['log', 'state']),
      batches: random.integer(1, 30),
      downMs: electionMs(plan, random, 0.1, 3),
    })),
  },
  {
    name: 'wiped-directory',
    title: 'data directory wiped: noticed by incarnation, admitted again through the log',
    replicasMin: 3,
    faults: often([1, 4], (random, plan) => ({
      kind: 'wipe',
      replica: anybody(random, plan),
      downMs: electionMs(plan, random, 0.1, 3),
    })),
    expect: expectReadmitted,
  },
  {
    name: 'rolled-back-directory',
    title:
      'an old copy of the directory put back: peers that heard newer writes notice, and it counts as lost',
    replicasMin: 3,
    shape: kvdTiming,
    faults: (random, plan) => [
      {
        kind: 'roll-back',
        replica: 'leader',
        ageMs: random.between(500, 4000),
        downMs: electionMs(plan, random, 0.1, 3),
        atMs: random.between(4000, 12_000),
      },
    ],
    expect: (world) => {
      expectReadmitted(world);
      world.rollbacks.judge(world.machines.map(({ identity }) => identity));
    },
  },
  {
    name: 'state-diverges',
    title: 'a state is not what others made of the same slots: it is distrusted and rebuilt (S12)',
    replicasMin: 3,
    shape: (plan) => ({ ...kvdTiming(plan), digestSlots: [1, 2, 4][plan.seed % 3] ?? 1 }),
    faults: apart((random, plan) => ({ kind: 'diverge', replica: anybody(random, plan) })),
    expect: ({ states }) => {
      const [replica] = states.unrepaired;
      if (replica !== undefined)
        throw new Violation(
          'safety',
          'S12',
          `replica ${replica} has a state of its own, and goes on with it`,
        );
    },
  },
  {
    name: 'foreign-directory',
    title: 'directory of another replica: refuses to start',
    replicasMin: 3,
    faults: (random, plan) => {
      const [replica = 1, other = 2] = random.sample(
        Array.from({ length: plan.replicas }, (_, i) => i + 1),
        2,
      );
      return [{ kind: 'swap-disks', replica, other, forMs: 3000, atMs: random.between(2000, 12_000) }];
    },
    expect: ({ refusals }) => {
      if (!refusals.some((message) => message.includes('belongs to replica')))
        throw new Violation('safety', 'start', "nobody refused to start with another's directory");
    },
  },
  {
    name: 'disk-full',
    title: 'disk full: clear error, nothing lost, recovers when there is room',
    replicasMin: 1,
    faults: often([2, 6], (random, plan) => ({
      kind: 'write-error',
      replica: anybody(random, plan),
      part: random.pick(['log', 'state']),
      error: 'no-space',
      extent: 'always',
      forMs: electionMs(plan, random, 0.5, 6),
    })),
  },
  {
    name: 'write-error-once',
    title: 'write error once',
    replicasMin: 1,
    faults: often([3, 8], (random, plan) => ({
      kind: 'write-error',
      replica: anybody(random, plan),
      part: random.pick(['log', 'state']),
      error: random.pick(['no-space', 'io']),
      extent: 'once',
      forMs: electionMs(plan, random, 0.5, 3),
    })),
  },
  {
    name: 'snapshot-write-errors',
    title: 'a follower far behind whose state cannot be written once, while a snapshot comes',
    replicasMin: 3,
    shape: (plan) => ({ ...plan, alpha: 2, snapshotSlots: 1, batchCommands: 1 }),
    faults: (random, plan) =>
      [2000, 7000, 12_000].flatMap((atMs): Fault[] => {
        const replica = random.integer(1, plan.replicas);
        const error = random.pick(['no-space', 'io'] as const);
        const write = { kind: 'write-error', replica, part: 'state', error, extent: 'once' } as const;
        return [
          { kind: 'partition', side: [replica], oneWay: false, noticed: true, forMs: 3500, atMs },
          // On a slow disk, so that the error meets any step of the installation, the last one too.
          { kind: 'slow-disk', replica, factor: 50, forMs: 2500, atMs: atMs + 3400 },
          { ...write, forMs: 2500, atMs: atMs + random.between(3400, 4400) },
        ];
      }),
  },
  {
    name: 'read-error',
    title: 'read error',
    replicasMin: 1,
    faults: often([2, 6], (random, plan) => ({
      kind: 'read-error',
      replica: anybody(random, plan),
      part: random.pick(['log', 'state']),
      forMs: electionMs(plan, random, 0.5, 4),
    })),
  },
  {
    name: 'snapshots-given-up',
    title: 'two followers on full disks end the snapshots that they are sent, then a newcomer wants one',
    replicasMin: 4,
    shape: (plan) => ({ ...kvdTiming(plan), alpha: 2, snapshotSlots: 1, batchCommands: 1 }),
    faults: (random, plan) => {
      const ids = Array.from({ length: plan.replicas }, (_, i) => i + 1);
      const [newcomer = 1, ...full] = random.sample(ids, 3);
      const wipeMs = plan.calmMs - 500;
      const noSpace = { kind: 'write-error', part: 'state', error: 'no-space', extent: 'always' } as const;
      return [
        ...full.map((replica) => ({ ...noSpace, replica, forMs: 7000, atMs: wipeMs - 7500 })),
        { kind: 'wipe', replica: newcomer, downMs: 1, atMs: wipeMs },
      ];
    },
    // There has to be something to write while there is no room.
    operations: (operations, { calmMs }) =>
      operations.map((operation, i) =>
        i % 2 === 0 ? operation : { ...operation, atMs: calmMs - 8000 + i * 50 },
      ),
  },
  {
    name: 'read-error-and-laggard',
    title: 'a state that cannot be read while a peer is far behind: what is in no log any more does not go',
    replicasMin: 3,
    shape: (plan) => ({ ...plan, alpha: 2, snapshotSlots: 1, batchCommands: 1 }),
    faults: (random, plan) =>
      [2000, 8000, 14_000].flatMap((atMs): Fault[] => {
        const ids = Array.from({ length: plan.replicas }, (_, i) => i + 1);
        const side = random.sample(ids, Math.floor((plan.replicas - 1) / 2));
        const error = { kind: 'read-error', replica: 'leader', part: 'state', forMs: 3000 } as const;
        return [
          { kind: 'partition', side, oneWay: false, noticed: true, forMs: 3500, atMs },
          { ...error, atMs: atMs + 3400 },
        ];
      }),
  },
  {
    name: 'slow-everything',
    title: 'slow follower, slow disk, slow client, 2 s stall: the rest goes on',
    replicasMin: 3,
    shape: (plan) => ({ ...plan, clients: plan.clients.map((client) => ({ ...client, slowMs: 100 })) }),
    faults: often([3, 8], (random, plan) => {
      const replica = anybody(random, plan);
      switch (random.integer(0, 2)) {
        case 0:
          return { kind: 'slow-disk', replica, factor: random.pick([20, 200]), forMs: 3000 };
        case 1:
          return { kind: 'stuck-disk', replica, forMs: random.between(500, 3000) };
        default:
          return { kind: 'pause', replica, forMs: 2000 };
      }
    }),
  },
];
