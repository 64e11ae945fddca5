/**
 * A bounded cache of records in memory of its own: a million records are a handful of buffers to the garbage collector,
 * where objects would have it walk a million of them, again and again.
 *
 * Entries are appended to a ring of segments; a segment that is come round to is overwritten with all that is in it. An
 * index of small sets says where a key's newest entry lies: by position, which only grows, so that an entry that was
 * overwritten is known by its number. A key that finds its set full takes the place of the oldest there. What is read in
 * the oldest quarter of the ring is appended again, so what is in use stays.
 *
 *     entry:  length of the key (2) | length of the record (4), ABSENT: the key is absent | key | record
 */
import type { KvRecord } from './kv-record.js';

const SEGMENT_BYTES_MAX = 4 * 1024 * 1024;
const SEGMENTS_MIN = 8;
/** Places of a set: one cache line of marks. */
const WAYS = 8;
/** A place of the index for so many bytes of the ring. */
const BYTES_PER_PLACE = 128;
const HEADER_BYTES = 6;
const ABSENT = 0xffff_ffff;
const NOT_FOUND = -1;

export class RecordCache {
  private readonly segmentBytes: number;
  private readonly ringBytes: number;
  private readonly segments: Buffer[] = [];
  /** Where the next entry goes. Position 0 is nowhere. */
  private head = 1;
  /** Entries below are overwritten, or about to be. */
  private tail = 1;
  private readonly setMask: number;
  /** Of each place: the hash of its key, and where the entry is. */
  private readonly marks: Uint32Array;
  private readonly positions: Float64Array;

  /** `bytesMax`: of the entries. The index takes an eighth of that besides; memory is taken when it is needed. */
  constructor(bytesMax: number) {
    this.segmentBytes = Math.max(1, Math.min(SEGMENT_BYTES_MAX, Math.floor(bytesMax / SEGMENTS_MIN)));
    this.ringBytes = this.segmentBytes * Math.max(SEGMENTS_MIN, Math.floor(bytesMax / this.segmentBytes));
    const sets = 2 ** Math.ceil(Math.log2(this.ringBytes / (BYTES_PER_PLACE * WAYS) + 1));
    this.setMask = sets - 1;
    this.marks = new Uint32Array(sets * WAYS);
    this.positions = new Float64Array(sets * WAYS);
  }

  /** A copy of the record; null: the key is absent; undefined: not known here. */
  get(key: string): KvRecord | null | undefined {
    const lent = this.lend(key);
    if (lent === null || lent === undefined) return lent;
    const record = Buffer.allocUnsafe(lent.length);
    lent.copy(record);
    return record;
  }

  /** As get, but the very memory: right until the next call of any method here. */
  lend(key: string): KvRecord | null | undefined {
    const hash = hashOf(key);
    const place = this.find(key, hash);
    if (place === NOT_FOUND) return undefined;
    const position = this.positions[place] as number;
    const record = this.read(position, key.length);
    if (!this.isOld(position)) return record;
    // Copied first: where it is appended may be where it lies.
    this.append(place, hash, key, record === null ? null : Buffer.from(record));
    return this.read(this.positions[place] as number, key.length);
  }

  /** From now on this is the record of the key; null: it is absent. */
  set(key: string, record: KvRecord | null): void {
    const hash = hashOf(key);
    const found = this.find(key, hash);
    if (found === NOT_FOUND) return this.append(this.placeFor(hash), hash, key, record);
    const position = this.positions[found] as number;
    if (this.isOld(position) || !this.overwrite(position, key.length, record))
      this.append(found, hash, key, record);
  }

  private find(key: string, hash: number): number {
    const first = (hash & this.setMask) * WAYS;
    for (let place = first; place < first + WAYS; place += 1) {
      if (this.marks[place] !== hash) continue;
      const position = this.positions[place] as number;
      if (position >= this.tail && this.isKey(position, key)) return place;
    }
    return NOT_FOUND;
  }

  /** The place in the set whose entry is gone, or else the oldest. */
  private placeFor(hash: number): number {
    const first = (hash & this.setMask) * WAYS;
    let oldest = first;
    for (let place = first + 1; place < first + WAYS; place += 1) {
      if ((this.positions[place] as number) < (this.positions[oldest] as number)) oldest = place;
    }
    return oldest;
  }

  private isKey(position: number, key: string): boolean {
    const segment = this.segmentOf(position);
    const offset = position % this.segmentBytes;
    if (segment.readUInt16BE(offset) !== key.length) return false;
    const start = offset + HEADER_BYTES;
    for (let i = 0; i < key.length; i += 1) if (segment[start + i] !== key.charCodeAt(i)) return false;
    return true;
  }

  private read(position: number, keyLength: number): KvRecord | null {
    const segment = this.segmentOf(position);
    const offset = position % this.segmentBytes;
    const length = segment.readUInt32BE(offset + 2);
    if (length === ABSENT) return null;
    const start = offset + HEADER_BYTES + keyLength;
    return segment.subarray(start, start + length);
  }

  /** False: it is of another length. */
  private overwrite(position: number, keyLength: number, record: KvRecord | null): boolean {
    const segment = this.segmentOf(position);
    const offset = position % this.segmentBytes;
    if (segment.readUInt32BE(offset + 2) !== (record?.length ?? ABSENT)) return false;
    record?.copy(segment, offset + HEADER_BYTES + keyLength);
    return true;
  }

  private append(place: number, hash: number, key: string, record: KvRecord | null): void {
    const size = HEADER_BYTES + key.length + (record?.length ?? 0);
    if (size > this.segmentBytes) {
      // Too large to be kept; nor is what it was before.
      this.positions[place] = 0;
      return;
    }
    const position = this.room(size);
    const segment = this.segmentOf(position);
    const offset = position % this.segmentBytes;
    segment.writeUInt16BE(key.length, offset);
    segment.writeUInt32BE(record?.length ?? ABSENT, offset + 2);
    const start = offset + HEADER_BYTES;
    for (let i = 0; i < key.length; i += 1) segment[start + i] = key.charCodeAt(i);
    record?.copy(segment, start + key.length);
    this.marks[place] = hash;
    this.positions[place] = position;
  }

  /** Where so many bytes fit, in one segment. */
  private room(size: number): number {
    const left = this.segmentBytes - (this.head % this.segmentBytes);
    if (size > left) this.head += left;
    const position = this.head;
    this.head += size;
    // The whole segment that is written to now has lost what it held a round ago.
    const begin = position - (position % this.segmentBytes);
    this.tail = Math.max(this.tail, begin + this.segmentBytes - this.ringBytes);
    return position;
  }

  /** In the quarter of the ring that is overwritten next. */
  private isOld(position: number): boolean {
    return position < this.head - 0.75 * this.ringBytes;
  }

  private segmentOf(position: number): Buffer {
    const index = Math.floor(position / this.segmentBytes) % (this.ringBytes / this.segmentBytes);
    this.segments[index] ??= Buffer.allocUnsafeSlow(this.segmentBytes);
    return this.segments[index];
  }
}

/** FNV-1a, its bits mixed once more as MurmurHash3 does: the lowest ones choose the set. */
function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i += 1) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
