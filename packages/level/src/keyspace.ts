/**
 * Where a database's keys are in the cluster: under its prefix. Maps keys and range options to the cluster's, and back.
 * Pure. In kvd a range is half-open and a key has 1 to 4,096 bytes, while Level's bounds are inclusive or exclusive and
 * of any length: so a bound is moved to the next key that can exist.
 */
import { checkKey, KEY_BYTES_MAX, prefixEnd } from '@kvd/protocol';
import { concat, type Stored, toBytes } from './bytes.js';
import { LevelError } from './errors.js';

/** Keys k with from <= k < to; `to` null: no upper bound. */
export interface Range {
  readonly from: Uint8Array;
  readonly to: Uint8Array | null;
}

/** Level's range options, encoded. */
export interface Bounds {
  readonly gt?: Stored;
  readonly gte?: Stored;
  readonly lt?: Stored;
  readonly lte?: Stored;
}

const NO_KEYS: Range = { from: new Uint8Array(0), to: new Uint8Array(0) };

export class Keyspace {
  /** All of the database. */
  private readonly whole: Range;

  private readonly prefix: Uint8Array;

  /** @throws TypeError when the prefix leaves no room for a key */
  constructor(prefix: Uint8Array) {
    if (prefix.length >= KEY_BYTES_MAX)
      throw new TypeError(`prefix: ${prefix.length} bytes, less than ${KEY_BYTES_MAX} allowed`);
    this.prefix = Uint8Array.from(prefix);
    this.whole = { from: this.prefix, to: firstBeyond(this.prefix) };
  }

  /** @throws LevelError LEVEL_INVALID_KEY */
  key(stored: Stored): Uint8Array {
    const key = this.locate(stored);
    try {
      checkKey(key);
    } catch (error) {
      throw new LevelError('LEVEL_INVALID_KEY', (error as Error).message, error);
    }
    return key;
  }

  /** Where `stored` would be, whether or not it can be a key. */
  locate(stored: Stored): Uint8Array {
    return concat(this.prefix, toBytes(stored));
  }

  /** What the database calls a key of the cluster. */
  strip(key: Uint8Array): Uint8Array {
    return key.subarray(this.prefix.length);
  }

  /** gte goes before gt, and lte before lt, as in every Level. */
  range({ gt, gte, lt, lte }: Bounds): Range {
    let { from, to }: { from: Uint8Array | null; to: Uint8Array | null } = this.whole;
    if (gte !== undefined) from = firstFrom(this.locate(gte));
    else if (gt !== undefined) from = firstAfter(this.locate(gt));
    if (lte !== undefined) to = firstAfter(this.locate(lte));
    else if (lt !== undefined) to = firstFrom(this.locate(lt));
    return from === null ? NO_KEYS : { from, to };
  }
}

export function onlyKey(key: Uint8Array): Range {
  return { from: key, to: firstAfter(key) };
}

export function isEmpty({ from, to }: Range): boolean {
  return to !== null && Buffer.compare(from, to) >= 0;
}

export function isIn({ from, to }: Range, key: Uint8Array): boolean {
  return Buffer.compare(from, key) <= 0 && (to === null || Buffer.compare(key, to) < 0);
}

/** What remains of a range from `bound` on; with `reverse`, down from it. `bound` is in it. */
export function fromBound(range: Range, bound: Uint8Array, reverse: boolean): Range {
  if (reverse) return { from: range.from, to: firstAfter(bound) };
  const from = firstFrom(bound);
  return from === null ? NO_KEYS : { from, to: range.to };
}

/** What remains of a range after `key`; with `reverse`, below it. */
export function beyond(range: Range, key: Uint8Array, reverse: boolean): Range {
  if (reverse) return { from: range.from, to: key };
  const from = firstAfter(key);
  return from === null ? NO_KEYS : { from, to: range.to };
}

/** The first possible key that is not below `bound`; null when there is none. */
function firstFrom(bound: Uint8Array): Uint8Array | null {
  return bound.length <= KEY_BYTES_MAX ? bound : firstBeyond(bound.subarray(0, KEY_BYTES_MAX));
}

/** The first possible key above `bound`; null when there is none. */
function firstAfter(bound: Uint8Array): Uint8Array | null {
  // Nothing that begins with a key of full length is longer.
  if (bound.length >= KEY_BYTES_MAX) return firstBeyond(bound.subarray(0, KEY_BYTES_MAX));
  return concat(bound, Uint8Array.of(0));
}

/** The first key after all that begin with `prefix`; null when there is none. */
function firstBeyond(prefix: Uint8Array): Uint8Array | null {
  const end = prefixEnd(prefix);
  return end.length === 0 ? null : end;
}
