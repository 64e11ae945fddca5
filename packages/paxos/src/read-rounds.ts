/**
 * Linearizable reads without writing: shared rounds of "has anybody promised more than my ballot?". (S7)
 *
 * Why safe: if a phase-2 quorum denies it *after* the read arrived, then at that moment no higher ballot had a phase-1
 * quorum, so nothing had been chosen at one; everything chosen before is at or below what this leader knows, because
 * it led with a phase-1 quorum of its own and waits for all that was reported to it and a slot of its own ballot.
 */
import type { Configuration } from './types.js';
import { isPhase2Quorum } from './configuration.js';
import type { Identity, Incarnation, ReplicaId, Slot } from './types.js';

interface WaitingRead {
  readonly token: number;
  /** Answered by this round or any later one. 0: not even begun, the leader is not through its barrier. */
  round: number;
  slot: Slot;
}

export interface ConfirmedRead {
  readonly token: number;
  /** May be answered from a state that applied through this slot. */
  readonly slot: Slot;
}

export class ReadRounds {
  /** The last round begun. Rounds count on through heartbeats and reads alike. */
  round = 0;
  confirmed = 0;
  private readonly answers = new Map<
    ReplicaId,
    { readonly incarnation: Incarnation; readonly round: number }
  >();
  private waiting: WaitingRead[] = [];
  private held: number[] = [];
  private answered = false;
  private configuration: Configuration | null = null;

  /**
   * A read arrives while everything through `chosenThrough` is known chosen; `open` once the leader is through its
   * barrier. True: begin a round now.
   */
  arrive(token: number, chosenThrough: Slot, open: boolean): boolean {
    if (!open) {
      this.held.push(token);
      return false;
    }
    this.waiting.push({ token, round: this.round + 1, slot: chosenThrough });
    return this.confirmed === this.round;
  }

  /** The barrier is passed: what was held arrives now. True: begin a round. */
  release(chosenThrough: Slot): boolean {
    if (this.held.length === 0) return false;
    for (const token of this.held) this.waiting.push({ token, round: this.round + 1, slot: chosenThrough });
    this.held = [];
    return this.confirmed === this.round;
  }

  /**
   * Who votes on the slot after the last one known chosen. When that changes, every waiting read starts over: it was
   * to be confirmed by those who vote on the slot after *its* own.
   */
  governedBy(configuration: Configuration): void {
    if (this.configuration === configuration) return;
    this.configuration = configuration;
    this.held.push(...this.waiting.map((read) => read.token));
    this.waiting = [];
  }

  begin(): number {
    this.round += 1;
    return this.round;
  }

  answer(from: Identity, round: number): void {
    const held = this.answers.get(from.replicaId);
    if (held && held.incarnation === from.incarnation && held.round >= round) return;
    this.answers.set(from.replicaId, { incarnation: from.incarnation, round });
    this.answered = true;
  }

  /** The reads that a phase-2 quorum of `configuration` has confirmed. */
  takeConfirmed(configuration: Configuration): ConfirmedRead[] {
    if (!this.answered) return [];
    this.answered = false;
    let highest = this.confirmed;
    for (const { round } of this.answers.values()) {
      if (round > highest && round <= this.round && isPhase2Quorum(configuration, this.votesFor(round)))
        highest = round;
    }
    this.confirmed = highest;
    if (this.waiting.length === 0) return [];
    const ready = this.waiting.filter((read) => read.round <= highest);
    if (ready.length > 0) this.waiting = this.waiting.filter((read) => read.round > highest);
    return ready;
  }

  /** Reads wait for a round that has not begun. */
  get wantsRound(): boolean {
    return this.waiting.some((read) => read.round > this.round) && this.confirmed === this.round;
  }

  /** No longer leading: every read that waits, to be refused. */
  takeAll(): number[] {
    const tokens = [...this.held, ...this.waiting.map((read) => read.token)];
    this.held = [];
    this.waiting = [];
    return tokens;
  }

  private votesFor(round: number): Map<ReplicaId, Incarnation> {
    const votes = new Map<ReplicaId, Incarnation>();
    for (const [id, answer] of this.answers) if (answer.round >= round) votes.set(id, answer.incarnation);
    return votes;
  }
}
