/**
 * What becomes of the client's errors: Level's users look at codes that begin with LEVEL_. The KvdError is always the
 * `cause`, with the exact code and whether anything was done.
 */
import { ERRORS, KvdError } from '@kvd/client';

export type LevelErrorCode =
  /** Empty where the database has no prefix, or longer than 4 KiB with the prefix. */
  | 'LEVEL_INVALID_KEY'
  /** Longer than 1 MiB. */
  | 'LEVEL_INVALID_VALUE'
  /** A batch that does not fit one transaction. Nothing was done. */
  | 'LEVEL_BATCH_TOO_LARGE'
  /** What was asked for is of a revision whose history the cluster has dropped. */
  | 'LEVEL_SNAPSHOT_COMPACTED'
  /** No quorum in time, or too much under way. Nothing was done. */
  | 'LEVEL_UNAVAILABLE'
  /** A write was sent and not answered in time. It was done at most once, or may yet be. */
  | 'LEVEL_OUTCOME_UNKNOWN'
  | 'LEVEL_ABORTED'
  | 'LEVEL_DATABASE_NOT_OPEN'
  | 'LEVEL_NOT_SUPPORTED'
  /** Any other refusal; the cause says which. */
  | 'LEVEL_REMOTE_ERROR';

/** An error as abstract-level's own: with a stable `code`, and a `cause` where another error is behind it. */
export class LevelError extends Error {
  readonly code: LevelErrorCode;

  constructor(code: LevelErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = code === 'LEVEL_ABORTED' ? 'AbortError' : 'LevelError';
    this.code = code;
  }
}

/** The error to throw for one that the client threw. What is no KvdError is a bug, and stays as it is. */
export function toLevelError(error: unknown, signal?: AbortSignal): unknown {
  if (!(error instanceof KvdError)) return error;
  if (signal?.aborted === true) return new LevelError('LEVEL_ABORTED', 'Operation has been aborted', error);
  return new LevelError(codeOf(error), error.message, error);
}

function codeOf({ code, outcome }: KvdError): LevelErrorCode {
  if (outcome === 'unknown') return 'LEVEL_OUTCOME_UNKNOWN';
  if (code === 'KVD_COMPACTED') return 'LEVEL_SNAPSHOT_COMPACTED';
  if (code === 'KVD_CLOSED') return 'LEVEL_DATABASE_NOT_OPEN';
  return ERRORS[code].retry ? 'LEVEL_UNAVAILABLE' : 'LEVEL_REMOTE_ERROR';
}
