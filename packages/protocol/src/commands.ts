/**
 * What the log's batches are made of: commands, encoded once by the client and carried as those bytes to the log, the
 * peers and apply; and their results. See codec in command-codec.ts, semantics in packages/store/src/kv-state.ts.
 */
import type { Slot } from '@kvd/paxos';
import type { ErrorCode } from './errors.js';

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

export type Command =
  | { readonly type: 'open-session' }
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
  /** `command` (never itself keyed) once for all requests with this idempotency key. */
  | { readonly type: 'keyed'; readonly idempotencyKey: Uint8Array; readonly command: Uint8Array };

export type CommandResult =
  /** `revision`: of this command, or unchanged when nothing was deleted. */
  | { readonly type: 'put'; readonly revision: Revision }
  | { readonly type: 'deleted'; readonly revision: Revision; readonly deleted: number }
  | { readonly type: 'session'; readonly session: SessionId }
  | { readonly type: 'done' }
  | { readonly type: 'error'; readonly code: ErrorCode; readonly message: string };

/** A batch as the log holds it. Encoded: batch-codec.ts. */
export interface Batch {
  /** Tells this attempt from any other: the proposer's random tag and a count. */
  readonly tag: { readonly proposer: number; readonly count: number };
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
