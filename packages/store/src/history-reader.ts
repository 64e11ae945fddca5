/**
 * Reads of the past: a key as of a revision, and what revisions did. Both look in memory first and then on disk, as both
 * were when the read began; what a read needs stays until the revision is compacted, so a read ends by asking whether
 * that happened meanwhile.
 */
import {
  type Entry,
  eventBytes,
  noteBytes,
  type HistoryPage,
  type HistoryPosition,
  KvdError,
  type KvEvent,
  PAGE_BYTES_MAX,
  PAGE_ENTRIES_MAX,
  type Revision,
  type RevisionEvents,
} from '@kvd/protocol';
import type { Done, HistoryQuery } from '@kvd/replica';
import { keyBytes, keyText } from './bytes.js';
import { asStoreError, damaged } from './errors.js';
import { decodeVersion, type RevisionPart, type StoredEvent } from './history-records.js';
import { isIn, type TextRange } from './key-range.js';
import { entryOf, type KvRecord, modRevisionOf } from './kv-record.js';
import type { StateModel } from './model.js';
import type { OrderedStore, Pair } from './ordered-store.js';
import { RevisionParts } from './revision-parts.js';
import { unseal } from './sealed.js';
import { PREFIX_BYTES, stateKey } from './state-records.js';
import { completeAll } from './values-apart.js';

/** Parts of revisions read for one page at most: what a page may cost where few events are asked for. */
const PARTS_MAX = 4096;

/** Places on disk where versions are looked for, for one page, all in one turn: some 20 ms. */
const LOOKUPS_MAX = 8192;

/** Why a read as of this revision cannot be answered: KVD_FUTURE_REVISION, KVD_COMPACTED. */
export function refusalOf(model: StateModel, revision: Revision): KvdError | null {
  if (revision > model.revision) {
    const message = `revision ${revision} is asked for, this replica is at ${model.revision}`;
    return new KvdError('KVD_FUTURE_REVISION', message);
  }
  return revision < model.compactRevision ? compacted(revision, model) : null;
}

/** @throws KvdError KVD_FUTURE_REVISION, KVD_COMPACTED */
function checkRevision(model: StateModel, revision: Revision): void {
  const refusal = refusalOf(model, revision);
  if (refusal !== null) throw refusal;
}

function compacted(revision: Revision, { compactRevision }: StateModel): KvdError {
  const message = `revision ${revision} is compacted, the oldest that can be read is ${compactRevision}`;
  return new KvdError('KVD_COMPACTED', message);
}

/** The entry of a key after `revision`. */
export function entryAt(
  store: OrderedStore,
  model: StateModel,
  key: Uint8Array,
  revision: Revision,
  done: Done<Entry | null>,
): void {
  const text = keyText(key);
  const answer = (error: Error | null, record: KvRecord | null): void => {
    done(error, record === null ? null : entryOf(key, record));
  };
  try {
    checkRevision(model, revision);
    const present = model.space.lookup(text);
    const known =
      present !== null && modRevisionOf(present) <= revision
        ? present
        : model.space.history.versionAt(text, revision)?.record;
    if (known !== undefined) {
      const whole = model.space.withValue(key, known);
      return store.defer(() => answer(null, whole));
    }
  } catch (error) {
    return store.defer(() => answer(error as Error, null));
  }
  const groups = model.spans.rangesAt(model.generation, text, revision, model.revision);
  const readers = groups.map((ranges) => store.range(...ranges));
  const end = (failure: Error | null, record: KvRecord | null): void => {
    for (const reader of readers) reader.close();
    answer(failure, record);
  };
  const next = (at: number): void => {
    const reader = readers[at];
    if (reader === undefined) return end(null, null);
    reader.next(1, (error, pairs) => {
      if (error !== null) return end(error, null);
      let stored: KvRecord | null;
      try {
        checkRevision(model, revision);
        stored = versionIn(pairs[0], revision);
      } catch (thrown) {
        return end(asStoreError(thrown), null);
      }
      if (stored === null) return next(at + 1);
      completeAll(reader, model.generation, [[key, stored]], (failure, [record]) =>
        end(failure, record ?? null),
      );
    });
  };
  next(0);
}

/** What the version says that is the last before a revision. @throws StoreError damaged */
function versionIn(pair: Pair | undefined, revision: Revision): KvRecord | null {
  if (pair === undefined) return null;
  const logical = pair[0].subarray(PREFIX_BYTES);
  const version = decodeVersion(logical, unseal(logical, pair[1]).body);
  return revision < version.superseded ? version.record : null;
}

/** A page of what was done. Begins where it can: what is compacted below the start is an error, unless that is 0. */
export function historyPage(
  store: OrderedStore,
  model: StateModel,
  query: HistoryQuery,
  done: Done<HistoryPage>,
): void {
  const start = query.start.revision === 0 ? { revision: model.compactRevision + 1, index: 0 } : query.start;
  const page = new PageBuilder(store, model, query, start);
  if (start.revision <= model.compactRevision) {
    store.defer(() => done(compacted(start.revision, model), page.result()));
    return;
  }
  page.read(done);
}

class PageBuilder {
  private readonly revisions: RevisionEvents[] = [];
  private readonly range: TextRange;
  private readonly revision: Revision;
  private readonly source: RevisionParts;
  private bytes = 0;
  private events = 0;
  private parts = 0;
  private lookups = 0;
  /** Of what was read: the place after it. */
  private position: HistoryPosition;
  private full = false;

  constructor(
    private readonly store: OrderedStore,
    private readonly model: StateModel,
    private readonly query: HistoryQuery,
    private readonly start: HistoryPosition,
  ) {
    this.position = start;
    this.range = { from: keyText(query.from), to: keyText(query.to) };
    this.revision = model.revision;
    this.source = new RevisionParts(store, model.generation, model.space.history, start);
  }

  read(done: Done<HistoryPage>): void {
    this.source.read(
      (part) => {
        this.take(part);
        return !this.full;
      },
      (error) => this.finish(error, done),
    );
  }

  private finish(error: Error | null, done: Done<HistoryPage>): void {
    let failure = error;
    if (failure === null && !this.full && this.position.revision <= this.revision)
      failure = damaged(`the history of revision ${this.position.revision} is missing`);
    // Then what was missing was removed meanwhile.
    if (this.start.revision <= this.model.compactRevision)
      failure = compacted(this.start.revision, this.model);
    done(failure === null || failure instanceof KvdError ? failure : asStoreError(failure), this.result());
  }

  result(): HistoryPage {
    const { revision, revisions } = this;
    const next = this.full ? this.position : null;
    return { type: 'history', revisions, next, revision, compactRevision: this.model.compactRevision };
  }

  /** Parts come in order, but those in memory may come again after they came from disk. */
  private take(part: RevisionPart): void {
    if (this.full || part.revision > this.revision || part.revision < this.position.revision) return;
    const from = part.revision === this.position.revision ? Math.max(0, this.position.index - part.index) : 0;
    if (from >= part.events.length) {
      // Read before: the place is in a later part, or after this last one.
      if (!part.more) this.advance(part);
      return;
    }
    const expected = this.position.revision;
    if (part.revision !== expected) throw damaged(`the history of revision ${expected} is missing`);
    if (this.parts >= PARTS_MAX || this.isOverLimit(part.revision)) {
      this.full = true;
      return;
    }
    this.parts += 1;
    for (let i = from; i < part.events.length; i += 1) {
      if (!this.takeEvent(part, part.events[i] as StoredEvent)) {
        this.position = { revision: part.revision, index: part.index + i };
        this.full = true;
        return;
      }
    }
    this.advance(part);
  }

  private advance(part: RevisionPart): void {
    this.position = part.more
      ? { revision: part.revision, index: part.index + part.events.length }
      : { revision: part.revision + 1, index: 0 };
  }

  private isOverLimit(revision: Revision): boolean {
    const { limit } = this.query;
    return limit > 0 && this.revisions.length >= limit && this.revisions.at(-1)?.revision !== revision;
  }

  /** False: the page is full. */
  private takeEvent(part: RevisionPart, stored: StoredEvent): boolean {
    if (!isIn(stored.key, this.range)) return true;
    const event = this.resolve(part.revision, stored);
    const last = this.revisions.at(-1);
    const begun = last?.revision === part.revision ? last : null;
    const size = eventBytes(event) + (begun === null ? noteBytes(part.note) : 0);
    const isFirst = this.events === 0;
    if (!isFirst && (this.bytes + size > PAGE_BYTES_MAX || this.isEnough())) return false;
    this.bytes += size;
    this.events += 1;
    if (begun !== null) (begun.events as KvEvent[]).push(event);
    else this.revisions.push({ revision: part.revision, note: part.note, events: [event] });
    return true;
  }

  private isEnough(): boolean {
    return this.events >= PAGE_ENTRIES_MAX || this.lookups >= LOOKUPS_MAX;
  }

  private resolve(revision: Revision, { kind, key, before }: StoredEvent): KvEvent {
    const previous = this.query.previous && before > 0 ? this.entry(key, before, revision) : null;
    if (kind === 'put') return { type: 'put', entry: this.entry(key, revision, null), previous };
    return { type: 'delete', key: keyBytes(key), modRevision: revision, previous };
  }

  /** The version of the key that this very revision made; and which superseded it, if that is known. */
  private entry(key: string, revision: Revision, superseded: Revision | null): Entry {
    const present = this.model.space.lookup(key);
    if (present !== null && modRevisionOf(present) === revision) return entryOf(keyBytes(key), present);
    const inMemory = this.model.space.history.versionOf(key, revision);
    const record = inMemory?.record ?? this.fromDisk(key, revision, superseded);
    return entryOf(keyBytes(key), this.model.space.withValue(keyBytes(key), record));
  }

  private fromDisk(key: string, revision: Revision, superseded: Revision | null): KvRecord {
    const { model, store } = this;
    const read = (logical: Buffer): Buffer | undefined => {
      this.lookups += 1;
      return store.get(stateKey(model.generation, logical));
    };
    const [first, last] = superseded === null ? [revision + 1, model.revision] : [superseded, superseded];
    const found = model.spans.find(read, key, revision, first, last);
    if (found !== undefined) return found.record;
    if (this.start.revision <= this.model.compactRevision) throw compacted(this.start.revision, this.model);
    throw damaged(`version ${revision} of a key is missing from the history`);
  }
}
