/** Scenarios of processes that die, and of those who lag behind. */
import { drawRecipe } from '../recipes.js';
import type { Fault } from '../plan.js';
import { crash, electionMs, often, type Scenario } from './scenario.js';

const CALM = { loss: 0, duplication: 0, reordering: 0, delayMs: 0.5, jitterMs: 1 } as const;

export const CRASHES: readonly Scenario[] = [
  {
    name: 'kill-before-sync',
    title: 'kill between receiving prepare or accept and the sync',
    replicasMin: 1,
    faults: crash('lost', 'write'),
  },
  {
    name: 'kill-after-sync',
    title: 'kill after the sync, before the answer',
    replicasMin: 1,
    faults: crash('all', 'write'),
  },
  {
    name: 'power-cut',
    title: 'drop all un-synced bytes at a kill',
    replicasMin: 1,
    faults: often([2, 6], (random, plan) => ({
      kind: 'crash-all',
      downMs: electionMs(plan, random, 0.1, 2),
      writes: 'lost',
    })),
  },
  {
    name: 'torn-tail',
    title: 'torn last record: the write under way is there or is not, the side file lags',
    replicasMin: 1,
    faults: crash('some', null),
  },
  {
    name: 'crash-under-load',
    title: 'crash between apply and flush, under load',
    replicasMin: 1,
    shape: (plan) => ({ ...plan, syncMs: 8, weather: CALM, alpha: 2, snapshotSlots: 4 }),
    faults: (random, plan) => [
      ...crash('some', 'write')(random, plan),
      ...often([1, 4], () => ({ kind: 'crash-all', downMs: 1, writes: 'some' }))(random, plan),
    ],
  },
  {
    name: 'quick-restarts',
    title: 'replicas restart faster than anybody notices',
    replicasMin: 2,
    shape: (plan) => ({ ...plan, weather: { ...plan.weather, delayMs: 5, jitterMs: 20 } }),
    faults: (random, plan) =>
      Array.from({ length: 8 }, (_, i) => 1500 + i * 2200).flatMap((atMs) =>
        drawRecipe(random, plan, atMs + random.between(0, 1000), 'hiccups'),
      ),
  },
  {
    name: 'rolling-restart',
    title: 'replicas are stopped and started one after the other, clients have no sessions',
    replicasMin: 2,
    shape: (plan) => ({
      ...plan,
      syncMs: 8,
      clients: plan.clients.map((client) => ({ ...client, session: false, concurrency: 4 })),
    }),
    faults: (random, plan) =>
      Array.from({ length: 16 }, (_, i) => ({
        kind: 'stop',
        replica: (i % plan.replicas) + 1,
        downMs: random.pick([1, plan.electionTimeoutMs]),
        atMs: 1500 + i * 1100 + random.between(0, 500),
      })),
  },
  {
    name: 'far-behind',
    title: 'follower far behind, log already cut: snapshot, with crashes at every step of it',
    replicasMin: 3,
    shape: (plan) => ({ ...plan, alpha: 2, snapshotSlots: 1, batchCommands: 1 }),
    faults: (random, plan) =>
      [2000, 7000, 12_000].flatMap((atMs) => {
        const replica = random.integer(1, plan.replicas);
        const forMs = 3500;
        return [
          { kind: 'partition', side: [replica], oneWay: false, noticed: true, forMs, atMs },
          {
            kind: 'crash',
            replica: random.chance(0.7) ? replica : 'leader',
            downMs: 1,
            writes: random.pick(['lost', 'some', 'all']),
            sideLags: false,
            fuse: { what: random.pick(['write', 'send']), count: random.integer(1, 8) },
            atMs: atMs + forMs + random.between(0, 400),
          },
        ] satisfies Fault[];
      }),
  },
];
