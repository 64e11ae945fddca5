/**
 * The types of commands: their numbers on the wire, how many fields each has, and what can be told of a command without
 * decoding it. The table for readers is in command-codec.ts.
 */
import type { Command, SessionId } from './commands.js';
import { PRINCIPAL_BYTES_MAX, REASON_BYTES_MAX, REQUEST_BYTES_MAX } from './limits.js';
import { MsgpackReader } from './msgpack-reader.js';

/** Append only: they are in the logs of clusters that run. */
export const Type = {
  OPEN_SESSION: 1,
  KEEP_ALIVE: 2,
  CLOSE_SESSION: 3,
  PUT: 4,
  DELETE: 5,
  DELETE_RANGE: 6,
  KEYED: 7,
  OPEN_SESSION_BY: 8,
  NOTED: 9,
  TXN: 10,
  LEASE_GRANT: 11,
  LEASE_REVOKE: 12,
  LEASE_KEEP_ALIVE: 13,
  EXPIRE_LEASES: 14,
  COMPACT: 15,
  SET_RETENTION: 16,
  OUTCOME: 17,
  KEYED_OUTCOME: 18,
} as const;

/**
 * Fields of each type, itself included; index 0 is no type. And what may happen when it is proposed twice: nothing
 * (`safe`), it depends on the session it names, or on the command inside.
 */
const TYPES = [
  { name: 'keyed', fields: 0, twice: 'safe' },
  { name: 'open-session', fields: 1, twice: 'safe' },
  { name: 'keep-alive', fields: 2, twice: 'safe' },
  { name: 'close-session', fields: 2, twice: 'safe' },
  { name: 'put', fields: 6, twice: 'session' },
  { name: 'delete', fields: 5, twice: 'session' },
  { name: 'delete-range', fields: 6, twice: 'session' },
  { name: 'keyed', fields: 3, twice: 'safe' },
  { name: 'open-session', fields: 2, twice: 'safe' },
  { name: 'noted', fields: 4, twice: 'inner' },
  { name: 'txn', fields: 7, twice: 'session' },
  { name: 'lease-grant', fields: 5, twice: 'session' },
  { name: 'lease-revoke', fields: 5, twice: 'session' },
  { name: 'lease-keep-alive', fields: 2, twice: 'safe' },
  { name: 'expire-leases', fields: 2, twice: 'safe' },
  { name: 'compact', fields: 2, twice: 'safe' },
  { name: 'set-retention', fields: 6, twice: 'session' },
  { name: 'outcome', fields: 3, twice: 'safe' },
  { name: 'keyed-outcome', fields: 2, twice: 'safe' },
] as const satisfies {
  readonly name: Command['type'];
  readonly fields: number;
  readonly twice: 'safe' | 'session' | 'inner';
}[];

const FIELDS_MAX = 7;

/** What a replica needs to know of a command to pass it on; `session` and `sequence` are 0 where it has none. */
export interface CommandPeek {
  readonly type: Command['type'];
  readonly session: SessionId;
  readonly sequence: number;
}

/**
 * Type and origin of a command, without looking at the rest.
 * @throws KvdError KVD_BAD_REQUEST: it does not even begin like a command
 */
export function peekCommand(bytes: Uint8Array): CommandPeek {
  const reader = new MsgpackReader(bytes, 'request');
  const number = readType(reader);
  const { name, twice } = typeOf(number);
  if (twice === 'inner') return { ...peekCommand(readNotedInner(reader)), type: name };
  if (twice === 'session')
    return { type: name, session: reader.readUint('session'), sequence: reader.readUint('sequence') };
  if (number !== Type.KEEP_ALIVE && number !== Type.CLOSE_SESSION)
    return { type: name, session: 0, sequence: 0 };
  return { type: name, session: reader.readUint('session'), sequence: 0 };
}

/**
 * May the command be proposed again while the fate of an earlier attempt is open? Yes when the state would notice (a
 * session's sequence, an idempotency key), or when twice is as good as once, as with keep-alive and close-session; and
 * open-session, where a session that nobody heard of stays behind until it expires. False for bytes that are no command.
 */
export function isRetrySafe(bytes: Uint8Array): boolean {
  const reader = new MsgpackReader(bytes, 'request');
  try {
    const { twice } = typeOf(readType(reader));
    if (twice === 'inner') return isRetrySafe(readNotedInner(reader));
    return twice === 'safe' || reader.readUint('session') > 0;
  } catch {
    return false;
  }
}

/** Type number of the command that begins here; its count of fields is right. */
export function readType(reader: MsgpackReader): number {
  const length = reader.readArrayHeader(FIELDS_MAX, 'command');
  const number = reader.readUint('command type');
  if (number === 0 || TYPES[number]?.fields !== length)
    reader.refuse(`no command has type ${number} and ${length} fields`);
  return number;
}

export function typeOf(number: number): (typeof TYPES)[number] {
  return TYPES[number] ?? TYPES[0];
}

/** Of a noted command; what is inside is never noted itself, so that nesting is not the sender's choice. */
function readNotedInner(reader: MsgpackReader): Uint8Array {
  reader.readStr('principal', PRINCIPAL_BYTES_MAX);
  reader.readStr('reason', REASON_BYTES_MAX);
  const command = reader.readBin('command', REQUEST_BYTES_MAX);
  refuseNested(reader, command, ['noted', 'keyed']);
  return command;
}

/** Nesting must not be the sender’s choice: a command of a refused type in another is none. */
export function refuseNested(
  reader: MsgpackReader,
  command: Uint8Array,
  refused: readonly Command['type'][],
): void {
  const { name } = typeOf(readType(new MsgpackReader(command, 'request')));
  if (refused.includes(name)) reader.refuse(`a ${name} command is never inside another of its kind`);
}
