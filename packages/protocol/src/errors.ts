/**
 * Every error that reaches a user: its stable code, whether anything was done, and what it means over HTTP and for
 * kvctl's exit status. Messages may change; codes do not.
 */

/** `not-done`: certainly nothing happened. `unknown`: it may have happened, or may yet. */
export type Outcome = 'not-done' | 'unknown';

export interface ErrorMeaning {
  readonly httpStatus: number;
  readonly exitCode: number;
  readonly outcome: Outcome;
  /** May the same request be sent again, unchanged? Only one that carries a session or a key after `unknown`. */
  readonly retry: boolean;
}

const meaning = (httpStatus: number, exitCode: number, outcome: Outcome, retry: boolean): ErrorMeaning => ({
  httpStatus,
  exitCode,
  outcome,
  retry,
});

export const ERRORS = {
  KVD_BAD_REQUEST: meaning(400, 4, 'not-done', false),
  KVD_BAD_FRAME: meaning(400, 4, 'not-done', false),
  KVD_PROTOCOL_VERSION: meaning(400, 4, 'not-done', false),
  KVD_WRONG_CLUSTER: meaning(400, 4, 'not-done', false),
  KVD_NOT_FOUND: meaning(404, 1, 'not-done', false),
  KVD_METHOD_NOT_ALLOWED: meaning(405, 4, 'not-done', false),
  KVD_CONDITION_FALSE: meaning(409, 1, 'not-done', false),
  KVD_IDEMPOTENCY_CONFLICT: meaning(409, 4, 'not-done', false),
  KVD_COMPACTED: meaning(410, 4, 'not-done', false),
  KVD_SESSION_EXPIRED: meaning(410, 4, 'unknown', false),
  /** The number is below the lowest one that the client still waits for: its result is forgotten. */
  KVD_SEQUENCE_FORGOTTEN: meaning(410, 4, 'unknown', false),
  KVD_TOO_LARGE: meaning(413, 4, 'not-done', false),
  KVD_OVERLOADED: meaning(429, 3, 'not-done', true),
  /** No leader, no quorum, or stopping; nothing was done. */
  KVD_UNAVAILABLE: meaning(503, 3, 'not-done', true),
  /** The log or state of this replica failed. */
  KVD_STORAGE: meaning(503, 3, 'not-done', true),
  /** This replica's state contradicts the majority's (S12). */
  KVD_STATE_DIVERGED: meaning(503, 3, 'not-done', true),
  /** A read was not answered in time. Reads are never unknown. */
  KVD_TIMEOUT: meaning(503, 3, 'not-done', true),
  /** A mutation was sent and not answered in time, or its slot was lost. */
  KVD_OUTCOME_UNKNOWN: meaning(504, 5, 'unknown', true),
  /** The client was closed, or its AbortSignal fired, before the request was sent. */
  KVD_CLOSED: meaning(503, 3, 'not-done', false),
  KVD_INTERNAL: meaning(500, 3, 'unknown', false),
  /** A revision that the cluster has not reached. */
  KVD_FUTURE_REVISION: meaning(400, 4, 'not-done', false),
  /** It expired, was revoked, or never was. */
  KVD_LEASE_NOT_FOUND: meaning(404, 1, 'not-done', false),
  /** The value to add to is no decimal number of 64 bits, or would not be after. */
  KVD_NOT_AN_INTEGER: meaning(409, 4, 'not-done', false),
  /** Somebody asked what became of this operation, when nothing had: now nothing will. */
  KVD_FENCED: meaning(409, 4, 'not-done', false),
  /** The lock or the office is no longer held by the one who wrote. */
  KVD_LOCK_LOST: meaning(409, 1, 'not-done', false),
  /** A watcher did not take its events for too long. */
  KVD_WATCH_TOO_SLOW: meaning(410, 3, 'not-done', false),
  /** A change of the members that would lose the quorum, or that another one stands in the way of. */
  KVD_MEMBERS_REFUSED: meaning(409, 4, 'not-done', false),
} as const satisfies Record<string, ErrorMeaning>;

export type ErrorCode = keyof typeof ERRORS;

/** Wire numbers of the codes: append only. */
export const ERROR_CODES = Object.keys(ERRORS) as ErrorCode[];

/** An error with a stable `code`; `outcome` says whether anything may have been done. */
export class KvdError extends Error {
  readonly code: ErrorCode;
  readonly outcome: Outcome;
  /** Of a client's operation with an outcome that is unknown, where it has one: `SESSION.SEQUENCE`, to ask about. */
  declare operationId?: string;
  /** Of a watch that ended with KVD_COMPACTED: what was superseded at or below this revision is gone. */
  declare compactRevision?: number;
  /** Of a watch that ended: one from this revision on misses nothing that can still be had. */
  declare resumeRevision?: number;

  constructor(code: ErrorCode, message: string, outcome: Outcome = ERRORS[code].outcome) {
    super(message);
    this.name = 'KvdError';
    this.code = code;
    this.outcome = outcome;
  }
}
