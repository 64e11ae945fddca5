/** Scenarios of witnesses: two replicas with the data and a third that has only votes survive the loss of any one. */
import type { Fault, Plan } from '../plan.js';
import type { Random } from '../random.js';
import { expectReadmitted } from './members.js';
import { electionMs, type Scenario } from './scenario.js';

/** The last ones are witnesses, as many as can be no quorum by themselves; logs are cut as soon as they may be. */
function withWitnesses(plan: Plan): Plan {
  const count = Math.floor((plan.replicas - 1) / 2);
  const witnesses = Array.from({ length: count }, (_, i) => plan.replicas - i);
  const { seed } = plan;
  return { ...plan, witnesses, alpha: 2, snapshotSlots: seed % 4 === 0 ? 16 : 1, batchCommands: 1 };
}

function dataReplica(random: Random, { replicas, witnesses }: Plan): number {
  return random.integer(1, replicas - witnesses.length);
}

const away = (replica: number, forMs: number, atMs: number): Fault => ({
  kind: 'partition',
  side: [replica],
  oneWay: false,
  noticed: true,
  forMs,
  atMs,
});

export const WITNESSES: readonly Scenario[] = [
  {
    name: 'witness-each-in-turn',
    title: 'of two data replicas and a witness each loses its disk in turn',
    replicasMin: 3,
    shape: withWitnesses,
    faults: (random, plan) =>
      random
        .sample(
          Array.from({ length: plan.replicas }, (_, i) => i + 1),
          4,
        )
        .map((replica, i) => ({
          kind: 'wipe',
          replica,
          downMs: electionMs(plan, random, 0, 2),
          atMs: 2500 + i * 5000 + random.between(0, 1000),
        })),
    expect: expectReadmitted,
  },
  {
    name: 'witness-holds-the-rest',
    title:
      'a data replica is away while the other one writes, and then loses its disk: the witness has the rest',
    replicasMin: 3,
    shape: withWitnesses,
    faults: (random, plan) =>
      [2000, 9000, 15_000].flatMap((atMs): Fault[] => {
        const replica = dataReplica(random, plan);
        const forMs = random.between(1500, 3500);
        const backMs = atMs + forMs + electionMs(plan, random, -0.3, 1);
        return [
          away(replica, forMs, atMs),
          { kind: 'wipe', replica: 'leader', downMs: electionMs(plan, random, 0.5, 4), atMs: backMs },
        ];
      }),
    expect: expectReadmitted,
  },
  {
    name: 'witness-far-behind',
    title:
      'a witness is away until the logs do not reach back to it; data replicas come back and lose disks meanwhile',
    replicasMin: 3,
    shape: withWitnesses,
    faults: (random, plan) =>
      [2000, 9000, 15_000].flatMap((atMs): Fault[] => {
        const [witness = plan.replicas] = plan.witnesses;
        const other = dataReplica(random, plan);
        const forMs = random.between(1800, 2500);
        const backMs = atMs + forMs;
        return [
          away(witness, forMs, atMs),
          // The logs are cut above what the witness has, and not above what this one has.
          away(other, random.between(1500, 3000), atMs + random.between(700, 1500)),
          {
            kind: 'wipe',
            replica: random.pick([witness, dataReplica(random, plan), dataReplica(random, plan)]),
            downMs: electionMs(plan, random, 0, 2),
            atMs: random.chance(0.5) ? backMs - random.between(300, 900) : backMs + random.between(0, 1500),
          },
        ];
      }),
    expect: expectReadmitted,
  },
  {
    name: 'witness-and-snapshots',
    title:
      'snapshots are taken of a data replica that dies in the middle, while the other one and the witness lag',
    replicasMin: 3,
    shape: (plan) => ({ ...withWitnesses(plan), spares: 1, snapshotSlots: plan.seed % 3 === 0 ? 4 : 1 }),
    faults: (random, plan) => {
      const learner = plan.replicas + 1;
      const [witness = plan.replicas] = plan.witnesses;
      return [
        { kind: 'members', ask: { type: 'add', replica: learner, promote: false }, atMs: 1500 },
        ...[4000, 10_000, 16_000].flatMap((atMs): Fault[] => {
          const late = (low: number, high: number): number => atMs + random.between(low, high);
          const crash = {
            kind: 'crash',
            replica: 'leader',
            downMs: 1,
            writes: 'some',
            sideLags: false,
          } as const;
          return [
            away(dataReplica(random, plan), random.between(1500, 3000), atMs),
            away(witness, random.between(200, 900), late(100, 900)),
            { kind: 'wipe', replica: learner, downMs: 1, atMs: late(0, 1500) },
            {
              ...crash,
              fuse: { what: random.pick(['write', 'send']), count: random.integer(1, 9) },
              atMs: late(300, 1800),
            },
            {
              kind: 'wipe',
              replica: 'leader',
              downMs: electionMs(plan, random, 0, 3),
              atMs: late(2500, 4500),
            },
          ];
        }),
      ];
    },
  },
  {
    name: 'witness-joins',
    title: 'a witness joins data replicas of which one lags and whose logs are cut; another one is replaced',
    replicasMin: 3,
    shape: (plan) => ({
      ...plan,
      spares: 1,
      witnesses: [plan.replicas + 1],
      alpha: 2,
      snapshotSlots: 1,
      batchCommands: 1,
    }),
    faults: (random, plan) => {
      const beginMs = random.between(5000, 7000);
      const witness = plan.replicas + 1;
      const leaves = dataReplica(random, { ...plan, witnesses: [] });
      return [
        away(dataReplica(random, { ...plan, witnesses: [] }), electionMs(plan, random, 3, 8), beginMs - 1500),
        random.chance(0.5)
          ? { kind: 'members', ask: { type: 'add', replica: witness, promote: true }, atMs: beginMs }
          : { kind: 'members', ask: { type: 'replace', replica: witness, leaves }, atMs: beginMs },
        ...[5000, 9000].map(
          (laterMs): Fault => ({
            kind: 'wipe',
            replica: random.pick(['leader', witness] as const),
            downMs: electionMs(plan, random, 0, 3),
            atMs: beginMs + laterMs,
          }),
        ),
      ];
    },
  },
];
