/**
 * The acceptor: the memory of the cluster. Owns the promised ballot and the entries accepted above what is known
 * chosen. It never answers before what it says is on disk, never takes a promise back, and never forgets an entry
 * that might have been chosen. (Paxos Made Simple, 2.2 and 2.3)
 */
import { compareBallots } from './ballot.js';
import type { ConfigurationHistory } from './configuration.js';
import { invariant } from './invariant.js';
import type { Accept, Heartbeat, Prepare, PromiseMessage } from './messages.js';
import type { Outbox } from './outbox.js';
import type { Ballot, LogEntry, RecoveredLog, ReplicaId, Slot, Value } from './types.js';

/** Rough size of a promise's page; one entry always fits. */
const PROMISE_PAGE_BYTES = 1024 * 1024;
const PROMISE_PAGE_ENTRIES = 1024;

export class Acceptor {
  promised: Ballot;
  /** Every slot up to it is known chosen here; nothing is accepted there any more. */
  chosenThrough: Slot;
  private readonly accepted = new Map<Slot, LogEntry>();

  constructor(
    recovered: RecoveredLog,
    private readonly history: ConfigurationHistory,
    private readonly out: Outbox,
    private readonly pageEntries = PROMISE_PAGE_ENTRIES,
  ) {
    this.promised = recovered.promised;
    this.chosenThrough = recovered.chosenThrough;
    for (const entry of recovered.accepted) this.accepted.set(entry.slot, entry);
  }

  /**
   * Phase 1b. A proposer asks whether it may propose with `prepare.ballot` in every slot from `prepare.fromSlot` on.
   *
   * Rule: promise a ballot above the one promised, answer that one again alike, nack a lower one. (S2)
   * Why safe: what is promised here is never accepted at a lower ballot later, so whatever a lower ballot may still
   *   choose without us is in the entries we report now. (Paxos Made Simple, 2.2, P1a and P2c)
   * Persists: the promised ballot, before the promise leaves. (S1)
   */
  onPrepare(from: ReplicaId, prepare: Prepare): void {
    if (compareBallots(prepare.ballot, this.promised) < 0) {
      this.nack(from, prepare.ballot);
      return;
    }
    this.raisePromise(prepare.ballot);
    this.out.sendAfterPersist([from], this.promisePage(prepare));
  }

  /**
   * Phase 2b.
   *
   * Rule: accept a ballot at or above the one promised, which it then becomes (S2); in a slot that is known chosen
   *   store nothing and answer what was chosen (S3); in a slot further than alpha ahead of what is known chosen do
   *   nothing, for who votes there is not known here (S11).
   * Why safe: no promise is broken; and the entry written together with our chosenThrough proves that we knew the
   *   slot's configuration when we accepted.
   * Persists: promise and entry, before the accepted leaves. (S1)
   */
  onAccept(from: ReplicaId, accept: Accept, votes: boolean): void {
    if (compareBallots(accept.ballot, this.promised) < 0) {
      this.nack(from, accept.ballot);
      return;
    }
    if (accept.slot <= this.chosenThrough) {
      this.out.fetches.push({ to: from, fromSlot: accept.slot, throughSlot: accept.slot });
      return;
    }
    if (!this.mayAcceptIn(accept.slot)) return;
    this.raisePromise(accept.ballot);
    this.store(accept.slot, accept.ballot, accept.value);
    if (votes) this.out.acceptedAfterPersist(from, accept.ballot, accept.slot);
  }

  /**
   * The acceptor's part of a read round: "nobody was promised more than `heartbeat.ballot` here". (S7)
   *
   * Why safe without a write: it denies a promise, and a promise that is not on disk was never given.
   */
  hasNoHigherPromise(heartbeat: Heartbeat): boolean {
    return compareBallots(this.promised, heartbeat.ballot) <= 0;
  }

  nack(to: ReplicaId, refused: Ballot): void {
    this.out.sendNow([to], { type: 'nack', refused, promised: this.promised });
  }

  acceptedAt(slot: Slot): LogEntry | undefined {
    return this.accepted.get(slot);
  }

  /** What is chosen needs no vote any more: the log keeps it, memory does not. */
  onChosenThrough(slot: Slot): void {
    for (let s = this.chosenThrough + 1; s <= slot && this.accepted.size > 0; s++) this.accepted.delete(s);
    this.chosenThrough = Math.max(this.chosenThrough, slot);
  }

  private mayAcceptIn(slot: Slot): boolean {
    if (slot === 1) return true;
    return this.history.founded && slot <= this.chosenThrough + this.history.alpha;
  }

  private raisePromise(ballot: Ballot): void {
    const order = compareBallots(ballot, this.promised);
    invariant(order >= 0, 'S2', 'a promise went back');
    if (order === 0) return;
    this.promised = ballot;
    this.out.persistPromised(ballot);
  }

  private store(slot: Slot, ballot: Ballot, value: Value): void {
    const held = this.accepted.get(slot);
    // A resent accept: already written or about to be, and the answer waits for that write anyway.
    if (held && compareBallots(held.ballot, ballot) === 0) return;
    invariant(
      !held || compareBallots(held.ballot, ballot) < 0,
      'S2',
      `slot ${slot} accepted at a lower ballot`,
    );
    const entry: LogEntry = { slot, ballot, value, chosen: false };
    this.accepted.set(slot, entry);
    this.out.persistEntry(entry);
  }

  /** A page starts where it was asked to, so that the pages of different answers can be put together by slot. */
  private promisePage(prepare: Prepare): PromiseMessage {
    const first = Math.max(prepare.fromSlot, this.chosenThrough + 1);
    const slots = [...this.accepted.keys()].filter((slot) => slot >= first).sort((a, b) => a - b);
    const page: LogEntry[] = [];
    let bytes = 0;
    for (const slot of slots) {
      const entry = this.accepted.get(slot) as LogEntry;
      bytes += entry.value.type === 'batch' ? entry.value.bytes.length : 256;
      if (page.length > 0 && (bytes > PROMISE_PAGE_BYTES || page.length >= this.pageEntries)) break;
      page.push(entry);
    }
    return {
      type: 'promise',
      ballot: prepare.ballot,
      fromSlot: prepare.fromSlot,
      throughSlot: page.length === slots.length ? null : (page.at(-1) as LogEntry).slot,
      accepted: page,
      chosenThrough: this.chosenThrough,
    };
  }
}
