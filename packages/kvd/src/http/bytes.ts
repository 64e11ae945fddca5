/**
 * Bytes in URLs and JSON. A key is any bytes: decodeURIComponent, which insists on UTF-8, cannot read it, and '+' is
 * itself. Pure.
 */
import { isUtf8 } from 'node:buffer';
import { type Entry, KvdError } from '@kvd/protocol';

const PERCENT = 0x25;

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/**
 * @param text a part of a request target as node gives it: one character per byte
 * @throws KvdError(KVD_BAD_REQUEST) on a '%' without two hex digits
 */
export function percentDecode(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'latin1');
  let length = 0;
  for (let i = 0; i < bytes.length; i += 1) {
    let byte = bytes[i] ?? 0;
    if (byte === PERCENT) {
      const high = hexDigit(bytes[i + 1] ?? 0);
      const low = hexDigit(bytes[i + 2] ?? 0);
      if (high < 0 || low < 0) {
        throw new KvdError('KVD_BAD_REQUEST', `"${text.slice(i, i + 3)}" is no percent-encoded byte`);
      }
      byte = high * 16 + low;
      i += 2;
    }
    bytes[length] = byte;
    length += 1;
  }
  return bytes.subarray(0, length);
}

/** The lowest bytes above everything that starts with `prefix`; empty (no bound) when there is none. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length -= 1;
  const end = Uint8Array.from(prefix.subarray(0, length));
  const last = end.length - 1;
  if (last >= 0) end[last] = (end[last] ?? 0) + 1;
  return end;
}

/** `name` with text where the bytes are UTF-8, else `nameBase64`. */
function textOrBase64(name: 'key' | 'value', bytes: Uint8Array): Record<string, string> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(buffer)
    ? { [name]: buffer.toString('utf8') }
    : { [`${name}Base64`]: buffer.toString('base64') };
}

/** A line of a scan, with its newline. */
export function entryLine(entry: Entry, keysOnly: boolean): string {
  const { createRevision, modRevision, version } = entry;
  const value = keysOnly ? {} : textOrBase64('value', entry.value);
  return `${JSON.stringify({ ...textOrBase64('key', entry.key), ...value, createRevision, modRevision, version })}\n`;
}
