/**
 * Bytes in URLs. A key is any bytes: decodeURIComponent, which insists on UTF-8, cannot read it, and '+' is itself. Pure.
 */
import { KvdError } from '@kvd/protocol';

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
