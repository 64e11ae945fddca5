/** /v1/kv: reads and writes of single keys, with conditions or without, and the deletion of a prefix. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type Command,
  type Compare,
  type Entry,
  KEY_BYTES_MAX,
  KvdError,
  NO_ORIGIN,
  prefixEnd,
  type Revision,
  resultJson,
  type TxnOperation,
  VALUE_BYTES_MAX,
} from '@kvd/protocol';
import type { Requester } from '../requester.js';
import { readBody } from './body.js';
import { percentDecode } from './bytes.js';
import { readMutation, type Success } from './mutations.js';
import { Query, timeoutOf } from './query.js';
import { mustBe } from './reads.js';
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

/** PUT /v1/kv/KEY[?lease=ID][&if_absent | &if_revision=N]. */
export async function putKey(requester: Requester, call: KeyCall): Promise<Answer> {
  const key = decodeKey(call.rawKey);
  const query = new Query(call.rawQuery, ['lease', 'if_absent', 'if_revision']);
  const condition = readCondition(query);
  const lease = query.lease();
  const mutate = readMutation(requester, call.request);
  const value = await readBody(call.request, call.response, VALUE_BYTES_MAX, call.expectsContinue);
  if (condition === null && lease === 0) return mutate({ type: 'put', origin: NO_ORIGIN, key, value });
  const command = conditional(key, condition, { type: 'put', key, value, lease });
  return mutate(command, (result) => tellConditional(result, condition, ({ revision }) => ({ revision })));
}

/** DELETE /v1/kv/KEY[?if_revision=N]. */
export async function deleteKey(requester: Requester, call: KeyCall): Promise<Answer> {
  const key = decodeKey(call.rawKey);
  const condition = readCondition(new Query(call.rawQuery, ['if_revision']));
  const mutate = readMutation(requester, call.request);
  if (condition === null) return mutate({ type: 'delete', origin: NO_ORIGIN, key });
  const command = conditional(key, condition, { type: 'delete', key });
  return mutate(command, (result) =>
    tellConditional(result, condition, ({ revision, results: [first] }) => ({
      revision,
      deleted: first?.type === 'deleted' ? first.deleted : 0,
    })),
  );
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
  return readMutation(requester, request)(command);
}

export async function getKey(requester: Requester, call: KeyCall): Promise<Answer> {
  const key = decodeKey(call.rawKey);
  const query = new Query(call.rawQuery, ['consistency', 'revision']);
  const consistency = query.consistency();
  const revision = query.revision();
  const timeoutMs = timeoutOf(call.request);
  const { entry } = mustBe(
    await requester.request({ type: 'get', timeoutMs, consistency, key, revision }),
    'entry',
  );
  if (entry !== null) return entryAnswer(entry);
  return errorAnswer('KVD_NOT_FOUND', `there ${revision === 0 ? 'is' : 'was'} no such key`);
}

function entryAnswer(entry: Entry): Answer {
  const lease: Record<string, string> = entry.lease === 0 ? {} : { 'Kvd-Lease': String(entry.lease) };
  return {
    status: 200,
    headers: {
      'Content-Type': 'application/octet-stream',
      'Kvd-Create-Revision': String(entry.createRevision),
      'Kvd-Mod-Revision': String(entry.modRevision),
      'Kvd-Version': String(entry.version),
      ...lease,
    },
    body: entry.value,
  };
}

/** The revision that the key must have, 0 for none: it must be absent. Null: it may have any. */
function readCondition(query: Query): Revision | null {
  const revision = query.wholeNumber('if_revision', 0, Number.MAX_SAFE_INTEGER);
  if (!query.flag('if_absent')) return revision ?? null;
  if (revision !== undefined) {
    throw new KvdError('KVD_BAD_REQUEST', 'if_absent and if_revision exclude each other');
  }
  return 0;
}

function conditional(key: Uint8Array, condition: Revision | null, operation: TxnOperation): Command {
  const compares: Compare[] =
    condition === null ? [] : [{ key, target: 'mod-revision', comparison: '=', number: condition }];
  return { type: 'txn', origin: NO_ORIGIN, compares, success: [operation], failure: [] };
}

function tellConditional(
  result: Success,
  condition: Revision | null,
  tell: (txn: Extract<Success, { type: 'txn' }>) => object,
): Answer {
  if (result.type !== 'txn') return jsonAnswer(200, resultJson(result));
  if (result.succeeded) return jsonAnswer(200, tell(result));
  const why = condition === 0 ? 'the key exists' : `the key was not last changed by revision ${condition}`;
  return errorAnswer('KVD_CONDITION_FALSE', why);
}
