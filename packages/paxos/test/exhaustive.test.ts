/**
 * Every order of events within a small scope, over the real acceptor, learner, outbox, promises and quorum code: no two
 * values are chosen in a slot. And the search can fail: with any one of S1 to S5 broken by a replacement part it finds
 * the two values. See support/small-scope.ts for what is real, what is thin, and what the bounds are.
 *
 * KVD_TRACE=1 prints the shortest counterexample of each broken rule; KVD_EXHAUSTIVE=1 also searches a scope that takes
 * minutes (two slots together with learning).
 */
import { test } from 'tap';
import { Acceptor } from '../src/acceptor.js';
import { compareBallots } from '../src/ballot.js';
import { votersOf } from '../src/configuration.js';
import { Learner } from '../src/learner.js';
import type { Accept, Prepare, PromiseMessage } from '../src/messages.js';
import { PromiseSet } from '../src/safe-value.js';
import type { Ballot, Configuration, Identity, LogEntry, ReplicaId, Slot } from '../src/types.js';
import { ballot } from './support/literals.js';
import { search } from './support/search.js';
import { type Bounds, Model, type Parts, REAL } from './support/small-scope.js';

const STATES_MAX = 3_000_000;
const SMALL: Bounds = { slots: 1, crashes: 0, wipes: 0, learning: false, pages: false, answersAgain: false };

const SCOPES: readonly (readonly [string, Bounds])[] = [
  ['two slots, promises in pages, a crash', { ...SMALL, slots: 2, crashes: 1, pages: true }],
  ['one slot, two crashes, learning and fetching', { ...SMALL, crashes: 2, learning: true }],
  ['one slot, two crashes, prepares answered again', { ...SMALL, crashes: 2, answersAgain: true }],
  ['one slot, a crash and a lost disk', { ...SMALL, crashes: 1, wipes: 1 }],
  ['one slot, prepares answered again, learning', { ...SMALL, learning: true, answersAgain: true }],
];
const LARGE: readonly (readonly [string, Bounds])[] = [
  ['two slots, learning and fetching', { ...SMALL, slots: 2, learning: true }],
  ['one slot, a lost disk, learning and fetching', { ...SMALL, wipes: 1, learning: true }],
];

for (const [scope, bounds] of process.env.KVD_EXHAUSTIVE === '1' ? [...SCOPES, ...LARGE] : SCOPES) {
  test(`no two values are chosen: ${scope}`, async (t) => {
    const verdict = search(new Model(REAL, bounds), STATES_MAX);
    t.comment(`${verdict.states} states, ${verdict.transitions} transitions`);
    t.equal(verdict.violation, null, verdict.trace.join('\n'));
    t.ok(verdict.states > 10_000, 'a search that saw little would prove little');
  });
}

// Parts with one rule broken

/** Accepts whatever it promised. */
class AcceptorThatAcceptsBelow extends Acceptor {
  override onAccept(from: ReplicaId, accept: Accept, votes: boolean): void {
    if (compareBallots(accept.ballot, this.promised) < 0) this.promised = accept.ballot;
    super.onAccept(from, accept, votes);
  }
}

/** Promises without binding itself: what it promised before counts again afterwards. */
class AcceptorThatForgets extends Acceptor {
  override onPrepare(from: ReplicaId, prepare: Prepare): void {
    const { promised } = this;
    super.onPrepare(from, prepare);
    this.promised = promised;
  }
}

class PromisesWithoutEntries extends PromiseSet {
  override mustPropose(): LogEntry | undefined {
    return undefined;
  }
}

class PromisesOfOnePage extends PromiseSet {
  override add(from: Identity, page: PromiseMessage): Slot | null {
    return super.add(from, { ...page, throughSlot: null });
  }
}

class PromisesWithoutChosen extends PromiseSet {
  override add(from: Identity, page: PromiseMessage): Slot | null {
    return super.add(from, { ...page, chosenThrough: 0 });
  }
}

/** Takes whatever was accepted in a slot for the value that was chosen there. */
class LearnerByNumber extends Learner {
  override onLeaderSays(leader: ReplicaId, said: Ballot, chosenThrough: Slot): void {
    for (const accepted of [ballot(1, 1), said]) super.onLeaderSays(leader, accepted, chosenThrough);
  }
}

/** Replica numbers are enough, whatever disk they have. */
function byReplica(configuration: Configuration, ids: Iterable<ReplicaId>): boolean {
  return new Set(ids).size * 2 > votersOf(configuration).length;
}

interface Broken {
  readonly rule: string;
  readonly how: string;
  readonly parts: Partial<Parts>;
  readonly bounds?: Partial<Bounds>;
}

const BROKEN: readonly Broken[] = [
  {
    rule: 'S1',
    how: 'an accepted leaves before it is synced',
    parts: { leavesBeforeSync: (type) => type === 'accepted' },
    bounds: { crashes: 1 },
  },
  {
    rule: 'S1',
    how: 'a promise leaves before it is synced',
    parts: { leavesBeforeSync: (type) => type === 'promise' },
    bounds: { crashes: 1 },
  },
  { rule: 'S2', how: 'an acceptor accepts below its promise', parts: { acceptor: AcceptorThatAcceptsBelow } },
  { rule: 'S2', how: 'an acceptor forgets its promise', parts: { acceptor: AcceptorThatForgets } },
  {
    rule: 'S3',
    how: 'a proposer ignores the entries reported',
    parts: { promiseSet: PromisesWithoutEntries },
  },
  {
    rule: 'S3',
    how: 'a proposer counts a promise at its first page',
    parts: { promiseSet: PromisesOfOnePage },
    bounds: { slots: 2, pages: true },
  },
  {
    rule: 'S3',
    how: 'a proposer proposes in slots that are reported chosen',
    parts: { promiseSet: PromisesWithoutChosen },
    bounds: { learning: true },
  },
  { rule: 'S4', how: 'a proposer sends two values in a slot at one ballot', parts: { valuesPerSlot: 2 } },
  {
    rule: 'S4',
    how: 'a follower takes what it accepted at another ballot for chosen',
    parts: { learner: LearnerByNumber },
    bounds: { learning: true },
  },
  {
    rule: 'S5',
    how: 'a vote that comes twice counts twice',
    parts: { isPhase2Quorum: (on, votes) => votes.length * 2 > votersOf(on).length },
  },
  {
    rule: 'S5',
    how: 'votes are counted whatever the incarnation',
    parts: {
      isPhase1Quorum: (on, votes) => byReplica(on, votes.keys()),
      isPhase2Quorum: (on, votes) =>
        byReplica(
          on,
          votes.map(({ replicaId }) => replicaId),
        ),
    },
    bounds: { wipes: 1 },
  },
];

for (const { rule, how, parts, bounds } of BROKEN) {
  test(`${rule} broken, two values are chosen: ${how}`, async (t) => {
    const verdict = search(new Model({ ...REAL, ...parts }, { ...SMALL, ...bounds }), STATES_MAX);
    t.not(verdict.violation, null, `no violation in ${verdict.states} states`);
    t.comment(`${verdict.violation}, after ${verdict.states} states, in ${verdict.trace.length - 1} steps`);
    if (process.env.KVD_TRACE === '1') for (const step of verdict.trace) t.comment(`  ${step}`);
  });
}
