/**
 * The write-back layer (DESIGN 5): what was applied and is not on disk yet, and a bounded cache of what is. Reads look
 * in the active layer, the frozen one, the cache, and only then ask the disk.
 */
import { type KvRecord, storedOf } from './kv-record.js';
import { RecordCache } from './record-cache.js';

/** Keys as text (bytes.ts) and their records; null: deleted. */
export type Layer = Map<string, KvRecord | null>;

export class WriteBack {
  active: Layer = new Map();
  /** What a flush under way writes. */
  frozen: Layer | null = null;
  /** Of records set since the last freeze, those superseded meanwhile included: the history keeps them. */
  activeBytes = 0;
  private readonly cache: RecordCache;

  constructor(cacheBytes: number) {
    this.cache = new RecordCache(cacheBytes);
  }

  get dirtyKeys(): number {
    return this.active.size + (this.frozen?.size ?? 0);
  }

  /** The newest record in memory; null: there is none for sure; undefined: ask the disk. */
  get(key: string): KvRecord | null | undefined {
    const dirty = this.dirty(key);
    return dirty === undefined ? this.cache.get(key) : dirty;
  }

  /**
   * As get, but only lent: right until this layer is asked or told anything else. And of a record that is on disk only what
   * is written where the record is: a stub, if its value lies apart.
   */
  lend(key: string): KvRecord | null | undefined {
    const dirty = this.dirty(key);
    if (dirty !== undefined) return dirty;
    const cached = this.cache.lend(key);
    return cached ? storedOf(cached) : cached;
  }

  /** What the disk said last, or a flush wrote, if that is still known. */
  cached(key: string): KvRecord | null | undefined {
    return this.cache.get(key);
  }

  private dirty(key: string): KvRecord | null | undefined {
    const record = this.active.get(key);
    return record === undefined ? this.frozen?.get(key) : record;
  }

  set(key: string, record: KvRecord | null): void {
    this.active.set(key, record);
    if (record !== null) this.activeBytes += record.length;
  }

  /** What the disk said about a key that was in no layer. */
  remember(key: string, record: KvRecord | null): void {
    this.cache.set(key, record);
  }

  freeze(): Layer {
    this.frozen = this.active;
    this.active = new Map();
    this.activeBytes = 0;
    return this.frozen;
  }

  /** The frozen layer is on disk. */
  thaw(): void {
    if (this.frozen !== null) for (const [key, record] of this.frozen) this.cache.set(key, record);
    this.frozen = null;
  }

  /** Newest first. */
  layers(): Layer[] {
    return this.frozen === null ? [this.active] : [this.active, this.frozen];
  }
}
