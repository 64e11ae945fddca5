/**
 * The store of the state: its records in one database, the values that lie apart (kv-record.ts) in another, as one store
 * with atomic batches.
 *
 * Why two: LevelDB writes its memory table out as one table. With records and values in it that table overlaps with every
 * other one, and the next compaction writes all of it again. Values alone come in the order of their keys, so their tables
 * overlap with nothing and are only moved down the levels (values of 10 KB: a fifth more puts a second, docs/BENCHMARKS.md).
 *
 * Rule: a batch is what its records say. New values are synced before the records of the same batch; what a batch removes of
 *   the values is only noted among its records, and leaves the disk with a later one.
 * Why: so every stub that can be read has its value, whatever a crash leaves. What it may leave is a value that no record
 *   refers to, and each of those is known: it is noted (`O`), or its revision is above that of the head, which no flush that
 *   came to its end leaves behind. Neither kind is seen in a range that ends at the head's revision. The former are gone
 *   before a value is written under their key, the latter before anything is written, for the next head may have their revision.
 * And if the disk loses what it synced: the records name the value that was written last (`L`), so a values' database that
 *   lost its end is noticed at start; what it lost elsewhere is noticed where it is read, and by the scrub.
 *
 * What leaves the values' database takes room there until it is compacted (reclaimer.ts).
 */
import type { Done } from '@kvd/replica';
import { keyText, readU53 } from './bytes.js';
import { asStoreError, damaged, StoreError } from './errors.js';
import { MemoryContent, MemoryStore } from './memory-store.js';
import {
  forEachPair,
  type KeyRange,
  type OrderedStore,
  type RangeReader,
  type StoreBatch,
  type StoreOp,
  writePages,
} from './ordered-store.js';
import { Reclaimer } from './reclaimer.js';
import { nameOf, seal, sealNumbered, unseal } from './sealed.js';
import { SerialQueue } from './serial-queue.js';
import {
  ALL_VALUES,
  bytesOfOutdated,
  DEAD_BYTES_KEY,
  generationOf,
  isValueKey,
  LAST_VALUE_KEY,
  OUTDATED_VALUES,
  outdatedKey,
  type StateHead,
  STATE_HEAD_KEY,
  unsealStateHead,
  valueOfOutdated,
  valuesBeyond,
} from './state-records.js';
import { StateReader } from './state-reader.js';

/** Where the two databases of a state come from. */
export interface StateDatabases {
  openRecords(): Promise<OrderedStore>;
  /** @throws StoreError when there is none and `create` does not hold */
  openValues(create: boolean): Promise<OrderedStore>;
  /** Is there a database of values? */
  hasValues(): boolean;
  /** May one be made? Whoever only looks makes none. */
  readonly mayCreate: boolean;
  /** Is a batch that takes long to make made a page a turn? */
  readonly paced: boolean;
  /**
   * So many outdated values may be left while there is more to remove: then all of them go at once, for each time makes a
   * table of LevelDB's that overlaps with others.
   */
  readonly outdatedMax: number;
  /** Room that what was removed may take, beside half of what the rest does. */
  readonly deadBytesMax: number;
}

/** A value that is to leave the disk. */
interface Outdated {
  readonly key: Buffer;
  readonly bytes: number;
}

const NOTHING = Buffer.alloc(0);
const VALUES_PER_TURN = 256;
/** Behind a key comes the key with this. */
const NEXT = Buffer.of(0);

export class StateStore implements OrderedStore {
  private readonly batches = new SerialQueue();
  /** Values that no record refers to, and that are to leave the disk. */
  private outdated = new Map<string, Outdated>();
  /** Were some of them left by a flush that did not come to its end? Those are not noted. */
  private hasUnfinished = false;
  /** The value written last, as the records have it; empty: it was removed; null: there never was one. */
  private last: Buffer | null = null;
  /** It could not be read: the next batch writes it down anew. */
  private isLastUnknown = false;
  /** Room of values that are gone, and the highest key that one of them had in this life. */
  private deadBytes = 0;
  private deadThrough: Buffer | null = null;
  private readonly reclaimer: Reclaimer;
  /** May there be values that a record refers to? */
  private hasValues = false;
  /** Are there values among the records, as up to format 5? They stay there until they are removed. */
  private hasOldValues = false;
  /** Of a write since it was opened. */
  private failure: Error | null = null;

  private constructor(
    private readonly records: OrderedStore,
    private readonly values: OrderedStore,
    private readonly options: Pick<StateDatabases, 'paced' | 'outdatedMax' | 'deadBytesMax'>,
  ) {
    this.reclaimer = new Reclaimer(values);
  }

  /** @throws StoreError: locked, damaged or io */
  static async open(databases: StateDatabases): Promise<StateStore> {
    const records = await databases.openRecords();
    let values: OrderedStore | null = null;
    try {
      values = await openValues(databases, records.get(LAST_VALUE_KEY) !== undefined);
      const store = new StateStore(records, values, databases);
      await new Promise<void>((resolve, reject) => {
        store.load((error) => (error === null ? resolve() : reject(error)));
      });
      return store;
    } catch (error) {
      for (const store of [records, values])
        await new Promise<void>((resolve) => closeOf(store, () => resolve()));
      throw asStoreError(error);
    }
  }

  get(key: Buffer): Buffer | undefined {
    if (!isValueKey(key)) return this.records.get(key);
    return this.values.get(key) ?? (this.hasOldValues ? this.records.get(key) : undefined);
  }

  /** Ranges of values come after those of records, and are read forwards. */
  range(...ranges: readonly KeyRange[]): RangeReader {
    const ofValues = ranges.filter(({ gte }) => isValueKey(gte));
    if (ofValues.length === 0) {
      // Both as of now: a stub that the one sees has its value in the other.
      const values = this.hasValues ? this.values.range() : null;
      return new StateReader(this.records.range(...ranges), values, this.hasOldValues);
    }
    if (ofValues.some(({ reverse }) => reverse)) throw new Error('values are read forwards');
    const ofRecords = ranges.filter((range) => this.hasOldValues || !isValueKey(range.gte));
    const records = this.records.range(...ofRecords, OUTDATED_VALUES);
    return new StateReader(records, this.values.range(...ofValues), this.hasOldValues);
  }

  batch(ops: readonly StoreOp[], done: Done<void>): void {
    this.batchOf([ops], done);
  }

  begin(): StoreBatch {
    const batch = new Gathered(this.records.begin(), this.hasOldValues);
    return {
      add: (ops) => batch.add(ops),
      write: (done) => this.write(batch, done),
      drop: () => batch.records.drop(),
    };
  }

  batchOf(pages: Iterable<readonly StoreOp[]>, done: Done<void>): void {
    writePages(this, pages, this.options.paced, done);
  }

  bytes(range: KeyRange | null, done: Done<number>): void {
    this.records.bytes(range, (error, ofRecords) => {
      if (error !== null) return done(error, 0);
      this.values.bytes(range, (failure, ofValues) => done(failure, ofRecords + ofValues));
    });
  }

  compact(range: KeyRange, done: Done<void>): void {
    (isValueKey(range.gte) ? this.values : this.records).compact(range, done);
  }

  /** What is left of outdated values: nothing may come for long that would take it along. */
  sweep(): void {
    if (this.outdated.size === 0) return;
    let batch: Gathered;
    try {
      batch = new Gathered(this.records.begin(), this.hasOldValues);
    } catch {
      // It is closed: the next life does it.
      return;
    }
    // Whoever writes next is told of a failure.
    this.write(batch, () => {}, true);
  }

  defer(task: () => void): void {
    this.records.defer(task);
  }

  /**
   * Errors: also StoreError damaged. If only what the databases say of each other is, then both are open, and an install may
   * replace all that is in them.
   */
  open(done: Done<void>): void {
    this.batches.run((release) => {
      const end = (error: Error | null): void => {
        release();
        done(error, undefined);
      };
      // Nothing that an install could replace: it could not even be written.
      const refused = (error: Error): void => {
        this.failure = new StoreError('io', error.message);
        end(this.failure);
      };
      this.records.open((error) => {
        if (error !== null) return refused(error);
        this.values.open((failure) => {
          if (failure !== null) return refused(failure);
          this.failure = null;
          this.load(end);
        });
      });
    });
  }

  close(done: Done<void>): void {
    this.reclaimer.stop();
    this.batches.run((release) => {
      closeOf(this.values, (failure) => {
        this.records.close((error) => {
          release();
          done(error ?? failure, undefined);
        });
      });
    });
  }

  /** What the databases say of each other. Errors: StoreError damaged, or what the disk says. */
  private load(done: Done<void>): void {
    const { records, values } = this;
    const outdated = new Map<string, Outdated>();
    const note = (key: Buffer, bytes: number): void => void outdated.set(keyText(key), { key, bytes });
    this.outdated = outdated;
    // If no more can be found out: something may be anywhere.
    this.hasValues = true;
    this.hasOldValues = true;
    this.last = null;
    this.isLastUnknown = true;
    forEachPair(
      records.range(OUTDATED_VALUES),
      ([key, record]) => note(valueOfOutdated(key, record), bytesOfOutdated(key, record)),
      (error) => {
        if (error !== null) return done(error, undefined);
        let unfinished: readonly KeyRange[];
        try {
          unfinished = this.unfinished();
        } catch (thrown) {
          return this.defer(() => done(asStoreError(thrown), undefined));
        }
        const noted = outdated.size;
        forEachPair(
          values.range(...unfinished),
          ([key, record]) => note(key, record.length),
          (failure) => {
            if (failure !== null) return done(failure, undefined);
            this.hasUnfinished = outdated.size > noted;
            this.loadNotes(done);
          },
        );
      },
    );
  }

  /** Where the values are of a flush that did not come to its end. */
  private unfinished(): readonly KeyRange[] {
    const head = this.head();
    return head === null ? [] : [valuesBeyond(head)];
  }

  private head(): StateHead | null {
    const record = this.records.get(STATE_HEAD_KEY);
    return record === undefined ? null : unsealStateHead(record).head;
  }

  /** What the records say of the values, and whether the one is there that was written last. */
  private loadNotes(done: Done<void>): void {
    const { records, values } = this;
    try {
      const last = lastValueOf(records);
      // One of another generation was left by an install, and says nothing of what is the state now.
      const isOurs = last !== null && last.length > 0 && generationOf(last) === this.head()?.generation;
      if (isOurs && !this.outdated.has(keyText(last)) && values.get(last) === undefined)
        throw damaged(`the value written last, ${nameOf(last)}, is missing`);
      this.last = last;
      this.isLastUnknown = false;
      this.hasValues = last !== null || this.outdated.size > 0;
      this.deadBytes = deadBytesOf(records);
    } catch (error) {
      return this.defer(() => done(asStoreError(error), undefined));
    }
    const old = records.range(ALL_VALUES);
    old.next(1, (error, pairs) => {
      old.close();
      this.hasOldValues = pairs.length > 0;
      done(error, undefined);
    });
  }

  private write(batch: Gathered, done: Done<void>, mustSweep = false): void {
    this.batches.run((release) => {
      const end = (error: Error | null): void => {
        this.failure ??= error;
        release();
        done(error, undefined);
      };
      const { added, records } = batch;
      const { failure } = this;
      if (failure !== null) {
        records.drop();
        return this.defer(() => end(failure));
      }
      // Also as soon as one of them is written anew: what is noted is never the value of a record.
      const sweeps =
        this.outdated.size > 0 &&
        (mustSweep ||
          this.hasUnfinished ||
          this.outdated.size > this.options.outdatedMax ||
          added.some(({ key }) => this.outdated.has(keyText(key))));
      if (mustSweep && !sweeps) {
        // Another batch has taken them along.
        records.drop();
        return this.defer(() => end(null));
      }
      this.writeValues(added, sweeps, (error) => {
        if (error !== null) {
          records.drop();
          return end(error);
        }
        this.writeRecords(batch, sweeps, end);
      });
    });
  }

  private writeValues(added: readonly StoreOp[], sweeps: boolean, done: (error: Error | null) => void): void {
    if (added.length === 0 && !sweeps) return done(null);
    // From here on a record may refer to one, before we are told.
    this.hasValues = true;
    const swept = sweeps ? [...this.outdated.values()].map(({ key }) => ({ key, value: null })) : [];
    this.values.batchOf(inSlices([...swept, ...added]), done);
  }

  private writeRecords(batch: Gathered, sweeps: boolean, end: (error: Error | null) => void): void {
    const { added, removed, records } = batch;
    const notes: StoreOp[] = [];
    const swept = sweeps ? [...this.outdated.values()] : [];
    for (const { key } of swept) notes.push({ key: outdatedKey(key), value: null });
    for (const value of removed) notes.push(noteOf(value));
    const isSwept = sweeps && this.last !== null && this.outdated.has(keyText(this.last));
    // Not removed: who has values must not be opened without them.
    const last = added.at(-1)?.key ?? (isSwept || this.isLastUnknown ? NOTHING : this.last);
    if (last !== null && last !== this.last)
      notes.push({ key: LAST_VALUE_KEY, value: seal(LAST_VALUE_KEY, 0, last) });
    const sweptBytes = swept.reduce((sum, { bytes }) => sum + bytes, 0);
    if (sweeps) {
      const deadBytes = this.deadBytes + sweptBytes;
      notes.push({ key: DEAD_BYTES_KEY, value: sealNumbered(DEAD_BYTES_KEY, 0, deadBytes, NOTHING) });
    }
    try {
      records.add(notes);
    } catch (error) {
      records.drop();
      return this.defer(() => end(asStoreError(error)));
    }
    records.write((error) => {
      if (error === null) {
        this.last = last;
        this.isLastUnknown = false;
        if (sweeps) this.onSwept(swept, sweptBytes);
        for (const value of removed) this.outdated.set(keyText(value.key), value);
      }
      end(error);
    });
  }

  private onSwept(swept: readonly Outdated[], sweptBytes: number): void {
    this.outdated = new Map();
    this.hasUnfinished = false;
    this.deadBytes += sweptBytes;
    for (const { key } of swept)
      if (this.deadThrough === null || this.deadThrough.compare(key) < 0) this.deadThrough = key;
    this.reclaimRoom();
  }

  private reclaimRoom(): void {
    const { deadBytes, deadThrough } = this;
    const { deadBytesMax } = this.options;
    if (deadThrough === null) return;
    this.reclaimer.reclaim(
      { ...ALL_VALUES, lt: Buffer.concat([deadThrough, NEXT]) },
      (bytes) => deadBytes >= deadBytesMax + Math.max(0, bytes - deadBytes) / 2,
      (bytesLeft) => {
        if (bytesLeft === null) return;
        this.deadBytes -= deadBytes;
        // What went meanwhile.
        if (this.deadBytes > 0) this.reclaimRoom();
      },
    );
  }
}

/** A batch on its way: its records are at the database already. */
class Gathered {
  readonly added: StoreOp[] = [];
  readonly removed: Outdated[] = [];

  constructor(
    readonly records: StoreBatch,
    private readonly hasOldValues: boolean,
  ) {}

  add(ops: readonly StoreOp[]): void {
    if (!ops.some(({ key }) => isValueKey(key))) return this.records.add(ops);
    const rest: StoreOp[] = [];
    for (const op of ops) {
      const { key, value, freed } = op;
      if (!isValueKey(key)) rest.push(op);
      else if (value !== null) this.added.push(op);
      else {
        this.removed.push({ key, bytes: freed ?? 0 });
        if (this.hasOldValues) rest.push(op);
      }
    }
    this.records.add(rest);
  }
}

function noteOf({ key, bytes }: Outdated): StoreOp {
  const noted = outdatedKey(key);
  return { key: noted, value: sealNumbered(noted, 0, bytes, NOTHING) };
}

async function openValues(databases: StateDatabases, mustBeThere: boolean): Promise<OrderedStore> {
  if (mustBeThere) return databases.openValues(false);
  if (databases.mayCreate) return databases.openValues(true);
  return databases.hasValues() ? databases.openValues(false) : new MemoryStore(new MemoryContent());
}

function lastValueOf(records: OrderedStore): Buffer | null {
  const record = records.get(LAST_VALUE_KEY);
  return record === undefined ? null : unseal(LAST_VALUE_KEY, record).body;
}

function* inSlices(ops: readonly StoreOp[]): Generator<readonly StoreOp[]> {
  for (let start = 0; start < ops.length; start += VALUES_PER_TURN)
    yield ops.slice(start, start + VALUES_PER_TURN);
}

/** Nobody's data depends on it: if it cannot be read, it begins anew. */
function deadBytesOf(records: OrderedStore): number {
  try {
    const record = records.get(DEAD_BYTES_KEY);
    return record === undefined ? 0 : readU53(unseal(DEAD_BYTES_KEY, record).body, 0);
  } catch {
    return 0;
  }
}

function closeOf(store: OrderedStore | null, done: (error: Error | null) => void): void {
  if (store === null) done(null);
  else store.close((error) => done(error));
}
