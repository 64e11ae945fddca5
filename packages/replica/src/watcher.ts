/** One watch: what it wants, where it is in the history, and whom it tells. All decisions about it are WatchHub's. */
import type { HistoryPosition, Revision, WatchMessage, WatchRequest } from '@kvd/protocol';
import type { WatchSink } from './api.js';
import type { Portion } from './watch-messages.js';
import type { WatchGroup } from './watch-ranges.js';

/** Waiting for its client to read: above the first nothing more is told to it, until it is below the second. */
const BUFFERED_BYTES_MAX = 1024 * 1024;
const DRAINED_BYTES = BUFFERED_BYTES_MAX / 2;

/** Whoever is at the other end of a sink, with all its watches. */
export class WatchClient {
  readonly watches = new Map<number, Watcher>();
  /** Those that go on when the client has read. */
  readonly stalled = new Set<Watcher>();
  /** For how long the client has not been drained while some of its watches were stalled. */
  cloggedTicks = 0;

  constructor(readonly sink: WatchSink) {}

  get isClogged(): boolean {
    return this.sink.bufferedBytes > BUFFERED_BYTES_MAX;
  }

  get isDrained(): boolean {
    return this.sink.bufferedBytes <= DRAINED_BYTES;
  }
}

/**
 * live: told as things happen. waiting, reading: behind, and in the queue for the history, or being read for. stalled:
 * behind, until its client has read. retrying: at the next tick. moving: on its way from one to another. over: ended or
 * closed.
 */
export type WatcherMode = 'live' | 'waiting' | 'reading' | 'stalled' | 'retrying' | 'moving' | 'over';

export class Watcher {
  mode: WatcherMode = 'moving';
  /**
   * Everything before this place was told, or is not wanted. While it is live this lags behind: what it is not concerned
   * by does not move it.
   */
  position: HistoryPosition;
  /** Was it told that it is behind? */
  saidBehind = false;
  /** Was it told anything since the last mark? */
  isFresh = true;
  /** Of the last event told, or of `created`: what the next message of events names as previous. */
  previous: Revision;

  constructor(
    readonly client: WatchClient,
    readonly watchId: number,
    readonly group: WatchGroup,
    readonly wantsPrevious: WatchRequest['previous'],
    fromRevision: Revision,
  ) {
    this.position = { revision: fromRevision, index: 0 };
    this.previous = fromRevision - 1;
  }

  tell(message: WatchMessage): void {
    this.isFresh = true;
    this.client.sink.tell(this.watchId, message);
  }

  tellPortion({ message, next }: Portion): void {
    this.tell(message);
    this.previous = message.revision;
    this.position = next;
  }

  /** Everything below `revision` was told, or did not concern it. */
  advanceTo(revision: Revision): void {
    if (this.position.revision < revision) this.position = { revision, index: 0 };
  }
}
