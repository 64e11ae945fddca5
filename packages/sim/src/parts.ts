/**
 * Where a test may put something else in place of a part of a replica: a planted bug. By default nothing is replaced;
 * the product knows nothing of this.
 */
import type { Identity } from '@kvd/paxos';
import type { LogStore, Replica, StateMachine } from '@kvd/replica';
import type { KvState } from '@kvd/store';

/** Whose part it is. */
export interface PartOwner {
  readonly id: number;
  readonly identity: Identity;
  /** Of this process; ends with it. */
  after(delayMs: number, run: () => void): void;
  now(): number;
}

export interface Parts {
  log?(log: LogStore, owner: PartOwner): LogStore;
  /** Beneath the judges, who see what it does. */
  state?(state: KvState, owner: PartOwner): StateMachine;
  /** The replica as it was built, before it gets any input. */
  replica?(replica: Replica, owner: PartOwner): void;
  /** The run is over: undo what was done to shared things. */
  restore?(): void;
}

export const REAL_PARTS: Parts = {};
