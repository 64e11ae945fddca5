/**
 * What is asked and answered about the members of a cluster (docs/MEMBERSHIP.md). A change says what is to be, not what is
 * to be done, so that it may be asked for again after any failure. On the wire and over HTTP: members-json.ts.
 */
import type { Incarnation, MemberRole, ReplicaId, Slot } from '@kvd/paxos';

export type MemberChange =
  /**
   * It is a member: a learner first, and with `promote` a voter (or witness, if its directory is one) once it has caught
   * up. It must be running with --join and be connected. `replaces`: this member leaves in the same step; 0: none does.
   */
  | {
      readonly type: 'add';
      readonly replicaId: ReplicaId;
      readonly promote: boolean;
      readonly replaces: ReplicaId;
    }
  /** It is no member. */
  | { readonly type: 'remove'; readonly replicaId: ReplicaId }
  /** The learner is a voter (or witness) as soon as it has caught up. */
  | { readonly type: 'promote'; readonly replicaId: ReplicaId }
  /** It is a learner, and stays one. */
  | { readonly type: 'demote'; readonly replicaId: ReplicaId }
  /** Its present incarnation, which lost its disk, is the member (`--readmit manual`). */
  | { readonly type: 'readmit'; readonly replicaId: ReplicaId }
  /** So many accept in phase 2; 0: a majority. */
  | { readonly type: 'accept-quorum'; readonly size: number }
  /** It leads; 0: whoever is fit best, but the present leader. */
  | { readonly type: 'move-leader'; readonly replicaId: ReplicaId };

export interface MembersQuery {
  /** Null: only tell. */
  readonly change: MemberChange | null;
  /** Say what the change would mean, and do nothing. */
  readonly plan: boolean;
  /** Do it though it would leave no quorum that can be reached now. Never what would be unsafe. */
  readonly force: boolean;
}

/** What a configuration survives, given who can be reached now where that is said. */
export interface Tolerance {
  readonly voters: number;
  readonly acceptQuorum: number;
  readonly prepareQuorum: number;
  /** Voting members that may be down at once while the cluster goes on, however they are. */
  readonly crashes: number;
  /** Disks that may be lost at once without losing what was acknowledged. */
  readonly lostDisks: number;
  /** Voting members that can be reached now, and so how many more may fail now. Negative: no quorum. */
  readonly reachable: number;
  readonly crashesNow: number;
}

export interface MemberReport {
  readonly id: ReplicaId;
  readonly address: string;
  readonly role: MemberRole;
  readonly incarnation: Incarnation;
  readonly promoteTo: 'voter' | 'witness' | null;
  /** The member that leaves when it is promoted; 0: none. */
  readonly replaces: ReplicaId;
  readonly leader: boolean;
  /** The leader is connected with the incarnation that the configuration names. */
  readonly reachable: boolean;
  /** Through it its disk holds what is chosen, as it last said; null: it has not said. */
  readonly durableThrough: Slot | null;
  /** Slots behind what the leader knows chosen; null as above. */
  readonly lag: number | null;
  readonly slowMs: number | null;
  /** Another incarnation of it that is connected: it lost its disk, or is a second process. Empty: none. */
  readonly stranger: Incarnation | '';
  /** For people: why it is not what it should be, and what is being done or to be done about it. Empty: all is well. */
  readonly note: string;
}

/** A replica that is connected and that no configuration names. */
export interface WaitingReplica {
  readonly id: ReplicaId;
  readonly incarnation: Incarnation;
  readonly address: string;
  readonly witness: boolean;
  readonly lag: number | null;
}

/** A step of a plan: what it does, and what the cluster survives while and after it is done. */
export interface PlanStep {
  readonly what: string;
  readonly during: Tolerance;
  readonly after: Tolerance;
  /** Why it is refused, or empty. */
  readonly refused: string;
  /** Could --force do it all the same? */
  readonly forceable: boolean;
  /** What to know before: who cannot be reached, who lags. */
  readonly warnings: readonly string[];
}

export interface MembersReport {
  /** Where the latest configuration was chosen. */
  readonly slot: Slot;
  /** Does it govern the next slot? And is it done: may those who left stop? */
  readonly inForce: boolean;
  readonly done: boolean;
  readonly leader: ReplicaId;
  readonly chosenThrough: Slot;
  /** As configured: 0 is a majority. */
  readonly acceptQuorum: number;
  readonly readmit: 'auto' | 'manual';
  readonly tolerance: Tolerance;
  readonly members: readonly MemberReport[];
  readonly waiting: readonly WaitingReplica[];
  /** What the change did or, with `plan`, would do; empty without one. */
  readonly steps: readonly PlanStep[];
  /** For people: what became of the change that was asked for. */
  readonly message: string;
}
