/**
 * The bytes of a command's result: they go to clients, between replicas, and into the state as what a retry is answered
 * with (S8). One MessagePack array; numbers are append only:
 *
 *     [1, revision]             put
 *     [2, revision, deleted]    deleted
 *     [3, session]              session
 *     [4]                       done
 *     [5, code, message]        error; `code` is the index in ERROR_CODES
 *     [6, revision, succeeded, [result, …]]   txn
 *         [1]                   put
 *         [2, value]            added; a decimal number as str
 *         [3, deleted]          deleted
 *         [4, entry or nil]     entry (entry-codec.ts)
 *     [7, lease, ttlMs]         lease
 *     [8, status, result]       outcome; 1 applied, 2 never, 3 answered, 4 forgotten; nil but for applied
 */
import type { CommandResult, OperationOutcome, TxnOperationResult } from './commands.js';
import { readEntry, writeEntry } from './entry-codec.js';
import { ERROR_CODES, type ErrorCode } from './errors.js';
import { MESSAGE_TEXT_BYTES_MAX, TXN_OPERATIONS_MAX } from './limits.js';
import { MsgpackReader } from './msgpack-reader.js';
import { MsgpackWriter } from './msgpack-writer.js';
import { parseInt64 } from './txn-codec.js';

const PUT = 1;
const DELETED = 2;
const SESSION = 3;
const DONE = 4;
const ERROR = 5;
const TXN = 6;
const LEASE = 7;
const OUTCOME = 8;

const OP_PUT = 1;
const OP_ADDED = 2;
const OP_DELETED = 3;
const OP_ENTRY = 4;
const INT64_TEXT_MAX = 20;
/** Of one operation's result, besides key and value. */
const PART_BYTES = 48;

const STATUSES = ['', 'applied', 'never', 'answered', 'forgotten'] as const;

const CODE_NUMBERS = new Map(ERROR_CODES.map((code, number) => [code, number]));

const writer = new MsgpackWriter();

export function encodeResult(result: CommandResult): Uint8Array {
  writer.begin(resultBytesHint(result));
  writeResult(writer, result);
  return writer.finish();
}

/** @throws KvdError KVD_BAD_FRAME */
export function decodeResult(bytes: Uint8Array): CommandResult {
  const reader = new MsgpackReader(bytes);
  const result = readResult(reader);
  reader.end('result');
  return result;
}

export function writeResult(out: MsgpackWriter, result: CommandResult): void {
  switch (result.type) {
    case 'put':
      out.array(2);
      out.uint(PUT);
      out.uint(result.revision);
      return;
    case 'deleted':
      out.array(3);
      out.uint(DELETED);
      out.uint(result.revision);
      out.uint(result.deleted);
      return;
    case 'session':
      out.array(2);
      out.uint(SESSION);
      out.uint(result.session);
      return;
    case 'done':
      out.array(1);
      out.uint(DONE);
      return;
    case 'error':
      out.array(3);
      out.uint(ERROR);
      writeErrorCode(out, result.code);
      out.cutStr(result.message, MESSAGE_TEXT_BYTES_MAX);
      return;
    case 'txn':
      out.array(4);
      out.uint(TXN);
      out.uint(result.revision);
      out.bool(result.succeeded);
      out.array(result.results.length);
      for (const part of result.results) writeOperationResult(out, part);
      return;
    case 'lease':
      out.array(3);
      out.uint(LEASE);
      out.uint(result.lease);
      out.uint(result.ttlMs);
      return;
    case 'outcome':
      out.array(3);
      out.uint(OUTCOME);
      out.uint(STATUSES.indexOf(result.outcome.status));
      if (result.outcome.status === 'applied') writeResult(out, result.outcome.result);
      else out.nil();
      return;
  }
}

export function readResult(reader: MsgpackReader, nested = false): CommandResult {
  const length = reader.readArrayHeader(4, 'result');
  const type = reader.readUint('result type');
  if (type === PUT && length === 2) return { type: 'put', revision: reader.readUint('revision') };
  if (type === DELETED && length === 3) {
    const revision = reader.readUint('revision');
    return { type: 'deleted', revision, deleted: reader.readUint('deleted') };
  }
  if (type === SESSION && length === 2) return { type: 'session', session: reader.readUint('session') };
  if (type === DONE && length === 1) return { type: 'done' };
  if (type === ERROR && length === 3) {
    const code = readErrorCode(reader);
    return { type: 'error', code, message: reader.readStr('message', MESSAGE_TEXT_BYTES_MAX) };
  }
  if (type === TXN && length === 4) return readTxnResult(reader);
  if (type === LEASE && length === 3) {
    const lease = reader.readUint('lease');
    return { type: 'lease', lease, ttlMs: reader.readUint('time to live') };
  }
  // Nesting must not be the sender's choice.
  if (type === OUTCOME && length === 3 && !nested) return { type: 'outcome', outcome: readOutcome(reader) };
  return reader.refuse(`no result has type ${type} and ${length} fields`);
}

/** About how many bytes the result takes, so that large ones are written in one go. */
export function resultBytesHint(result: CommandResult): number {
  if (result.type === 'outcome' && result.outcome.status === 'applied')
    return resultBytesHint(result.outcome.result);
  if (result.type !== 'txn') return 0;
  let bytes = 0;
  for (const part of result.results) bytes += partBytesHint(part);
  return bytes;
}

export function partBytesHint(part: TxnOperationResult): number {
  const entry = part.type === 'entry' ? part.entry : null;
  return PART_BYTES + (entry === null ? 0 : entry.key.length + entry.value.length);
}

function writeOperationResult(out: MsgpackWriter, result: TxnOperationResult): void {
  switch (result.type) {
    case 'put':
      out.array(1);
      out.uint(OP_PUT);
      return;
    case 'added':
      out.array(2);
      out.uint(OP_ADDED);
      out.str(result.value.toString(), INT64_TEXT_MAX);
      return;
    case 'deleted':
      out.array(2);
      out.uint(OP_DELETED);
      out.uint(result.deleted);
      return;
    case 'entry':
      out.array(2);
      out.uint(OP_ENTRY);
      if (result.entry === null) out.nil();
      else writeEntry(out, result.entry);
      return;
  }
}

function readTxnResult(reader: MsgpackReader): CommandResult {
  const revision = reader.readUint('revision');
  const succeeded = reader.readBool('succeeded');
  const count = reader.readArrayHeader(TXN_OPERATIONS_MAX, 'results');
  const results: TxnOperationResult[] = [];
  for (let i = 0; i < count; i += 1) results.push(readOperationResult(reader));
  return { type: 'txn', revision, succeeded, results };
}

function readOperationResult(reader: MsgpackReader): TxnOperationResult {
  const length = reader.readArrayHeader(2, 'result of an operation');
  const type = reader.readUint('result type');
  if (type === OP_PUT && length === 1) return { type: 'put' };
  if (type === OP_ADDED && length === 2) {
    const value = parseInt64(reader.readStr('sum', INT64_TEXT_MAX));
    return { type: 'added', value: value ?? reader.refuse('a sum is a decimal number of 64 bits') };
  }
  if (type === OP_DELETED && length === 2) return { type: 'deleted', deleted: reader.readUint('deleted') };
  if (type === OP_ENTRY && length === 2)
    return { type: 'entry', entry: reader.readNil() ? null : readEntry(reader) };
  return reader.refuse(`no result of an operation has type ${type} and ${length} fields`);
}

function readOutcome(reader: MsgpackReader): OperationOutcome {
  const status = STATUSES[reader.readUint('status')] || reader.refuse('no such outcome');
  if (status !== 'applied') {
    if (!reader.readNil()) reader.refuse(`an outcome of '${status}' has no result`);
    return { status };
  }
  return { status, result: readResult(reader, true) };
}

export function writeErrorCode(out: MsgpackWriter, code: ErrorCode): void {
  out.uint(CODE_NUMBERS.get(code) ?? 0);
}

export function readErrorCode(reader: MsgpackReader): ErrorCode {
  const number = reader.readUint('error code');
  return ERROR_CODES[number] ?? reader.refuse(`no error has the number ${number}`);
}
