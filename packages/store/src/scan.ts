/**
 * One page of a scan, as of a revision. Two streams in key order are merged, each of memory over disk, both as they were
 * when the page was asked for: the present records that are old enough, and the superseded versions that were valid then.
 * No key is in both.
 */
import {
  type Entry,
  PAGE_BYTES_MAX,
  PAGE_ENTRIES_MAX,
  type Revision,
  type ScanPage,
  type ScanRequest,
} from '@kvd/protocol';
import type { Done } from '@kvd/replica';
import { compareText, keyBytes, keyText } from './bytes.js';
import { ChangedSince } from './changed-since.js';
import type { HistoryBuffer } from './history-buffer.js';
import {
  decodeVersion,
  keyOfVersion,
  orderOffset,
  revisionOfVersion,
  supersededBy,
} from './history-records.js';
import { refusalOf } from './history-reader.js';
import { diskRange, isIn, overlayIn, type TextRange } from './key-range.js';
import { entryOf, type KvRecord, modRevisionOf, sizeOf } from './kv-record.js';
import { MergedReader } from './merged-reader.js';
import type { StateModel } from './model.js';
import type { OrderedStore, Pair, RangeReader } from './ordered-store.js';
import { unseal } from './sealed.js';
import { checkedPair } from './state-loader.js';
import { PREFIX_BYTES } from './state-records.js';
import { completeAll } from './values-apart.js';
import type { VersionSpans } from './version-spans.js';
import type { Layer } from './write-back.js';

/** Keys counted in one page of a count. */
const COUNT_MAX = 50_000;
/** Present records read for one page at most: what a page may cost where few of them count. */
const READ_MAX = 50_000;
/** Versions that are read along the keys of a range before it is asked whether another way is shorter. */
const READS_MIN = 1024;
const DISK_PAGE = 512;

/** What a scan answers. Errors: as of reads of the past, KVD_COMPACTED or KVD_FUTURE_REVISION; else the state's. */
export function scanState(
  store: OrderedStore,
  model: StateModel,
  request: ScanRequest,
  done: Done<ScanPage>,
): void {
  const { generation, revision, space, spans } = model;
  const refusal = (): Error | null => (request.revision === 0 ? null : refusalOf(model, request.revision));
  const refused = refusal();
  if (refused !== null) {
    store.defer(() => done(refused, { type: 'page', entries: [], count: 0, next: null, revision }));
    return;
  }
  const { history, writeBack } = space;
  const source = { store, generation, spans, layers: writeBack.layers(), history, revision };
  scanPage(source, request, (error, page) => {
    // Compacted meanwhile: then that is why something is missing.
    done(refusal() ?? error, page);
  });
}

interface ScanSource {
  readonly store: OrderedStore;
  readonly generation: number;
  readonly spans: VersionSpans;
  /** Newest first. */
  readonly layers: readonly Layer[];
  readonly history: HistoryBuffer;
  /** That of the state. */
  readonly revision: Revision;
}

/** `request.revision` 0: as of now; else one that the state has reached and not compacted. */
function scanPage(source: ScanSource, request: ScanRequest, done: Done<ScanPage>): void {
  const revision = request.revision === 0 ? source.revision : request.revision;
  const streams: Source[] = [presentStream(source, request, revision)];
  if (revision < source.revision) streams.push(new PastSource(source, request, revision));
  const found: Found[] = [];
  const next = (): void => {
    const stream = streams.shift();
    if (stream === undefined) return done(null, cut(found, request, revision));
    stream.collect((error, part) => {
      if (error === null) {
        found.push(part);
        return next();
      }
      for (const rest of streams) rest.close();
      done(error, cut([], request, revision));
    });
  };
  next();
}

/** Gives its part of a page once. */
interface Source {
  collect(done: Done<Found>): void;
  close(): void;
}

type Item = readonly [key: string, record: KvRecord];

/** What a stream gave, in order. `end`: it was cut before this key; null: it is through. */
interface Found {
  readonly items: readonly Item[];
  readonly end: string | null;
}

/** What a disk record means for the scan; null: nothing. */
type Decode = (pair: Pair) => { readonly key: string; readonly record: KvRecord | null };

interface StreamParts {
  /** In order; null: not there any more, whatever the disk says. */
  readonly overlay: readonly (readonly [string, KvRecord | null])[];
  readonly reader: RangeReader;
  readonly decode: Decode;
  /** Does the record count? */
  readonly wanted: (record: KvRecord) => boolean;
  readonly generation: number;
}

function presentStream(source: ScanSource, request: ScanRequest, revision: Revision): Stream {
  const range = textRangeOf(request);
  const overlay = inOrder(overlayIn(range, source.layers), request.reverse);
  const reader = source.store.range({ ...diskRange(source.generation, range), reverse: request.reverse });
  const decode: Decode = (pair) => {
    const { key, record } = checkedPair(pair);
    return { key: keyText(key), record };
  };
  return new Stream(request, {
    overlay,
    reader,
    decode,
    wanted: (record) => modRevisionOf(record) <= revision,
    generation: source.generation,
  });
}

/**
 * The superseded versions of a range, two ways: along the versions of its keys, which is quick where keys have few, or along
 * what was done since, which is quick when that is little. The first is left for the second when it has cost as much.
 */
class PastSource implements Source {
  private readonly versions: Stream;
  private readonly changes: ChangedSince;

  constructor(
    { store, generation, spans, history, revision: present }: ScanSource,
    private readonly request: ScanRequest,
    revision: Revision,
  ) {
    const range = textRangeOf(request);
    const { reverse } = request;
    const memory = new Map<string, KvRecord>();
    for (const [key, { record }] of history.versionsAt(revision, (key) => isIn(key, range)))
      memory.set(key, record);
    const ranges = spans.rangesOf(generation, range, revision, present);
    const readers = ranges.map(({ gte, lt }) => store.range({ gte, lt, reverse }));
    const reader = new MergedReader(readers, placeOf, reverse);
    const decode: Decode = ([diskKey, sealed]) => {
      const logical = diskKey.subarray(PREFIX_BYTES);
      const { body } = unseal(logical, sealed);
      const valid = revisionOfVersion(logical) <= revision && revision < supersededBy(body);
      return { key: keyOfVersion(logical), record: valid ? decodeVersion(logical, body).record : null };
    };
    const parts = { overlay: inOrder(memory, reverse), reader, decode, wanted: () => true, generation };
    this.versions = new Stream(request, parts, Math.max(READS_MIN, present - revision));
    this.changes = new ChangedSince(store, generation, spans, history, range, revision);
  }

  collect(done: Done<Found>): void {
    this.versions.collect((error, found) => {
      if (error !== null || !this.versions.gaveUp) {
        this.changes.close();
        return done(error, found);
      }
      this.changes.read((failure, changed) => {
        if (failure !== null) return done(failure, found);
        try {
          done(null, this.first(changed));
        } catch (thrown) {
          done(thrown as Error, found);
        }
      });
    });
  }

  close(): void {
    this.versions.close();
    this.changes.close();
  }

  /** Of the keys that were there, in order, what a page can hold. */
  private first(changed: readonly string[]): Found {
    const { request } = this;
    const sign = request.reverse ? -1 : 1;
    const keys = changed.toSorted((a, b) => sign * compareText(a, b));
    const items: Item[] = [];
    let bytes = 0;
    for (const key of keys) {
      if (items.length >= pageCountMax(request) || bytes > PAGE_BYTES_MAX) return { items, end: key };
      const record = this.changes.recordOf(key);
      items.push([key, record]);
      bytes += bytesOf(key, record, request);
    }
    return { items, end: null };
  }
}

/** What versions on disk are in order by, whatever spans they lie in: key and revision. */
function placeOf([diskKey]: Pair): Buffer {
  const logical = diskKey.subarray(PREFIX_BYTES);
  return logical.subarray(orderOffset(logical));
}

function textRangeOf(request: ScanRequest): TextRange {
  return { from: keyText(request.from), to: keyText(request.to) };
}

function inOrder<T>(entries: ReadonlyMap<string, T>, reverse: boolean): (readonly [string, T])[] {
  const sign = reverse ? -1 : 1;
  return [...entries].sort(([a], [b]) => sign * compareText(a, b));
}

/** Memory over disk in key order, up to what a page can hold. */
class Stream implements Source {
  private readonly items: Item[] = [];
  private readonly countMax: number;
  private position = 0;
  private bytes = 0;
  private read = 0;
  private end: string | null = null;

  /** It read more than it may, and what it gave is no good. */
  gaveUp = false;

  /** `patience`: records after which it gives up; else it ends the page after READ_MAX. */
  constructor(
    private readonly request: ScanRequest,
    private readonly parts: StreamParts,
    private readonly patience = Number.POSITIVE_INFINITY,
  ) {
    this.countMax = pageCountMax(request);
  }

  close(): void {
    this.parts.reader.close();
  }

  collect(done: Done<Found>): void {
    const wanted = Math.min(DISK_PAGE, this.countMax - this.items.length + 1);
    this.parts.reader.next(wanted, (error, pairs) => {
      if (error !== null) return this.finish(error, done);
      try {
        for (const pair of pairs) if (!this.takeDisk(pair)) return this.finish(null, done);
      } catch (thrown) {
        return this.finish(thrown instanceof Error ? thrown : new Error(String(thrown)), done);
      }
      if (pairs.length > 0) return this.collect(done);
      this.takeOverlayBefore(null);
      this.finish(null, done);
    });
  }

  private finish(error: Error | null, done: Done<Found>): void {
    const end = (failure: Error | null, items: readonly Item[]): void => {
      this.close();
      done(failure, { items, end: this.end });
    };
    const { countOnly, keysOnly } = this.request;
    if (error !== null || this.gaveUp || countOnly || keysOnly) return end(error, this.items);
    const records = this.items.map(([key, record]) => [keyBytes(key), record] as const);
    completeAll(this.parts.reader, this.parts.generation, records, (failure, whole) => {
      end(
        failure,
        whole.map((record, i): Item => [this.items[i]?.[0] as string, record]),
      );
    });
  }

  /** False: the page is full. */
  private takeDisk(pair: Pair): boolean {
    const { key, record } = this.parts.decode(pair);
    if (!this.takeOverlayBefore(key)) return false;
    this.read += 1;
    this.gaveUp = this.read > this.patience;
    if (this.gaveUp) return false;
    // Where nothing gives up, every record is of another key: the next page begins with one that was not read.
    const endless = this.patience === Number.POSITIVE_INFINITY;
    return endless && this.read > READ_MAX ? this.stopAt(key) : this.takeOrSkip(key, record);
  }

  private takeOrSkip(key: string, record: KvRecord | null): boolean {
    const over = this.parts.overlay[this.position];
    // What memory says of a key goes for all records of that key.
    if (over?.[0] === key || record === null) return true;
    return this.take(key, record);
  }

  /** Takes what memory has before `key`, or to the end. */
  private takeOverlayBefore(key: string | null): boolean {
    for (;;) {
      const over = this.parts.overlay[this.position];
      if (over === undefined || (key !== null && !this.isBefore(over[0], key))) return true;
      if (over[1] !== null && !this.take(over[0], over[1])) return false;
      this.position += 1;
    }
  }

  private isBefore(a: string, b: string): boolean {
    return this.request.reverse ? a > b : a < b;
  }

  private take(key: string, record: KvRecord): boolean {
    if (!this.parts.wanted(record)) return true;
    const bytes = bytesOf(key, record, this.request);
    const full = this.items.length > 0 && this.bytes + bytes > PAGE_BYTES_MAX;
    if (full || this.items.length >= this.countMax) return this.stopAt(key);
    this.items.push([key, record]);
    this.bytes += bytes;
    return true;
  }

  private stopAt(key: string): false {
    this.end = key;
    return false;
  }
}

function pageCountMax({ countOnly, limit }: ScanRequest): number {
  const pageMax = countOnly ? COUNT_MAX : PAGE_ENTRIES_MAX;
  return limit > 0 ? Math.min(limit, pageMax) : pageMax;
}

function bytesOf(key: string, record: KvRecord, { countOnly, keysOnly }: ScanRequest): number {
  if (countOnly) return 0;
  return key.length + (keysOnly ? 0 : sizeOf(record));
}

/** Merges what the streams gave and cuts it where the first of them was cut, or the page is full. */
function cut(found: readonly Found[], request: ScanRequest, revision: Revision): ScanPage {
  const sign = request.reverse ? -1 : 1;
  const compare = (a: string, b: string): number => sign * compareText(a, b);
  const [first] = found;
  const items = found.length === 1 && first ? first.items : found.flatMap((part) => part.items);
  const sorted = found.length === 1 ? items : items.toSorted(([a], [b]) => compare(a, b));
  const ends = found.flatMap(({ end }) => (end === null ? [] : [end])).sort(compare);
  let next = ends[0] ?? null;
  const entries: Entry[] = [];
  const countMax = pageCountMax(request);
  let count = 0;
  let bytes = 0;
  for (const [key, record] of sorted) {
    if (next !== null && compare(key, next) >= 0) break;
    const size = bytesOf(key, record, request);
    if (count >= countMax || (count > 0 && bytes + size > PAGE_BYTES_MAX)) {
      next = key;
      break;
    }
    count += 1;
    bytes += size;
    if (!request.countOnly) entries.push(entryOf(keyBytes(key), record, request.keysOnly));
  }
  return { type: 'page', entries, count, next: next === null ? null : pageBound(next, request), revision };
}

/** Where the next page begins: at the key; or, in reverse, below what comes right after it. */
function pageBound(key: string, { reverse }: ScanRequest): Buffer {
  return keyBytes(reverse ? `${key}\0` : key);
}
