/**
 * A model small enough to search whole: three acceptors, two proposers, two slots (2 and 3; slot 1 holds the founding
 * configuration). Real: Acceptor, Learner, Outbox, PromiseSet and the quorum code. Thin: proposers (a message may be
 * sent whenever some set of received answers allows it), the network and the disks.
 *
 * The network is the set of all messages ever sent, each of which may arrive at any time, any number of times, or
 * never: so loss, duplication and reordering have no bound. What is bounded: one ballot for each proposer, so many
 * crashes and lost disks. Acceptors are alike, so states that differ only in their order are one state.
 */
import { compareBallots } from '../../src/ballot.js';
import { isPhase1Quorum, isPhase2Quorum, type Votes } from '../../src/configuration.js';
import { Acceptor } from '../../src/acceptor.js';
import { Learner } from '../../src/learner.js';
import { PromiseSet } from '../../src/safe-value.js';
import type { Ballot, Configuration, Identity, Slot, Value } from '../../src/types.js';
import { ballot, configuration, identity } from './literals.js';
import {
  describe,
  nameOf,
  Replicas,
  type Accepted,
  type Broadcast,
  type Promised,
  type ReplicaParts,
  type SlotValue,
} from './model-replicas.js';

const FIRST: Slot = 2;
const BALLOTS: readonly Ballot[] = [ballot(1, 1), ballot(2, 2)];
const CONFIGURATION = configuration([1, 2, 3]);
/** What the proposer of each ballot likes best, and next. */
const LIKED: readonly (readonly string[])[] = [
  ['x', 'z'],
  ['y', 'z'],
];
/** More than half a page of a promise. */
const LARGE_BYTES = 600_000;

/** The parts of the product that a test may replace by broken ones. */
export interface Parts extends ReplicaParts {
  readonly promiseSet: typeof PromiseSet;
  readonly isPhase1Quorum: (configuration: Configuration, votes: Votes) => boolean;
  /** `votes` as they come, doubles and all. */
  readonly isPhase2Quorum: (configuration: Configuration, votes: readonly Identity[]) => boolean;
  /** How many values a proposer sends in one slot at one ballot. */
  readonly valuesPerSlot: number;
}

export const REAL: Parts = {
  acceptor: Acceptor,
  learner: Learner,
  promiseSet: PromiseSet,
  isPhase1Quorum,
  isPhase2Quorum: (on, votes) => isPhase2Quorum(on, toVotes(votes)),
  leavesBeforeSync: () => false,
  valuesPerSlot: 1,
};

/** By replica, as a proposer holds them that heard of the first life last. */
export function toVotes(votes: readonly Identity[]): Votes {
  const byLife = votes.toSorted((a, b) => (a.incarnation < b.incarnation ? 1 : -1));
  return new Map(byLife.map(({ replicaId, incarnation }) => [replicaId, incarnation]));
}

export interface Bounds {
  readonly slots: 1 | 2;
  readonly crashes: number;
  readonly wipes: number;
  /** Do leaders say what is chosen, and replicas learn and fetch it? */
  readonly learning: boolean;
  /** Are values so large that a page of a promise holds one of them? */
  readonly pages: boolean;
  /** Does an acceptor answer a prepare again that it has answered, with what it holds by then? */
  readonly answersAgain: boolean;
}

export interface State {
  /** Numbers of records. */
  readonly records: readonly [number, number, number];
  /** Bits of the broadcasts that were sent. */
  readonly sent: number;
  readonly crashes: number;
  readonly wipes: number;
}

export interface Step {
  /** The place of the acceptor; -1 for a proposer. */
  readonly actor: number;
  readonly action: string;
  readonly state: State;
  /** What a replica took for chosen in this step. */
  readonly learned: readonly SlotValue[];
}

interface Chosen extends SlotValue {
  readonly ballot: Ballot;
}

export class Model {
  readonly initial: State;
  readonly replicas: Replicas;
  private readonly slots: readonly Slot[];
  private readonly broadcasts: readonly Broadcast[];
  private readonly numbers = new Map<unknown, number>();
  private readonly acceptsMemo = new Map<string, readonly number[]>();
  private readonly chosenMemo = new Map<string, readonly Chosen[]>();

  constructor(
    private readonly parts: Parts,
    private readonly bounds: Bounds,
  ) {
    this.slots = bounds.slots === 1 ? [FIRST] : [FIRST, FIRST + 1];
    this.broadcasts = allBroadcasts(this.slots);
    this.replicas = new Replicas(parts, {
      slots: this.slots,
      values: new Map(['x', 'y', 'z'].map((name) => [name, valueOf(name, bounds.pages ? LARGE_BYTES : 1)])),
      founding: [{ slot: 1, configuration: CONFIGURATION }],
      broadcasts: this.broadcasts,
      answersAgain: bounds.answersAgain,
    });
    const { fresh } = this.replicas;
    const sent = this.bitsOf((broadcast) => broadcast.type === 'prepare');
    this.initial = { records: [fresh, fresh, fresh], sent, crashes: 0, wipes: 0 };
  }

  /** Two states are one if they differ only in the order of their acceptors. */
  canonical(state: State): State {
    const [a, b, c] = state.records;
    if (a <= b && b <= c) return state;
    return { ...state, records: state.records.toSorted((x, y) => x - y) as [number, number, number] };
  }

  keyOf(state: State): string {
    const { records, sent, crashes, wipes } = this.canonical(state);
    return `${records[0]},${records[1]},${records[2]},${sent},${crashes},${wipes}`;
  }

  /** Everything that can happen next. */
  steps(state: State): Step[] {
    const steps: Step[] = [];
    for (const number of this.accepts(state)) {
      const next = { ...state, sent: state.sent | (1 << number) };
      steps.push({
        actor: -1,
        action: describe(this.broadcasts[number] as Broadcast),
        state: next,
        learned: [],
      });
    }
    const audible = state.sent | this.claims(state);
    for (const actor of [0, 1, 2]) {
      this.messageSteps(state, actor, audible, steps);
      this.diskSteps(state, actor, steps);
    }
    return steps;
  }

  /** What is chosen: accepted by a phase-2 quorum at one ballot. */
  chosen(state: State): readonly Chosen[] {
    const lists = state.records.map((number) => this.replicas.acceptedOf(number));
    return memoized(this.chosenMemo, this.keyOfLists(lists), () => this.countChosen(lists));
  }

  private messageSteps(state: State, actor: number, audible: number, steps: Step[]): void {
    const number = state.records[actor] as number;
    for (const step of this.replicas.stepsOf(number, audible)) {
      this.pushWrite(state, actor, step.to, step.action, step.learned, steps);
    }
    if (!this.bounds.learning) return;
    for (const other of [0, 1, 2]) {
      if (other === actor) continue;
      for (const step of this.replicas.fetch(number, state.records[other] as number)) {
        this.pushWrite(
          state,
          actor,
          step.to,
          `${step.action} from acceptor ${other + 1}`,
          step.learned,
          steps,
        );
      }
    }
  }

  /**
   * A write that waits makes a difference only to a replica that crashes; for all others it is a message that is
   * delivered later, and that is a state of its own already. So no more writes wait than replicas may still crash.
   */
  private pushWrite(
    state: State,
    actor: number,
    to: number,
    action: string,
    learned: readonly SlotValue[],
    steps: Step[],
  ): void {
    const { replicas } = this;
    steps.push({ actor, action, state: replaced(state, actor, replicas.sync(to)), learned });
    if (replicas.isSynced(to)) return;
    const waiting = state.records.filter((number, i) => i !== actor && !replicas.isSynced(number)).length;
    if (waiting >= this.bounds.crashes - state.crashes) return;
    steps.push({ actor, action: `${action}, unsynced`, state: replaced(state, actor, to), learned });
  }

  private diskSteps(state: State, actor: number, steps: Step[]): void {
    const { replicas, bounds } = this;
    const number = state.records[actor] as number;
    const synced = replicas.sync(number);
    if (synced !== number)
      steps.push({ actor, action: 'syncs', state: replaced(state, actor, synced), learned: [] });
    const restarted = replicas.restart(number);
    if (restarted !== number && state.crashes < bounds.crashes) {
      const next = { ...replaced(state, actor, restarted), crashes: state.crashes + 1 };
      steps.push({ actor, action: 'crashes and restarts', state: next, learned: [] });
    }
    if (state.wipes < bounds.wipes) {
      const next = { ...replaced(state, actor, replicas.wipe(number)), wipes: state.wipes + 1 };
      steps.push({ actor, action: 'loses its disk', state: next, learned: [] });
    }
  }

  // The proposers

  /** Numbers of the accepts that may be sent now. */
  private accepts(state: State): readonly number[] {
    return BALLOTS.flatMap((of, i) => {
      const lists = state.records.map((number) => this.replicas.promisesOf(number, of));
      const sent = state.sent & this.acceptBits(of);
      const key = `${i} ${sent} ${this.keyOfLists(lists)}`;
      return memoized(this.acceptsMemo, key, () => this.acceptsAfter(lists, of, i, sent));
    });
  }

  /** After any set of the promises made for its ballot; slots in their order. */
  private acceptsAfter(
    lists: readonly (readonly Promised[])[],
    of: Ballot,
    proposer: number,
    sent: number,
  ): number[] {
    const found = new Set<number>();
    const before = this.broadcasts.flatMap((one, bit) =>
      (sent & (1 << bit)) !== 0 && 'slot' in one ? [one.slot] : [],
    );
    const last = Math.max(0, ...before);
    const promises = lists.flatMap((list, i) =>
      list.map(({ page, life }): [Identity, Promised['page']] => [identity(i + 1, life), page]),
    );
    // Both ways round: two values at one ballot, where a test allows them, are told apart by who came first.
    for (const some of [...subsets(promises)].flatMap((list) => [list, list.toReversed()])) {
      const set = new this.parts.promiseSet(FIRST);
      for (const [from, page] of some) set.add(from, page);
      if (!this.parts.isPhase1Quorum(CONFIGURATION, set.votes())) continue;
      for (const slot of this.slots) {
        const isNext = slot === Math.max(last, set.chosenThrough, FIRST - 1) + 1;
        const times = before.filter((one) => one === slot).length;
        // S4: one value in a slot at a ballot.
        if (!isNext && (times === 0 || times >= this.parts.valuesPerSlot)) continue;
        const bound = set.mustPropose(slot);
        const values = bound
          ? [nameOf(bound.value)]
          : (LIKED[proposer] ?? []).slice(0, this.parts.valuesPerSlot);
        for (const value of values) found.add(this.acceptNumber(of, slot, value));
      }
    }
    return [...found].filter((number) => (sent & (1 << number)) === 0);
  }

  /** A leader says how far the slots are chosen: its own by the votes, those below its first by the promises. */
  private claims(state: State): number {
    if (!this.bounds.learning) return 0;
    const chosen = this.chosen(state);
    let claims = 0;
    for (const of of BALLOTS) {
      const own = this.broadcasts.flatMap((one, bit) =>
        (state.sent & this.acceptBits(of) & (1 << bit)) !== 0 && 'slot' in one ? [one.slot] : [],
      );
      for (const slot of this.slots) {
        const isKnown = own.includes(slot)
          ? chosen.some((one) => one.slot === slot && compareBallots(one.ballot, of) === 0)
          : slot < Math.max(0, ...own);
        if (!isKnown) break;
        claims |= this.bitsOf(
          (one) => one.type === 'chosen-through' && one.slot === slot && compareBallots(one.ballot, of) === 0,
        );
      }
    }
    return claims;
  }

  private countChosen(lists: readonly (readonly Accepted[])[]): Chosen[] {
    const votes = new Map<string, { chosen: Chosen; from: Identity[] }>();
    for (const [i, list] of lists.entries()) {
      for (const { slot, value, ballot: of, life } of list) {
        const key = `${slot} ${value} ${of.counter}`;
        const vote = votes.get(key) ?? { chosen: { slot, value, ballot: of }, from: [] };
        // Any message may come twice.
        vote.from.push(identity(i + 1, life), identity(i + 1, life));
        votes.set(key, vote);
      }
    }
    const enough = [...votes.values()].filter(({ from }) => this.parts.isPhase2Quorum(CONFIGURATION, from));
    return enough.map(({ chosen }) => chosen);
  }

  // Numbers

  private bitsOf(fits: (broadcast: Broadcast) => boolean): number {
    return this.broadcasts.reduce((bits, broadcast, bit) => (fits(broadcast) ? bits | (1 << bit) : bits), 0);
  }

  private acceptBits(of: Ballot): number {
    return this.bitsOf((one) => one.type === 'accept' && compareBallots(one.ballot, of) === 0);
  }

  private acceptNumber(of: Ballot, slot: Slot, value: string): number {
    return this.broadcasts.findIndex(
      (one) =>
        one.type === 'accept' &&
        one.slot === slot &&
        one.value === value &&
        compareBallots(one.ballot, of) === 0,
    );
  }

  /** Equal lists are the same array, so a number for each will do. */
  private keyOfLists(lists: readonly unknown[]): string {
    return lists
      .map((list) => {
        let number = this.numbers.get(list);
        if (number === undefined) this.numbers.set(list, (number = this.numbers.size));
        return number;
      })
      .join();
  }
}

function allBroadcasts(slots: readonly Slot[]): Broadcast[] {
  return BALLOTS.flatMap((of): Broadcast[] => [
    { type: 'prepare', ballot: of },
    ...slots.flatMap((slot) =>
      ['x', 'y', 'z'].map((value) => ({ type: 'accept', ballot: of, slot, value }) as const),
    ),
    ...slots.map((slot) => ({ type: 'chosen-through', ballot: of, slot }) as const),
  ]);
}

function valueOf(name: string, length: number): Value {
  const bytes = new Uint8Array(length);
  bytes[0] = name.charCodeAt(0);
  return { type: 'batch', bytes };
}

function replaced(state: State, actor: number, number: number): State {
  const records: [number, number, number] = [...state.records];
  records[actor] = number;
  return { ...state, records };
}

function memoized<T>(memo: Map<string, T>, key: string, compute: () => T): T {
  let value = memo.get(key);
  if (value === undefined) memo.set(key, (value = compute()));
  return value;
}

function* subsets<T>(list: readonly T[]): Generator<T[]> {
  for (let bits = 0; bits < 1 << list.length; bits++) yield list.filter((_, i) => (bits & (1 << i)) !== 0);
}
