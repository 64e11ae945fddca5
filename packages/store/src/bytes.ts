/**
 * Small helpers on bytes: 53-bit integers, key order, text keys. No I/O, no state.
 */

const TWO_TO_32 = 2 ** 32;

/** Width of a number in keys and records. */
export const U53_BYTES = 8;

/** An integer up to 2^53 - 1, big-endian, so that byte order is number order. */
export function writeU53(into: Buffer, value: number, offset: number): void {
  into.writeUInt32BE(Math.floor(value / TWO_TO_32), offset);
  into.writeUInt32BE(value >>> 0, offset + 4);
}

export function readU53(from: Buffer, offset: number): number {
  return from.readUInt32BE(offset) * TWO_TO_32 + from.readUInt32BE(offset + 4);
}

/** The same memory as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** A key as a string of one character a byte: usable in a Map, and its order is the order of the bytes. */
export function keyText(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('latin1', 0, bytes.length);
}

export function keyBytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

/** `prefix` and a number: keys whose order is the order of the numbers. */
export function numberKey(prefix: string, value: number): Buffer {
  const key = Buffer.allocUnsafe(prefix.length + U53_BYTES);
  key.write(prefix, 0, 'latin1');
  writeU53(key, value, prefix.length);
  return key;
}

export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
