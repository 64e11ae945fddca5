/**
 * Transactions as JSON, for `kvctl txn`, scripts and POST /v1/txn:
 *
 *     { "if":   [{ "key": "a", "exists": false }, { "key": "b", "value": "1", "op": "!=" },
 *                { "key": "c", "version" | "createRevision" | "modRevision" | "lease": 3, "op": ">" }],
 *       "then": [{ "put": { "key": "a", "value": "1", "lease": "131072" } }, { "add": { "key": "n", "delta": 1 } },
 *                { "delete": { "key": "b" } }, { "deletePrefix": { "prefix": "p/" } },
 *                { "deleteRange": { "from": "p", "to": "q" } }, { "get": { "key": "c" } }],
 *       "else": [ … ] }
 *
 * `op` is =, !=, < or >, and = when it is left out. Bytes that are no text are base64 under `keyBase64`, `valueBase64`,
 * `prefixBase64` and so on. What is misspelt is refused, never skipped: a condition that is not looked at is a write
 * that nobody wanted. Every refusal is KVD_BAD_REQUEST or KVD_TOO_LARGE and names the place: `then[2].put.value: …`.
 * The answer's form is in json.ts.
 */
import { checkKey, checkValue } from './command-fields.js';
import type { Compare, CompareNumber, Comparison, LeaseId, TxnCommand, TxnOperation } from './commands.js';
import { KvdError } from './errors.js';
import { parseLease } from './json.js';
import { JsonObject, readArray, refuseAt } from './json-object.js';
import { KEY_BYTES_MAX } from './limits.js';
import { prefixEnd } from './prefix.js';
import { parseInt64 } from './txn-codec.js';

export type TxnParts = Pick<TxnCommand, 'compares' | 'success' | 'failure'>;

const COMPARISONS = ['=', '!=', '<', '>'] as const satisfies Comparison[];
const NUMBERS = {
  version: 'version',
  createRevision: 'create-revision',
  modRevision: 'mod-revision',
  lease: 'lease',
} as const satisfies Record<string, CompareNumber>;
const NUMBER_NAMES = Object.keys(NUMBERS) as (keyof typeof NUMBERS)[];
const OPERATIONS = ['put', 'add', 'delete', 'deletePrefix', 'deleteRange', 'get'] as const;

/** @throws KvdError KVD_BAD_REQUEST, KVD_TOO_LARGE: the text is no transaction */
export function parseTxnJson(text: string): TxnParts {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new KvdError('KVD_BAD_REQUEST', `the transaction is no JSON: ${(error as Error).message}`);
  }
  return readTxnJson(json);
}

/** As parseTxnJson, of what JSON.parse gave. */
export function readTxnJson(json: unknown): TxnParts {
  const txn = new JsonObject(json, 'the transaction', '');
  const parts = {
    compares: readArray(txn.take('if') ?? [], 'if', readCompare),
    success: readArray(txn.take('then') ?? [], 'then', readOperation),
    failure: readArray(txn.take('else') ?? [], 'else', readOperation),
  };
  txn.end('if, then, else');
  if (parts.success.length + parts.failure.length === 0)
    throw new KvdError('KVD_BAD_REQUEST', 'the transaction does nothing: "then" or "else" lists operations');
  return parts;
}

function readCompare(json: unknown, path: string): Compare {
  const fields = new JsonObject(json, path);
  const key = readKey(fields);
  const targets = [
    fields.has('exists') ? 'exists' : '',
    fields.hasBytes('value') ? 'value' : '',
    ...NUMBER_NAMES.filter((name) => fields.has(name)),
  ].filter((name) => name !== '');
  if (targets.length !== 1)
    refuseAt(path, `one of exists, value, ${NUMBER_NAMES.join(', ')} is compared, not ${targets.length}`);
  const compare = readTarget(fields, key);
  fields.end(`key, exists, value, ${NUMBER_NAMES.join(', ')}, op`);
  return compare;
}

function readTarget(fields: JsonObject, key: Uint8Array): Compare {
  if (fields.has('exists')) {
    const exists = fields.take('exists');
    if (typeof exists !== 'boolean') return refuseAt(fields.at('exists'), 'must be true or false');
    if (fields.has('op')) refuseAt(fields.at('op'), 'goes with a value or a number, not with exists');
    return { key, target: 'exists', exists };
  }
  if (fields.hasBytes('value')) {
    const value = readValue(fields);
    return { key, target: 'value', comparison: readComparison(fields), value };
  }
  const name = NUMBER_NAMES.find((each) => fields.has(each)) ?? 'version';
  const number =
    name === 'lease' && fields.peek('lease') !== 0 ? readLease(fields) : fields.wholeNumber(name);
  return { key, target: NUMBERS[name], comparison: readComparison(fields), number };
}

function readComparison(fields: JsonObject): Comparison {
  const op = fields.take('op') ?? '=';
  const comparison = COMPARISONS.find((each) => each === op);
  return comparison ?? refuseAt(fields.at('op'), `must be one of ${COMPARISONS.join(' ')}`);
}

function readOperation(json: unknown, path: string): TxnOperation {
  const outer = new JsonObject(json, path);
  const named = OPERATIONS.filter((name) => outer.has(name));
  const [name] = named;
  if (named.length > 1) refuseAt(path, `is one operation, not ${named.join(' and ')}`);
  if (name === undefined) return refuseAt(path, `must be one of ${OPERATIONS.join(', ')}`);
  const fields = new JsonObject(outer.take(name), outer.at(name));
  outer.end(name);
  switch (name) {
    case 'put': {
      const key = readKey(fields);
      const value = readValue(fields);
      const lease = fields.has('lease') ? readLease(fields) : 0;
      fields.end('key, value, lease');
      return { type: 'put', key, value, lease };
    }
    case 'add': {
      const key = readKey(fields);
      const delta = readDelta(fields);
      fields.end('key, delta');
      return { type: 'add', key, delta };
    }
    case 'delete':
    case 'get': {
      const key = readKey(fields);
      fields.end('key');
      return { type: name, key };
    }
    case 'deletePrefix': {
      const from = fields.bytes('prefix');
      // A variable that was empty must not delete everything.
      if (from.length === 0)
        refuseAt(fields.at('prefix'), 'has at least one byte; deleteRange {"from":""} is every key');
      if (from.length > KEY_BYTES_MAX) tooLong(fields.at('prefix'), from);
      fields.end('prefix');
      return { type: 'delete-range', from, to: prefixEnd(from) };
    }
    case 'deleteRange': {
      const bounds = ['from', 'to'].filter((bound) => fields.hasBytes(bound));
      if (bounds.length === 0) refuseAt(fields.path, 'needs from, to or both; {"from":""} is every key');
      const [from = NOTHING, to = NOTHING] = ['from', 'to'].map((bound) => readBound(fields, bound));
      if (bounds.includes('to') && to.length === 0)
        refuseAt(fields.at('to'), 'is before every key; leave it out for no upper bound');
      fields.end('from, to');
      return { type: 'delete-range', from, to };
    }
  }
}

const NOTHING = new Uint8Array(0);

function readBound(fields: JsonObject, name: string): Uint8Array {
  if (!fields.hasBytes(name)) return NOTHING;
  const bound = fields.bytes(name);
  if (bound.length > KEY_BYTES_MAX) tooLong(fields.at(name), bound);
  return bound;
}

function tooLong(path: string, bytes: Uint8Array): never {
  throw new KvdError('KVD_TOO_LARGE', `${path}: ${bytes.length} bytes, at most ${KEY_BYTES_MAX} allowed`);
}

function readKey(fields: JsonObject): Uint8Array {
  const key = fields.bytes('key');
  fields.checked('key', () => checkKey(key));
  return key;
}

function readValue(fields: JsonObject): Uint8Array {
  const value = fields.bytes('value');
  fields.checked('value', () => checkValue(value));
  return value;
}

/** As text, as answers name it, or as a number. */
function readLease(fields: JsonObject): LeaseId {
  const given = fields.take('lease');
  const lease = typeof given === 'string' || typeof given === 'number' ? parseLease(String(given)) : null;
  return lease ?? refuseAt(fields.at('lease'), 'must be the number of a lease, as grant gave it');
}

function readDelta(fields: JsonObject): bigint {
  const given = fields.take('delta');
  const isExact = typeof given === 'string' || Number.isSafeInteger(given);
  const delta = isExact ? parseInt64(String(given)) : null;
  return delta ?? refuseAt(fields.at('delta'), 'must be a whole number of 64 bits, as text above 2^53');
}
