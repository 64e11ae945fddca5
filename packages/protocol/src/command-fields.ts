/**
 * Fields that commands share: how they are written and read, and what is refused alike on both sides. Refusals are
 * KVD_BAD_REQUEST, or KVD_TOO_LARGE where a length is over its bound.
 */
import type { Origin } from './commands.js';
import { KvdError } from './errors.js';
import {
  IDEMPOTENCY_KEY_BYTES_MAX,
  KEY_BYTES_MAX,
  LEASE_TTL_MS_MAX,
  LEASE_TTL_MS_MIN,
  VALUE_BYTES_MAX,
} from './limits.js';
import type { MsgpackReader } from './msgpack-reader.js';
import type { MsgpackWriter } from './msgpack-writer.js';

/** The origin of a command that belongs to no session. */
export const NO_ORIGIN: Origin = { session: 0, sequence: 0, lowestUnanswered: 0 };

/** Throws KVD_BAD_REQUEST or KVD_TOO_LARGE on a key that no command may carry. */
export function checkKey(key: Uint8Array): void {
  if (key.length === 0) throw new KvdError('KVD_BAD_REQUEST', 'a key has at least one byte');
  checkSize('key', key, KEY_BYTES_MAX);
}

/** Throws KVD_TOO_LARGE on a value over VALUE_BYTES_MAX. */
export function checkValue(value: Uint8Array): void {
  checkSize('value', value, VALUE_BYTES_MAX);
}

export function writeOrigin(writer: MsgpackWriter, origin: Origin): void {
  checkOrigin(origin);
  writer.uint(origin.session);
  writer.uint(origin.sequence);
  writer.uint(origin.lowestUnanswered);
}

export function readKey(reader: MsgpackReader): Uint8Array {
  const key = reader.readBin('key', KEY_BYTES_MAX);
  if (key.length === 0) reader.refuse('a key has at least one byte');
  return key;
}

export function readOrigin(reader: MsgpackReader): Origin {
  const session = reader.readUint('session');
  const sequence = reader.readUint('sequence');
  const lowestUnanswered = reader.readUint('lowest unanswered sequence');
  if (session === 0 && sequence === 0 && lowestUnanswered === 0) return NO_ORIGIN;
  const origin = { session, sequence, lowestUnanswered };
  checkOrigin(origin);
  return origin;
}

export function checkOrigin({ session, sequence, lowestUnanswered }: Origin): void {
  if (session === 0) {
    if (sequence === 0 && lowestUnanswered === 0) return;
    throw new KvdError('KVD_BAD_REQUEST', 'a sequence without a session');
  }
  if (lowestUnanswered < 1 || lowestUnanswered > sequence) {
    throw new KvdError(
      'KVD_BAD_REQUEST',
      `sequence ${sequence} with ${lowestUnanswered} as the lowest unanswered`,
    );
  }
}

export function checkTtl(ttlMs: number): void {
  if (ttlMs >= LEASE_TTL_MS_MIN && ttlMs <= LEASE_TTL_MS_MAX && Number.isInteger(ttlMs)) return;
  const message = `a lease lives ${LEASE_TTL_MS_MIN} to ${LEASE_TTL_MS_MAX} ms, not ${ttlMs}`;
  throw new KvdError('KVD_BAD_REQUEST', message);
}

export function checkText(what: string, text: string, bytesMax: number): void {
  const bytes = Buffer.byteLength(text);
  if (bytes > bytesMax)
    throw new KvdError('KVD_TOO_LARGE', `${what}: ${bytes} bytes, at most ${bytesMax} allowed`);
}

export function checkIdempotencyKey(length: number): void {
  if (length === 0) throw new KvdError('KVD_BAD_REQUEST', 'an idempotency key has at least one byte');
  if (length > IDEMPOTENCY_KEY_BYTES_MAX) {
    const message = `idempotency key: ${length} bytes, at most ${IDEMPOTENCY_KEY_BYTES_MAX} allowed`;
    throw new KvdError('KVD_TOO_LARGE', message);
  }
}

export function checkSize(what: string, bytes: Uint8Array, max: number): void {
  if (bytes.length <= max) return;
  throw new KvdError('KVD_TOO_LARGE', `${what}: ${bytes.length} bytes, at most ${max} allowed`);
}

export function readIdempotencyKey(reader: MsgpackReader): Uint8Array {
  const idempotencyKey = reader.readBin('idempotency key', IDEMPOTENCY_KEY_BYTES_MAX);
  checkIdempotencyKey(idempotencyKey.length);
  return idempotencyKey;
}
