/**
 * Keys and values as bytes: what a string means (UTF-8), and where the keys with a given prefix end. Pure functions.
 */

/** A key or a value: text, taken as UTF-8, or bytes. */
export type Bytes = string | Uint8Array;

/** The bytes meant; a Uint8Array is passed through, not copied. */
export function toBytes(input: Bytes): Uint8Array {
  return typeof input === 'string' ? Buffer.from(input, 'utf8') : input;
}

/** A copy that shares memory with nothing: neither with the caller's array nor with a received frame. */
export function copyBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/** The first key after all keys that begin with `prefix`; empty when there is none (no upper bound). */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  for (let last = prefix.length - 1; last >= 0; last--) {
    const byte = prefix[last] ?? 0;
    if (byte === 0xff) continue;
    const end = prefix.slice(0, last + 1);
    end[last] = byte + 1;
    return end;
  }
  return new Uint8Array(0);
}

/** Keys k with from <= k < to; an empty `to` means no upper bound. */
export interface KeyRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
}

/** The keys that satisfy all of prefix, from and to that are given. */
export function toRange(given: { prefix?: Bytes; from?: Bytes; to?: Bytes }): KeyRange {
  // Copied: a range is used again for every page and every re-send, and its owner may reuse its arrays.
  const prefix = copyBytes(toBytes(given.prefix ?? ''));
  const end = prefixEnd(prefix);
  const from = copyBytes(toBytes(given.from ?? ''));
  const to = copyBytes(toBytes(given.to ?? ''));
  return { from: Buffer.compare(from, prefix) > 0 ? from : prefix, to: lowerBound(end, to) };
}

/** Can no key be in it? */
export function isEmptyRange(range: KeyRange): boolean {
  return range.to.length > 0 && Buffer.compare(range.from, range.to) >= 0;
}

function lowerBound(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b;
  if (b.length === 0) return a;
  return Buffer.compare(a, b) < 0 ? a : b;
}
