/** What the logs of survivors prove: a table of clusters that lost something, and the verdict on each slot. */
import type { Ballot, Configuration, ConfigurationAt, LogEntry, Member, Value } from '@kvd/paxos';
import t from 'tap';
import { type Judgement, judge, type SurvivorLog } from '../../src/recover/judge.js';

const ALPHA = 4;
const CLUSTER = 'c'.repeat(32);

/** Incarnation `life` of a replica. */
const incarnation = (id: number, life = 0): string => `${id}${life}`.padStart(32, '0');

const member = (id: number, role: Member['role'] = 'voter', life = 0): Member => ({
  replicaId: id,
  incarnation: incarnation(id, life),
  role,
  address: `127.0.0.1:${id}`,
});

function configuration(members: readonly Member[], acceptQuorum = 0, replaces = 0): Configuration {
  return { clusterId: CLUSTER, alpha: ALPHA, replaces, members, acceptQuorum };
}

const ballot = (counter: number, replicaId = 1): Ballot => ({
  counter,
  replicaId,
  incarnation: incarnation(replicaId),
});

const value = (text: string): Value => ({ type: 'batch', bytes: Buffer.from(text) });

const accepted = (slot: number, at: number, text: string, chosen = false): LogEntry => ({
  slot,
  ballot: ballot(at),
  value: value(text),
  chosen,
});

const FIVE = [1, 2, 3, 4, 5].map((id) => member(id));
const MAJORITY: ConfigurationAt[] = [{ slot: 1, configuration: configuration(FIVE) }];

interface LogOf {
  readonly life?: number;
  readonly intact?: boolean;
  readonly promised?: number;
  readonly known?: number;
  readonly claimed?: number;
  readonly configurations?: readonly ConfigurationAt[];
}

function log(id: number, entries: readonly LogEntry[], more: LogOf = {}): SurvivorLog {
  const highest = Math.max(1, ...entries.map((entry) => entry.ballot.counter));
  return {
    identity: { replicaId: id, incarnation: incarnation(id, more.life) },
    intact: more.intact ?? true,
    promised: ballot(more.promised ?? highest),
    knownThrough: more.known ?? 10,
    claimedThrough: more.claimed ?? 0,
    configurations: more.configurations ?? MAJORITY,
    accepted: entries,
  };
}

/** `11:may-be-chosen=b!` : the verdict, the value to keep, and `!` where an unseen value may be chosen. */
function told(judgement: Judgement): string[] {
  return judgement.slots.map(({ slot, verdict, entry, unseen, acknowledged }) => {
    const held = entry?.value.type === 'batch' ? `=${Buffer.from(entry.value.bytes).toString()}` : '';
    return `${slot}:${verdict}${held}${unseen ? '!' : ''}${acknowledged ? '' : ' never acknowledged'}`;
  });
}

interface Case {
  readonly name: string;
  readonly logs: readonly SurvivorLog[];
  readonly slots: readonly string[];
  readonly unseen: Judgement['unseen'];
  readonly keepThrough: number;
  readonly provenThrough?: number;
}

const FLEXIBLE: ConfigurationAt[] = [{ slot: 1, configuration: configuration(FIVE, 2) }];
const WITNESS: ConfigurationAt[] = [
  { slot: 1, configuration: configuration([member(1), member(2), member(3, 'witness')]) },
];
/** Of three voters, and learner 4. */
const LEARNER: ConfigurationAt[] = [
  { slot: 1, configuration: configuration([member(1), member(2), member(3), member(4, 'learner')]) },
];
const OTHERS = configuration([member(6), member(7), member(8)], 0, 1);
const moved = (slot: number): ConfigurationAt[] => [...MAJORITY, { slot, configuration: OTHERS }];

const CASES: readonly Case[] = [
  {
    name: 'two of five survive and know the same: the three lost may have gone on without end',
    logs: [log(1, []), log(2, [])],
    slots: [],
    unseen: { first: 11, last: null },
    keepThrough: 10,
  },
  {
    name: 'accepted by one of the two: kept; with the promises of the lost another value is possible',
    logs: [log(1, [accepted(11, 1, 'a')]), log(2, [])],
    slots: ['11:may-be-chosen=a!'],
    unseen: { first: 11, last: null },
    keepThrough: 11,
  },
  {
    name: 'accepted by both of the two at one ballot: still no quorum of five',
    logs: [log(1, [accepted(11, 1, 'a')]), log(2, [accepted(11, 1, 'a')])],
    slots: ['11:may-be-chosen=a!'],
    unseen: { first: 11, last: null },
    keepThrough: 11,
  },
  {
    name: 'accepted by both at different ballots: the higher one is kept',
    logs: [log(1, [accepted(11, 1, 'a')]), log(2, [accepted(11, 2, 'b')])],
    slots: ['11:may-be-chosen=b!'],
    unseen: { first: 11, last: null },
    keepThrough: 11,
  },
  {
    name: 'what one survivor knows chosen is chosen, whatever the other holds',
    logs: [log(1, [], { known: 12 }), log(2, [accepted(11, 1, 'a'), accepted(13, 1, 'c')], { known: 10 })],
    slots: ['13:may-be-chosen=c!'],
    unseen: { first: 13, last: null },
    keepThrough: 13,
  },
  {
    name: 'fetched as chosen, above the mark: chosen',
    logs: [log(1, [accepted(11, 0, 'a', true)]), log(2, [accepted(11, 3, 'b')])],
    slots: ['11:chosen=a'],
    unseen: { first: 12, last: null },
    keepThrough: 11,
    provenThrough: 11,
  },
  {
    name: 'a gap that the lost may have filled ends what is kept; what is above it may have been acknowledged',
    logs: [log(1, [accepted(12, 1, 'b')]), log(2, [])],
    slots: ['11:nothing-here!', '12:may-be-chosen=b!'],
    unseen: { first: 11, last: null },
    keepThrough: 10,
  },
  {
    name: 'three of five survive: everything chosen is with one of them',
    logs: [log(1, [accepted(11, 1, 'a')]), log(2, []), log(3, [])],
    slots: ['11:may-be-chosen=a'],
    unseen: null,
    keepThrough: 11,
  },
  {
    name: 'three of five hold it at one ballot: chosen',
    logs: [1, 2, 3].map((id) => log(id, [accepted(11, 1, 'a')])),
    slots: ['11:chosen=a'],
    unseen: null,
    keepThrough: 11,
    provenThrough: 11,
  },
  {
    name: 'three of five hold it at three ballots: not proven, and nothing else can be chosen',
    logs: [1, 2, 3].map((id) => log(id, [accepted(11, id, 'a')])),
    slots: ['11:may-be-chosen=a'],
    unseen: null,
    keepThrough: 11,
  },
  {
    name: 'three of five, a gap in slot 11: it cannot be chosen, so slot 12 was never acknowledged',
    logs: [log(1, [accepted(12, 1, 'b')]), log(2, []), log(3, [])],
    slots: ['11:nothing-here never acknowledged', '12:may-be-chosen=b never acknowledged'],
    unseen: null,
    keepThrough: 10,
  },
  {
    name: 'four of five survive, one holds it: with the lost one that is no quorum',
    logs: [log(1, [accepted(11, 1, 'a')]), log(2, []), log(3, []), log(4, [])],
    slots: ['11:not-chosen=a never acknowledged'],
    unseen: null,
    keepThrough: 11,
  },
  {
    name: 'two of four lost: no majority is left, and still nothing can be missing, for three must accept',
    logs: [1, 2].map((id) =>
      log(id, id === 1 ? [accepted(11, 1, 'a')] : [], {
        configurations: [{ slot: 1, configuration: configuration(FIVE.slice(0, 4)) }],
      }),
    ),
    slots: ['11:may-be-chosen=a'],
    unseen: null,
    keepThrough: 11,
  },
  {
    name: 'a damaged log is a lost vote: three of five, of which one is damaged',
    logs: [log(1, []), log(2, []), log(3, [], { intact: false })],
    slots: [],
    unseen: { first: 11, last: null },
    keepThrough: 10,
  },
  {
    name: 'but what a damaged log still says is true: with two others it proves',
    logs: [1, 2, 3].map((id) => log(id, [accepted(11, 1, 'a')], { intact: id < 3 })),
    slots: ['11:chosen=a'],
    unseen: { first: 12, last: null },
    keepThrough: 11,
    provenThrough: 11,
  },
  {
    name: 'a damaged log that knows more chosen than anybody has: those slots are missing for certain',
    logs: [1, 2, 3, 4].map((id) => log(id, [], id === 4 ? { intact: false, claimed: 15 } : {})),
    slots: [],
    unseen: { first: 11, last: 15 },
    keepThrough: 10,
  },
  {
    name: 'known chosen by a damaged log, and the value of all that can be: chosen',
    logs: [1, 2, 3, 4].map((id) =>
      log(id, id === 1 ? [accepted(11, 1, 'a')] : [], id === 4 ? { intact: false, claimed: 11 } : {}),
    ),
    slots: ['11:chosen=a'],
    unseen: null,
    keepThrough: 11,
    provenThrough: 11,
  },
  {
    name: 'a stale incarnation proves nothing: its vote is not counted, itself is lost',
    logs: [
      log(1, [accepted(11, 1, 'a')]),
      log(2, [accepted(11, 1, 'a')]),
      log(3, [accepted(11, 1, 'a')], { life: 9 }),
    ],
    slots: ['11:may-be-chosen=a!'],
    unseen: { first: 11, last: null },
    keepThrough: 11,
  },
  {
    name: 'but the value that a stale incarnation was proposed is one that may be chosen',
    logs: [log(1, []), log(2, []), log(3, [accepted(11, 1, 'a')], { life: 9 })],
    slots: ['11:may-be-chosen=a!'],
    unseen: { first: 11, last: null },
    keepThrough: 11,
  },
  {
    name: 'both incarnations of a replica: only the one that is named votes',
    logs: [
      log(1, [accepted(11, 1, 'a')]),
      log(1, [accepted(11, 1, 'a')], { life: 9 }),
      log(2, [accepted(11, 1, 'a')]),
    ],
    slots: ['11:may-be-chosen=a!'],
    unseen: { first: 11, last: null },
    keepThrough: 11,
  },
  {
    name: 'acceptQuorum 2 of 5, three survive: the two lost are enough to choose',
    logs: [1, 2, 3].map((id) => log(id, [], { configurations: FLEXIBLE })),
    slots: [],
    unseen: { first: 11, last: null },
    keepThrough: 10,
  },
  {
    name: 'acceptQuorum 2 of 5, three survive: two votes prove',
    logs: [1, 2, 3].map((id) => log(id, id < 3 ? [accepted(11, 1, 'a')] : [], { configurations: FLEXIBLE })),
    slots: ['11:chosen=a'],
    unseen: { first: 12, last: null },
    keepThrough: 11,
    provenThrough: 11,
  },
  {
    name: 'acceptQuorum 2 of 5, one vote: four had to promise a higher ballot, and no survivor did, so it is this value or none',
    logs: [1, 2, 3].map((id) =>
      log(id, id === 1 ? [accepted(11, 1, 'a')] : [], { configurations: FLEXIBLE, promised: 1 }),
    ),
    slots: ['11:may-be-chosen=a'],
    unseen: { first: 12, last: null },
    keepThrough: 11,
  },
  {
    name: 'acceptQuorum 2 of 5, one vote, and two survivors promised more: another value is possible',
    logs: [1, 2, 3].map((id) =>
      log(id, id === 1 ? [accepted(11, 1, 'a')] : [], {
        configurations: FLEXIBLE,
        promised: id === 1 ? 1 : 2,
      }),
    ),
    slots: ['11:may-be-chosen=a!'],
    unseen: { first: 11, last: null },
    keepThrough: 11,
  },
  {
    name: 'acceptQuorum 2 of 5, four survive: nothing can be missing',
    logs: [1, 2, 3, 4].map((id) => log(id, [], { configurations: FLEXIBLE })),
    slots: [],
    unseen: null,
    keepThrough: 10,
  },
  {
    name: 'a witness votes: one data replica and the witness prove',
    logs: [1, 3].map((id) => log(id, [accepted(11, 1, 'a')], { configurations: WITNESS })),
    slots: ['11:chosen=a'],
    unseen: null,
    keepThrough: 11,
    provenThrough: 11,
  },
  {
    name: 'only the witness is left: its value is kept, the two lost may have chosen another, and more',
    logs: [log(3, [accepted(11, 1, 'a')], { configurations: WITNESS })],
    slots: ['11:may-be-chosen=a!'],
    unseen: { first: 11, last: null },
    keepThrough: 11,
  },
  {
    name: "a learner's acceptance is no vote, but what it knows chosen is",
    logs: [
      log(1, [accepted(12, 1, 'b')], { configurations: LEARNER }),
      log(4, [accepted(12, 1, 'b')], { known: 11, configurations: LEARNER }),
    ],
    slots: ['12:may-be-chosen=b!'],
    unseen: { first: 12, last: null },
    keepThrough: 12,
  },
  {
    name: 'a configuration that is accepted, not known chosen: alpha slots on its members, all lost, may have chosen',
    logs: [1, 2, 3].map((id) =>
      log(id, [
        {
          slot: 11,
          ballot: ballot(1),
          value: { type: 'configuration', configuration: OTHERS },
          chosen: false,
        },
        ...[12, 13, 14].map((slot) => accepted(slot, 1, 'n')),
      ]),
    ),
    slots: ['11:chosen', '12:chosen=n', '13:chosen=n', '14:chosen=n'],
    unseen: { first: 15, last: null },
    keepThrough: 14,
    provenThrough: 14,
  },
  {
    name: 'a configuration that is accepted, and a slot below its own that cannot be chosen: nothing is missing',
    logs: [1, 2, 3].map((id) =>
      log(id, [
        {
          slot: 11,
          ballot: ballot(1),
          value: { type: 'configuration', configuration: OTHERS },
          chosen: false,
        },
        ...[12, 13].map((slot) => accepted(slot, 1, 'n')),
      ]),
    ),
    slots: ['11:chosen', '12:chosen=n', '13:chosen=n'],
    unseen: null,
    keepThrough: 13,
    provenThrough: 13,
  },
  {
    name: 'a configuration chosen in slot 9: slots to 12 are voted on by the old members, which survive, those from 13 on are not',
    logs: [1, 2, 3].map((id) =>
      log(id, [accepted(11, 1, 'a'), accepted(12, 1, 'b')], { configurations: moved(9) }),
    ),
    slots: ['11:chosen=a', '12:chosen=b'],
    unseen: { first: 13, last: null },
    keepThrough: 12,
    provenThrough: 12,
  },
  {
    name: 'a configuration chosen in slot 9, its members survive: the old ones count up to slot 12 and no further',
    logs: [6, 7].map((id) => log(id, [accepted(13, 1, 'c')], { known: 12, configurations: moved(9) })),
    slots: ['13:chosen=c'],
    unseen: null,
    keepThrough: 13,
    provenThrough: 13,
  },
  {
    name: 'a configuration chosen in slot 9, two of its members survive and know through 10: slots 11 and 12 are the lost ones’',
    logs: [6, 7].map((id) => log(id, [], { configurations: moved(9) })),
    slots: [],
    unseen: { first: 11, last: 12 },
    keepThrough: 10,
  },
  {
    name: 'nobody knows a configuration: nothing can be said',
    logs: [log(1, [], { known: 0, configurations: [] })],
    slots: [],
    unseen: { first: 1, last: null },
    keepThrough: 0,
  },
  {
    name: 'the founding itself is accepted by two of three: chosen by the members that it names',
    logs: [1, 2].map((id) =>
      log(
        id,
        [
          {
            slot: 1,
            ballot: ballot(1),
            value: { type: 'configuration', configuration: configuration(FIVE.slice(0, 3)) },
            chosen: false,
          },
        ],
        { known: 0, configurations: [] },
      ),
    ),
    slots: ['1:chosen'],
    unseen: null,
    keepThrough: 1,
    provenThrough: 1,
  },
];

for (const { name, logs, slots, unseen, keepThrough, provenThrough } of CASES) {
  t.test(name, async (t) => {
    const judgement = judge(logs);
    t.same(told(judgement), slots);
    t.same(judgement.unseen, unseen);
    t.equal(judgement.keepThrough, keepThrough);
    t.equal(judgement.provenThrough, provenThrough ?? judgement.knownThrough);
    t.same(judge([...logs].reverse()).slots, judgement.slots, 'the order of the survivors does not matter');
  });
}
