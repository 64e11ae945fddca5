/**
 * The bytes of a command's result: they go to clients, between replicas, and into the state as what a retry is answered
 * with (S8). One MessagePack array; numbers are append only:
 *
 *     [1, revision]             put
 *     [2, revision, deleted]    deleted
 *     [3, session]              session
 *     [4]                       done
 *     [5, code, message]        error; `code` is the index in ERROR_CODES
 */
import type { CommandResult } from './commands.js';
import { ERROR_CODES, type ErrorCode } from './errors.js';
import { MESSAGE_TEXT_BYTES_MAX } from './limits.js';
import { MsgpackReader } from './msgpack-reader.js';
import { MsgpackWriter } from './msgpack-writer.js';

const PUT = 1;
const DELETED = 2;
const SESSION = 3;
const DONE = 4;
const ERROR = 5;

const CODE_NUMBERS = new Map(ERROR_CODES.map((code, number) => [code, number]));

const writer = new MsgpackWriter();

export function encodeResult(result: CommandResult): Uint8Array {
  writer.begin();
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
  }
}

export function readResult(reader: MsgpackReader): CommandResult {
  const length = reader.readArrayHeader(3, 'result');
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
  return reader.refuse(`no result has type ${type} and ${length} fields`);
}

export function writeErrorCode(out: MsgpackWriter, code: ErrorCode): void {
  out.uint(CODE_NUMBERS.get(code) ?? 0);
}

export function readErrorCode(reader: MsgpackReader): ErrorCode {
  const number = reader.readUint('error code');
  return ERROR_CODES[number] ?? reader.refuse(`no error has the number ${number}`);
}
