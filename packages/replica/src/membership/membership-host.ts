/** What the membership needs of its replica, and how it is set. */
import type { Configuration, ConfigurationAt, Identity, ReplicaId, Slot } from '@kvd/paxos';
import type { PeerMessage } from '@kvd/protocol';
import type { Pending } from '../pending.js';

export interface MembershipHost {
  readonly identity: Identity;
  readonly chosenThrough: Slot;
  /** Through it this replica's log is synced. */
  readonly durableThrough: Slot;
  readonly slowMs: number;
  readonly leader: ReplicaId;
  readonly isEstablished: boolean;
  /** The last slot that this leader proposed in. */
  readonly proposedThrough: Slot;
  /** Counts the rounds in which a quorum confirmed this leader. */
  readonly confirmedRound: number;
  readonly canPropose: boolean;
  readonly latest: ConfigurationAt | undefined;
  /** Those that govern the slots from the next one on, ascending. */
  readonly configurations: readonly Configuration[];
  /** All that the log still knows, ascending. */
  readonly known: readonly ConfigurationAt[];
  propose(configuration: Configuration): Slot;
  send(to: ReplicaId, message: PeerMessage): void;
  /** Have what is known chosen noted on disk, though nothing else is to be written. */
  persistMark(): void;
  handOver(to: ReplicaId | null): void;
  /** To be asked for again, here or at the next leader. */
  retry(pending: Pending, why: string): void;
  onDismissed(slot: Slot): void;
}

export interface MembershipOptions {
  readonly readmit: 'auto' | 'manual';
  readonly witness: boolean;
  /** Between two reports, in ticks. */
  readonly reportTicks: number;
  readonly electionTicks: number;
}
