/** Keys and values between the command line, JSON and bytes. Pure. */
import { KvdError, parseBase64 } from '@kvd/protocol';
import { isUtf8 } from 'node:buffer';
import { usage } from './errors.js';

/** How arguments are written. */
export type Encoding = 'text' | 'hex' | 'base64';

/** The bytes that an argument means. @throws CliError usage when it is not what `encoding` says */
export function parseBytes(text: string, encoding: Encoding): Uint8Array {
  if (encoding === 'text') {
    // What the command line holds that is no UTF-8, Node.js has made U+FFFD of: other keys than were meant, and fewer.
    if (text.includes('\uFFFD'))
      throw usage(`'${text}' is no UTF-8 text, or holds U+FFFD; --hex and --base64 take any bytes`);
    return Buffer.from(text, 'utf8');
  }
  if (encoding === 'hex') {
    if (text.length % 2 === 1 || /[^0-9a-fA-F]/.test(text)) throw usage(`'${text}' is not hex`);
    return Buffer.from(text, 'hex');
  }
  const bytes = parseBase64(text);
  if (bytes === null) throw usage(`'${text}' is not base64`);
  return bytes;
}

/** The same of a key. @throws CliError usage, KvdError KVD_BAD_REQUEST as a replica would refuse it */
export function parseKey(text: string, encoding: Encoding): Uint8Array {
  const bytes = parseBytes(text, encoding);
  if (bytes.length === 0) throw new KvdError('KVD_BAD_REQUEST', 'a key has at least one byte');
  return bytes;
}

const ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\\': '\\\\' };

/** Bytes for a person's terminal: UTF-8 with control characters escaped; `base64:…` when it is no UTF-8. */
export function printable(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) return `base64:${Buffer.from(bytes).toString('base64')}`;
  let text = '';
  for (const c of Buffer.from(bytes).toString('utf8')) {
    const code = c.codePointAt(0) ?? 0;
    const control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    text += ESCAPES[c] ?? (control ? `\\x${code.toString(16).padStart(2, '0')}` : c);
  }
  return text;
}
