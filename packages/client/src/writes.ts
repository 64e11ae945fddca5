/**
 * Mutations. Those without conditions go as they are, on the hot path; the others are transactions of which the short
 * form is meant.
 */
import {
  checkKey,
  checkValue,
  type Compare,
  KvdError,
  type Response,
  type TxnOperation,
} from '@kvd/protocol';
import { type Bytes, toBytes } from './bytes.js';
import { type Caller, unexpected } from './caller.js';
import {
  bad,
  checkObject,
  checkRevision,
  type DeleteOptions,
  type MutationOptions,
  noteOf,
  type PutOptions,
  type RangeOptions,
} from './options.js';
import { compare, op, toDeleteRange, toDone, TxnBuilder, type TxnParts, type TxnResult } from './txn.js';

/** `revision`: the cluster's count of mutations, which this one took. */
export interface PutResult {
  readonly revision: number;
}

/** `deleted`: how many keys were there. With 0, `revision` is the cluster's present one: nothing changed. */
export interface DeleteResult {
  readonly revision: number;
  readonly deleted: number;
}

/** `value`: after the addition. */
export interface AddResult {
  readonly revision: number;
  readonly value: bigint;
}

export class Writes {
  constructor(private readonly caller: Caller) {}

  put(key: Bytes, value: Bytes, options: PutOptions | undefined): Promise<PutResult> {
    const task = { type: 'put', key: toBytes(key), value: toBytes(value), note: noteOf(options) } as const;
    checkKey(task.key);
    checkValue(task.value);
    if (options !== undefined && isConditional(checkObject('options', options)))
      return this.conditionalPut(key, value, options);
    return this.caller.submit(task, asPut, options);
  }

  async delete(
    key: Bytes | { readonly prefix: Bytes },
    options: DeleteOptions | undefined,
  ): Promise<DeleteResult> {
    const isPrefix = typeof key === 'object' && key !== null && 'prefix' in key;
    if (options?.ifRevision !== undefined) {
      if (isPrefix) throw bad('ifRevision is a condition on one key');
      const compares = [compare.modRevision(key, '=', checkRevision('ifRevision', options.ifRevision))];
      const { revision, results } = await this.conditional(compares, op.delete(key), options);
      const [result] = results;
      // Revision 0 is that of a key that is absent: then nothing is deleted.
      return { revision, deleted: result?.type === 'deleted' ? result.deleted : 0 };
    }
    if (isPrefix) return this.deleteRange({ prefix: toBytes(key.prefix) }, options);
    const task = { type: 'delete', key: toBytes(key), note: noteOf(options) } as const;
    checkKey(task.key);
    return this.caller.submit(task, asDeleted, options);
  }

  async deleteRange(range: RangeOptions, options: MutationOptions | undefined): Promise<DeleteResult> {
    const task = {
      type: 'delete-range',
      ...toDeleteRange(checkObject('range', range)),
      note: noteOf(options),
    } as const;
    return this.caller.submit(task, asDeleted, options);
  }

  async add(key: Bytes, delta: number | bigint, options: MutationOptions | undefined): Promise<AddResult> {
    const parts = { compares: [], success: [op.add(key, delta)], failure: [] };
    const { revision, results } = await this.transact(parts, options);
    const [result] = results;
    if (result?.type !== 'added')
      throw new KvdError('KVD_INTERNAL', 'the replica did not say what the sum is', 'unknown');
    return { revision, value: result.value };
  }

  async transact(parts: TxnParts, options: MutationOptions | undefined): Promise<TxnResult> {
    const {
      compares = [],
      success = [],
      failure = [],
    } = checkObject<Partial<TxnParts>>('transaction', parts);
    return this.caller.mutate({ type: 'txn', compares, success, failure }, asTxn, options);
  }

  txn(): TxnBuilder {
    return new TxnBuilder((parts, options) => this.transact(parts, options), [], [], []);
  }

  private async conditionalPut(key: Bytes, value: Bytes, options: PutOptions): Promise<PutResult> {
    const { ifAbsent = false, ifRevision, lease } = options;
    if (typeof ifAbsent !== 'boolean') throw bad(`ifAbsent: ${String(ifAbsent)} is neither true nor false`);
    const compares: Compare[] = [];
    if (ifAbsent) compares.push(compare.absent(key));
    if (ifRevision !== undefined)
      compares.push(compare.modRevision(key, '=', checkRevision('ifRevision', ifRevision)));
    const put = op.put(key, value, lease === undefined ? {} : { lease });
    const { revision } = await this.conditional(compares, put, options);
    return { revision };
  }

  private async conditional(
    compares: readonly Compare[],
    operation: TxnOperation,
    options: MutationOptions,
  ): Promise<TxnResult> {
    const result = await this.transact({ compares, success: [operation], failure: [] }, options);
    if (!result.succeeded)
      throw new KvdError('KVD_CONDITION_FALSE', `the condition does not hold at revision ${result.revision}`);
    return result;
  }
}

function isConditional({ lease, ifAbsent, ifRevision }: PutOptions): boolean {
  return lease !== undefined || (ifAbsent !== undefined && ifAbsent !== false) || ifRevision !== undefined;
}

export function asPut(response: Response): PutResult {
  if (response.type === 'result' && response.result.type === 'put')
    return { revision: response.result.revision };
  throw unexpected(response, 'unknown');
}

export function asDeleted(response: Response): DeleteResult {
  if (response.type !== 'result' || response.result.type !== 'deleted') throw unexpected(response, 'unknown');
  return { revision: response.result.revision, deleted: response.result.deleted };
}

function asTxn(response: Response): TxnResult {
  if (response.type !== 'result' || response.result.type !== 'txn') throw unexpected(response, 'unknown');
  const { revision, succeeded, results } = response.result;
  return { revision, succeeded, results: results.map(toDone) };
}
