/**
 * One page of a scan: the layers merged with the disk, both as they were when the page was asked for.
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
import { diskRange, overlayIn } from './key-range.js';
import { entryOf, type KvRecord } from './kv-record.js';
import type { OrderedStore, RangeReader } from './ordered-store.js';
import { checkedPair } from './state-loader.js';
import type { Layer } from './write-back.js';

/** Keys counted in one page of a count. */
const COUNT_MAX = 50_000;
const DISK_PAGE = 512;

export interface ScanSource {
  readonly store: OrderedStore;
  readonly generation: number;
  /** Newest first. */
  readonly layers: readonly Layer[];
  readonly revision: Revision;
}

export function scanPage(source: ScanSource, request: ScanRequest, done: Done<ScanPage>): void {
  const range = { from: keyText(request.from), to: keyText(request.to) };
  const overlay = [...overlayIn(range, source.layers)].sort(([a], [b]) => compareText(a, b));
  const reader = source.store.range(diskRange(source.generation, range));
  const merge = new PageMerge(overlay, reader, request, source.revision, done);
  merge.step();
}

class PageMerge {
  private readonly overlay: readonly (readonly [string, KvRecord | null])[];
  private readonly reader: RangeReader;
  private readonly request: ScanRequest;
  private readonly revision: Revision;
  private readonly done: Done<ScanPage>;
  private readonly entries: Entry[] = [];
  private readonly entriesMax: number;
  private position = 0;
  private count = 0;
  private bytes = 0;
  /** The first key that no longer fits. */
  private next: Uint8Array | null = null;

  constructor(
    overlay: readonly (readonly [string, KvRecord | null])[],
    reader: RangeReader,
    request: ScanRequest,
    revision: Revision,
    done: Done<ScanPage>,
  ) {
    this.overlay = overlay;
    this.reader = reader;
    this.request = request;
    this.revision = revision;
    this.done = done;
    const pageMax = request.countOnly ? COUNT_MAX : PAGE_ENTRIES_MAX;
    this.entriesMax = request.limit > 0 ? Math.min(request.limit, pageMax) : pageMax;
  }

  step(): void {
    const wanted = Math.min(DISK_PAGE, this.entriesMax - this.count + 1);
    this.reader.next(wanted, (error, pairs) => {
      if (error !== null) return this.end(error);
      try {
        for (const pair of pairs) {
          const { key, record } = checkedPair(pair);
          if (!this.takeDisk(key, record)) return this.end(null);
        }
      } catch (thrown) {
        return this.end(thrown instanceof Error ? thrown : new Error(String(thrown)));
      }
      if (pairs.length > 0) return this.step();
      this.takeOverlayBefore(null);
      this.end(null);
    });
  }

  /** False: the page is full. */
  private takeDisk(key: Buffer, record: KvRecord): boolean {
    const text = keyText(key);
    if (!this.takeOverlayBefore(text)) return false;
    const over = this.overlay[this.position];
    if (over?.[0] !== text) return this.take(key, record);
    this.position += 1;
    return over[1] === null || this.take(key, over[1]);
  }

  /** Takes what the layers have below `text`, or to the end. */
  private takeOverlayBefore(text: string | null): boolean {
    for (;;) {
      const over = this.overlay[this.position];
      if (over === undefined || (text !== null && over[0] >= text)) return true;
      if (over[1] !== null && !this.take(keyBytes(over[0]), over[1])) return false;
      this.position += 1;
    }
  }

  private take(key: Buffer, record: KvRecord): boolean {
    const { keysOnly, countOnly } = this.request;
    const size = countOnly ? 0 : key.length + (keysOnly ? 0 : record.length);
    if (this.count >= this.entriesMax || (this.count > 0 && this.bytes + size > PAGE_BYTES_MAX)) {
      this.next = key;
      return false;
    }
    this.count += 1;
    this.bytes += size;
    if (!countOnly) this.entries.push(entryOf(key, record, keysOnly));
    return true;
  }

  private end(error: Error | null): void {
    this.reader.close();
    const { entries, count, next, revision } = this;
    this.done(error, { type: 'page', entries, count, next, revision });
  }
}
