/**
 * 128-bit identifiers (incarnations, cluster ids): 32 hex digits in the program, 16 raw bytes on the wire and the disk.
 * As nearly every message carries one of the few that a cluster has, both directions remember the last ones; the
 * memories are bounded, for the bytes are a stranger's choice.
 */
import { KvdError } from './errors.js';
import type { MsgpackReader } from './msgpack-reader.js';
import type { MsgpackWriter } from './msgpack-writer.js';

const IDENTIFIER_BYTES = 16;
const IDENTIFIER_PATTERN = /^[0-9a-f]{32}$/;
const REMEMBERED_MAX = 64;
const NO_BYTES = new Uint8Array(0);

const bytesOf = new Map<string, Uint8Array>();
/** Most recent first. */
const known: { readonly bytes: Uint8Array; readonly text: string }[] = [];

export function writeIdentifier(out: MsgpackWriter, identifier: string): void {
  out.bin(identifierBytes(identifier));
}

/** The 16 bytes of an identifier. */
export function identifierBytes(identifier: string): Uint8Array {
  let bytes = bytesOf.get(identifier);
  if (bytes === undefined) {
    if (!IDENTIFIER_PATTERN.test(identifier)) {
      throw new KvdError('KVD_INTERNAL', `an identifier is 32 lower-case hex digits, not '${identifier}'`);
    }
    if (bytesOf.size === REMEMBERED_MAX) bytesOf.clear();
    bytes = Uint8Array.from(Buffer.from(identifier, 'hex'));
    bytesOf.set(identifier, bytes);
  }
  return bytes;
}

/** As identifierBytes; none for '', which stands for "not known". */
export function optionalIdentifierBytes(identifier: string): Uint8Array {
  return identifier === '' ? NO_BYTES : identifierBytes(identifier);
}

export function readIdentifier(reader: MsgpackReader, what: string): string {
  const bytes = reader.readBin(what, IDENTIFIER_BYTES);
  if (bytes.length !== IDENTIFIER_BYTES) reader.refuse(`${what}: 16 bytes expected, not ${bytes.length}`);
  return textOf(bytes);
}

export function readOptionalIdentifier(reader: MsgpackReader, what: string): string {
  const bytes = reader.readBin(what, IDENTIFIER_BYTES);
  if (bytes.length === 0) return '';
  if (bytes.length !== IDENTIFIER_BYTES)
    reader.refuse(`${what}: 0 or 16 bytes expected, not ${bytes.length}`);
  return textOf(bytes);
}

function textOf(bytes: Uint8Array): string {
  for (const candidate of known) {
    if (sameBytes(candidate.bytes, bytes)) return candidate.text;
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, IDENTIFIER_BYTES).toString('hex');
  if (known.length === REMEMBERED_MAX) known.pop();
  known.unshift({ bytes: bytes.slice(), text });
  return text;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < IDENTIFIER_BYTES; i += 1) {
    if (a[i] !== b[i]) return false;
  }
  return true;
}
