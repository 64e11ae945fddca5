/** What the judges look at of a state. */
import type { Slot } from '@kvd/paxos';
import type { ClusterMs, Revision } from '@kvd/protocol';

export type { CommandResult } from '@kvd/protocol';

export interface StateMachineView {
  readonly appliedThrough: Slot;
  readonly revision: Revision;
  readonly compactRevision: Revision;
  readonly clusterMs: ClusterMs;
  readonly stateHash: string;
}
