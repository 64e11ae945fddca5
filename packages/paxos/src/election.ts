/**
 * When to try to lead: liveness only. Whatever this file decides, at whatever time, no two values are chosen; it
 * decides whether any is. Randomised, exponentially backed-off time-outs; stickiness to a live leader.
 */
import { compareBallots } from './ballot.js';
import type { Ballot, Identity, ReplicaId } from './types.js';

export interface Timing {
  /** An acceptor holds a leader for alive so many ticks after it heard from it. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
}

const BACKOFF_MAX = 4;

export class Election {
  /** The ballot of the leader heard last; its owner is the leader while `alive`. */
  private leaderBallot: Ballot | null = null;
  private silentTicks = 0;
  private waitTicks: number;
  private failures = 0;

  constructor(
    private readonly self: Identity,
    private readonly timing: Timing,
    private readonly random: () => number,
  ) {
    this.waitTicks = this.drawTimeout();
  }

  /** 0 when no live leader is known. */
  get leader(): ReplicaId {
    return this.leaderBallot ? this.leaderBallot.replicaId : 0;
  }

  /** A message of a leader at or above our own promise arrived. Only such a one is a live leader. */
  heardLeader(ballot: Ballot): void {
    this.silentTicks = 0;
    this.failures = 0;
    if (this.leaderBallot && compareBallots(ballot, this.leaderBallot) === 0) return;
    this.leaderBallot = ballot;
    // A short wait that an attempt of our own left behind would have us campaign against it.
    this.waitTicks = this.drawTimeout();
  }

  /** True: time to campaign. */
  tick(): boolean {
    this.silentTicks += 1;
    if (this.silentTicks > this.timing.electionTicks) this.leaderBallot = null;
    if (this.silentTicks < this.waitTicks) return false;
    this.leaderBallot = null;
    this.silentTicks = 0;
    this.failures = Math.min(this.failures + 1, BACKOFF_MAX);
    this.waitTicks = this.drawTimeout();
    return true;
  }

  /** Leading, or about to: its own candidacy rests, and it knows itself as the leader. */
  lead(ballot: Ballot): void {
    this.leaderBallot = ballot;
    this.silentTicks = 0;
    this.failures = 0;
  }

  /** Lost the leadership or an attempt: try again after a random while, soon. */
  retreat(): void {
    this.leaderBallot = null;
    this.silentTicks = 0;
    this.waitTicks = this.drawBackoff();
  }

  /** Handed over: stay out of the way of the one that takes over. */
  yieldTo(): void {
    this.leaderBallot = null;
    this.silentTicks = 0;
    this.waitTicks = this.drawTimeout();
  }

  /** The connection to a peer ended. If it led, do not wait for the whole time-out. */
  disconnected(peer: ReplicaId): void {
    if (this.leader !== peer || peer === this.self.replicaId) return;
    this.leaderBallot = null;
    this.silentTicks = 0;
    this.waitTicks = 1 + Math.floor(this.random() * (this.timing.electionTicks / 4));
  }

  /** May a probe by `candidate` be granted, as far as a live leader is concerned? A leader's own never is refused. */
  grants(candidate: ReplicaId): boolean {
    return this.leader === 0 || this.leader === candidate;
  }

  private drawTimeout(): number {
    const base = this.timing.electionTicks * 2 ** Math.max(0, this.failures - 1);
    return Math.ceil(this.timing.electionTicks + this.random() * base);
  }

  private drawBackoff(): number {
    const base = (this.timing.electionTicks / 4) * 2 ** this.failures;
    this.failures = Math.min(this.failures + 1, BACKOFF_MAX);
    return 1 + Math.ceil(this.random() * base);
  }
}
