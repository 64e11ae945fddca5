/**
 * The memory twin of level-store.ts, for tests and the simulator. MemoryContent is the platter: it outlives crashes and
 * takes damage on request. MemoryStore is one process's open handle on it.
 *
 * Deterministic: no clock, no chance. What a crash finds not yet completed is lost, as if never synced.
 */
import type { Done } from '@kvd/replica';
import { keyBytes, keyText } from './bytes.js';
import { asStoreError, damaged, StoreError } from './errors.js';
import {
  type KeyRange,
  type OrderedStore,
  type Pair,
  RANGE_PAGE_BYTES,
  type RangeReader,
  type StoreBatch,
  type StoreOp,
} from './ordered-store.js';

/** When a read or write completes: calls `task` later, in any order that keeps writes in the order they were made. */
export type Schedule = (task: () => void, kind: 'read' | 'write') => void;

export const scheduleMicrotask: Schedule = (task) => queueMicrotask(task);

/** Batches that loseTail can take back. */
const UNDO_MAX = 64;

interface Undo {
  readonly key: string;
  readonly before: Pair | undefined;
}

/** What is on the disk, and what is wrong with it. */
export class MemoryContent {
  private readonly pairs = new Map<string, Pair>();
  /** The keys in order. */
  private readonly order: string[] = [];
  private readonly undo: Undo[][] = [];
  /** Readers of the past, and what they have not seen change. */
  private readonly views = new Set<View>();
  private writeFault: { readonly error: Error; readonly once: boolean } | null = null;
  private readFault: Error | null = null;

  get size(): number {
    return this.pairs.size;
  }

  get(key: Buffer): Buffer | undefined {
    this.assertReadable();
    return this.pairs.get(keyText(key))?.[1];
  }

  /** @throws whatever failReads said */
  assertReadable(): void {
    if (this.readFault !== null) throw this.readFault;
  }

  /** Keys in order, for a simulator that picks one to damage. */
  keys(): Buffer[] {
    return this.order.map((key) => keyBytes(key));
  }

  /** Flips one bit of a record's bytes. False: there is no such record. */
  corrupt(key: Buffer, byteIndex: number): boolean {
    const pair = this.pairs.get(keyText(key));
    if (pair === undefined || pair[1].length === 0) return false;
    const value = Buffer.from(pair[1]);
    const at = byteIndex % value.length;
    value.writeUInt8(value.readUInt8(at) ^ 1, at);
    this.pairs.set(keyText(key), [pair[0], value]);
    return true;
  }

  /** Loses a record without a word. */
  drop(key: Buffer): void {
    this.put(keyText(key), undefined);
  }

  /** Takes back the last `batches` synced batches (64 at most): a disk that lied about a sync. */
  loseTail(batches: number): void {
    for (let i = 0; i < batches; i += 1) {
      const undo = this.undo.pop();
      if (undo === undefined) return;
      for (const { key, before } of undo.reverse()) this.put(key, before);
    }
  }

  /** From now on writes fail with `error`: the next one only, or all until healed. */
  failWrites(error: Error, extent: 'once' | 'always'): void {
    this.writeFault = { error, once: extent === 'once' };
  }

  failReads(error: Error): void {
    this.readFault = error;
  }

  heal(): void {
    this.writeFault = null;
    this.readFault = null;
  }

  /** A copy that shares nothing that changes: a directory that was copied, or a fork of a simulation. */
  clone(): MemoryContent {
    const copy = new MemoryContent();
    for (const [key, pair] of this.pairs) copy.put(key, pair);
    return copy;
  }

  /** Everything is gone. */
  wipe(): void {
    this.pairs.clear();
    this.order.length = 0;
    this.undo.length = 0;
  }

  takeWriteFault(): Error | null {
    const fault = this.writeFault;
    if (fault?.once === true) this.writeFault = null;
    return fault?.error ?? null;
  }

  /** One batch, at once and for good. */
  apply(ops: readonly StoreOp[]): void {
    const undo: Undo[] = [];
    for (const { key, value } of ops) {
      const text = keyText(key);
      undo.push({ key: text, before: this.pairs.get(text) });
      this.put(text, value === null ? undefined : [Buffer.from(key), Buffer.from(value)]);
    }
    this.undo.push(undo);
    if (this.undo.length > UNDO_MAX) this.undo.shift();
  }

  /** A view of everything as of now, until it is closed. */
  openView(): View {
    const view = new View((key) => this.pairs.get(key));
    this.views.add(view);
    return view;
  }

  closeView(view: View): void {
    this.views.delete(view);
  }

  /** The pairs of a range as of now. */
  slice({ gte, lt, reverse = false }: KeyRange): Pair[] {
    this.assertReadable();
    const pairs: Pair[] = [];
    const end = lowerBound(this.order, keyText(lt));
    for (let i = lowerBound(this.order, keyText(gte)); i < end; i += 1) {
      const pair = this.pairs.get(this.order[i] ?? '');
      if (pair !== undefined) pairs.push(pair);
    }
    return reverse ? pairs.reverse() : pairs;
  }

  private put(key: string, pair: Pair | undefined): void {
    for (const view of this.views) view.changing(key);
    const known = this.pairs.has(key);
    if (pair === undefined) {
      if (known) this.order.splice(lowerBound(this.order, key), 1);
      this.pairs.delete(key);
      return;
    }
    if (!known) this.order.splice(lowerBound(this.order, key), 0, key);
    this.pairs.set(key, pair);
  }
}

/** What was there when it was made: it keeps what changes meanwhile as it was. */
class View {
  private readonly before = new Map<string, Pair | undefined>();

  constructor(private readonly now: (key: string) => Pair | undefined) {}

  get(key: string): Pair | undefined {
    return this.before.has(key) ? this.before.get(key) : this.now(key);
  }

  changing(key: string): void {
    if (!this.before.has(key)) this.before.set(key, this.now(key));
  }
}

export class MemoryStore implements OrderedStore {
  private readonly content: MemoryContent;
  private readonly schedule: Schedule;
  private state: 'open' | 'closed' | 'crashed' = 'open';
  private readonly views = new Set<View>();
  /** Of a write since it was opened: what LevelDB writes after it might not be there at the next start (level-store.ts). */
  private failure: Error | null = null;
  /** How often it was closed: what was opened before is no good any more. */
  closings = 0;

  constructor(content: MemoryContent, schedule: Schedule = scheduleMicrotask) {
    this.content = content;
    this.schedule = schedule;
  }

  /** The process dies: nothing that is under way happens, no callback is called any more. */
  crash(): void {
    this.state = 'crashed';
    for (const view of this.views) this.content.closeView(view);
  }

  get(key: Buffer): Buffer | undefined {
    this.assertOpen();
    return this.content.get(key);
  }

  range(...ranges: readonly KeyRange[]): RangeReader {
    try {
      this.assertOpen();
      const pairs = ranges.flatMap((range) => this.content.slice(range));
      const view = this.content.openView();
      this.views.add(view);
      return new MemoryRangeReader(this, pairs, view);
    } catch (error) {
      return new FailedReader(this, error instanceof Error ? error : damaged(String(error)));
    }
  }

  batch(ops: readonly StoreOp[], done: Done<void>): void {
    this.write([...ops], done);
  }

  begin(): StoreBatch {
    const taken: StoreOp[] = [];
    return {
      add: (ops) => void taken.push(...ops),
      write: (done) => this.write(taken, done),
      drop: () => {},
    };
  }

  batchOf(pages: Iterable<readonly StoreOp[]>, done: Done<void>): void {
    let taken: StoreOp[];
    try {
      taken = [...pages].flat();
    } catch (error) {
      this.later('write', () => done(asStoreError(error), undefined));
      return;
    }
    this.write(taken, done);
  }

  private write(taken: readonly StoreOp[], done: Done<void>): void {
    const closed = this.state !== 'open';
    this.later('write', () => {
      const fault = closed ? closedError() : (this.failure ?? this.content.takeWriteFault());
      if (fault === null) this.content.apply(taken);
      else if (!closed) this.failure = fault;
      done(fault, undefined);
    });
  }

  sweep(): void {}

  /** What is removed takes no room. */
  bytes(_range: KeyRange | null, done: Done<number>): void {
    this.later('read', () => done(null, 0));
  }

  compact(_range: KeyRange, done: Done<void>): void {
    this.later('read', () => done(null, undefined));
  }

  defer(task: () => void): void {
    this.later('read', task);
  }

  open(done: Done<void>): void {
    this.later('read', () => {
      this.state = 'open';
      this.failure = null;
      done(null, undefined);
    });
  }

  close(done: Done<void>): void {
    this.later('write', () => {
      this.state = 'closed';
      this.closings += 1;
      done(null, undefined);
    });
  }

  /** Runs `task` when its time comes, unless the process died by then. */
  later(kind: 'read' | 'write', task: () => void): void {
    this.schedule(() => {
      if (this.state !== 'crashed') task();
    }, kind);
  }

  /** A record as a reader sees it. @throws StoreError */
  getIn(view: View, key: Buffer): Buffer | undefined {
    this.assertOpen();
    this.content.assertReadable();
    return view.get(keyText(key))?.[1];
  }

  closeView(view: View): void {
    this.views.delete(view);
    this.content.closeView(view);
  }

  private assertOpen(): void {
    if (this.state !== 'open') throw closedError();
  }
}

function closedError(): StoreError {
  return new StoreError('closed', 'the store is closed');
}

class MemoryRangeReader implements RangeReader {
  private position = 0;
  private readonly closings: number;

  constructor(
    private readonly store: MemoryStore,
    private readonly pairs: readonly Pair[],
    private readonly view: View,
  ) {
    this.closings = store.closings;
  }

  next(pairsMax: number, done: Done<readonly Pair[]>): void {
    this.store.later('read', () => {
      if (this.store.closings !== this.closings) return done(closedError(), []);
      const page: Pair[] = [];
      let bytes = 0;
      while (page.length < pairsMax && bytes <= RANGE_PAGE_BYTES) {
        const pair = this.pairs[this.position];
        if (pair === undefined) break;
        this.position += 1;
        bytes += pair[0].length + pair[1].length;
        page.push(pair);
      }
      done(null, page);
    });
  }

  getMany(keys: readonly Buffer[], done: Done<readonly (Buffer | undefined)[]>): void {
    this.store.later('read', () => {
      let found: readonly (Buffer | undefined)[] = [];
      let failure: Error | null = null;
      try {
        found = keys.map((key) => this.store.getIn(this.view, key));
      } catch (error) {
        failure = asStoreError(error);
      }
      done(failure, found);
    });
  }

  close(): void {
    this.store.closeView(this.view);
  }
}

class FailedReader implements RangeReader {
  constructor(
    private readonly store: MemoryStore,
    private readonly failure: Error,
  ) {}

  next(_pairsMax: number, done: Done<readonly Pair[]>): void {
    this.store.later('read', () => done(this.failure, []));
  }

  getMany(_keys: readonly Buffer[], done: Done<readonly (Buffer | undefined)[]>): void {
    this.store.later('read', () => done(this.failure, []));
  }

  close(): void {}
}

/** Index of the first key not below `key`. */
function lowerBound(order: readonly string[], key: string): number {
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((order[middle] ?? '') < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
