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
 *     [8, principal]                                               open-session by somebody
 *     [9, principal, reason, command]                              noted
 *     [10, session, sequence, lowestUnanswered, [compare, …], [operation, …], [operation, …]]   txn (txn-codec.ts)
 *     [11, session, sequence, lowestUnanswered, ttlMs]             lease-grant
 *     [12, session, sequence, lowestUnanswered, lease]             lease-revoke
 *     [13, lease]                                                  lease-keep-alive
 *     [14, [lease, …]]                                             expire-leases
 *     [15, revision]                                               compact
 *     [16, session, sequence, lowestUnanswered, keepRevisions, keepMs]   set-retention
 *     [17, session, sequence]                                      outcome
 *     [18, idempotencyKey]                                         keyed-outcome
 *
 * Keys, values and the inner command are bin, principal and reason str. Refusals are KVD_BAD_REQUEST, or KVD_TOO_LARGE
 * where a length is over its bound. Nothing here looks at a state.
 */
import type { Command } from './commands.js';
import {
  checkIdempotencyKey,
  checkKey,
  checkOrigin,
  checkSize,
  checkText,
  checkTtl,
  checkValue,
  readIdempotencyKey,
  readKey,
  readOrigin,
  writeOrigin,
} from './command-fields.js';
import { readType, refuseNested, Type, typeOf } from './command-types.js';
import { KvdError } from './errors.js';
import {
  EXPIRE_LEASES_MAX,
  IDEMPOTENCY_KEY_BYTES_MAX,
  KEY_BYTES_MAX,
  PRINCIPAL_BYTES_MAX,
  REASON_BYTES_MAX,
  REQUEST_BYTES_MAX,
  VALUE_BYTES_MAX,
} from './limits.js';
import { MsgpackReader } from './msgpack-reader.js';
import { MsgpackWriter } from './msgpack-writer.js';
import { checkTxn, readTxn, txnBytesHint, writeTxn } from './txn-codec.js';

/** Headers and numbers of the longest command. */
const OVERHEAD_BYTES = 64;

/** What a keyed or noted command takes besides the one inside, at most. */
const INNER_OVERHEAD_BYTES =
  Math.max(IDEMPOTENCY_KEY_BYTES_MAX, PRINCIPAL_BYTES_MAX + REASON_BYTES_MAX) + OVERHEAD_BYTES;

const writer = new MsgpackWriter();

/**
 * The bytes of a command, at most REQUEST_BYTES_MAX.
 * @throws KvdError KVD_BAD_REQUEST, KVD_TOO_LARGE: decodeCommand would refuse it
 */
export function encodeCommand(command: Command): Uint8Array {
  switch (command.type) {
    case 'open-session':
      if (command.principal === undefined || command.principal === '') begin(Type.OPEN_SESSION, 0);
      else {
        checkText('principal', command.principal, PRINCIPAL_BYTES_MAX);
        begin(Type.OPEN_SESSION_BY, PRINCIPAL_BYTES_MAX);
        writer.str(command.principal, PRINCIPAL_BYTES_MAX);
      }
      break;
    case 'keep-alive':
      begin(Type.KEEP_ALIVE, 0);
      writer.uint(command.session);
      break;
    case 'close-session':
      begin(Type.CLOSE_SESSION, 0);
      writer.uint(command.session);
      break;
    case 'put':
      checkKey(command.key);
      checkValue(command.value);
      begin(Type.PUT, command.key.length + command.value.length);
      writeOrigin(writer, command.origin);
      writer.bin(command.key);
      writer.bin(command.value);
      break;
    case 'delete':
      checkKey(command.key);
      begin(Type.DELETE, command.key.length);
      writeOrigin(writer, command.origin);
      writer.bin(command.key);
      break;
    case 'delete-range':
      checkSize('from', command.from, KEY_BYTES_MAX);
      checkSize('to', command.to, KEY_BYTES_MAX);
      begin(Type.DELETE_RANGE, command.from.length + command.to.length);
      writeOrigin(writer, command.origin);
      writer.bin(command.from);
      writer.bin(command.to);
      break;
    case 'keyed':
      checkIdempotencyKey(command.idempotencyKey.length);
      checkSize('request', command.command, REQUEST_BYTES_MAX - INNER_OVERHEAD_BYTES);
      begin(Type.KEYED, command.idempotencyKey.length + command.command.length);
      writer.bin(command.idempotencyKey);
      writer.bin(command.command);
      break;
    case 'noted':
      checkText('principal', command.principal, PRINCIPAL_BYTES_MAX);
      checkText('reason', command.reason, REASON_BYTES_MAX);
      checkSize('request', command.command, REQUEST_BYTES_MAX - INNER_OVERHEAD_BYTES);
      begin(Type.NOTED, PRINCIPAL_BYTES_MAX + REASON_BYTES_MAX + command.command.length);
      writer.str(command.principal, PRINCIPAL_BYTES_MAX);
      writer.str(command.reason, REASON_BYTES_MAX);
      writer.bin(command.command);
      break;
    case 'txn':
      checkTxn(command);
      begin(Type.TXN, txnBytesHint(command));
      writeOrigin(writer, command.origin);
      writeTxn(writer, command);
      break;
    case 'lease-grant':
      checkTtl(command.ttlMs);
      begin(Type.LEASE_GRANT, 0);
      writeOrigin(writer, command.origin);
      writer.uint(command.ttlMs);
      break;
    case 'lease-revoke':
      begin(Type.LEASE_REVOKE, 0);
      writeOrigin(writer, command.origin);
      writer.uint(command.lease);
      break;
    case 'lease-keep-alive':
      begin(Type.LEASE_KEEP_ALIVE, 0);
      writer.uint(command.lease);
      break;
    case 'expire-leases':
      begin(Type.EXPIRE_LEASES, 0);
      writer.array(command.leases.length);
      for (const lease of command.leases) writer.uint(lease);
      break;
    case 'compact':
      begin(Type.COMPACT, 0);
      writer.uint(command.revision);
      break;
    case 'set-retention':
      begin(Type.SET_RETENTION, 0);
      writeOrigin(writer, command.origin);
      writer.uint(command.keepRevisions);
      writer.uint(command.keepMs);
      break;
    case 'outcome':
      checkOrigin({ ...command, lowestUnanswered: 1 });
      begin(Type.OUTCOME, 0);
      writer.uint(command.session);
      writer.uint(command.sequence);
      break;
    case 'keyed-outcome':
      checkIdempotencyKey(command.idempotencyKey.length);
      begin(Type.KEYED_OUTCOME, command.idempotencyKey.length);
      writer.bin(command.idempotencyKey);
      break;
  }
  const length = writer.length;
  if (length > REQUEST_BYTES_MAX)
    throw new KvdError('KVD_TOO_LARGE', `request: ${length} bytes, at most ${REQUEST_BYTES_MAX} allowed`);
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

function begin(type: number, payloadBytes: number): void {
  writer.begin(payloadBytes + OVERHEAD_BYTES);
  writer.array(typeOf(type).fields);
  writer.uint(type);
}

function readCommand(reader: MsgpackReader): Command {
  switch (readType(reader)) {
    case Type.OPEN_SESSION:
      return { type: 'open-session' };
    case Type.KEEP_ALIVE:
      return { type: 'keep-alive', session: reader.readUint('session') };
    case Type.CLOSE_SESSION:
      return { type: 'close-session', session: reader.readUint('session') };
    case Type.PUT: {
      const origin = readOrigin(reader);
      const key = readKey(reader);
      return { type: 'put', origin, key, value: reader.readBin('value', VALUE_BYTES_MAX) };
    }
    case Type.DELETE: {
      const origin = readOrigin(reader);
      return { type: 'delete', origin, key: readKey(reader) };
    }
    case Type.DELETE_RANGE: {
      const origin = readOrigin(reader);
      const from = reader.readBin('from', KEY_BYTES_MAX);
      return { type: 'delete-range', origin, from, to: reader.readBin('to', KEY_BYTES_MAX) };
    }
    case Type.OPEN_SESSION_BY:
      return { type: 'open-session', principal: reader.readStr('principal', PRINCIPAL_BYTES_MAX) };
    case Type.NOTED:
      return readNoted(reader);
    case Type.TXN:
      return { type: 'txn', origin: readOrigin(reader), ...readTxn(reader) };
    case Type.LEASE_GRANT: {
      const origin = readOrigin(reader);
      const ttlMs = reader.readUint('time to live');
      checkTtl(ttlMs);
      return { type: 'lease-grant', origin, ttlMs };
    }
    case Type.LEASE_REVOKE:
      return { type: 'lease-revoke', origin: readOrigin(reader), lease: reader.readUint('lease') };
    case Type.LEASE_KEEP_ALIVE:
      return { type: 'lease-keep-alive', lease: reader.readUint('lease') };
    case Type.EXPIRE_LEASES: {
      const count = reader.readArrayHeader(EXPIRE_LEASES_MAX, 'leases');
      const leases: number[] = [];
      for (let i = 0; i < count; i += 1) leases.push(reader.readUint('lease'));
      return { type: 'expire-leases', leases };
    }
    case Type.COMPACT:
      return { type: 'compact', revision: reader.readUint('revision') };
    case Type.SET_RETENTION: {
      const origin = readOrigin(reader);
      const keepRevisions = reader.readUint('revisions to keep');
      return { type: 'set-retention', origin, keepRevisions, keepMs: reader.readUint('ms to keep') };
    }
    case Type.OUTCOME: {
      const session = reader.readUint('session');
      const sequence = reader.readUint('sequence');
      checkOrigin({ session, sequence, lowestUnanswered: 1 });
      return { type: 'outcome', session, sequence };
    }
    case Type.KEYED_OUTCOME:
      return { type: 'keyed-outcome', idempotencyKey: readIdempotencyKey(reader) };
    default:
      return readKeyed(reader);
  }
}

function readNoted(reader: MsgpackReader): Command {
  const principal = reader.readStr('principal', PRINCIPAL_BYTES_MAX);
  const reason = reader.readStr('reason', REASON_BYTES_MAX);
  const command = reader.readBin('command', REQUEST_BYTES_MAX);
  // Before it is decoded: nesting must not be the sender's choice.
  refuseNested(reader, command, ['noted', 'keyed']);
  decodeCommand(command);
  return { type: 'noted', principal, reason, command };
}

function readKeyed(reader: MsgpackReader): Command {
  const idempotencyKey = readIdempotencyKey(reader);
  const command = reader.readBin('command', REQUEST_BYTES_MAX);
  refuseNested(reader, command, ['keyed']);
  decodeCommand(command);
  return { type: 'keyed', idempotencyKey, command };
}
