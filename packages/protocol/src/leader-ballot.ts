/** Which leader proposed a batch: what the state machine knows of ballots. */
import type { ReplicaId } from '@kvd/paxos';

/** A leader's ballot without its incarnation: no two leaders have the same. */
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
