/** A state with a history in memory, and sinks that write down what they are told, for the tests of WatchHub. */
import type { Entry, HistoryPage, KvEvent, RevisionEvents, WatchMessage } from '@kvd/protocol';
import { KvdError } from '@kvd/protocol';
import type { WatchSink } from '../src/api.js';
import type { Done, HistoryQuery } from '../src/ports.js';
import type { WatchedState } from '../src/watch-hub.js';

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

export type Op = { readonly put: string; readonly value?: string | Uint8Array } | { readonly del: string };

const NOTE = { wallMs: 0, session: 0, sequence: 0, idempotencyKey: utf8(''), principal: '', reason: '' };

export class FakeState implements WatchedState {
  revision = 0;
  compactRevision = 0;
  /** Events of a page at most, as the real one has a bound. */
  pageEvents = 4_096;
  /** What every replica agrees on: revision r is at r - 1. The state may be behind it. */
  readonly log: RevisionEvents[] = [];
  watched = false;
  readsBegun = 0;
  readonly queries: HistoryQuery[] = [];
  /** Of reads under way; each run once, in any order. */
  readonly reads: (() => void)[] = [];
  /** Every read ends with this. */
  failure: Error | null = null;
  private pending: RevisionEvents[] = [];
  private readonly entries = new Map<string, Entry>();

  /** One revision that does all this; false when it would do nothing. */
  apply(...ops: Op[]): boolean {
    if (this.revision < this.log.length) {
      this.replay();
      return true;
    }
    if (!this.append(ops)) return false;
    this.replay();
    return true;
  }

  /** The next revision of the log comes about here. */
  replay(): void {
    const next = this.log[this.revision];
    if (next === undefined) return;
    this.revision += 1;
    if (this.watched) this.pending.push(next);
  }

  /** Others went on, and this state is now a snapshot of theirs. */
  install(ops: readonly Op[], compactRevision: number): void {
    for (const op of ops) this.append([op]);
    this.revision = this.log.length;
    this.compactRevision = Math.min(this.revision, Math.max(compactRevision, this.compactRevision));
    this.pending = [];
  }

  /** Read anew from disk: what was not flushed has to be applied once more. */
  reload(back: number): void {
    this.revision = Math.max(this.compactRevision, this.revision - back);
    this.pending = [];
  }

  compact(revision: number): void {
    this.compactRevision = Math.max(this.compactRevision, Math.min(revision, this.revision));
  }

  takeRevisions(): readonly RevisionEvents[] {
    const taken = this.pending;
    this.pending = [];
    return taken;
  }

  watchRevisions(wanted: boolean): void {
    this.watched = wanted;
    if (!wanted) this.pending = [];
  }

  history(query: HistoryQuery, done: Done<HistoryPage>): void {
    this.readsBegun += 1;
    this.queries.push(query);
    const { revision } = this;
    const page = this.page(query, revision);
    this.reads.push(() => {
      const { compactRevision } = this;
      let error = this.failure;
      if (query.start.revision > revision) error ??= new KvdError('KVD_FUTURE_REVISION', 'not yet');
      if (query.start.revision <= compactRevision) error ??= new KvdError('KVD_COMPACTED', 'gone');
      done(error, { ...page, compactRevision });
    });
  }

  /** Let reads end, and those that they bring about, until there is none. */
  finishReads(): void {
    for (let read = this.reads.shift(); read; read = this.reads.shift()) read();
  }

  private append(ops: readonly Op[]): boolean {
    const revision = this.log.length + 1;
    const events: KvEvent[] = [];
    for (const op of ops) {
      const name = 'put' in op ? op.put : op.del;
      const key = utf8(name);
      const previous = this.entries.get(name) ?? null;
      if ('del' in op) {
        if (previous === null) continue;
        this.entries.delete(name);
        events.push({ type: 'delete', key, modRevision: revision, previous });
        continue;
      }
      const { value = `v${revision}` } = op;
      const entry: Entry = {
        key,
        value: typeof value === 'string' ? utf8(value) : value,
        createRevision: previous?.createRevision ?? revision,
        modRevision: revision,
        version: (previous?.version ?? 0) + 1,
        lease: 0,
      };
      this.entries.set(name, entry);
      events.push({ type: 'put', entry, previous });
    }
    if (events.length > 0) this.log.push({ revision, note: NOTE, events });
    return events.length > 0;
  }

  private page(query: HistoryQuery, through: number): HistoryPage {
    const revisions: { revision: number; note: typeof NOTE; events: KvEvent[] }[] = [];
    let room = this.pageEvents;
    for (const { revision, events } of this.log.slice(query.start.revision - 1, through)) {
      for (const [index, event] of events.entries()) {
        if (revision === query.start.revision && index < query.start.index) continue;
        if (!inRange(event, query)) continue;
        if (room === 0) {
          return {
            type: 'history',
            revisions,
            next: { revision, index },
            revision: through,
            compactRevision: 0,
          };
        }
        room -= 1;
        if (revisions.at(-1)?.revision !== revision) revisions.push({ revision, note: NOTE, events: [] });
        revisions.at(-1)?.events.push(query.previous ? event : { ...event, previous: null });
      }
    }
    return { type: 'history', revisions, next: null, revision: through, compactRevision: 0 };
  }
}

export function inRange(
  event: KvEvent,
  { from, to }: { readonly from: Uint8Array; readonly to: Uint8Array },
): boolean {
  const key = event.type === 'put' ? event.entry.key : event.key;
  return Buffer.compare(from, key) <= 0 && (to.length === 0 || Buffer.compare(key, to) < 0);
}

export class FakeSink implements WatchSink {
  bufferedBytes = 0;
  /** What each message adds to that; 0: everything is read at once. */
  bytesAMessage = 0;
  readonly told: [watchId: number, message: WatchMessage][] = [];

  tell(watchId: number, message: WatchMessage): void {
    this.told.push([watchId, message]);
    this.bufferedBytes += this.bytesAMessage;
  }

  /** Messages to this watch, and forgets none. */
  to(watchId: number): WatchMessage[] {
    return this.told.filter(([id]) => id === watchId).map(([, message]) => message);
  }
}

export const key = (name: string) => ({ from: utf8(name), to: utf8(`${name}\0`) });
export const prefix = (name: string) => ({
  from: utf8(name),
  to: utf8(name.slice(0, -1) + String.fromCharCode(name.charCodeAt(name.length - 1) + 1)),
});
export const ALL = { from: utf8(''), to: utf8('') };
