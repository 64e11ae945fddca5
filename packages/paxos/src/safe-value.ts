/**
 * What a proposer may propose, decided from promises alone: the pure heart of phase 1. (Paxos Made Simple, 2.2, P2c;
 * 2.3 and 3 for many slots at once)
 */
import { compareBallots } from './ballot.js';
import type { PromiseMessage } from './messages.js';
import type { Identity, Incarnation, LogEntry, ReplicaId, Slot } from './types.js';

interface PromiseOf {
  readonly incarnation: Incarnation;
  /** Pages through this slot are in; Infinity after the last. */
  covered: number;
}

/**
 * The promises for one ballot, put together from their pages.
 *
 * Rule: a promise counts when its last part is in and nothing between is missing. (S3)
 * Why safe: pages of one acceptor at one ballot cannot contradict each other whenever they were made: below the ballot
 *   it accepts nothing more, and what it drops it covers by its chosenThrough.
 */
export class PromiseSet {
  /** Highest chosenThrough reported: at or below it a proposer learns and never proposes. (S3) */
  chosenThrough: Slot = 0;
  private readonly promises = new Map<ReplicaId, PromiseOf>();
  private readonly complete = new Map<ReplicaId, Incarnation>();
  private readonly highest = new Map<Slot, LogEntry>();

  constructor(private readonly fromSlot: Slot) {}

  /**
   * Take a page. Returns the slot from where the acceptor's next page is wanted, null when it is complete.
   * `isDecided`: is a phase-1 quorum of the slot's configuration complete already? What a late promise says was accepted
   * there is not reported.
   *
   * Why safe: what that quorum did not report was not chosen below this ballot, and never will be: the slot is free. (P2c)
   * Why it matters: such a value is of a leader that was cut off, and later in the log than when it was proposed: the time
   *   in it would end leases that this leader has granted since on its own.
   */
  add(from: Identity, page: PromiseMessage, isDecided: (slot: Slot) => boolean = () => false): Slot | null {
    let promise = this.promises.get(from.replicaId);
    if (promise && promise.incarnation !== from.incarnation) promise = undefined;
    if (!promise) {
      promise = { incarnation: from.incarnation, covered: this.fromSlot - 1 };
      this.promises.set(from.replicaId, promise);
      this.complete.delete(from.replicaId);
    }
    if (page.fromSlot > promise.covered + 1) return promise.covered + 1;
    promise.covered = Math.max(promise.covered, page.throughSlot ?? Number.POSITIVE_INFINITY);
    this.chosenThrough = Math.max(this.chosenThrough, page.chosenThrough);
    for (const entry of page.accepted) if (entry.chosen || !isDecided(entry.slot)) this.report(entry);
    if (promise.covered !== Number.POSITIVE_INFINITY) return promise.covered + 1;
    this.complete.set(from.replicaId, from.incarnation);
    return null;
  }

  /** Whose promise is complete, by incarnation. */
  votes(): ReadonlyMap<ReplicaId, Incarnation> {
    return this.complete;
  }

  isComplete(id: ReplicaId): boolean {
    return this.complete.has(id);
  }

  /** From which slot on the acceptor has to be asked (again). */
  wantedFrom(id: ReplicaId): Slot {
    const covered = this.promises.get(id)?.covered ?? this.fromSlot - 1;
    return covered === Number.POSITIVE_INFINITY ? this.fromSlot : covered + 1;
  }

  /** The highest slot that any promise reports something in; 0 for none. */
  get lastReported(): Slot {
    let last = 0;
    for (const slot of this.highest.keys()) last = Math.max(last, slot);
    return last;
  }

  /**
   * The value that must be proposed in `slot`: the one accepted at the highest ballot reported. Undefined: free.
   *
   * Why safe: if some value was chosen in the slot at a lower ballot, a phase-2 quorum accepted it; every phase-1
   *   quorum meets that one, so it is reported, and no other value has a higher ballot. (P2c)
   */
  mustPropose(slot: Slot): LogEntry | undefined {
    return this.highest.get(slot);
  }

  /** What is proposed or known needs no report any more. */
  forgetThrough(slot: Slot): void {
    for (const reported of this.highest.keys()) if (reported <= slot) this.highest.delete(reported);
  }

  private report(entry: LogEntry): void {
    const held = this.highest.get(entry.slot);
    if (!held || isStronger(entry, held)) this.highest.set(entry.slot, entry);
  }
}

/** A value known chosen outweighs every ballot; among accepted ones the highest ballot wins. */
function isStronger(a: LogEntry, b: LogEntry): boolean {
  if (a.chosen !== b.chosen) return a.chosen;
  return compareBallots(a.ballot, b.ballot) > 0;
}
