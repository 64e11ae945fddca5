/**
 * Range deletions read a range of the disk, which takes time, and apply must not wait. So prepare loads here what the
 * disk holds in each range of a batch; apply merges that with the layers as they are by then, earlier commands of the
 * same batch included.
 */
import { type CommandResult, type LeaseId, TXN_OPERATIONS_MAX } from '@kvd/protocol';
import type { Done } from '@kvd/replica';
import { type DecodedBatch, errorResult, type RangeDelete } from './batches.js';
import { compareText, keyText } from './bytes.js';
import { asStoreError } from './errors.js';
import { diskRange, overlayIn, type TextRange } from './key-range.js';
import { type KvRecord, sizeOf } from './kv-record.js';
import type { LeaseTable } from './leases.js';
import type { OrderedStore } from './ordered-store.js';
import { checkedPair } from './state-loader.js';
import type { Layer } from './write-back.js';

/** What one range deletion may delete; over more it is refused and does nothing. */
export const DELETE_RANGE_KEYS_MAX = 100_000;
export const DELETE_RANGE_BYTES_MAX = 64 * 1024 * 1024;
/** Range deletions in one batch; commands with the ones after them are refused as overloaded. */
export const DELETE_RANGES_PER_BATCH_MAX = 16;

/** A key to delete. */
export interface Victim {
  readonly key: string;
  readonly bytes: number;
  /** May be a stub. Null: too much was loaded to keep it; ask for it. */
  readonly record: KvRecord | null;
}

/** What the disk held in the ranges of a batch when it was prepared, and the layers above it at that time. */
export interface PreparedRanges {
  readonly disk: ReadonlyMap<RangeDelete, readonly Victim[]>;
  /** More ranges than a batch may have: their commands are refused. */
  readonly refused: ReadonlySet<RangeDelete>;
  /** Newest first. Between prepare and apply a flush may move them to the disk, where `disk` does not see them. */
  readonly layers: readonly Layer[];
}

export const NO_RANGES: PreparedRanges = { disk: new Map(), refused: new Set(), layers: [] };

export function textRange(range: RangeDelete): TextRange {
  return { from: keyText(range.from), to: keyText(range.to) };
}

/**
 * Reads each range up to so many keys that, whatever the layers and the batch's other commands (`commands` of them)
 * take away, more than DELETE_RANGE_KEYS_MAX remain: so it is refused alike on every replica.
 */
export function loadRanges(
  store: OrderedStore,
  generation: number,
  layers: readonly Layer[],
  all: readonly RangeDelete[],
  changes: number,
  done: Done<PreparedRanges>,
): void {
  const disk = new Map<RangeDelete, readonly Victim[]>();
  const ranges = all.slice(0, DELETE_RANGES_PER_BATCH_MAX);
  const refused = new Set(all.slice(DELETE_RANGES_PER_BATCH_MAX));
  const next = (index: number): void => {
    const command = ranges[index];
    if (command === undefined) return done(null, { disk, refused, layers });
    const range = textRange(command);
    const victimsMax = overlayIn(range, layers).size + (ranges.length + 1) * DELETE_RANGE_KEYS_MAX + changes;
    loadVictims(store, generation, range, victimsMax, (error, victims) => {
      if (error !== null) return done(error, NO_RANGES);
      disk.set(command, victims);
      next(index + 1);
    });
  };
  next(0);
}

/**
 * The keys that live in the range now, in their order: `layers` newest first, then what the disk held; or why it is too
 * much to delete at once.
 */
export function liveIn(
  range: TextRange,
  layers: readonly Layer[],
  disk: readonly Victim[],
): readonly Victim[] | Extract<CommandResult, { type: 'error' }> {
  const overlay = overlayIn(range, layers);
  const live = disk.filter(({ key }) => !overlay.has(key));
  for (const [key, record] of overlay) {
    if (record !== null) live.push({ key, bytes: sizeOf(record), record });
  }
  let bytes = 0;
  for (const victim of live) bytes += victim.bytes;
  if (live.length > DELETE_RANGE_KEYS_MAX || bytes > DELETE_RANGE_BYTES_MAX) {
    const limit = `${DELETE_RANGE_KEYS_MAX} keys or ${DELETE_RANGE_BYTES_MAX} bytes`;
    return errorResult('KVD_TOO_LARGE', `the range has more than ${limit}: delete it in parts`);
  }
  return live.sort((a, b) => compareText(a.key, b.key));
}

function loadVictims(
  store: OrderedStore,
  generation: number,
  range: TextRange,
  victimsMax: number,
  done: Done<readonly Victim[]>,
): void {
  const victims: Victim[] = [];
  let keptBytes = 0;
  const reader = store.range(diskRange(generation, range));
  const end = (error: Error | null): void => {
    reader.close();
    done(error, victims);
  };
  const step = (): void => {
    reader.next(1024, (error, pairs) => {
      if (error !== null) return end(error);
      try {
        for (const { key, record } of pairs.map((pair) => checkedPair(pair))) {
          keptBytes += record.length;
          const kept = keptBytes <= DELETE_RANGE_BYTES_MAX ? record : null;
          victims.push({ key: keyText(key), bytes: sizeOf(record), record: kept });
        }
      } catch (thrown) {
        return end(asStoreError(thrown));
      }
      if (pairs.length === 0 || victims.length >= victimsMax) return end(null);
      step();
    });
  };
  step();
}

/** Keys that the commands of a batch can take away or add, besides its range deletions. */
export function changesMax({ commands }: DecodedBatch, leases: LeaseTable): number {
  const keysOf = (lease: LeaseId): number => leases.get(lease)?.keys.size ?? 0;
  let changes = commands.length * TXN_OPERATIONS_MAX;
  for (const decoded of commands) {
    const inner = decoded.type === 'keyed' ? decoded.inner : decoded;
    if (inner.type !== 'plain') continue;
    if (inner.command.type === 'lease-revoke') changes += keysOf(inner.command.lease);
    if (inner.command.type === 'expire-leases')
      for (const lease of inner.command.leases) changes += keysOf(lease);
  }
  return changes;
}
