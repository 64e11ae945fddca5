/**
 * A watch as its user sees it: batches that wait to be read, and how it ended. What is put in comes from
 * watch-subscription.ts, which is told when there is room again.
 */
import { KvdError } from '@kvd/protocol';
import { Fifo } from './fifo.js';
import type { Portion } from './watch-position.js';
import { WatchEvent } from './watch-event.js';
import { WatchReader } from './watch-reader.js';

/** Events that a replica told at once: whole revisions, but where `more` says otherwise. */
export interface WatchBatch {
  /**
   * The revision of the last event before these; of the first batch, the revision after which the watch began. So who
   * keeps it can prove that nothing was missed.
   */
  readonly previousRevision: number;
  /** That of the last event here. */
  readonly revision: number;
  /** There are more events of `revision`, which the next batch begins with. */
  readonly more: boolean;
  /** In the order of their revisions, and within one in that of its operations. */
  readonly events: readonly WatchEvent[];
}

/** What a watch tells those that feed it. */
export interface WatchFeed {
  /** What waited is read to the half. */
  roomAgain(): void;
  closed(): void;
}

/** What waits to be read at most, besides the one batch that went over it. */
export interface WatchBounds {
  readonly events: number;
  readonly bytes: number;
}

/** Of an event, besides its keys and values. */
const EVENT_BYTES = 200;

/**
 * Events of a range from a revision on, in order, each once, also when replicas fail and the client goes from one to
 * another. Read it by one `for await`, of events or of batches; leaving the loop closes the watch.
 *
 * What is not read waits in a bounded buffer; when it is full the client lets the cluster keep the rest, and asks for it
 * again later. So a slow reader costs nothing, but it may find that what it wants was compacted meanwhile.
 *
 * Iterating throws a KvdError, after what came before was read:
 * - KVD_COMPACTED: some of what was asked for is gone. `error.resumeRevision` is the first revision that can still be
 *   watched; read the present state (`kv.revision()`, then `kv.scan({ revision })`) and watch from after that.
 * - KVD_CLOSED: the client was closed, or the AbortSignal fired.
 * - KVD_BAD_REQUEST: the cluster refused it.
 */
export class Watch implements AsyncIterable<WatchEvent> {
  /** Resolves with the revision after which it begins, once a replica has taken it; rejects when none ever will. */
  readonly started: Promise<number>;
  private readonly waiting = new Fifo<{ readonly batch: WatchBatch; readonly bytes: number }>();
  private events = 0;
  private bytes = 0;
  private isOver = false;
  private error: KvdError | null = null;
  private readonly readers = new Set<WatchReader<unknown>>();
  private settleStarted: { resolve(revision: number): void; reject(error: KvdError): void } | null = null;

  /** @internal */
  constructor(
    private readonly bounds: WatchBounds,
    private readonly feed: WatchFeed,
  ) {
    this.started = new Promise((resolve, reject) => {
      this.settleStarted = { resolve, reject };
    });
    // Who does not ask for it learns of the error by iterating.
    this.started.catch(() => undefined);
  }

  /** Event by event. */
  [Symbol.asyncIterator](): AsyncIterableIterator<WatchEvent> {
    let rest: readonly WatchEvent[] = [];
    let at = 0;
    return this.reader(() => {
      while (at === rest.length) {
        const batch = this.takeBatch();
        if (batch === undefined) return undefined;
        rest = batch.events;
        at = 0;
      }
      return rest[at++];
    });
  }

  /** As they come, with the revision of the batch before. */
  batches(): AsyncIterableIterator<WatchBatch> {
    return this.reader(() => this.takeBatch());
  }

  /** End it: iterating ends after what waits was read. */
  close(): void {
    this.end(null);
  }

  /** @internal Is the buffer full? */
  get isFull(): boolean {
    return this.events >= this.bounds.events || this.bytes >= this.bounds.bytes;
  }

  /** @internal */
  begin(revision: number): void {
    this.settleStarted?.resolve(revision);
    this.settleStarted = null;
  }

  /** @internal */
  push({ previousRevision, revision, more, events }: Portion): void {
    if (this.isOver) return;
    const batch = { previousRevision, revision, more, events: events.map((event) => new WatchEvent(event)) };
    const bytes = batch.events.reduce((sum, event) => sum + bytesOf(event), 0);
    this.waiting.push({ batch, bytes });
    this.events += batch.events.length;
    this.bytes += bytes;
    this.serve();
  }

  /** @internal `error` null: by its user's wish. */
  end(error: KvdError | null): void {
    if (this.isOver) return;
    this.isOver = true;
    this.error = error;
    this.settleStarted?.reject(error ?? new KvdError('KVD_CLOSED', 'the watch was closed before it began'));
    this.settleStarted = null;
    this.serve();
    this.feed.closed();
  }

  private takeBatch(): WatchBatch | undefined {
    const next = this.waiting.shift();
    if (next === undefined) return undefined;
    this.events -= next.batch.events.length;
    this.bytes -= next.bytes;
    if (this.events * 2 <= this.bounds.events && this.bytes * 2 <= this.bounds.bytes) this.feed.roomAgain();
    return next.batch;
  }

  private reader<T>(take: () => T | undefined): WatchReader<T> {
    const reader: WatchReader<T> = new WatchReader({
      take,
      over: () => (this.isOver ? { error: this.error } : null),
      left: () => {
        this.readers.delete(reader);
        this.close();
      },
    });
    this.readers.add(reader);
    return reader;
  }

  private serve(): void {
    for (const reader of this.readers) reader.serve();
  }
}

/** Roughly what an event takes in memory. */
function bytesOf({ key, value, previous }: WatchEvent): number {
  const before =
    previous === undefined ? 0 : EVENT_BYTES + previous.keyBytes.length * 2 + previous.value.length;
  return EVENT_BYTES + key.length + (value?.length ?? 0) + before;
}
