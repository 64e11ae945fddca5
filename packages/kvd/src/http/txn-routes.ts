/** POST /v1/txn: a transaction as JSON. POST /v1/outcome: what became of a request. Both are told in docs/API.md. */
import {
  type Command,
  JsonObject,
  NO_ORIGIN,
  parseOperationId,
  REQUEST_BYTES_MAX,
  readTxnJson,
  refuseAt,
} from '@kvd/protocol';
import type { Requester } from '../requester.js';
import { type Call, readJson } from './call.js';
import { readMutation, repeatable } from './mutations.js';
import type { Answer } from './respond.js';

/** Names, base64 and escapes make JSON longer than the request that it becomes, whose own bound is checked then. */
const TXN_BODY_BYTES_MAX = 2 * REQUEST_BYTES_MAX;

export async function postTxn(requester: Requester, call: Call): Promise<Answer> {
  const mutate = readMutation(requester, call.request);
  const parts = readTxnJson(await readJson(call, TXN_BODY_BYTES_MAX));
  return mutate({ type: 'txn', origin: NO_ORIGIN, ...parts });
}

export async function postOutcome(requester: Requester, call: Call): Promise<Answer> {
  return repeatable(requester, call.request, readOutcome(await readJson(call)));
}

function readOutcome(json: unknown): Command {
  const fields = new JsonObject(json, 'the body', '');
  if (fields.hasBytes('idempotencyKey')) {
    const idempotencyKey = fields.bytes('idempotencyKey');
    fields.end('operation or idempotencyKey');
    return { type: 'keyed-outcome', idempotencyKey };
  }
  const operation = fields.take('operation');
  fields.end('operation or idempotencyKey');
  const id = typeof operation === 'string' ? parseOperationId(operation) : null;
  return id === null
    ? refuseAt('operation', 'must be SESSION.NUMBER, or there must be an idempotencyKey')
    : { type: 'outcome', ...id };
}
