/** Reads: one key, ranges page by page at one revision, the history. */
import {
  checkKey,
  type HistoryPage,
  type HistoryPosition,
  KvdError,
  type Response,
  type ScanPage,
} from '@kvd/protocol';
import {
  type Bytes,
  copyBytes,
  isEmptyRange,
  type KeyRange,
  ownedBytes,
  toKeys,
  toRange,
  utf8,
} from './bytes.js';
import { type Caller, unexpected } from './caller.js';
import { Entry } from './entry.js';
import {
  checkLimit,
  checkRevision,
  type CountOptions,
  type GetOptions,
  type HistoryOptions,
  type ReadOptions,
  type ScanOptions,
} from './options.js';
import { WatchEvent } from './watch-event.js';

/** Of a page of a scan. Small: while a replica makes one, everybody else there waits. */
const SCAN_PAGE_ENTRIES = 512;

/** What one revision did to the keys asked for; who did it and why is what the client said of itself. */
export interface HistoryRevision {
  readonly revision: number;
  /** Wall-clock time of the leader then, in ms since 1970: for people, nothing depends on it. */
  readonly wallMs: number;
  /** `SESSION.SEQUENCE`; undefined for what came over HTTP, and for the end of a lease. */
  readonly operationId: string | undefined;
  readonly idempotencyKey: string | undefined;
  /** Empty: nobody was named. */
  readonly principal: string;
  /** Empty: none was given. */
  readonly reason: string;
  readonly events: readonly WatchEvent[];
}

/** Of a range read at one revision. */
interface Snapshot {
  range: KeyRange;
  /** 0: that of the first page, which is not there yet. */
  revision: number;
  /** Is the revision that of the first page, and not one that was asked for? */
  readonly isOwn: boolean;
  consistency: 'linearizable' | 'stale';
}

/** The first of all keys that may be: what is read when only the revision is wanted. */
const ANY_KEY = new Uint8Array([0]);

export class Reads {
  constructor(private readonly caller: Caller) {}

  get(key: Bytes, options: GetOptions | undefined): Promise<Entry | undefined> {
    const consistency = this.caller.consistency(options);
    const revision = checkRevision('revision', options?.revision);
    const task = { type: 'get', consistency, key: ownedBytes(key), revision } as const;
    checkKey(task.key);
    return this.caller.read(task, asEntry, options);
  }

  /** An entry, and the revision that it was read at. */
  getWithRevision(
    key: Uint8Array,
    options: ReadOptions | undefined,
  ): Promise<{ entry: Entry | undefined; revision: number }> {
    const consistency = this.caller.consistency(options);
    const interpret = (response: Response) => {
      const entry = asEntry(response);
      return { entry, revision: response.type === 'entry' ? response.revision : 0 };
    };
    return this.caller.read({ type: 'get', consistency, key, revision: 0 }, interpret, options);
  }

  async revision(options: ReadOptions | undefined): Promise<number> {
    return (await this.getWithRevision(ANY_KEY, options)).revision;
  }

  async *scan(options: ScanOptions): AsyncGenerator<Entry, void, void> {
    for await (const { entries } of this.pages(options)) yield* entries;
  }

  /** A scan as it comes, with the revision that all of it is read at. There is a first page also when nothing is found. */
  async *pages(options: ScanOptions): AsyncGenerator<{ entries: Entry[]; revision: number }, void, void> {
    let left = options.limit === undefined ? Number.POSITIVE_INFINITY : checkLimit(options.limit);
    const { keysOnly = false, reverse = false } = options;
    const snapshot = this.snapshot(options);
    while (left > 0 && !isEmptyRange(snapshot.range)) {
      const limit = Math.min(left, SCAN_PAGE_ENTRIES);
      const page = await this.page(snapshot, options, { limit, keysOnly, countOnly: false, reverse });
      yield { entries: page.entries.map((entry) => new Entry(entry)), revision: page.revision };
      left -= page.entries.length;
      if (page.next === null) return;
    }
  }

  async count(options: CountOptions): Promise<number> {
    const snapshot = this.snapshot(options);
    let count = 0;
    while (!isEmptyRange(snapshot.range)) {
      const how = { limit: 0, keysOnly: true, countOnly: true, reverse: false };
      const page = await this.page(snapshot, options, how);
      count += page.count;
      if (page.next === null) break;
    }
    return count;
  }

  async *history(options: HistoryOptions): AsyncGenerator<HistoryRevision, void, void> {
    const consistency = this.caller.consistency(options);
    const range = options.key === undefined ? toRange(options) : toKeys('history', options);
    let left = options.limit === undefined ? Number.POSITIVE_INFINITY : checkLimit(options.limit);
    let start: HistoryPosition | null = {
      revision: checkRevision('fromRevision', options.fromRevision),
      index: 0,
    };
    /** The first part of a revision whose rest is on the next page. */
    let begun: HistoryRevision | null = null;
    /** What happens while it is read is not chased. */
    let through = Number.POSITIVE_INFINITY;
    while (left > 0 && start !== null && start.revision <= through) {
      const limit = Number.isFinite(left) ? left : 0;
      const task = { type: 'history', consistency, ...range, start, limit } as const;
      const page: HistoryPage = await this.caller.read(task, asHistory, options);
      through = Math.min(through, page.revision);
      start = page.next;
      for (const part of page.revisions) {
        if (part.revision > through) return;
        const whole = joined(begun, toHistoryRevision(part));
        begun = null;
        if (start?.revision === part.revision) begun = whole;
        else {
          yield whole;
          left -= 1;
        }
      }
    }
  }

  private snapshot(options: GetOptions & CountOptions): Snapshot {
    const revision = checkRevision('revision', options.revision);
    return {
      range: toRange(options),
      revision,
      isOwn: revision === 0,
      consistency: this.caller.consistency(options),
    };
  }

  /** The next page; moves `snapshot` on to what is left. */
  private async page(
    snapshot: Snapshot,
    options: ReadOptions,
    how: { limit: number; keysOnly: boolean; countOnly: boolean; reverse: boolean },
  ): Promise<ScanPage> {
    const task = { type: 'scan', ...snapshot.range, revision: snapshot.revision, ...how } as const;
    const { consistency } = snapshot;
    let page: ScanPage;
    try {
      page = await this.caller.read({ ...task, consistency }, asPage, options);
    } catch (error) {
      // A stale scan came to a replica that lags behind the one that its first page is from. The revision is
      // fixed, so a linearizable read of it gives the same.
      const lags = error instanceof KvdError && error.code === 'KVD_FUTURE_REVISION';
      if (!lags || consistency !== 'stale' || !snapshot.isOwn || task.revision === 0) throw error;
      snapshot.consistency = 'linearizable';
      page = await this.caller.read({ ...task, consistency: 'linearizable' }, asPage, options);
    }
    snapshot.revision = page.revision;
    if (page.next !== null) {
      const next = copyBytes(page.next);
      const { from, to } = snapshot.range;
      snapshot.range = how.reverse ? { from, to: next } : { from: next, to };
    }
    return page;
  }
}

function asEntry(response: Response): Entry | undefined {
  if (response.type !== 'entry') throw unexpected(response, 'not-done');
  return response.entry === null ? undefined : new Entry(response.entry);
}

function asPage(response: Response): ScanPage {
  if (response.type !== 'page') throw unexpected(response, 'not-done');
  return response;
}

function asHistory(response: Response): HistoryPage {
  if (response.type !== 'history') throw unexpected(response, 'not-done');
  return response;
}

/** Two parts of one revision; `begun` null: there is only this one. */
function joined(begun: HistoryRevision | null, part: HistoryRevision): HistoryRevision {
  return begun === null ? part : { ...part, events: [...begun.events, ...part.events] };
}

function toHistoryRevision({ revision, note, events }: HistoryPage['revisions'][number]): HistoryRevision {
  const { wallMs, session, sequence, idempotencyKey, principal, reason } = note;
  return {
    revision,
    wallMs,
    operationId: session === 0 ? undefined : `${session}.${sequence}`,
    idempotencyKey: idempotencyKey.length === 0 ? undefined : utf8(idempotencyKey),
    principal,
    reason,
    events: events.map((event) => new WatchEvent(event)),
  };
}
