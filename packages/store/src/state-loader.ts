/**
 * Reads a state from disk: at start, at a reload, for the scrub and for the verification. Sessions and idempotency
 * records come into memory whole; key-value records stay on disk.
 */
import type { Done } from '@kvd/replica';
import { keyBytes } from './bytes.js';
import { addSealed, Hash64 } from './content-hash.js';
import { asStoreError, damaged } from './errors.js';
import { IdempotencyTable } from './idempotency.js';
import { decodeRevisions, decodeVersion, keyOfVersion } from './history-records.js';
import { checkRecord, hashA, hashB } from './kv-record.js';
import { LeaseTable } from './leases.js';
import {
  forEachPair,
  type KeyRange,
  type OrderedStore,
  type Pair,
  type RangeReader,
  type StoreOp,
} from './ordered-store.js';
import { unseal } from './sealed.js';
import { SessionTable } from './sessions.js';
import {
  emptyHead,
  FLUSHES_END,
  flushKey,
  GENERATION_MAX,
  generationOf,
  generationPrefix,
  generationRanges,
  KIND_IDEMPOTENCY,
  KIND_KEY,
  KIND_LEASE,
  KIND_LEASED,
  KIND_OLD_VERSION,
  KIND_RESULT,
  KIND_RESULTS,
  KIND_REVISION,
  KIND_SESSION,
  KIND_VALUE,
  KIND_VERSION,
  MARKERS_KEPT,
  PREFIX_BYTES,
  rangesOf,
  type StateHead,
  STATE_HEAD_KEY,
  sealFlush,
  sealStateHead,
  unsealStateHead,
  userKey,
} from './state-records.js';
import { ValueBalance } from './values-apart.js';

export interface LoadedState {
  readonly head: StateHead;
  /** Number of the last flush. */
  readonly flush: number;
  readonly sessions: SessionTable;
  readonly idempotency: IdempotencyTable;
  readonly leases: LeaseTable;
  /** The highest generation that has records, or had. */
  readonly lastGeneration: number;
}

const FIRST_FLUSH = 1;
const FIRST_GENERATION = 1;

/** The first batch of a new state. */
export function formatStateOps(): StoreOp[] {
  return [
    { key: STATE_HEAD_KEY, value: sealStateHead(FIRST_FLUSH, emptyHead(FIRST_GENERATION)) },
    { key: flushKey(FIRST_FLUSH), value: sealFlush(FIRST_FLUSH, 0, 0) },
  ];
}

/** What loadState finds after formatStateOps were written. */
export function freshState(): LoadedState {
  return {
    head: emptyHead(FIRST_GENERATION),
    flush: FIRST_FLUSH,
    sessions: new SessionTable(),
    idempotency: new IdempotencyTable(),
    leases: new LeaseTable(),
    lastGeneration: FIRST_GENERATION,
  };
}

/** Collects the records of a generation that are not key-value ones, and hashes all. */
export class StateRecords {
  readonly sessions = new SessionTable();
  readonly idempotency = new IdempotencyTable();
  readonly leases = new LeaseTable();
  keys = 0;
  private readonly kvHash = new Hash64();
  private historyRecords = 0;
  private readonly historyHash = new Hash64();
  private readonly values = new ValueBalance();

  /** A record by its logical key. @throws StoreError damaged */
  add(logical: Buffer, record: Buffer): void {
    if (logical.length === 0) throw damaged('a record without a key');
    switch (logical.readUInt8(0)) {
      case KIND_KEY:
        this.values.addRecord(logical.subarray(1), checkRecord(logical.subarray(1), record));
        this.kvHash.add(hashA(record), hashB(record));
        this.keys += 1;
        return;
      case KIND_SESSION:
        return this.sessions.loadSession(logical, record);
      case KIND_RESULTS:
        return this.sessions.loadResults(logical, record);
      case KIND_RESULT:
        return this.sessions.loadResult(logical, record);
      case KIND_IDEMPOTENCY:
        return this.idempotency.load(logical, record);
      case KIND_LEASED:
        return this.leases.loadKey(logical, record);
      case KIND_LEASE:
        return this.leases.loadLease(logical, record);
      case KIND_VALUE:
        return this.values.addValue(logical, record);
      case KIND_VERSION:
      case KIND_OLD_VERSION:
      case KIND_REVISION:
        return this.addHistory(logical, record);
      default:
        throw damaged('a record of no known kind');
    }
  }

  /** The content hash of what was added; what it is compared with is in the head. */
  contentHash(): Hash64 {
    const hash = this.kvHash.clone();
    hash.add(this.sessions.hash.a, this.sessions.hash.b);
    hash.add(this.idempotency.hash.a, this.idempotency.hash.b);
    hash.add(this.leases.hash.a, this.leases.hash.b);
    return hash;
  }

  /** @throws StoreError damaged */
  finish(): void {
    this.sessions.loaded();
    this.idempotency.loaded();
    this.leases.loaded();
  }

  /** @throws StoreError damaged: this is not what `head` describes */
  check(head: Pick<StateHead, 'contentHash' | 'keys' | 'kept'>): void {
    this.values.check();
    const { kept } = head;
    if (this.historyRecords !== kept.records || !this.historyHash.equals(kept.hash)) {
      throw damaged(`the history has ${this.historyRecords} records, ${kept.records} were written`);
    }
    this.checkPresent(head);
  }

  /** As check, of what is, without its history and the values that lie apart. @throws StoreError damaged */
  checkPresent(head: Pick<StateHead, 'contentHash' | 'keys'>): void {
    const found = this.contentHash();
    if (this.keys === head.keys && found.equals(head.contentHash)) return;
    const expected = `${head.keys} keys with hash ${head.contentHash.toString()}`;
    throw damaged(`the state has ${this.keys} keys with hash ${found.toString()}, ${expected} were written`);
  }

  private addHistory(logical: Buffer, record: Buffer): void {
    const { body } = unseal(logical, record);
    if (logical.readUInt8(0) === KIND_REVISION) decodeRevisions(logical, body);
    else this.values.addRecord(keyBytes(keyOfVersion(logical)), decodeVersion(logical, body).record);
    addSealed(this.historyHash, record);
    this.historyRecords += 1;
  }
}

/** The head, and a reader of its generation's records as of the same write. */
export function consistentRange(
  store: OrderedStore,
  wanted: (head: StateHead) => readonly KeyRange[] = rangesOf,
): {
  readonly head: StateHead;
  readonly reader: RangeReader;
} {
  for (;;) {
    const { flush, head } = readStateHead(store);
    const reader = store.range(...wanted(head));
    // A write may end in another thread between the two; then once more.
    if (readStateHead(store).flush === flush) return { head, reader };
    reader.close();
  }
}

/** Errors: StoreError damaged, or what the disk says. */
export function loadState(store: OrderedStore, done: Done<LoadedState | null>): void {
  let state: { readonly flush: number; readonly head: StateHead };
  try {
    state = readStateHead(store);
  } catch (error) {
    store.defer(() => done(asStoreError(error), null));
    return;
  }
  const { flush, head } = state;
  checkFlushes(store, flush, (error) => {
    if (error !== null) return done(error, null);
    loadTables(store, head.generation, (failure, records) => {
      if (failure !== null) return done(failure, null);
      lastGeneration(store, head.generation, (broken, generation) => {
        if (broken !== null) return done(broken, null);
        const { sessions, idempotency, leases } = records;
        const last = Math.max(generation, head.generation);
        done(null, { head, flush, sessions, idempotency, leases, lastGeneration: last });
      });
    });
  });
}

/** The markers of the last flushes: contiguous up to the head's. */
function checkFlushes(store: OrderedStore, last: number, done: Done<void>): void {
  let expected = Math.max(FIRST_FLUSH, last - MARKERS_KEPT + 1);
  const visit = ([key, record]: Pair): void => {
    if (!key.equals(flushKey(expected))) throw damaged(`the marker of flush ${expected} is missing`);
    unseal(key, record);
    expected += 1;
  };
  forEachPair(store.range({ gte: flushKey(0), lt: FLUSHES_END }), visit, (error) => {
    if (error !== null) return done(error, undefined);
    const failure =
      expected === last + 1 ? null : damaged(`the state's head is of flush ${last}, not ${expected - 1}`);
    done(failure, undefined);
  });
}

function loadTables(store: OrderedStore, generation: number, done: Done<StateRecords>): void {
  const records = new StateRecords();
  const prefix = generationPrefix(generation);
  const visit = ([key, record]: Pair): void => records.add(key.subarray(PREFIX_BYTES), record);
  const range = (from: number, to: number): RangeReader =>
    store.range({
      gte: Buffer.concat([prefix, Buffer.of(from)]),
      lt: Buffer.concat([prefix, Buffer.of(to)]),
    });
  const tables = [
    range(KIND_IDEMPOTENCY, KIND_LEASED + 1),
    range(KIND_LEASE, KIND_LEASE + 1),
    range(KIND_SESSION, KIND_RESULT + 1),
  ];
  const next = (): void => {
    const table = tables.shift();
    if (table !== undefined) {
      forEachPair(table, visit, (error) => (error === null ? next() : end(error)));
      return;
    }
    try {
      records.finish();
      end(null);
    } catch (error) {
      end(asStoreError(error));
    }
  };
  const end = (error: Error | null): void => {
    for (const table of tables) table.close();
    done(error, records);
  };
  next();
}

/** The highest generation from `from` on that has records or values on disk; 0: none has. */
function lastGeneration(store: OrderedStore, from: number, done: Done<number>, found = 0): void {
  if (from > GENERATION_MAX) return done(null, found);
  const reader = store.range(...generationRanges(from, GENERATION_MAX));
  // Of records or of values: the search goes on above what was met first.
  reader.next(1, (error, pairs) => {
    reader.close();
    const [key] = pairs[0] ?? [];
    if (error !== null || key === undefined) return done(error, found);
    const generation = generationOf(key);
    lastGeneration(store, generation + 1, done, Math.max(found, generation));
  });
}

function readStateHead(store: OrderedStore): { readonly flush: number; readonly head: StateHead } {
  const record = store.get(STATE_HEAD_KEY);
  if (record === undefined) throw damaged("the state's head is missing");
  return unsealStateHead(record);
}

/** The user's key and record of a pair of kind k, checked; a stub, where the value lies apart. @throws StoreError damaged */
export function checkedPair([key, record]: Pair): { readonly key: Buffer; readonly record: Buffer } {
  const bytes = userKey(key);
  return { key: bytes, record: checkRecord(bytes, record) };
}

/**
 * Reads the whole state on disk, page by page, and compares it with the content hash that was written with it.
 * Errors: StoreError damaged, or what the disk says.
 */
export function scrubState(store: OrderedStore, done: Done<void>): void {
  let source: ReturnType<typeof consistentRange>;
  try {
    source = consistentRange(store);
  } catch (error) {
    store.defer(() => done(asStoreError(error), undefined));
    return;
  }
  const records = new StateRecords();
  const add = ([key, record]: Pair): void => records.add(key.subarray(PREFIX_BYTES), record);
  forEachPair(source.reader, add, (error) => {
    let failure = error;
    try {
      if (failure === null) records.check(source.head);
    } catch (thrown) {
      failure = asStoreError(thrown);
    }
    done(failure, undefined);
  });
}
