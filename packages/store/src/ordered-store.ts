/**
 * The port beneath log and state: an ordered map of byte keys with atomic, synced batches. level-store.ts implements it
 * on LevelDB, memory-store.ts in memory for tests and the simulator; everything above runs unchanged on both.
 *
 * Completions come through callbacks, never before the call returned. There are no un-synced writes.
 */
import type { Done } from '@kvd/replica';
import { asStoreError } from './errors.js';

/** A null value deletes. Later operations of a batch override earlier ones on the same key. */
export interface StoreOp {
  readonly key: Buffer;
  readonly value: Buffer | null;
  /** Of a value that lies apart and is deleted: how large it is, where that is known. */
  readonly freed?: number;
}

export type Pair = readonly [key: Buffer, value: Buffer];

/** Keys k with gte <= k < lt. */
export interface KeyRange {
  readonly gte: Buffer;
  readonly lt: Buffer;
  /** Descending. */
  readonly reverse?: boolean;
}

/** Reads ranges, one behind the other, as all was when the reader was made. One `next` at a time. */
export interface RangeReader {
  /** The next pairs, at least one unless the ranges are through, at most `pairsMax` and about RANGE_PAGE_BYTES. */
  next(pairsMax: number, done: Done<readonly Pair[]>): void;
  /** Any records, as they were when the reader was made; undefined: there was none. */
  getMany(keys: readonly Buffer[], done: Done<readonly (Buffer | undefined)[]>): void;
  close(): void;
}

/** A page of a range ends with the pair that exceeds this. */
export const RANGE_PAGE_BYTES = 256 * 1024;

/** A batch that is made piece by piece. Either written or dropped, once. */
export interface StoreBatch {
  add(ops: readonly StoreOp[]): void;
  /** All or nothing, and durable once `done` is called. */
  write(done: Done<void>): void;
  drop(): void;
}

export interface OrderedStore {
  /** @throws StoreError when the record cannot be read */
  get(key: Buffer): Buffer | undefined;
  range(...ranges: readonly KeyRange[]): RangeReader;
  /**
   * All or nothing, and durable once `done` is called. Not to be called with an empty list. After one that failed all fail
   * until the store was closed and opened again.
   */
  batch(ops: readonly StoreOp[], done: Done<void>): void;
  /** @throws StoreError closed */
  begin(): StoreBatch;
  /**
   * The same for a batch that takes long to make: its pages are asked for one a turn, so that others get their turn in
   * between. An error that the making throws ends it, and nothing is written.
   */
  batchOf(pages: Iterable<readonly StoreOp[]>, done: Done<void>): void;
  /** Bytes on the disk, about, of a range or of all; of what was removed and is still there too. */
  bytes(range: KeyRange | null, done: Done<number>): void;
  /** Gives the room of what was removed from the range back. Takes long, in a thread of the disk's. */
  compact(range: KeyRange, done: Done<void>): void;
  /** What was removed is to leave the disk now, in the background: nobody is told of it. */
  sweep(): void;
  /** Calls `task` soon, never before this call returned. */
  defer(task: () => void): void;
  /** Opens again after close, as after a process restart. */
  open(done: Done<void>): void;
  close(done: Done<void>): void;
}

/** A batch of all pages, as OrderedStore.batchOf; `paced`: a page a turn. */
export function writePages(
  store: Pick<OrderedStore, 'begin' | 'defer'>,
  pages: Iterable<readonly StoreOp[]>,
  paced: boolean,
  done: Done<void>,
): void {
  const rest = pages[Symbol.iterator]();
  let batch: StoreBatch | null = null;
  const step = (): void => {
    try {
      batch ??= store.begin();
      for (let page = rest.next(); page.done !== true; page = rest.next()) {
        batch.add(page.value);
        if (paced) return void setImmediate(step);
      }
    } catch (error) {
      // The making of a page failed, or the store was closed meanwhile.
      batch?.drop();
      return store.defer(() => done(asStoreError(error), undefined));
    }
    batch.write(done);
  };
  step();
}

/** Calls `visit` for every pair of a range, page by page; an error that `visit` throws ends it. */
export function forEachPair(reader: RangeReader, visit: (pair: Pair) => void, done: Done<void>): void {
  const step = (): void => {
    reader.next(1024, (error, pairs) => {
      let failure = error;
      try {
        if (failure === null) for (const pair of pairs) visit(pair);
      } catch (thrown) {
        failure = thrown instanceof Error ? thrown : new Error(String(thrown));
      }
      if (failure === null && pairs.length > 0) return step();
      reader.close();
      done(failure, undefined);
    });
  };
  step();
}
