/**
 * /v1/kv: reads and writes of single keys, and where scans and range deletes begin. A write without an Idempotency-Key
 * carries no session: when its answer is lost, its outcome is unknown (504).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type Command,
  ERRORS,
  type Entry,
  encodeCommand,
  KEY_BYTES_MAX,
  KvdError,
  type MutateRequest,
  NO_ORIGIN,
  type Response,
  VALUE_BYTES_MAX,
} from '@kvd/protocol';
import type { Requester } from '../requester.js';
import { readBody } from './body.js';
import { percentDecode, prefixEnd } from './bytes.js';
import { idempotencyKeyOf, Query, timeoutOf } from './query.js';
import { type Answer, errorAnswer, jsonAnswer } from './respond.js';

/** What a request for one key came as. */
export interface KeyCall {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Percent-encoded, as in the path. */
  readonly rawKey: string;
  readonly rawQuery: string;
  readonly expectsContinue: boolean;
}

function decodeKey(rawKey: string): Uint8Array {
  const key = percentDecode(rawKey);
  if (key.length === 0) throw new KvdError('KVD_BAD_REQUEST', 'the key is empty');
  if (key.length > KEY_BYTES_MAX) {
    throw new KvdError(
      'KVD_TOO_LARGE',
      `the key has ${key.length} bytes; at most ${KEY_BYTES_MAX} are possible`,
    );
  }
  return key;
}

export async function putKey(requester: Requester, call: KeyCall): Promise<Answer> {
  const key = decodeKey(call.rawKey);
  new Query(call.rawQuery, []);
  const envelope = readEnvelope(call.request);
  const value = await readBody(call.request, call.response, VALUE_BYTES_MAX, call.expectsContinue);
  const command: Command = { type: 'put', origin: NO_ORIGIN, key, value };
  return mutationAnswer(await requester.request(envelope(command)));
}

export async function deleteKey(requester: Requester, call: KeyCall): Promise<Answer> {
  const key = decodeKey(call.rawKey);
  new Query(call.rawQuery, []);
  const command: Command = { type: 'delete', origin: NO_ORIGIN, key };
  return mutationAnswer(await requester.request(readEnvelope(call.request)(command)));
}

/** DELETE /v1/kv?prefix=P. */
export async function deletePrefix(
  requester: Requester,
  request: IncomingMessage,
  rawQuery: string,
): Promise<Answer> {
  const prefix = new Query(rawQuery, ['prefix']).bytes('prefix');
  if (prefix === undefined || prefix.length === 0) {
    throw new KvdError('KVD_BAD_REQUEST', 'DELETE /v1/kv needs a prefix of at least one byte');
  }
  const command: Command = { type: 'delete-range', origin: NO_ORIGIN, from: prefix, to: prefixEnd(prefix) };
  return mutationAnswer(await requester.request(readEnvelope(request)(command)));
}

export async function getKey(requester: Requester, call: KeyCall): Promise<Answer> {
  const key = decodeKey(call.rawKey);
  const consistency = new Query(call.rawQuery, ['consistency']).consistency();
  const timeoutMs = timeoutOf(call.request);
  const answer = await requester.request({ type: 'get', timeoutMs, consistency, key });
  if (answer.type === 'error') return readErrorAnswer(answer);
  if (answer.type !== 'entry') throw new Error(`a get was answered with "${answer.type}"`);
  if (answer.entry === null) return errorAnswer('KVD_NOT_FOUND', 'there is no such key');
  return entryAnswer(answer.entry);
}

function entryAnswer(entry: Entry): Answer {
  return {
    status: 200,
    headers: {
      'Content-Type': 'application/octet-stream',
      'Kvd-Create-Revision': String(entry.createRevision),
      'Kvd-Mod-Revision': String(entry.modRevision),
      'Kvd-Version': String(entry.version),
    },
    body: entry.value,
  };
}

/** The headers of a write, checked before its body is read, as what makes a request of its command. */
function readEnvelope(request: IncomingMessage): (command: Command) => MutateRequest {
  const timeoutMs = timeoutOf(request);
  const idempotencyKey = idempotencyKeyOf(request);
  return (command) => {
    const encoded = encodeCommand(command);
    if (idempotencyKey === undefined) return { type: 'mutate', timeoutMs, command: encoded };
    const keyed = encodeCommand({ type: 'keyed', idempotencyKey, command: encoded });
    return { type: 'mutate', timeoutMs, command: keyed };
  };
}

function mutationAnswer(response: Response): Answer {
  if (response.type === 'error') {
    const { code, message, outcome } = response;
    const lost = outcome === 'unknown' && ERRORS[code].httpStatus === 503;
    return errorAnswer(lost ? 'KVD_OUTCOME_UNKNOWN' : code, message);
  }
  if (response.type !== 'result') throw new Error(`a mutation was answered with "${response.type}"`);
  const { result } = response;
  switch (result.type) {
    case 'put':
      return jsonAnswer(200, { revision: result.revision });
    case 'deleted':
      return jsonAnswer(200, { revision: result.revision, deleted: result.deleted });
    case 'error':
      return errorAnswer(result.code, result.message);
    case 'session':
    case 'done':
      throw new Error(`a mutation had the result "${result.type}"`);
  }
}

/** Reads are never unknown: nothing was done. */
export function readErrorAnswer(response: Extract<Response, { type: 'error' }>): Answer {
  const lost = ERRORS[response.code].httpStatus === 504;
  return errorAnswer(lost ? 'KVD_TIMEOUT' : response.code, response.message);
}
