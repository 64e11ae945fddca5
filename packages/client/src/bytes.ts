/**
 * Keys and values as bytes: what a string means (UTF-8), and where the keys with a given prefix end. Pure functions.
 */

import { isUint8Array } from 'node:util/types';
import { checkKey, KEY_BYTES_MAX, KvdError, prefixEnd, RANGE_END_BYTES_MAX } from '@kvd/protocol';

/** A key or a value: text, taken as UTF-8, or bytes. */
export type Bytes = string | Uint8Array;

/** The bytes meant; a Uint8Array is passed through, not copied. @throws KvdError KVD_BAD_REQUEST: it is neither, or no text */
export function toBytes(input: Bytes): Uint8Array {
  if (typeof input === 'string') return textBytes(input);
  // Of whichever realm: test runners have their own.
  if (isUint8Array(input)) return input;
  const given = input === null ? 'null' : typeof input;
  throw new KvdError('KVD_BAD_REQUEST', `a key or value is a string or a Uint8Array, not ${given}`);
}

/** Half of a surrogate pair has no UTF-8: it would become U+FFFD without a word, and keys that differ one key. */
function textBytes(text: string): Uint8Array {
  if (text.isWellFormed()) return Buffer.from(text, 'utf8');
  throw new KvdError('KVD_BAD_REQUEST', 'a key or value holds half of a surrogate pair, which is no text');
}

/** A copy that shares memory with nothing: neither with the caller's array nor with a received frame. */
export function copyBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/** Keys k with from <= k < to; an empty `to` means no upper bound. */
export interface KeyRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
}

/** The keys that satisfy all of prefix, from and to that are given. @throws KvdError KVD_BAD_REQUEST, KVD_TOO_LARGE */
export function toRange(given: { prefix?: Bytes; from?: Bytes; to?: Bytes }): KeyRange {
  // Copied: a range is used again for every page and every re-send, and its owner may reuse its arrays.
  const prefix = copyBytes(toBytes(given.prefix ?? ''));
  const end = prefixEnd(prefix);
  const from = copyBytes(toBytes(given.from ?? ''));
  const to = copyBytes(toBytes(given.to ?? ''));
  // No longer than a replica takes: it would close the connection.
  checkBound('prefix', prefix, KEY_BYTES_MAX);
  checkBound('from', from, KEY_BYTES_MAX);
  checkBound('to', to, RANGE_END_BYTES_MAX);
  return { from: Buffer.compare(from, prefix) > 0 ? from : prefix, to: lowerBound(end, to) };
}

function checkBound(name: string, { length }: Uint8Array, max: number): void {
  if (length > max)
    throw new KvdError('KVD_TOO_LARGE', `${name}: ${length} bytes, at most ${max} are possible`);
}

/** As toRange, or the one key that is given. @throws KvdError KVD_BAD_REQUEST: neither, or both */
export function toKeys(
  what: string,
  given: { key?: Bytes; prefix?: Bytes; from?: Bytes; to?: Bytes },
): KeyRange {
  const { key } = given;
  const isRange = given.prefix !== undefined || given.from !== undefined || given.to !== undefined;
  if ((key === undefined) !== isRange) {
    const message = `${what} needs a key, or some of prefix, from and to; { prefix: '' } means every key`;
    throw new KvdError('KVD_BAD_REQUEST', message);
  }
  return key === undefined ? toRange(given) : keyRange(toBytes(key));
}

/** The range of one key. @throws KvdError KVD_BAD_REQUEST, KVD_TOO_LARGE */
export function keyRange(key: Uint8Array): KeyRange {
  checkKey(key);
  const to = new Uint8Array(key.length + 1);
  to.set(key);
  return { from: copyBytes(key), to };
}

/** Bytes as UTF-8 text. */
export function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/** What is no longer the caller's, who may change their array right away. */
export function ownedBytes(input: Bytes): Uint8Array {
  return typeof input === 'string' ? textBytes(input) : copyBytes(toBytes(input));
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
