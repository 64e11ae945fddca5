/**
 * The acceptor's log over an ordered store and a side file (DESIGN 5): every write is one synced, atomic batch with a
 * marker, one in flight. On LevelDB in kvd, on the memory twin in the simulator.
 *
 * It must never answer before the sync, never write after an error until reloaded, and never mend what it reads.
 */
import type { ConfigurationAt, LogEntry, MarkerNumber, Persist, RecoveredLog, Slot } from '@kvd/paxos';
import type { Done, LogStore } from '@kvd/replica';
import { asStoreError, damaged, StoreError } from './errors.js';
import { checkedEntry, type LoadedLog, loadLog } from './log-loader.js';
import {
  CONFIGURATIONS_KEY,
  entryKey,
  type Head,
  HEAD_KEY,
  IDENTITY_KEY,
  markerKey,
  sealConfigurations,
  sealEntry,
  sealHead,
  sealIdentity,
  sealMarker,
  unsealEntry,
  unsealMarker,
} from './log-records.js';
import type { MarkerSeries } from './marker-series.js';
import type { OrderedStore, Pair, StoreOp } from './ordered-store.js';
import { Reclaimer } from './reclaimer.js';
import { sealedCrc } from './sealed.js';
import type { SideFile } from './side-file.js';

export interface LogParts {
  readonly store: OrderedStore;
  readonly side: SideFile;
  /** Checks the closed store as a process start would; called by a reload after a failed write. */
  readonly verify: (done: Done<void>) => void;
  /** Room that what was cut may take, beside half of what was left the last time; absent: 64 MiB. */
  readonly deadBytesMax?: number;
}

/** What is known on disk to be chosen. */
export type DurableMark = Pick<RecoveredLog, 'chosenThrough' | 'configurations'>;

/** Identity and configurations are written anew once their marker is this old, so that the series can be cut. */
const META_AGE_MAX = 64;
/** Markers kept beyond two per entry, before old entries are written anew to shorten the series. */
const MARKERS_SLACK = 4096;
const DEAD_BYTES_MAX = 64 * 1024 * 1024;
/** Before its room is reclaimed again: what is kept of a log hardly changes. */
const GROWTH = 1.5;

export class OrderedLogStore implements LogStore {
  recovered: RecoveredLog;
  /** As the last write left it. */
  durable: DurableMark;
  private readonly parts: LogParts;
  private head: Head;
  private series: MarkerSeries;
  private configurations: readonly ConfigurationAt[];
  private poison: Error | null = null;
  private writing = false;
  /** Slots that a write in flight cuts may already be gone. */
  private cutFloor: Slot;
  private afterWrite: (() => void)[] = [];
  private readonly reclaimer: Reclaimer;
  /** What the log took after its room was reclaimed; 0: not in this life, and the first time there is little to do. */
  private settledBytes = 0;

  constructor(parts: LogParts, loaded: LoadedLog) {
    this.parts = parts;
    this.recovered = loaded.recovered;
    this.durable = loaded.recovered;
    this.head = loaded.head;
    this.series = loaded.series;
    this.configurations = loaded.recovered.configurations;
    this.cutFloor = loaded.head.cutThrough;
    this.reclaimer = new Reclaimer(parts.store);
  }

  /**
   * S1: `done` is called only after the sync. The side file follows the sync and precedes `done`, so what was
   * acknowledged is known even if the log's tail is lost.
   */
  write(batch: Persist, done: Done<MarkerNumber>): void {
    if (this.writing) throw new Error('S1: a write of the log is in flight');
    const { store, side } = this.parts;
    if (this.poison !== null) {
      const { poison } = this;
      store.defer(() => done(poison, 0));
      return;
    }
    this.writing = true;
    const fail = (error: unknown): void => {
      this.poison = asStoreError(error);
      this.writeEnded();
      done(this.poison, 0);
    };
    try {
      const { ops, head } = this.plan(batch);
      const marker = this.series.last;
      store.batch(ops, (error) => {
        if (error !== null) return fail(error);
        try {
          side.write(marker);
        } catch (thrown) {
          return fail(thrown);
        }
        const hasCut = head.cutThrough > this.head.cutThrough;
        this.head = head;
        this.durable = { chosenThrough: head.chosenThrough, configurations: this.configurations };
        this.writeEnded();
        // Slots only ascend, so LevelDB would leave what is cut where it is.
        if (hasCut) this.reclaimRoom(head.cutThrough);
        done(null, marker);
      });
    } catch (error) {
      store.defer(() => fail(error));
    }
  }

  read(fromSlot: Slot, throughSlot: Slot, bytesMax: number, done: Done<LogEntry[]>): void {
    const { store } = this.parts;
    if (fromSlot <= this.cutFloor || throughSlot < fromSlot) {
      store.defer(() => done(null, []));
      return;
    }
    const mustHaveThrough = Math.min(throughSlot, this.head.chosenThrough);
    const reader = store.range({ gte: entryKey(fromSlot), lt: entryKey(throughSlot + 1) });
    const entries: LogEntry[] = [];
    let bytes = 0;
    let full = false;
    /** False: no more of this range is wanted. */
    const take = ([key, record]: Pair): boolean => {
      full = entries.length > 0 && bytes + record.length > bytesMax;
      const { entry } = unsealEntry(key, record);
      if (full || entry.slot !== fromSlot + entries.length) return false;
      entries.push(entry);
      bytes += record.length;
      return true;
    };
    const end = (error: Error | null): void => {
      reader.close();
      const next = fromSlot + entries.length;
      // LevelDB may end an iteration early over a damaged table, without a word.
      const missing = error === null && !full && next <= mustHaveThrough && next > this.cutFloor;
      const failure = missing ? damaged(`slot ${next} is chosen and missing in the log`) : error;
      done(failure, failure === null ? entries : []);
    };
    const step = (): void => {
      reader.next(64, (error, pairs) => {
        if (error !== null) return end(error);
        try {
          if (pairs.length === 0 || !pairs.every(take)) return end(null);
        } catch (thrown) {
          return end(asStoreError(thrown));
        }
        step();
      });
    };
    step();
  }

  reload(done: Done<RecoveredLog>): void {
    this.whenQuiet(() => {
      this.writing = true;
      this.reopen((error, loaded) => {
        if (loaded !== null) this.adopt(loaded);
        else this.poison = error;
        this.writeEnded();
        done(error, this.recovered);
      });
    });
  }

  defer(task: () => void): void {
    this.parts.store.defer(task);
  }

  close(done: Done<void>): void {
    this.reclaimer.stop();
    this.whenQuiet(() => {
      this.poison ??= new StoreError('closed', 'the log is closed');
      this.parts.store.close((error) => {
        this.parts.side.close();
        done(error, undefined);
      });
    });
  }

  private adopt(loaded: LoadedLog): void {
    this.recovered = loaded.recovered;
    this.durable = loaded.recovered;
    this.head = loaded.head;
    this.series = loaded.series;
    this.configurations = loaded.recovered.configurations;
    this.cutFloor = loaded.head.cutThrough;
    this.poison = null;
  }

  /** Closes, verifies if a write failed, opens and loads. */
  private reopen(done: Done<LoadedLog | null>): void {
    this.reclaimer.stop();
    const { store, side, verify } = this.parts;
    const suspicious = this.poison !== null;
    const open = (): void => {
      store.open((error) => {
        if (error !== null) return done(error, null);
        loadLog(store, (failure, loaded) => {
          if (failure !== null || loaded === null) return done(failure, null);
          try {
            const acknowledged = side.read();
            if (acknowledged > loaded.recovered.marker) {
              return done(
                damaged(`marker ${acknowledged} was acknowledged, the last is ${loaded.recovered.marker}`),
                null,
              );
            }
          } catch (thrown) {
            return done(asStoreError(thrown), null);
          }
          done(null, loaded);
        });
      });
    };
    store.close((error) => {
      if (error !== null) return done(error, null);
      if (!suspicious) return open();
      verify((failure) => (failure === null ? open() : done(failure, null)));
    });
  }

  /** The operations of a batch; the series is moved on to its marker. */
  private plan(batch: Persist): { readonly ops: readonly StoreOp[]; readonly head: Head } {
    const number = this.series.last + 1;
    const cutThrough = Math.max(batch.cutThrough ?? 0, this.head.cutThrough);
    const ops: StoreOp[] = [];
    const writeIdentity = this.isStale(this.series.identityOwner, number);
    const writeConfigurations =
      batch.configurations !== undefined || this.isStale(this.series.configurationsOwner, number);
    this.configurations = batch.configurations ?? this.configurations;

    const records = this.entryRecords(batch, number, cutThrough);
    let checksum = 0;
    let lastSlot = this.head.lastSlot;
    for (const [slot, op] of records) {
      if (op.value !== null) checksum = (checksum + sealedCrc(op.value)) >>> 0;
      lastSlot = Math.max(lastSlot, slot);
      ops.push(op);
    }
    if (writeIdentity) ops.push({ key: IDENTITY_KEY, value: sealIdentity(number, this.recovered.identity) });
    if (writeConfigurations) {
      ops.push({ key: CONFIGURATIONS_KEY, value: sealConfigurations(number, this.configurations) });
    }
    this.cut(cutThrough, ops);
    const slots = [...records.keys()];
    this.series.add({ slots, identity: writeIdentity, configurations: writeConfigurations });
    for (const dropped of this.series.dropHead(number)) ops.push({ key: markerKey(dropped), value: null });

    const promised = batch.promised ?? this.head.promised;
    const chosenThrough = Math.max(batch.chosenThrough ?? 0, this.head.chosenThrough);
    const oldestMarker = this.series.oldest;
    const installedThrough = Math.max(batch.installedThrough ?? 0, this.head.installedThrough);
    const head: Head = { promised, chosenThrough, cutThrough, lastSlot, oldestMarker, installedThrough };
    const marker = {
      promised,
      oldestMarker,
      slots,
      identity: writeIdentity,
      configurations: writeConfigurations,
      checksum,
    };
    ops.push({ key: HEAD_KEY, value: sealHead(number, head) });
    ops.push({ key: markerKey(number), value: sealMarker(number, marker) });
    return { ops, head };
  }

  /** The entries to write, each slot once: the batch's, and old ones that hold up the head of the series. */
  private entryRecords(batch: Persist, number: MarkerNumber, cutThrough: Slot): Map<Slot, StoreOp> {
    const records = new Map<Slot, StoreOp>();
    const add = (entry: LogEntry): void => {
      if (entry.slot <= cutThrough) return;
      const key = entryKey(entry.slot);
      records.set(entry.slot, { key, value: sealEntry(number, key, entry) });
    };
    for (const entry of batch.entries) add(entry);
    const { oldest, slots } = this.series;
    if (number - oldest <= MARKERS_SLACK + 2 * slots) return records;
    const record = this.parts.store.get(markerKey(oldest));
    if (record === undefined) throw damaged(`marker ${oldest} is missing`);
    for (const slot of unsealMarker(markerKey(oldest), record).slots) {
      if (this.series.ownerOf(slot) !== oldest || records.has(slot)) continue;
      const key = entryKey(slot);
      const value = this.parts.store.get(key);
      if (value === undefined) throw damaged(`slot ${slot} is missing`);
      add(checkedEntry(this.series, [key, value]));
    }
    return records;
  }

  private reclaimRoom(cutThrough: Slot): void {
    const deadBytesMax = this.parts.deadBytesMax ?? DEAD_BYTES_MAX;
    this.reclaimer.reclaim(
      { gte: entryKey(0), lt: entryKey(cutThrough + 1) },
      (bytes) => bytes >= deadBytesMax + this.settledBytes * GROWTH,
      (bytesLeft) => {
        this.settledBytes = bytesLeft ?? this.settledBytes;
      },
    );
  }

  private cut(cutThrough: Slot, ops: StoreOp[]): void {
    const through = Math.min(cutThrough, this.head.lastSlot);
    for (let slot = this.head.cutThrough + 1; slot <= through; slot += 1) {
      if (this.series.ownerOf(slot) === undefined) continue;
      ops.push({ key: entryKey(slot), value: null });
      this.series.cut(slot);
    }
    this.cutFloor = cutThrough;
  }

  /** Would the record keep the series from being cut for long? */
  private isStale(owner: MarkerNumber, number: MarkerNumber): boolean {
    return owner !== 0 && owner === this.series.oldest && number - owner > META_AGE_MAX;
  }

  private whenQuiet(task: () => void): void {
    if (this.writing) this.afterWrite.push(task);
    else this.parts.store.defer(task);
  }

  private writeEnded(): void {
    this.writing = false;
    const next = this.afterWrite.shift();
    if (next !== undefined) this.parts.store.defer(next);
  }
}
