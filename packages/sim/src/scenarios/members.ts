/** Scenarios of members that come, go, lose their disks and come back. */
import type { Fault, MemberAsk, Plan } from '../plan.js';
import type { Random } from '../random.js';
import { Violation } from '../violation.js';
import type { World } from '../world.js';
import { electionMs, kvdTiming, type Scenario } from './scenario.js';

/** Whoever lost its directory has another incarnation, and that is a voter again. */
export function expectReadmitted({ votes, hosts }: World): void {
  const now = votes.chain.latest?.configuration.members ?? [];
  for (const { replicaId, incarnation } of votes.chain.founding?.members ?? []) {
    const host = hosts[replicaId - 1];
    if (host?.identity?.incarnation === incarnation) continue;
    const member = now.find((one) => one.incarnation === host?.identity?.incarnation);
    if (member === undefined || member.role === 'learner' || host?.replica?.node.status().votes !== true)
      throw new Violation('liveness', 'members', `replica ${replicaId} lost its disk and is no voter again`);
  }
}

/** What was asked for was done, if it was of this type. */
function expectDone(...types: readonly MemberAsk['type'][]): (world: World) => void {
  return ({ operator, plan }) => {
    for (const type of types) {
      const wanted = plan.faults.some((fault) => fault.kind === 'members' && fault.ask.type === type);
      const name = type === 'replace' ? 'add' : type;
      const done = operator.finished.some(({ change, refused }) => change.type === name && refused === '');
      if (wanted && !done) throw new Violation('liveness', 'members', `no ${type} was done`);
    }
  };
}

const ask = (atMs: number, what: MemberAsk): Fault => ({ kind: 'members', ask: what, atMs });

const small = (plan: Plan): Plan => ({ ...plan, alpha: 2, snapshotSlots: 4 });

/** Of each third of the time before the calm, the beginning. */
function thrice(random: Random, draw: (atMs: number) => readonly Fault[]): Fault[] {
  return [2500, 9000, 15_500].flatMap((atMs) => draw(atMs + random.between(0, 500)));
}

export const MEMBERS: readonly Scenario[] = [
  {
    name: 'members-come-and-go',
    title: 'from three replicas to five and back, under load, with crashes and campaigns in between',
    replicasMin: 3,
    shape: (plan) => ({ ...plan, spares: 2, inFlightSlots: 8, alpha: Math.max(8, Math.min(plan.alpha, 32)) }),
    faults: (random, plan) => [
      ...comeAndGo(random, plan),
      ...Array.from({ length: random.integer(0, 4) }, (): Fault => {
        const atMs = random.between(2000, plan.calmMs - 2000);
        if (random.chance(0.3)) return { kind: 'campaign', replica: random.integer(1, plan.replicas), atMs };
        return { ...crashOfLeader(random, plan, atMs), atMs };
      }),
    ],
  },
  {
    name: 'leader-wiped',
    title: 'the leader loses its disk, then the next one does: each is admitted again by itself',
    replicasMin: 3,
    faults: (random, plan) =>
      thrice(random, (atMs) => [
        { kind: 'wipe', replica: 'leader', downMs: electionMs(plan, random, 0, 3), atMs },
      ]),
    expect: expectReadmitted,
  },
  {
    name: 'wiped-again',
    title: 'the same replica loses its disk again and again, also in the middle of being admitted',
    replicasMin: 3,
    shape: (plan) => (plan.seed % 2 === 0 ? small(plan) : plan),
    faults: (random, plan) => {
      const replica = random.integer(1, plan.replicas);
      let atMs = 2000;
      return Array.from({ length: 12 }, () => {
        atMs += electionMs(plan, random, 0.2, 5);
        return { kind: 'wipe', replica, downMs: 1, atMs: Math.min(atMs, plan.calmMs - 1000) };
      });
    },
    expect: expectReadmitted,
  },
  {
    name: 'slow-newcomer',
    title: 'who lost its disk gets one that hardly writes: it is no voter before it has caught up',
    replicasMin: 3,
    faults: (random, plan) =>
      thrice(random, (atMs) => {
        const replica = random.integer(1, plan.replicas);
        const longMs = electionMs(plan, random, 3, 6);
        return [
          { kind: 'wipe', replica, downMs: 1, atMs },
          { kind: 'stuck-disk', replica, forMs: longMs, atMs: atMs + random.between(60, 250) },
          {
            kind: 'slow-disk',
            replica,
            factor: random.pick([10, 50]),
            forMs: longMs,
            atMs: atMs + longMs,
          },
        ];
      }),
    expect: expectReadmitted,
  },
  {
    name: 'leader-removed',
    title: 'the leader is removed, with its next values under way; a spare comes in its place',
    replicasMin: 4,
    shape: (plan) => ({ ...plan, spares: 1, alpha: Math.min(plan.alpha, 8) }),
    faults: (random, plan) => {
      const dies = random.chance(0.5);
      return thrice(random, (atMs) => [
        ask(atMs, { type: 'remove', replica: 'leader' }),
        ...(dies ? [crashOfLeader(random, plan, atMs)] : []),
        ask(atMs + 3000, { type: 'add', replica: plan.replicas + 1, promote: true }),
      ]);
    },
    expect: expectDone('remove', 'add'),
  },
  {
    name: 'two-changes',
    title: 'two changes are asked for at once: one after the other is done',
    replicasMin: 3,
    shape: (plan) => ({ ...plan, spares: 2, alpha: Math.min(plan.alpha, 8) }),
    faults: (random, plan) =>
      thrice(random, (atMs) => [
        ask(atMs, { type: 'add', replica: plan.replicas + 1, promote: true }),
        ask(atMs, random.pick([addSecond(plan), { type: 'remove', replica: random.integer(1, 3) }] as const)),
        ask(atMs + 1, { type: 'move-leader', replica: random.integer(1, plan.replicas) }),
      ]),
    expect: expectDone('add'),
  },
  {
    name: 'joiner-crashes',
    title: 'who joins dies again and again on the way, and is a voter in the end',
    replicasMin: 3,
    shape: (plan) => ({ ...plan, spares: 1, alpha: 2, snapshotSlots: plan.seed % 2 === 0 ? 1 : 10_000 }),
    faults: (random, plan) => {
      const replica = plan.replicas + 1;
      const begin = random.between(2000, 5000);
      const dies = Array.from(
        { length: 6 },
        (): Fault => ({
          kind: 'crash',
          replica,
          downMs: electionMs(plan, random, 0, 2),
          writes: random.pick(['lost', 'some', 'all']),
          sideLags: random.chance(0.3),
          fuse: random.chance(0.7)
            ? { what: random.pick(['write', 'send']), count: random.integer(1, 8) }
            : null,
          atMs: begin + electionMs(plan, random, 0, 8),
        }),
      );
      return [ask(begin, { type: 'add', replica, promote: true }), ...dies];
    },
    expect: expectDone('add'),
  },
  {
    name: 'quorums-change',
    title:
      'accept quorums small and large follow each other, while leaders are cut off, die and lose their disks',
    replicasMin: 3,
    shape: (plan) => ({ ...plan, acceptQuorum: plan.seed % (plan.replicas + 1), inFlightSlots: 8 }),
    faults: (random, plan) =>
      [1500, 4500, 7500, 10_500, 13_500, 16_500].flatMap((atMs): Fault[] => {
        const later = (): number => atMs + electionMs(plan, random, -1, 4);
        const forMs = electionMs(plan, random, 0.5, 4);
        const cut = { kind: 'partition', oneWay: false, noticed: random.chance(0.5), forMs } as const;
        return [
          ask(atMs, { type: 'accept-quorum', size: random.integer(0, plan.replicas) }),
          { ...cut, side: ['leader'], atMs: later() },
          { ...crashOfLeader(random, plan, atMs), atMs: later() },
          { kind: 'wipe', replica: 'leader', downMs: electionMs(plan, random, 0, 2), atMs: later() + 800 },
        ];
      }),
  },
  {
    name: 'all-replaced',
    title: 'every founder is replaced, one after the other, while leaders die',
    replicasMin: 3,
    shape: (plan) => ({ ...plan, spares: Math.min(3, 9 - plan.replicas), alpha: Math.min(plan.alpha, 8) }),
    faults: (random, plan) =>
      Array.from({ length: Math.min(4, plan.replicas) }, (_, i) => i + 1).flatMap((leaves): Fault[] => {
        const atMs = 1000 + leaves * 3800;
        const what: MemberAsk = { type: 'replace', replica: plan.replicas + leaves, leaves };
        const dies = { ...crashOfLeader(random, plan, atMs), atMs: atMs + electionMs(plan, random, 0, 5) };
        return random.chance(0.6) ? [ask(atMs, what), dies] : [ask(atMs, what)];
      }),
    expect: expectDone('replace'),
  },
  {
    name: 'replaced-in-a-partition',
    title: 'a member is replaced while now this side is cut off, now that',
    replicasMin: 3,
    shape: (plan) => ({ ...plan, spares: 1, alpha: Math.min(plan.alpha, 8) }),
    faults: (random, plan) => {
      const ids = Array.from({ length: plan.replicas + 1 }, (_, i) => i + 1);
      return thrice(random, (atMs) => [
        ask(atMs, { type: 'replace', replica: plan.replicas + 1, leaves: random.integer(1, plan.replicas) }),
        ...Array.from({ length: 3 }, (): Fault => {
          const side = random.sample(ids, random.integer(1, Math.ceil(plan.replicas / 2)));
          const forMs = electionMs(plan, random, 0.5, 4);
          const at = atMs + electionMs(plan, random, -0.5, 6);
          const oneWay = random.chance(0.3);
          return { kind: 'partition', side, oneWay, noticed: random.chance(0.5), forMs, atMs: at };
        }),
      ]);
    },
  },
  {
    name: 'old-disk-returns',
    title:
      'a disk that was replaced comes back beside its successor, and then in its place: it counts no more',
    replicasMin: 3,
    shape: (plan) => ({ ...plan, alpha: Math.min(plan.alpha, 8) }),
    faults: (random, plan) => {
      const replica = random.integer(1, plan.replicas);
      const atMs = random.between(3000, 5000);
      const afterMs = random.chance(0.3)
        ? electionMs(plan, random, 0, 3)
        : electionMs(plan, random, 6, 9) + 1500;
      const backMs = atMs + afterMs;
      return [
        { kind: 'twin', replica, disk: 'old', afterMs, forMs: 6000, atMs },
        {
          kind: 'crash',
          replica,
          downMs: electionMs(plan, random, 2, 6),
          writes: 'some',
          sideLags: false,
          fuse: null,
          atMs: backMs + electionMs(plan, random, -0.5, 0.5),
        },
      ];
    },
    expect: expectReadmitted,
  },
  {
    name: 'second-process',
    title: 'a second process with the number of a replica that answers is admitted by nobody',
    replicasMin: 3,
    faults: (random, plan) => [
      {
        kind: 'twin',
        replica: random.pick(['leader', random.integer(1, plan.replicas)] as const),
        disk: 'empty',
        afterMs: 0,
        forMs: 10_000,
        atMs: random.between(2000, 9000),
      },
    ],
    expect: ({ votes, machines, hosts }) => {
      for (const twin of machines.slice(hosts.length)) {
        if (twin.identity === null) throw new Violation('liveness', 'members', 'the second one never began');
        if (votes.chain.everNamed(twin.identity))
          throw new Violation('safety', 'S5', `a second process of replica ${twin.id} was admitted`);
      }
    },
  },
  {
    name: 'majority-lost',
    title: 'a majority loses its disks: nobody is admitted again, nothing is chosen any more',
    replicasMin: 3,
    isHopeless: true,
    shape: kvdTiming,
    faults: (random, plan) => {
      const ids = Array.from({ length: plan.replicas }, (_, i) => i + 1);
      const lost = random.sample(ids, Math.floor(plan.replicas / 2) + 1);
      const atMs = random.between(17_000, 21_000);
      return lost.map((replica) => ({
        kind: 'wipe',
        replica,
        downMs: random.between(1, 2000),
        atMs: atMs + random.between(0, 5),
      }));
    },
    // Before that, something has to get done.
    operations: (operations) => operations.map((operation) => ({ ...operation, atMs: operation.atMs * 0.6 })),
    expect: ({ votes }) => {
      if (votes.chain.all.length > 1)
        throw new Violation('safety', 'S5', 'somebody was admitted by a minority');
    },
  },
];

/** Each comes and goes, in any order, one change after the other or some at once. */
function comeAndGo(random: Random, plan: Plan): Fault[] {
  let atMs = 1500;
  return Array.from({ length: 10 }, (_, i) => {
    atMs += random.pick([5, 600, 2500]);
    const replica = random.integer(1, plan.replicas + plan.spares);
    const what: MemberAsk =
      i % 2 === 0
        ? { type: 'add', replica, promote: true }
        : { type: 'remove', replica: random.pick(['leader', replica] as const) };
    return ask(Math.min(atMs, plan.calmMs - 2500), what);
  });
}

function addSecond(plan: Plan): MemberAsk {
  return { type: 'add', replica: plan.replicas + 2, promote: true };
}

function crashOfLeader(random: Random, plan: Plan, atMs: number): Fault {
  return {
    kind: 'crash',
    replica: 'leader',
    downMs: electionMs(plan, random, 0.2, 4),
    writes: random.pick(['lost', 'some', 'all']),
    sideLags: false,
    fuse: { what: random.pick(['send', 'write']), count: random.integer(1, 30) },
    atMs: atMs + electionMs(plan, random, 0, 1),
  };
}
