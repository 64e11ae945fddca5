/**
 * The bytes of commands. A client encodes a command once; the same bytes go to the log, the peers and apply, so this
 * format is also one of the disk. A command is one MessagePack array; numbers below are append only:
 *
 *     [1]                                                          open-session
 *     [2, session]                                                 keep-alive
 *     [3, session]                                                 close-session
 *     [4, session, sequence, lowestUnanswered, key, value]         put
 *     [5, session, sequence, lowestUnanswered, key]                delete
 *     [6, session, sequence, lowestUnanswered, from, to]           delete-range
 *     [7, idempotencyKey, command]                                 keyed
 *
 * Keys, values and the inner command are bin. Refusals are KVD_BAD_REQUEST, or KVD_TOO_LARGE where a length is over its
 * bound. Nothing here looks at a state.
 */
import type { Command, Origin, SessionId } from './commands.js';
import { KvdError } from './errors.js';
import { IDEMPOTENCY_KEY_BYTES_MAX, KEY_BYTES_MAX, REQUEST_BYTES_MAX, VALUE_BYTES_MAX } from './limits.js';
import { MsgpackReader } from './msgpack-reader.js';
import { MsgpackWriter } from './msgpack-writer.js';

const OPEN_SESSION = 1;
const KEEP_ALIVE = 2;
const CLOSE_SESSION = 3;
const PUT = 4;
const DELETE = 5;
const DELETE_RANGE = 6;
const KEYED = 7;

/** Fields of each type, itself included; index 0 is no type. */
const ARITY = [0, 1, 2, 2, 6, 5, 6, 3] as const;
const TYPE_NAMES = [
  'keyed',
  'open-session',
  'keep-alive',
  'close-session',
  'put',
  'delete',
  'delete-range',
  'keyed',
] as const satisfies Command['type'][];

/** Headers and numbers of the longest command. */
const OVERHEAD_BYTES = 64;

/** The origin of a command that belongs to no session. */
export const NO_ORIGIN: Origin = { session: 0, sequence: 0, lowestUnanswered: 0 };

/** What a replica needs to know of a command to pass it on; `session` and `sequence` are 0 where it has none. */
export interface CommandPeek {
  readonly type: Command['type'];
  readonly session: SessionId;
  readonly sequence: number;
}

const writer = new MsgpackWriter();

/** Throws KVD_BAD_REQUEST or KVD_TOO_LARGE on a key that no command may carry. */
export function checkKey(key: Uint8Array): void {
  if (key.length === 0) throw new KvdError('KVD_BAD_REQUEST', 'a key has at least one byte');
  checkSize('key', key, KEY_BYTES_MAX);
}

/** Throws KVD_TOO_LARGE on a value over VALUE_BYTES_MAX. */
export function checkValue(value: Uint8Array): void {
  checkSize('value', value, VALUE_BYTES_MAX);
}

/**
 * The bytes of a command, at most REQUEST_BYTES_MAX.
 * @throws KvdError KVD_BAD_REQUEST, KVD_TOO_LARGE: decodeCommand would refuse it
 */
export function encodeCommand(command: Command): Uint8Array {
  switch (command.type) {
    case 'open-session':
      begin(OPEN_SESSION, 0);
      break;
    case 'keep-alive':
      begin(KEEP_ALIVE, 0);
      writer.uint(command.session);
      break;
    case 'close-session':
      begin(CLOSE_SESSION, 0);
      writer.uint(command.session);
      break;
    case 'put':
      checkKey(command.key);
      checkValue(command.value);
      begin(PUT, command.key.length + command.value.length);
      writeOrigin(command.origin);
      writer.bin(command.key);
      writer.bin(command.value);
      break;
    case 'delete':
      checkKey(command.key);
      begin(DELETE, command.key.length);
      writeOrigin(command.origin);
      writer.bin(command.key);
      break;
    case 'delete-range':
      checkSize('from', command.from, KEY_BYTES_MAX);
      checkSize('to', command.to, KEY_BYTES_MAX);
      begin(DELETE_RANGE, command.from.length + command.to.length);
      writeOrigin(command.origin);
      writer.bin(command.from);
      writer.bin(command.to);
      break;
    case 'keyed':
      checkIdempotencyKey(command.idempotencyKey.length);
      checkSize('request', command.command, REQUEST_BYTES_MAX - IDEMPOTENCY_KEY_BYTES_MAX - OVERHEAD_BYTES);
      begin(KEYED, command.idempotencyKey.length + command.command.length);
      writer.bin(command.idempotencyKey);
      writer.bin(command.command);
      break;
  }
  return writer.finish();
}

/**
 * The command in `bytes`; its keys and values are views on them. The inner command of a keyed one has been checked, and
 * is no keyed one.
 * @throws KvdError KVD_BAD_REQUEST, KVD_TOO_LARGE
 */
export function decodeCommand(bytes: Uint8Array): Command {
  checkSize('request', bytes, REQUEST_BYTES_MAX);
  const reader = new MsgpackReader(bytes, 'request');
  const command = readCommand(reader);
  reader.end('command');
  return command;
}

/**
 * Type and origin of a command, without looking at the rest.
 * @throws KvdError KVD_BAD_REQUEST: it does not even begin like a command
 */
export function peekCommand(bytes: Uint8Array): CommandPeek {
  const reader = new MsgpackReader(bytes, 'request');
  const number = readType(reader);
  const type = typeName(number);
  if (number === OPEN_SESSION || number === KEYED) return { type, session: 0, sequence: 0 };
  const session = reader.readUint('session');
  if (number === KEEP_ALIVE || number === CLOSE_SESSION) return { type, session, sequence: 0 };
  return { type, session, sequence: reader.readUint('sequence') };
}

/**
 * May the command be proposed again while the fate of an earlier attempt is open? Yes when the state would notice (a
 * session's sequence, an idempotency key), or when twice is as good as once: keep-alive and close-session; and
 * open-session, where a session that nobody heard of stays behind until it expires. False for bytes that are no command.
 */
export function isRetrySafe(bytes: Uint8Array): boolean {
  const reader = new MsgpackReader(bytes, 'request');
  try {
    const number = readType(reader);
    return number < PUT || number === KEYED || reader.readUint('session') > 0;
  } catch {
    return false;
  }
}

function begin(type: number, payloadBytes: number): void {
  writer.begin(payloadBytes + OVERHEAD_BYTES);
  writer.array(ARITY[type] ?? 0);
  writer.uint(type);
}

function writeOrigin(origin: Origin): void {
  checkOrigin(origin);
  writer.uint(origin.session);
  writer.uint(origin.sequence);
  writer.uint(origin.lowestUnanswered);
}

function readType(reader: MsgpackReader): number {
  const length = reader.readArrayHeader(ARITY[PUT], 'command');
  const number = reader.readUint('command type');
  if (number === 0 || ARITY[number] !== length)
    reader.refuse(`no command has type ${number} and ${length} fields`);
  return number;
}

function typeName(number: number): Command['type'] {
  return TYPE_NAMES[number] ?? 'keyed';
}

function readCommand(reader: MsgpackReader): Command {
  switch (readType(reader)) {
    case OPEN_SESSION:
      return { type: 'open-session' };
    case KEEP_ALIVE:
      return { type: 'keep-alive', session: reader.readUint('session') };
    case CLOSE_SESSION:
      return { type: 'close-session', session: reader.readUint('session') };
    case PUT: {
      const origin = readOrigin(reader);
      const key = readKey(reader);
      return { type: 'put', origin, key, value: reader.readBin('value', VALUE_BYTES_MAX) };
    }
    case DELETE: {
      const origin = readOrigin(reader);
      return { type: 'delete', origin, key: readKey(reader) };
    }
    case DELETE_RANGE: {
      const origin = readOrigin(reader);
      const from = reader.readBin('from', KEY_BYTES_MAX);
      return { type: 'delete-range', origin, from, to: reader.readBin('to', KEY_BYTES_MAX) };
    }
    default:
      return readKeyed(reader);
  }
}

function readKeyed(reader: MsgpackReader): Command {
  const idempotencyKey = reader.readBin('idempotency key', IDEMPOTENCY_KEY_BYTES_MAX);
  checkIdempotencyKey(idempotencyKey.length);
  const command = reader.readBin('command', REQUEST_BYTES_MAX);
  // Before it is decoded: nesting must not be the sender's choice.
  if (peekCommand(command).type === 'keyed') reader.refuse('a keyed command in a keyed one');
  decodeCommand(command);
  return { type: 'keyed', idempotencyKey, command };
}

function readKey(reader: MsgpackReader): Uint8Array {
  const key = reader.readBin('key', KEY_BYTES_MAX);
  if (key.length === 0) reader.refuse('a key has at least one byte');
  return key;
}

function readOrigin(reader: MsgpackReader): Origin {
  const session = reader.readUint('session');
  const sequence = reader.readUint('sequence');
  const lowestUnanswered = reader.readUint('lowest unanswered sequence');
  if (session === 0 && sequence === 0 && lowestUnanswered === 0) return NO_ORIGIN;
  const origin = { session, sequence, lowestUnanswered };
  checkOrigin(origin);
  return origin;
}

function checkOrigin({ session, sequence, lowestUnanswered }: Origin): void {
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

function checkIdempotencyKey(length: number): void {
  if (length === 0) throw new KvdError('KVD_BAD_REQUEST', 'an idempotency key has at least one byte');
  if (length > IDEMPOTENCY_KEY_BYTES_MAX) {
    const message = `idempotency key: ${length} bytes, at most ${IDEMPOTENCY_KEY_BYTES_MAX} allowed`;
    throw new KvdError('KVD_TOO_LARGE', message);
  }
}

function checkSize(what: string, bytes: Uint8Array, max: number): void {
  if (bytes.length <= max) return;
  throw new KvdError('KVD_TOO_LARGE', `${what}: ${bytes.length} bytes, at most ${max} allowed`);
}
