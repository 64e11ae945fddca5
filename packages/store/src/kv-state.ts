/**
 * The key-value state machine on an ordered store: when the model's changes reach the disk, and how they come back.
 * The disk only ever moves from the end of one slot to the end of a later one, in one synced batch, or to a snapshot.
 *
 * It must never write a part of a slot, and never go on after an apply that failed half way.
 */
import type { ConfigurationAt, Slot, Value } from '@kvd/paxos';
import {
  type ClusterMs,
  type CommandResult,
  type Entry,
  type GetRequest,
  type HistoryPage,
  KvdError,
  type LeaderBallot,
  type LeaseId,
  type LeasesPage,
  type LeasesRequest,
  type Revision,
  type RevisionEvents,
  type ScanPage,
  type ScanRequest,
} from '@kvd/protocol';
import type { Done, HistoryQuery, SnapshotInstaller, SnapshotReader, StateMachine } from '@kvd/replica';
import { type DecodedBatch, decodeSlot, NO_BATCH, rangesOf } from './batches.js';
import { keyText } from './bytes.js';
import { compactPage } from './compactor.js';
import { changesMax, loadRanges, NO_RANGES, type PreparedRanges } from './delete-ranges.js';
import { asStoreError, StoreError } from './errors.js';
import { type HistoryLayer, HistoryRecords } from './history-buffer.js';
import { entryAt, historyPage } from './history-reader.js';
import { type InstallTarget, StateInstaller } from './installer.js';
import { entryOf, storedOf } from './kv-record.js';
import { DEFAULT_STATE_OPTIONS, type KvStateOptions } from './kv-state-options.js';
import { StateModel } from './model.js';
import type { OrderedStore, StoreOp } from './ordered-store.js';
import { scanState } from './scan.js';
import { SerialQueue } from './serial-queue.js';
import { type SnapshotExtent, StateSnapshot } from './snapshot.js';
import { type LoadedState, loadState, scrubState, type StateRecords } from './state-loader.js';
import {
  flushKey,
  generationPrefix,
  generationRanges,
  kvKey,
  MARKERS_KEPT,
  sealFlush,
  sealStateHead,
  STATE_HEAD_KEY,
  type Retention,
  type StateHead,
  stateKey,
} from './state-records.js';
import { hasNewValue, valueOp } from './values-apart.js';
import type { Layer } from './write-back.js';

/** Keys of a generation that nobody needs are deleted this many at a time. */
const DISCARD_PAGE = 512;
const REPLACED = 'the state was replaced while it was read';
/** Operations of a flush that are made in one go: a fraction of a millisecond. */
const FLUSH_PAGE = 256;

/** What a flush will write, as of a slot's end. */
interface Frozen {
  /** All but what is kept of the history, which the disk knows only then. */
  readonly head: StateHead;
  readonly layer: Layer;
  readonly history: HistoryLayer;
  /** On logical keys. */
  readonly tables: readonly StoreOp[];
}

interface Prepared {
  readonly value: Value;
  readonly batch: DecodedBatch;
  ranges: PreparedRanges;
}

export class KvState implements StateMachine {
  durableThrough: Slot;
  private readonly store: OrderedStore;
  private readonly options: KvStateOptions;
  private readonly queue = new SerialQueue();
  private model: StateModel;
  /** Number of the last flush written. */
  private flush: number;
  private lastGeneration: number;
  /** As written last. */
  private diskHead: StateHead;
  private compacting = false;
  /** Nothing can be compacted on disk before the compact revision is this one. */
  private compactedUntil: Revision = 1;
  private watched = false;
  private frozen: Frozen | null = null;
  private prepared: Prepared | null = null;
  /** Why nothing is flushed until a reload. */
  private poison: Error | null = null;
  /** Why nothing is applied or flushed until a reload: memory may hold a part of a slot. */
  private broken: Error | null = null;
  /** Counts what replaced the whole state: an install begun before is void. */
  private epoch = 0;

  constructor(store: OrderedStore, loaded: LoadedState, options: KvStateOptions = DEFAULT_STATE_OPTIONS) {
    this.store = store;
    this.options = options;
    this.model = new StateModel(store, loaded, options);
    this.flush = loaded.flush;
    this.lastGeneration = loaded.lastGeneration;
    this.diskHead = loaded.head;
    this.durableThrough = loaded.head.appliedThrough;
    this.discardOthers();
  }

  get compactRevision(): Revision {
    return this.model.compactRevision;
  }

  get retention(): Retention {
    return this.model.retention;
  }

  get appliedThrough(): Slot {
    return this.model.appliedThrough;
  }

  get revision(): Revision {
    return this.model.revision;
  }

  get clusterMs(): ClusterMs {
    return this.model.clusterMs;
  }

  get leader(): LeaderBallot {
    return this.model.leader;
  }

  get stateHash(): string {
    return this.model.runningHash.toString();
  }

  /** Order-independent hash of the contents at appliedThrough, 16 hex digits. */
  get contentHash(): string {
    return this.model.contentHash().toString();
  }

  get configurations(): readonly ConfigurationAt[] {
    return this.model.configurations;
  }

  get dirtyKeys(): number {
    const { space, sessions, idempotency, leases } = this.model;
    const keys = Math.max(space.writeBack.dirtyKeys, space.history.size);
    return keys + sessions.dirtySize + idempotency.dirtySize + leases.dirtySize;
  }

  get dirtyBytes(): number {
    return this.model.space.writeBack.activeBytes;
  }

  prepare(value: Value, done: Done<void>): boolean {
    const batch = value.type === 'batch' ? decodeSlot(value.bytes) : NO_BATCH;
    const prepared: Prepared = { value, batch, ranges: NO_RANGES };
    this.prepared = prepared;
    const ranges = batch.commands.flatMap((command) => rangesOf(command));
    if (ranges.length === 0) return true;
    const { generation, space } = this.model;
    const layers = space.writeBack.layers();
    loadRanges(
      this.store,
      generation,
      layers,
      ranges,
      changesMax(batch, this.model.leases),
      (error, loaded) => {
        prepared.ranges = loaded;
        done(error, undefined);
      },
    );
    return false;
  }

  apply(slot: Slot, value: Value): readonly CommandResult[] {
    if (slot !== this.appliedThrough + 1)
      throw new Error(`S6: slot ${slot} applied after ${this.appliedThrough}`);
    if (this.broken !== null) throw this.broken;
    const { batch, ranges } = this.takePrepared(value);
    try {
      return this.model.apply(slot, value, batch, ranges);
    } catch (error) {
      // A damaged record: the slot may be applied in part, so none of it may be flushed.
      this.broken = asStoreError(error);
      throw error;
    }
  }

  get(key: Uint8Array): Entry | null {
    const record = this.model.space.lookup(keyText(key));
    return record === null ? null : entryOf(key, record);
  }

  getAt({ key, revision }: GetRequest, done: Done<Entry | null>): void {
    entryAt(this.store, this.model, key, revision, this.ofThisState(done));
  }

  scan(request: ScanRequest, done: Done<ScanPage>): void {
    scanState(this.store, this.model, request, this.ofThisState(done));
  }

  history(query: HistoryQuery, done: Done<HistoryPage>): void {
    historyPage(this.store, this.model, query, this.ofThisState(done));
  }

  leases({ lease, after }: LeasesRequest): LeasesPage {
    return this.model.leases.page(lease, after, this.model.clusterMs, this.model.revision);
  }

  dueLeases(nowMs: ClusterMs, max: number): readonly LeaseId[] {
    return this.model.leases.due(nowMs, max);
  }

  watchRevisions(wanted: boolean): void {
    this.watched = wanted;
    this.model.space.watchRevisions(wanted);
  }

  takeRevisions(): readonly RevisionEvents[] {
    return this.model.space.takeRevisions();
  }

  freeze(): Slot {
    if (this.frozen === null && this.broken === null) {
      const { space } = this.model;
      const head = this.model.head(this.diskHead.kept);
      const layer = space.writeBack.freeze();
      const history = space.history.freeze();
      const number = this.flush + 1;
      const tables = [
        ...this.model.idempotency.takeChanges(number),
        ...this.model.sessions.takeChanges(number),
        ...this.model.leases.takeChanges(number),
      ];
      this.frozen = { head, layer, history, tables };
    }
    return this.frozen?.head.appliedThrough ?? this.durableThrough;
  }

  writeFrozen(done: Done<void>): void {
    this.queue.run((release) => {
      this.flushFrozen((error) => {
        release();
        if (error === null) this.compactMore();
        done(error, undefined);
      });
    });
  }

  openSnapshot(done: Done<SnapshotReader>): void {
    this.openDurable('all', (error, snapshot) => done(error, snapshot ?? NO_SNAPSHOT));
  }

  /** A reader over the state as of now, which is flushed first: for a state that has no log. */
  openFlushed(extent: SnapshotExtent, done: Done<SnapshotReader>): void {
    this.queue.run((release) => {
      const open = (): void => {
        release();
        try {
          done(null, new StateSnapshot(this.store, extent));
        } catch (error) {
          done(asStoreError(error), NO_SNAPSHOT);
        }
      };
      this.flushFrozen((error) => {
        if (error === null && this.appliedThrough === this.durableThrough) return open();
        if (error === null) this.freeze();
        this.flushFrozen((failure) => {
          if (failure === null) return open();
          release();
          done(failure, NO_SNAPSHOT);
        });
      });
    });
  }

  /** The revision that is on disk. */
  get durableRevision(): Revision {
    return this.diskHead.revision;
  }

  /**
   * A reader over the state as it is on disk. Nothing is flushed for it, so no state gets ahead of its log
   * because somebody took a copy of it; what is applied is on disk a moment later (see durableRevision).
   */
  openDurable(extent: SnapshotExtent, done: Done<StateSnapshot | null>): void {
    this.queue.run((release) => {
      let snapshot: StateSnapshot | null = null;
      let failure: Error | null = this.broken ?? this.poison;
      try {
        if (failure === null) snapshot = new StateSnapshot(this.store, extent);
      } catch (error) {
        failure = asStoreError(error);
      }
      release();
      this.store.defer(() => done(failure, snapshot));
    });
  }

  createInstaller(): SnapshotInstaller {
    this.lastGeneration += 1;
    const { epoch } = this;
    const target: InstallTarget = {
      store: this.store,
      commit: (head, records, done) => this.commit(epoch, head, records, done),
      discard: (generation: number) => this.discard(generation, generation),
    };
    return new StateInstaller(target, this.lastGeneration);
  }

  /**
   * Reads the whole state on disk, page by page, and compares it with the content hash written with it.
   * Errors: StoreError damaged; the state is then to be replaced by a snapshot or dropped.
   */
  scrub(done: Done<void>): void {
    scrubState(this.store, done);
  }

  reload(done: Done<void>): void {
    this.queue.run((release) => {
      const fail = (error: Error): void => {
        this.poison = error;
        release();
        done(error, undefined);
      };
      this.store.close((error) => {
        if (error !== null) return fail(error);
        this.store.open((failure) => {
          const damage = failure instanceof StoreError && failure.kind === 'damaged' ? failure : null;
          if (failure !== damage) return fail(failure as Error);
          // Open, but not to be believed: only an install, which replaces all of it, may still write.
          this.poison = null;
          const end = (error: Error | null, loaded: LoadedState | null): void => {
            if (loaded !== null) this.adopt(loaded);
            else this.broken = error;
            release();
            done(error, undefined);
          };
          if (damage === null) loadState(this.store, end);
          else end(damage, null);
        });
      });
    });
  }

  close(done: Done<void>): void {
    this.queue.run((release) => {
      this.poison ??= new StoreError('closed', 'the state is closed');
      this.store.close((error) => {
        release();
        done(error, undefined);
      });
    });
  }

  /** What is missing to a read of a state that was replaced meanwhile is no damage: it was removed. */
  private ofThisState<T>(done: Done<T>): Done<T> {
    const { epoch } = this;
    return (error, result) => {
      const isReplaced = error instanceof StoreError && epoch !== this.epoch;
      done(isReplaced ? new KvdError('KVD_UNAVAILABLE', REPLACED) : error, result);
    };
  }

  private takePrepared(value: Value): Omit<Prepared, 'value'> {
    const { prepared } = this;
    this.prepared = null;
    if (prepared?.value === value) return prepared;
    return { batch: value.type === 'batch' ? decodeSlot(value.bytes) : NO_BATCH, ranges: NO_RANGES };
  }

  private adopt(loaded: LoadedState): void {
    this.model = new StateModel(this.store, loaded, this.options);
    this.model.space.watchRevisions(this.watched);
    this.diskHead = loaded.head;
    this.compacting = false;
    this.compactedUntil = 1;
    this.flush = loaded.flush;
    this.lastGeneration = Math.max(loaded.lastGeneration, this.lastGeneration);
    this.durableThrough = loaded.head.appliedThrough;
    this.frozen = null;
    this.prepared = null;
    this.poison = null;
    this.broken = null;
    this.epoch += 1;
    this.discardOthers();
  }

  /** In the queue only. Calls back later, also when there is nothing to write. */
  private flushFrozen(done: (error: Error | null) => void): void {
    const { frozen } = this;
    const poison = this.broken ?? this.poison;
    if (frozen === null || poison !== null) {
      this.store.defer(() => done(poison));
      return;
    }
    const flushed = this.diskHead.revision;
    const history = new HistoryRecords(frozen.history, this.flush + 1, flushed, this.model.spans);
    const headAfter = (): StateHead => {
      const { kept } = this.diskHead;
      const hash = kept.hash.clone();
      hash.add(history.hash.a, history.hash.b);
      return { ...frozen.head, kept: { ...kept, records: kept.records + history.count, hash } };
    };
    this.writePages(inPages(frozenOps(frozen, history, flushed)), headAfter, (error) => {
      if (error === null) {
        this.model.space.writeBack.thaw();
        this.model.space.history.thaw();
        this.durableThrough = frozen.head.appliedThrough;
        this.frozen = null;
      }
      done(error);
    });
  }

  private writeHead(head: StateHead, ops: readonly StoreOp[], done: (error: Error | null) => void): void {
    this.writePages([ops], () => head, done);
  }

  /**
   * One synced batch: what is in `pages`, the head that is known when they are made, and the marker of the flush. In the
   * queue only: what the pages are made of stays as it is until the batch is written.
   */
  private writePages(
    pages: Iterable<readonly StoreOp[]>,
    headAfter: () => StateHead,
    done: (error: Error | null) => void,
  ): void {
    const number = this.flush + 1;
    let head = this.diskHead;
    function* all(): Generator<readonly StoreOp[]> {
      let records = 1;
      for (const page of pages) {
        records += page.length;
        yield page;
      }
      head = headAfter();
      const last: StoreOp[] = [
        { key: STATE_HEAD_KEY, value: sealStateHead(number, head) },
        { key: flushKey(number), value: sealFlush(number, head.appliedThrough, records) },
      ];
      if (number > MARKERS_KEPT) last.push({ key: flushKey(number - MARKERS_KEPT), value: null });
      yield last;
    }
    this.store.batchOf(all(), (error) => {
      if (error === null) {
        this.flush = number;
        this.diskHead = head;
      } else this.poison = asStoreError(error);
      done(this.poison);
    });
  }

  /** S10: one batch makes the installed generation the state; the old one is removed after. */
  private commit(epoch: number, head: StateHead, records: StateRecords, done: Done<void>): void {
    this.queue.run((release) => {
      const overtaken =
        epoch === this.epoch ? null : new StoreError('closed', 'the state was replaced meanwhile');
      const failure = overtaken ?? this.poison;
      if (failure !== null) {
        this.store.defer(() => {
          release();
          done(failure, undefined);
        });
        return;
      }
      this.writeHead(head, [], (error) => {
        if (error === null) {
          const { sessions, idempotency, leases } = records;
          const { flush } = this;
          this.adopt({ head, flush, sessions, idempotency, leases, lastGeneration: head.generation });
        }
        release();
        done(error, undefined);
      });
    });
  }

  /**
   * Removes what is compacted, a page at a time, each in a synced batch of its own between flushes. What was applied and
   * is not flushed yet is left alone: only the compaction that the disk knows of counts.
   */
  private compactMore(): void {
    if (this.compacting || this.diskHead.compactRevision < this.compactedUntil) return;
    this.compacting = true;
    const { epoch } = this;
    this.queue.run((release) => {
      const end = (error: Error | null): void => {
        release();
        if (epoch !== this.epoch) return;
        this.compacting = false;
        if (error instanceof StoreError && error.kind === 'damaged') this.broken = error;
        if (error === null) this.compactMore();
      };
      const refused =
        epoch === this.epoch ? (this.broken ?? this.poison) : new StoreError('closed', 'replaced');
      if (refused !== null) return this.store.defer(() => end(refused));
      compactPage(this.store, this.diskHead, this.model.spans, (error, page) => {
        if (error !== null || epoch !== this.epoch) return end(error ?? new StoreError('closed', 'replaced'));
        this.compactedUntil = page.doneUntil;
        if (page.ops.length === 0) {
          // Under load it is left to a later round: it goes faster in large portions.
          if (this.frozen === null && this.dirtyKeys === 0) this.store.sweep();
          return end(null);
        }
        this.writeHead({ ...this.diskHead, kept: page.kept }, page.ops, end);
      });
    });
  }

  /** Removes what an install left behind, or replaced. */
  private discardOthers(): void {
    const { generation } = this.model;
    this.discard(0, generation - 1);
    // Above: what installs left behind; one under way is void by now (epoch).
    this.discard(generation + 1, this.lastGeneration);
  }

  /** Deletes generations in the background; what fails is tried again at the next open. */
  private discard(from: number, through: number): void {
    if (through < from) return;
    const reader = this.store.range(...generationRanges(from, through));
    const step = (): void => {
      reader.next(DISCARD_PAGE, (error, pairs) => {
        if (error !== null || pairs.length === 0) {
          reader.close();
          if (error === null) this.store.sweep();
          return;
        }
        const ops = pairs.map(([key, record]) => ({ key, value: null, freed: record.length }));
        this.store.batch(ops, (failure) => (failure === null ? step() : reader.close()));
      });
    };
    step();
  }
}

/** What a flush writes but for the head, made one by one; `flushed` is the revision that is on disk. */
function* frozenOps(
  { head, layer, tables }: Frozen,
  history: HistoryRecords,
  flushed: Revision,
): Generator<StoreOp> {
  const { generation } = head;
  const prefix = generationPrefix(generation);
  for (const [key, record] of layer) {
    yield { key: kvKey(prefix, key), value: record === null ? null : storedOf(record) };
    if (record !== null && hasNewValue(record, flushed)) yield onDisk(generation, valueOp(key, record));
  }
  for (const op of tables) yield onDisk(generation, op);
  for (const op of history.make()) yield onDisk(generation, op);
}

function onDisk(generation: number, { key, value }: StoreOp): StoreOp {
  return { key: stateKey(generation, key), value };
}

function* inPages(ops: Iterable<StoreOp>): Generator<readonly StoreOp[]> {
  let page: StoreOp[] = [];
  for (const op of ops) {
    page.push(op);
    if (page.length < FLUSH_PAGE) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}

/** Stands in for the result of an openSnapshot that failed. */
const NO_SNAPSHOT: SnapshotReader = {
  slot: 0,
  configurations: [],
  next: (_bytesMax, done) =>
    queueMicrotask(() => done(new StoreError('closed', 'there is no snapshot'), null)),
  close: () => {},
};
