/**
 * The bytes of a transaction's parts, nested in its command (command-codec.ts); numbers are append only:
 *
 *     compare    [key, target, comparison, operand]
 *                target: 1 exists, 2 value, 3 version, 4 create-revision, 5 mod-revision, 6 lease
 *                comparison: 1 =, 2 !=, 3 <, 4 >; operand: a bool, a bin, else a number
 *     operation  [1, key, value, lease]     put
 *                [2, key, delta]            add; delta is a decimal number as str
 *                [3, key]                   delete
 *                [4, from, to]              delete-range
 *                [5, key]                   get
 *
 * A branch that changes a key twice is refused (KVD_BAD_REQUEST): one revision has one version of a key.
 */
import { checkKey, checkSize, checkValue, readKey } from './command-fields.js';
import type { Compare, CompareNumber, Comparison, TxnCommand, TxnOperation } from './commands.js';
import { KvdError } from './errors.js';
import {
  KEY_BYTES_MAX,
  TXN_COMPARES_MAX,
  TXN_OPERATIONS_MAX,
  TXN_RANGES_MAX,
  VALUE_BYTES_MAX,
} from './limits.js';
import type { MsgpackReader } from './msgpack-reader.js';
import type { MsgpackWriter } from './msgpack-writer.js';

const TARGETS = ['', 'exists', 'value', 'version', 'create-revision', 'mod-revision', 'lease'] as const;
const COMPARISONS = ['', '=', '!=', '<', '>'] as const;
const PUT = 1;
const ADD = 2;
const DELETE = 3;
const DELETE_RANGE = 4;
const GET = 5;
const OPERATION_FIELDS_MAX = 4;
/** Of a decimal number of 64 bits, sign included. */
const DECIMAL_BYTES_MAX = 20;
const DECIMAL = /^(0|-?[1-9][0-9]*)$/;
const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
/** Of one compare or operation, besides its keys and values. */
const PART_BYTES = 48;

type TxnParts = Pick<TxnCommand, 'compares' | 'success' | 'failure'>;

/** The number that a text is, or null: it is none of 64 bits in its one decimal form. */
export function parseInt64(text: string): bigint | null {
  if (text.length > DECIMAL_BYTES_MAX || !DECIMAL.test(text)) return null;
  const value = BigInt(text);
  return value < INT64_MIN || value > INT64_MAX ? null : value;
}

/** About how many bytes the parts take. */
export function txnBytesHint({ compares, success, failure }: TxnParts): number {
  let bytes = 0;
  for (const compare of compares) {
    bytes += PART_BYTES + compare.key.length + (compare.target === 'value' ? compare.value.length : 0);
  }
  for (const operation of [...success, ...failure]) bytes += PART_BYTES + payloadBytes(operation);
  return bytes;
}

/** @throws KvdError KVD_BAD_REQUEST, KVD_TOO_LARGE */
export function checkTxn({ compares, success, failure }: TxnParts): void {
  checkCount('compares', compares.length, TXN_COMPARES_MAX);
  for (const compare of compares) {
    checkKey(compare.key);
    if (compare.target === 'value') checkValue(compare.value);
    else if (compare.target !== 'exists') checkNumber(compare.target, compare.number);
  }
  for (const branch of [success, failure]) {
    checkCount('operations', branch.length, TXN_OPERATIONS_MAX);
    for (const operation of branch) checkOperation(operation);
    checkDisjoint(branch);
  }
}

export function writeTxn(out: MsgpackWriter, { compares, success, failure }: TxnParts): void {
  out.array(compares.length);
  for (const compare of compares) writeCompare(out, compare);
  for (const branch of [success, failure]) {
    out.array(branch.length);
    for (const operation of branch) writeOperation(out, operation);
  }
}

/** The byte arrays are views on the input. */
export function readTxn(reader: MsgpackReader): TxnParts {
  const compares: Compare[] = [];
  const count = reader.readArrayHeader(TXN_COMPARES_MAX, 'compares');
  for (let i = 0; i < count; i += 1) compares.push(readCompare(reader));
  const success = readBranch(reader);
  return { compares, success, failure: readBranch(reader) };
}

function writeCompare(out: MsgpackWriter, compare: Compare): void {
  out.array(4);
  out.bin(compare.key);
  out.uint(TARGETS.indexOf(compare.target));
  switch (compare.target) {
    case 'exists':
      out.uint(COMPARISONS.indexOf('='));
      out.bool(compare.exists);
      return;
    case 'value':
      out.uint(COMPARISONS.indexOf(compare.comparison));
      out.bin(compare.value);
      return;
    default:
      out.uint(COMPARISONS.indexOf(compare.comparison));
      out.uint(compare.number);
  }
}

function readCompare(reader: MsgpackReader): Compare {
  reader.expectArray(4, 'compare');
  const key = readKey(reader);
  const target =
    TARGETS[reader.readUint('target of a compare')] || reader.refuse('no such target of a compare');
  const comparison = readComparison(reader);
  switch (target) {
    case 'exists':
      if (comparison !== '=') reader.refuse('whether a key exists can only be compared with =');
      return { key, target, exists: reader.readBool('exists') };
    case 'value':
      return { key, target, comparison, value: reader.readBin('value', VALUE_BYTES_MAX) };
    default:
      return { key, target: target satisfies CompareNumber, comparison, number: reader.readUint(target) };
  }
}

function readComparison(reader: MsgpackReader): Comparison {
  return COMPARISONS[reader.readUint('comparison')] || reader.refuse('no such comparison');
}

function writeOperation(out: MsgpackWriter, operation: TxnOperation): void {
  switch (operation.type) {
    case 'put':
      out.array(4);
      out.uint(PUT);
      out.bin(operation.key);
      out.bin(operation.value);
      out.uint(operation.lease);
      return;
    case 'add':
      out.array(3);
      out.uint(ADD);
      out.bin(operation.key);
      out.str(operation.delta.toString(), DECIMAL_BYTES_MAX);
      return;
    case 'delete':
      out.array(2);
      out.uint(DELETE);
      out.bin(operation.key);
      return;
    case 'delete-range':
      out.array(3);
      out.uint(DELETE_RANGE);
      out.bin(operation.from);
      out.bin(operation.to);
      return;
    case 'get':
      out.array(2);
      out.uint(GET);
      out.bin(operation.key);
      return;
  }
}

function readBranch(reader: MsgpackReader): TxnOperation[] {
  const count = reader.readArrayHeader(TXN_OPERATIONS_MAX, 'operations');
  const branch: TxnOperation[] = [];
  for (let i = 0; i < count; i += 1) branch.push(readOperation(reader));
  checkDisjoint(branch);
  return branch;
}

function readOperation(reader: MsgpackReader): TxnOperation {
  const length = reader.readArrayHeader(OPERATION_FIELDS_MAX, 'operation');
  const type = reader.readUint('operation type');
  if (type === PUT && length === 4) {
    const key = readKey(reader);
    const value = reader.readBin('value', VALUE_BYTES_MAX);
    return { type: 'put', key, value, lease: reader.readUint('lease') };
  }
  if (type === ADD && length === 3) {
    const key = readKey(reader);
    const delta = parseInt64(reader.readStr('delta', DECIMAL_BYTES_MAX));
    return { type: 'add', key, delta: delta ?? reader.refuse('a delta is a decimal number of 64 bits') };
  }
  if (type === DELETE && length === 2) return { type: 'delete', key: readKey(reader) };
  if (type === DELETE_RANGE && length === 3) {
    const from = reader.readBin('from', KEY_BYTES_MAX);
    return { type: 'delete-range', from, to: reader.readBin('to', KEY_BYTES_MAX) };
  }
  if (type === GET && length === 2) return { type: 'get', key: readKey(reader) };
  return reader.refuse(`no operation has type ${type} and ${length} fields`);
}

function checkOperation(operation: TxnOperation): void {
  switch (operation.type) {
    case 'delete-range':
      checkSize('from', operation.from, KEY_BYTES_MAX);
      checkSize('to', operation.to, KEY_BYTES_MAX);
      return;
    case 'put':
      checkValue(operation.value);
      break;
    case 'add':
      if (operation.delta < INT64_MIN || operation.delta > INT64_MAX)
        throw new KvdError('KVD_BAD_REQUEST', `${operation.delta} has more than 64 bits`);
      break;
    default:
  }
  checkKey(operation.key);
}

/** No key is changed twice, whatever the state is. */
function checkDisjoint(branch: readonly TxnOperation[]): void {
  const keys = new Set<string>();
  const ranges: { readonly from: string; readonly to: string }[] = [];
  for (const operation of branch) {
    if (operation.type === 'get') continue;
    if (operation.type === 'delete-range') {
      const range = { from: textOf(operation.from), to: textOf(operation.to) };
      if (ranges.some((other) => overlap(range, other))) throw changedTwice();
      ranges.push(range);
    } else {
      const key = textOf(operation.key);
      if (keys.has(key)) throw changedTwice();
      keys.add(key);
    }
  }
  checkCount('range deletions', ranges.length, TXN_RANGES_MAX);
  for (const { from, to } of ranges) {
    for (const key of keys) if (key >= from && (to === '' || key < to)) throw changedTwice();
  }
}

function overlap(
  a: { readonly from: string; readonly to: string },
  b: { readonly from: string; readonly to: string },
): boolean {
  return (a.to === '' || b.from < a.to) && (b.to === '' || a.from < b.to);
}

function changedTwice(): KvdError {
  return new KvdError('KVD_BAD_REQUEST', 'a transaction changes a key at most once');
}

function payloadBytes(operation: TxnOperation): number {
  if (operation.type === 'delete-range') return operation.from.length + operation.to.length;
  return operation.key.length + (operation.type === 'put' ? operation.value.length : 0);
}

function checkNumber(what: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 0) return;
  throw new KvdError('KVD_BAD_REQUEST', `${what} is compared with a whole number from 0, not ${value}`);
}

function checkCount(what: string, count: number, max: number): void {
  if (count <= max) return;
  throw new KvdError('KVD_TOO_LARGE', `a transaction of ${count} ${what}, at most ${max} allowed`);
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}
