/**
 * The cluster's time, as a leader moves it: milliseconds that only its own ticks move forward, by at most one election
 * time-out per round that a quorum confirmed. A jumping wall clock does not touch it, a paused process does not tick,
 * and a leader that is cut off runs out of allowance: so no lease ends early.
 */
import { type ClusterMs, compareLeaders, type LeaderBallot, NO_LEADER } from '@kvd/protocol';

export class ClusterClock {
  private leader: LeaderBallot = NO_LEADER;
  private nowMs = 0;
  private allowanceMs = 0;
  private confirmedRound = 0;

  constructor(
    private readonly tickMs: number,
    private readonly electionTimeoutMs: number,
  ) {}

  /**
   * Before it ticks or is read, by whoever leads. A new leadership goes on from where the state is, and forgets how far an earlier one had come: what that put into no
   * batch, nobody knew of. Other leaders have granted leases on the time that they knew, and they would end early.
   */
  lead(ballot: LeaderBallot, stateMs: ClusterMs): void {
    if (compareLeaders(ballot, this.leader) === 0) return;
    this.leader = ballot;
    this.nowMs = stateMs;
    this.allowanceMs = 0;
    this.confirmedRound = 0;
  }

  tick(confirmedRound: number): void {
    if (confirmedRound > this.confirmedRound) {
      this.confirmedRound = confirmedRound;
      this.allowanceMs = this.electionTimeoutMs;
    }
    const step = Math.min(this.tickMs, this.allowanceMs);
    this.allowanceMs -= step;
    this.nowMs += step;
  }

  /** What the next batch carries. */
  read(stateMs: ClusterMs): ClusterMs {
    this.nowMs = Math.max(this.nowMs, stateMs);
    return Math.floor(this.nowMs);
  }
}
