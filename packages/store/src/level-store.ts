/**
 * OrderedStore on a LevelDB directory. Every batch is synced. Never repairs, never destroys a directory.
 */
import type { Done } from '@kvd/replica';
import { Level } from 'level';
import { asStoreError, StoreError } from './errors.js';
import {
  type KeyRange,
  type OrderedStore,
  type Pair,
  RANGE_PAGE_BYTES,
  type RangeReader,
  type StoreBatch,
  type StoreOp,
  writePages,
} from './ordered-store.js';
import { SerialQueue } from './serial-queue.js';

export interface LevelStoreOptions {
  /** False: a directory without a database is an error, and stays as it is. */
  readonly createIfMissing: boolean;
  readonly writeBufferBytes: number;
  readonly cacheBytes: number;
  readonly compression: boolean;
  /** Of a table of LevelDB's; absent: 2 MiB, as it is LevelDB's. */
  readonly tableBytes?: number;
}

type Database = Level<Buffer, Buffer>;
type Snapshot = ReturnType<Database['snapshot']>;
type Iterator = ReturnType<typeof iterate>;

const NO_PAIRS: readonly Pair[] = [];

/** What the types of `level` leave out, for browsers have none. */
interface Tables {
  approximateSize(start: Buffer, end: Buffer): Promise<number>;
  compactRange(start: Buffer, end: Buffer): Promise<void>;
}

/** No store of ours has a key outside. */
const ALL: KeyRange = { gte: Buffer.of(0), lt: Buffer.of(0xff) };

export class LevelStore implements OrderedStore {
  private readonly db: Database;
  private readonly location: string;
  private readonly writes = new SerialQueue();
  /** Of a write since it was opened. */
  private failure: Error | null = null;

  private constructor(location: string, options: LevelStoreOptions) {
    this.location = location;
    this.db = new Level<Buffer, Buffer>(location, {
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
      createIfMissing: options.createIfMissing,
      writeBufferSize: options.writeBufferBytes,
      cacheSize: options.cacheBytes,
      compression: options.compression,
      ...(options.tableBytes === undefined ? {} : { maxFileSize: options.tableBytes }),
    });
  }

  /** @throws StoreError: locked, damaged or io */
  static async open(location: string, options: LevelStoreOptions): Promise<LevelStore> {
    const store = new LevelStore(location, options);
    try {
      await store.db.open();
    } catch (error) {
      throw asStoreError(error);
    }
    return store;
  }

  get(key: Buffer): Buffer | undefined {
    try {
      return this.db.getSync(key);
    } catch (error) {
      throw asStoreError(error);
    }
  }

  range(...ranges: readonly KeyRange[]): RangeReader {
    if (this.db.status !== 'open') return new ClosedReader(this.location);
    return new LevelRangeReader(this.db, ranges);
  }

  batch(ops: readonly StoreOp[], done: Done<void>): void {
    let batch: StoreBatch;
    try {
      batch = this.begin();
    } catch (error) {
      this.defer(() => done(asStoreError(error), undefined));
      return;
    }
    batch.add(ops);
    batch.write(done);
  }

  begin(): StoreBatch {
    if (this.db.status !== 'open') throw closedError(this.location);
    const batch = this.db.batch();
    return {
      add: (ops) => gather(batch, ops),
      write: (done) => this.write(batch, done),
      drop: () => void batch.close().catch(() => {}),
    };
  }

  batchOf(pages: Iterable<readonly StoreOp[]>, done: Done<void>): void {
    writePages(this, pages, true, done);
  }

  /** LevelDB does it by itself, sooner or later. */
  sweep(): void {}

  bytes(range: KeyRange | null, done: Done<number>): void {
    const { gte, lt } = range ?? ALL;
    this.tables.approximateSize(gte, lt).then(
      (bytes) => done(null, bytes),
      (error: unknown) => done(asStoreError(error), 0),
    );
  }

  compact({ gte, lt }: KeyRange, done: Done<void>): void {
    settle(this.tables.compactRange(gte, lt), done);
  }

  private get tables(): Tables {
    return this.db as unknown as Tables;
  }

  defer(task: () => void): void {
    queueMicrotask(task);
  }

  open(done: Done<void>): void {
    settle(this.db.open({ createIfMissing: false }), (error) => {
      if (error === null) this.failure = null;
      done(error, undefined);
    });
  }

  close(done: Done<void>): void {
    this.writes.run((release) => {
      settle(this.db.close(), (error) => {
        release();
        done(error, undefined);
      });
    });
  }

  /**
   * Rule: after a write that failed none succeeds until the database is opened anew. (S1, S9)
   * Why: LevelDB goes on after an append to its write-ahead file that failed, and the file may have half a record there
   *   then. Whoever opens it takes that for its end, and drops what came behind it, synced as it was. One at a time,
   *   because the failure of the one before must be known here before anything is said of the next.
   */
  private write(batch: Chained, done: Done<void>): void {
    this.writes.run((release) => {
      const { failure } = this;
      // The type of Level's own batch does not know the options of LevelDB.
      const options: { sync: boolean } = { sync: true };
      const written =
        failure === null ? batch.write(options) : batch.close().then(() => Promise.reject(failure));
      settle(written, (error) => {
        this.failure ??= error;
        release();
        done(error, undefined);
      });
    });
  }
}

class LevelRangeReader implements RangeReader {
  private readonly snapshot;
  /** Those behind the one that is being read. */
  private readonly rest: KeyRange[];
  private iterator: Iterator | null;
  private closed = false;

  constructor(
    private readonly db: Database,
    ranges: readonly KeyRange[],
  ) {
    this.snapshot = db.snapshot();
    this.rest = [...ranges];
    this.iterator = this.nextIterator();
  }

  next(pairsMax: number, done: Done<readonly Pair[]>): void {
    this.page(pairsMax).then(
      (pairs) => done(null, pairs),
      (error: unknown) => done(asStoreError(error), NO_PAIRS),
    );
  }

  private async page(pairsMax: number): Promise<readonly Pair[]> {
    for (;;) {
      const { iterator } = this;
      if (iterator === null) return NO_PAIRS;
      const pairs = await iterator.nextv(pairsMax);
      if (pairs.length > 0 || this.rest.length === 0) return pairs;
      this.iterator = this.nextIterator();
      await iterator.close();
    }
  }

  /** Made when it is needed, for ranges may be many; it sees what the snapshot does all the same. */
  private nextIterator(): Iterator | null {
    // Closed while a page was under way: of a snapshot that is closed no iterator must be made.
    if (this.closed) return null;
    const range = this.rest.shift();
    return range === undefined ? null : iterate(this.db, range, this.snapshot);
  }

  getMany(keys: readonly Buffer[], done: Done<readonly (Buffer | undefined)[]>): void {
    this.db.getMany([...keys], { snapshot: this.snapshot }).then(
      (records) => done(null, records),
      (error: unknown) => done(asStoreError(error), []),
    );
  }

  close(): void {
    this.closed = true;
    // Closing twice, or after the database closed, is no error to anybody.
    this.iterator?.close().catch(() => {});
    this.snapshot.close().catch(() => {});
  }
}

function iterate(db: Database, { gte, lt, reverse = false }: KeyRange, snapshot: Snapshot) {
  return db.iterator({ gte, lt, reverse, highWaterMarkBytes: RANGE_PAGE_BYTES, snapshot });
}

class ClosedReader implements RangeReader {
  private readonly location: string;

  constructor(location: string) {
    this.location = location;
  }

  next(_pairsMax: number, done: Done<readonly Pair[]>): void {
    queueMicrotask(() => done(closedError(this.location), NO_PAIRS));
  }

  getMany(_keys: readonly Buffer[], done: Done<readonly (Buffer | undefined)[]>): void {
    queueMicrotask(() => done(closedError(this.location), []));
  }

  close(): void {}
}

/** A chained batch: an array of operations costs ten times as much on this thread. */
type Chained = ReturnType<Database['batch']>;

function gather(batch: Chained, ops: readonly StoreOp[]): void {
  for (const { key, value } of ops) {
    if (value === null) batch.del(key);
    else batch.put(key, value);
  }
}

function closedError(location: string): StoreError {
  return new StoreError('closed', `${location} is closed`);
}

function settle(promise: Promise<void>, done: Done<void>): void {
  promise.then(
    () => done(null, undefined),
    (error: unknown) => done(asStoreError(error), undefined),
  );
}
