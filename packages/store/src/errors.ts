/**
 * How storage fails: StoreError for a disk that does not do its work, DirectoryError for a data directory that this
 * replica must not use. Nothing here decides what to do about it.
 */
import { KvdError } from '@kvd/protocol';

/**
 * `damaged`: what was read is not what was written. `no-space`: the write may succeed once there is room, quota or a file
 * descriptor. `io`: any other failure of the disk. `closed`: used after close, or while it reopens.
 */
export type StoreErrorKind = 'damaged' | 'no-space' | 'io' | 'locked' | 'closed';

export class StoreError extends KvdError {
  readonly kind: StoreErrorKind;

  constructor(kind: StoreErrorKind, message: string) {
    super('KVD_STORAGE', message);
    this.name = 'StoreError';
    this.kind = kind;
  }
}

/**
 * `foreign`: it belongs to another replica or cluster. `locked`: another process has it open. `founding-differs`,
 * `founding-missing`: the list of founding members is not the one written down, or was needed and not given.
 * `newer-format`: written by a later version of kvd. `removed`: its replica was removed from the cluster. `io`: the file
 * system refused.
 */
export type DirectoryErrorKind =
  | 'foreign'
  | 'locked'
  | 'founding-differs'
  | 'founding-missing'
  | 'newer-format'
  | 'removed'
  | 'io';

/** A data directory that cannot be used. Nothing in it was changed. */
export class DirectoryError extends Error {
  readonly kind: DirectoryErrorKind;

  constructor(kind: DirectoryErrorKind, message: string) {
    super(message);
    this.name = 'DirectoryError';
    this.kind = kind;
  }
}

export function damaged(message: string): StoreError {
  return new StoreError('damaged', message);
}

const NO_SPACE = /ENOSPC|EDQUOT|EMFILE|ENFILE|no space left|quota exceeded|too many open files/i;

/** The error as a StoreError, with a message for people. */
export function asStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const text = messageOf(error);
  if (NO_SPACE.test(text)) return new StoreError('no-space', text);
  const code = codeOf(error);
  if (code === 'LEVEL_LOCKED') return new StoreError('locked', text);
  if (code === 'LEVEL_CORRUPTION') return damaged(text);
  return new StoreError('io', text);
}

/** The innermost message: LevelDB wraps what really happened. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? messageOf(error.cause) : error.message;
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  if (error.cause instanceof Error) return codeOf(error.cause);
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}
