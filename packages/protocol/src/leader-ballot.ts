/** Which leader proposed a batch: what the state machine knows of ballots. */
import type { ReplicaId } from '@kvd/paxos';

/**
 * A leader's ballot without its incarnation. Two leaders have the same only if one lost its disk in between, was admitted again,
 * and leads by voters of whom none has heard of its former self.
 */
export interface LeaderBallot {
  readonly counter: number;
  readonly replicaId: ReplicaId;
}

/** Below that of any leader: nobody's, or not said, as in batches of directories up to format 3. */
export const NO_LEADER: LeaderBallot = { counter: 0, replicaId: 0 };

/** Negative when `a` is below `b`, 0 when they are the same leader's. */
export function compareLeaders(a: LeaderBallot, b: LeaderBallot): number {
  return a.counter - b.counter || a.replicaId - b.replicaId;
}
