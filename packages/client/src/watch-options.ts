/** What a watch can be told, checked and with its defaults. */
import type { WatchRequest } from '@kvd/protocol';
import { toKeys } from './bytes.js';
import { bad, checkRevision, type KeysOptions } from './options.js';
import type { WatchBounds } from './watch.js';

export interface WatchOptions extends KeysOptions {
  /**
   * The first revision whose events are wanted; it may be in the past, if it is not compacted, and in the future.
   * Default, and 0: what comes after the present revision of the replica that takes the watch; `started` says which.
   */
  readonly fromRevision?: number;
  /** With each event what the key had before. Default: no. */
  readonly previous?: boolean;
  /** Ends it: iterating throws KVD_CLOSED. */
  readonly signal?: AbortSignal;
  /** Events that wait to be read at most, before the client lets the cluster keep the rest. Default 4,096. */
  readonly buffer?: number;
}

const BUFFER_EVENTS = 4096;
/** Whatever the number of events. */
const BUFFER_BYTES = 8 * 1024 * 1024;

/** @throws KvdError KVD_BAD_REQUEST */
export function toWatchRequest(options: WatchOptions): { request: WatchRequest; bounds: WatchBounds } {
  const { fromRevision, previous = false, buffer = BUFFER_EVENTS } = options;
  if (!Number.isSafeInteger(buffer) || buffer < 1)
    throw bad(`buffer: ${buffer} is not a whole number from 1`);
  const request = {
    ...toKeys('watch', options),
    fromRevision: checkRevision('fromRevision', fromRevision),
    previous,
  };
  return { request, bounds: { events: buffer, bytes: BUFFER_BYTES } };
}
