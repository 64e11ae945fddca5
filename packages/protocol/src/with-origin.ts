/**
 * A command that was encoded before it had its place in a session, put there: the rest of its bytes stays as it is, so
 * that a client can check and encode a transaction at the call, and number it when it is sent.
 */
import { readOrigin, writeOrigin } from './command-fields.js';
import { readType, typeOf } from './command-types.js';
import type { Origin } from './commands.js';
import { KvdError } from './errors.js';
import { REQUEST_BYTES_MAX } from './limits.js';
import { MsgpackReader } from './msgpack-reader.js';
import { MsgpackWriter } from './msgpack-writer.js';

/** Of an origin: three numbers in their longest form. */
export const ORIGIN_BYTES_MAX = 27;

const writer = new MsgpackWriter();

/**
 * `command` with another origin; those without one are a bug of the caller.
 * @throws KvdError KVD_TOO_LARGE: with the numbers it is over REQUEST_BYTES_MAX
 */
export function withOrigin(command: Uint8Array, origin: Origin): Uint8Array {
  const reader = new MsgpackReader(command, 'request');
  if (typeOf(readType(reader)).twice !== 'session') throw new Error('a command that has no origin');
  const headBytes = reader.offset;
  readOrigin(reader);
  writer.begin(ORIGIN_BYTES_MAX);
  writeOrigin(writer, origin);
  const bytes = Buffer.concat([
    command.subarray(0, headBytes),
    writer.finish(),
    command.subarray(reader.offset),
  ]);
  if (bytes.length <= REQUEST_BYTES_MAX) return bytes;
  throw new KvdError('KVD_TOO_LARGE', `request: ${bytes.length} bytes, at most ${REQUEST_BYTES_MAX} allowed`);
}
