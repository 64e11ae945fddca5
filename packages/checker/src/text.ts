/**
 * Keys and values as text, without losing a byte. Bytes that are valid UTF-8 are that text; any other bytes are a lone
 * surrogate (which no decoded UTF-8 contains) and one character per byte. So two texts are equal exactly when their bytes
 * are, and most of the checker never sees a byte.
 */
import { isUtf8 } from 'node:buffer';

const RAW = '\udc00';
const LONE_SURROGATE = /\p{Surrogate}/u;

/** The text that stands for `bytes` in operations. */
export function textOf(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(buffer) ? buffer.toString('utf8') : RAW + buffer.toString('latin1');
}

/** The bytes that `text` stands for. */
export function bytesOf(text: string): Buffer {
  return isRaw(text) ? Buffer.from(text.slice(RAW.length), 'latin1') : Buffer.from(text, 'utf8');
}

/** Does it stand for bytes that are not valid UTF-8? */
export function isRaw(text: string): boolean {
  return text.startsWith(RAW);
}

/** Is it text that UTF-8 can say, so that it stands for itself? */
export function isPlain(text: string): boolean {
  return !LONE_SURROGATE.test(text);
}

/** Do the bytes of `text` begin with those of `prefix`? */
export function hasPrefix(text: string, prefix: string): boolean {
  if (!isRaw(text) && !isRaw(prefix)) return text.startsWith(prefix);
  const wanted = bytesOf(prefix);
  return bytesOf(text).subarray(0, wanted.length).equals(wanted);
}

/** The order of the bytes. */
export function compareBytes(a: string, b: string): number {
  return Buffer.compare(bytesOf(a), bytesOf(b));
}

const ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** One line for a terminal: control characters, which it might obey, escaped. */
export function printable(line: string): string {
  return line.replace(/\p{Control}/gu, (character) => {
    return ESCAPES[character] ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}

/** For a person: quoted, at most `charactersMax` characters of it, control characters escaped; `absent` for null. */
export function shown(value: string | null, charactersMax = 40): string {
  if (value === null) return 'absent';
  if (isRaw(value)) return `0x${clipped(bytesOf(value).toString('hex'), charactersMax)}`;
  return JSON.stringify(clipped(value, charactersMax));
}

function clipped(text: string, charactersMax: number): string {
  if (text.length <= charactersMax) return text;
  const half = Math.floor(charactersMax / 2);
  return `${text.slice(0, half)}…${text.slice(-half)}`;
}
