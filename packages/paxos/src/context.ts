/** What the roles of one node share. Nothing here decides; each field is owned by the role named beside it. */
import type { Acceptor } from './acceptor.js';
import type { ConfigurationHistory } from './configuration.js';
import type { Election, Timing } from './election.js';
import type { Learner } from './learner.js';
import type { Digest } from './messages.js';
import type { Outbox } from './outbox.js';
import type { ClusterId, Identity, ReplicaId } from './types.js';

export interface FoundingMember {
  readonly id: ReplicaId;
  readonly address: string;
  /** Absent: a voter. */
  readonly role?: 'voter' | 'witness';
}

export interface NodeOptions {
  readonly identity: Identity;
  /** The founding members, sorted by id; empty for a replica that joins a cluster that others founded. */
  readonly founding: readonly FoundingMember[];
  /** The cluster's id if this replica founds it. */
  readonly newClusterId: ClusterId;
  /** False once a directory was set aside: such a replica takes no part in a founding. */
  readonly mayFound: boolean;
  /** Count at founding only. */
  readonly alpha: number;
  readonly acceptQuorum?: number;
  /**
   * Who else may know something, besides those that the configuration names: asked while there is no leader, and for what
   * another peer has cut.
   */
  readonly contacts?: () => readonly ReplicaId[];
  /**
   * Counter of the highest ballot that the state has applied a batch of: a new ballot is above it, or its batches would do
   * nothing. Phase 1 alone sees to that as long as members stay, but not when all are replaced.
   */
  readonly appliedCounter?: () => number;
  /** False while the state cannot be had without a peer: who led then could answer nothing until it has come. */
  readonly mayServe?: () => boolean;
  readonly timing: Timing;
  /** Entries in one page of a promise; absent: 1,024. */
  readonly promiseEntries?: number;
  /** Slots that new values may be in flight in at once; never more than alpha. */
  readonly inFlightSlots: number;
  /** From 0 inclusive to 1. */
  readonly random: () => number;
}

export interface Context {
  readonly options: NodeOptions;
  readonly history: ConfigurationHistory;
  readonly out: Outbox;
  readonly election: Election;
  /** Null while killed (chaos). */
  acceptor: Acceptor | null;
  learner: Learner | null;
  /** Carried in heartbeats (S12). */
  digest: Digest;
  /** A peer knows a cluster already: who knows none yet learns of it, and does not set out to found one. */
  foundedElsewhere: boolean;
}
