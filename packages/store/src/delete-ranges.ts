/**
 * Range deletions read a range of the disk, which takes time, and apply must not wait. So prepare loads here what the
 * disk holds in each range of a batch; apply merges that with the layers as they are by then, earlier commands of the
 * same batch included.
 */
import type { Done } from '@kvd/replica';
import type { DeleteRange } from './batches.js';
import { keyText } from './bytes.js';
import { diskRange, overlayIn, type TextRange } from './key-range.js';
import { hashA, hashB } from './kv-record.js';
import type { OrderedStore } from './ordered-store.js';
import { checkedPair } from './state-loader.js';
import type { Layer } from './write-back.js';

/** Keys that one range deletion may delete; over more it is refused and does nothing. */
export const DELETE_RANGE_KEYS_MAX = 100_000;
/** Range deletions in one batch; the ones after them are refused as overloaded. */
export const DELETE_RANGES_PER_BATCH_MAX = 16;

/** A key to delete, and its part of the content hash. */
export interface Victim {
  readonly key: string;
  readonly hashA: number;
  readonly hashB: number;
}

/** What the disk held in the ranges of a batch when it was prepared, and the layers above it at that time. */
export interface PreparedRanges {
  readonly disk: ReadonlyMap<DeleteRange, readonly Victim[]>;
  /** Newest first. Between prepare and apply a flush may move them to the disk, where `disk` does not see them. */
  readonly layers: readonly Layer[];
}

export const NO_RANGES: PreparedRanges = { disk: new Map(), layers: [] };

export function textRange(command: DeleteRange): TextRange {
  return { from: keyText(command.from), to: keyText(command.to) };
}

/**
 * Reads each range up to so many keys that, whatever the layers and the batch's other commands (`commands` of them)
 * take away, more than DELETE_RANGE_KEYS_MAX remain: so it is refused alike on every replica.
 */
export function loadRanges(
  store: OrderedStore,
  generation: number,
  layers: readonly Layer[],
  ranges: readonly DeleteRange[],
  commands: number,
  done: Done<PreparedRanges>,
): void {
  const disk = new Map<DeleteRange, readonly Victim[]>();
  const next = (index: number): void => {
    const command = ranges[index];
    if (command === undefined) return done(null, { disk, layers });
    const range = textRange(command);
    const victimsMax = overlayIn(range, layers).size + (ranges.length + 1) * DELETE_RANGE_KEYS_MAX + commands;
    loadVictims(store, generation, range, victimsMax, (error, victims) => {
      if (error !== null) return done(error, NO_RANGES);
      disk.set(command, victims);
      next(index + 1);
    });
  };
  next(0);
}

/** The keys that live in the range now: `layers` newest first, then what the disk held. */
export function liveIn(range: TextRange, layers: readonly Layer[], disk: readonly Victim[]): Victim[] {
  const overlay = overlayIn(range, layers);
  const live = disk.filter(({ key }) => !overlay.has(key));
  for (const [key, record] of overlay) {
    if (record !== null) live.push({ key, hashA: hashA(record), hashB: hashB(record) });
  }
  return live;
}

function loadVictims(
  store: OrderedStore,
  generation: number,
  range: TextRange,
  victimsMax: number,
  done: Done<readonly Victim[]>,
): void {
  const victims: Victim[] = [];
  const reader = store.range(diskRange(generation, range));
  const end = (error: Error | null): void => {
    reader.close();
    done(error, victims);
  };
  const step = (): void => {
    reader.next(1024, (error, pairs) => {
      if (error !== null) return end(error);
      try {
        for (const pair of pairs) {
          const { key, record } = checkedPair(pair);
          victims.push({ key: keyText(key), hashA: hashA(record), hashB: hashB(record) });
        }
      } catch (thrown) {
        return end(thrown instanceof Error ? thrown : new Error(String(thrown)));
      }
      if (pairs.length === 0 || victims.length >= victimsMax) return end(null);
      step();
    });
  };
  step();
}
