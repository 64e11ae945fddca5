/**
 * What the log's batches are made of: commands, encoded once by the client and carried as those bytes to the log, the
 * peers and apply; and their results. See codec in command-codec.ts, semantics in packages/store/src/kv-state.ts.
 */
import type { Slot } from '@kvd/paxos';
import type { ErrorCode } from './errors.js';
import type { LeaderBallot } from './leader-ballot.js';

/** The cluster's count of mutating commands that changed something. */
export type Revision = number & { readonly _flavour?: 'Revision' };

/** The log position of its opening (slot * 2^16 + index in the batch), so it never recurs. 0: no session. */
export type SessionId = number & { readonly _flavour?: 'SessionId' };

/** Milliseconds on the cluster's clock, which only a leader's confirmed rounds move. */
export type ClusterMs = number & { readonly _flavour?: 'ClusterMs' };

/** Exactly-once: what (session, sequence) applied before is answered with its stored result (S8). */
export interface Origin {
  readonly session: SessionId;
  /** 1, 2, 3, … of the session's mutations; 0 without a session. */
  readonly sequence: number;
  /** The lowest sequence that the client still waits for: results below may be forgotten. */
  readonly lowestUnanswered: number;
}

/** The log position of its grant, so it never recurs. 0: no lease. */
export type LeaseId = number & { readonly _flavour?: 'LeaseId' };

export type Comparison = '=' | '!=' | '<' | '>';

/** Numbers of an entry that a transaction may look at; all of them are 0 for a key that is absent. */
export type CompareNumber = 'version' | 'create-revision' | 'mod-revision' | 'lease';

/**
 * What has to hold of a key for a transaction to take its first branch. Values are ordered by their bytes; no value is
 * equal to, below or above that of a key that is absent.
 */
export type Compare =
  | { readonly key: Uint8Array; readonly target: 'exists'; readonly exists: boolean }
  | {
      readonly key: Uint8Array;
      readonly target: 'value';
      readonly comparison: Comparison;
      readonly value: Uint8Array;
    }
  | {
      readonly key: Uint8Array;
      readonly target: CompareNumber;
      readonly comparison: Comparison;
      readonly number: number;
    };

/** Done in their order, each on what the ones before left; a branch changes a key at most once. */
export type TxnOperation =
  /** `lease` 0: the key belongs to none from now on. */
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array; readonly lease: LeaseId }
  /** Adds to the decimal number in the value, which keeps its lease; an absent key counts as 0. 64 bits, signed. */
  | { readonly type: 'add'; readonly key: Uint8Array; readonly delta: bigint }
  | { readonly type: 'delete'; readonly key: Uint8Array }
  | { readonly type: 'delete-range'; readonly from: Uint8Array; readonly to: Uint8Array }
  | { readonly type: 'get'; readonly key: Uint8Array };

export interface TxnCommand {
  readonly type: 'txn';
  readonly origin: Origin;
  /** All must hold for `success` to be done; else `failure` is. */
  readonly compares: readonly Compare[];
  readonly success: readonly TxnOperation[];
  readonly failure: readonly TxnOperation[];
}

export type Command =
  /** `principal`: who its mutations are noted to be by, as the client says. */
  | { readonly type: 'open-session'; readonly principal?: string }
  | { readonly type: 'keep-alive'; readonly session: SessionId }
  | { readonly type: 'close-session'; readonly session: SessionId }
  | { readonly type: 'put'; readonly origin: Origin; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'delete'; readonly origin: Origin; readonly key: Uint8Array }
  /** Keys k with from <= k < to; an empty `to` means no upper bound. */
  | {
      readonly type: 'delete-range';
      readonly origin: Origin;
      readonly from: Uint8Array;
      readonly to: Uint8Array;
    }
  | TxnCommand
  | { readonly type: 'lease-grant'; readonly origin: Origin; readonly ttlMs: number }
  /** Ends the lease and deletes its keys. */
  | { readonly type: 'lease-revoke'; readonly origin: Origin; readonly lease: LeaseId }
  | { readonly type: 'lease-keep-alive'; readonly lease: LeaseId }
  /** By the leader, when they are due; apply looks again. */
  | { readonly type: 'expire-leases'; readonly leases: readonly LeaseId[] }
  /** Forget what was superseded at or below `revision`. */
  | { readonly type: 'compact'; readonly revision: Revision }
  /** How much history the cluster keeps by itself; 0: no bound of that kind. */
  | {
      readonly type: 'set-retention';
      readonly origin: Origin;
      readonly keepRevisions: number;
      readonly keepMs: number;
    }
  /** What became of an operation? If nothing did, nothing ever will. (DESIGN 7) */
  | { readonly type: 'outcome'; readonly session: SessionId; readonly sequence: number }
  | { readonly type: 'keyed-outcome'; readonly idempotencyKey: Uint8Array }
  /** `command` once for all requests with this idempotency key. Inside: no keyed one. */
  | { readonly type: 'keyed'; readonly idempotencyKey: Uint8Array; readonly command: Uint8Array }
  /** `command`, and who did it and why, as the client says; empty: not said. Inside: a mutation. */
  | {
      readonly type: 'noted';
      readonly principal: string;
      readonly reason: string;
      readonly command: Uint8Array;
    };

/** An entry of the key-value state. */
export interface Entry {
  readonly key: Uint8Array;
  /** Empty when only keys were asked for. */
  readonly value: Uint8Array;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  /** 1 for a key just created, one more with every put. */
  readonly version: number;
  /** 0: none. */
  readonly lease: LeaseId;
}

/** One for each operation of the branch that was taken, in order. */
export type TxnOperationResult =
  | { readonly type: 'put' }
  | { readonly type: 'added'; readonly value: bigint }
  | { readonly type: 'deleted'; readonly deleted: number }
  | { readonly type: 'entry'; readonly entry: Entry | null };

/**
 * What became of an operation: it was applied and did this; it was not and never will be; it was applied and its client
 * has had the answer, which is forgotten; or its session is gone: it will not be applied, whether it was is not known.
 */
export type OperationOutcome =
  | { readonly status: 'applied'; readonly result: CommandResult }
  | { readonly status: 'never' }
  | { readonly status: 'answered' }
  | { readonly status: 'forgotten' };

export type CommandResult =
  /** `revision`: of this command, or unchanged when nothing was deleted. */
  | { readonly type: 'put'; readonly revision: Revision }
  | { readonly type: 'deleted'; readonly revision: Revision; readonly deleted: number }
  | { readonly type: 'session'; readonly session: SessionId }
  | { readonly type: 'done' }
  /** `revision`: that of its changes, or unchanged when it made none. */
  | {
      readonly type: 'txn';
      readonly revision: Revision;
      readonly succeeded: boolean;
      readonly results: readonly TxnOperationResult[];
    }
  | { readonly type: 'lease'; readonly lease: LeaseId; readonly ttlMs: number }
  | { readonly type: 'outcome'; readonly outcome: OperationOutcome }
  | { readonly type: 'error'; readonly code: ErrorCode; readonly message: string };

/** A batch as the log holds it. Encoded: batch-codec.ts. */
export interface Batch {
  /** That its leader proposed it at: with the slot, it tells this attempt from any other. */
  readonly ballot: LeaderBallot;
  readonly clusterMs: ClusterMs;
  /** Wall-clock time at the leader, for people only. */
  readonly wallMs: number;
  readonly commands: readonly Uint8Array[];
}

/** Where a command stands. */
export interface Position {
  readonly slot: Slot;
  readonly index: number;
}
