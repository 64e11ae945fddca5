/** Keys and values in the forms that abstract-level hands over ('utf8', 'buffer', 'view'), and as bytes. */

/** What a private method of abstract-level is given, and must give back in the format that it asked for. */
export type Stored = string | Buffer | Uint8Array;

/** Names of those forms: abstract-level's "formats". */
export type Format = 'utf8' | 'buffer' | 'view';

/** The bytes meant; a Uint8Array is passed through, not copied. */
export function toBytes(stored: Stored): Uint8Array {
  return typeof stored === 'string' ? Buffer.from(stored, 'utf8') : stored;
}

/** The bytes in a format. 'buffer' and 'view' share their memory. */
export function fromBytes(bytes: Uint8Array, format: Format): Stored {
  if (format === 'view') return bytes;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return format === 'utf8' ? buffer.toString('utf8') : buffer;
}

export function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
