/**
 * Transactions: the pieces that they are made of, the builder, and results that have the type of the operations. What
 * compares and operations mean is in @kvd/protocol, commands.ts.
 */
import type { Compare, Comparison, TxnCommand, TxnOperation, TxnOperationResult } from '@kvd/protocol';
import { type Bytes, type KeyRange, ownedBytes, toBytes, toRange } from './bytes.js';
import { Entry } from './entry.js';
import { bad, checkLease, checkObject, type MutationOptions, type RangeOptions } from './options.js';

/** A transaction as data: when all compares hold, `success` is done, else `failure`. */
export type TxnParts = Pick<TxnCommand, 'compares' | 'success' | 'failure'>;

/**
 * Conditions on a key. An absent key has version, createRevision, modRevision and lease 0, and a value that is equal to
 * no other, nor below or above. Values are ordered by their bytes.
 *
 *     kv.txn().if(compare.exists('a'), compare.version('b', '>', 1))
 */
export const compare = {
  exists: (key: Bytes): Compare => ({ key: ownedBytes(key), target: 'exists', exists: true }),
  absent: (key: Bytes): Compare => ({ key: ownedBytes(key), target: 'exists', exists: false }),
  value: (key: Bytes, comparison: Comparison, value: Bytes): Compare => ({
    key: ownedBytes(key),
    target: 'value',
    comparison: checkComparison(comparison),
    value: ownedBytes(value),
  }),
  version: (key: Bytes, comparison: Comparison, number: number): Compare => ({
    key: ownedBytes(key),
    target: 'version',
    comparison: checkComparison(comparison),
    number,
  }),
  createRevision: (key: Bytes, comparison: Comparison, number: number): Compare => ({
    key: ownedBytes(key),
    target: 'create-revision',
    comparison: checkComparison(comparison),
    number,
  }),
  modRevision: (key: Bytes, comparison: Comparison, number: number): Compare => ({
    key: ownedBytes(key),
    target: 'mod-revision',
    comparison: checkComparison(comparison),
    number,
  }),
  lease: (key: Bytes, comparison: Comparison, lease: number): Compare => ({
    key: ownedBytes(key),
    target: 'lease',
    comparison,
    number: lease,
  }),
} as const;

const COMPARISONS: readonly Comparison[] = ['=', '!=', '<', '>'];

function checkComparison(comparison: Comparison): Comparison {
  if (COMPARISONS.includes(comparison)) return comparison;
  throw bad(`'${String(comparison)}' is no comparison: ${COMPARISONS.join(', ')}`);
}

type Operation<T extends TxnOperation['type']> = Extract<TxnOperation, { type: T }>;

/** What a transaction does. A branch changes a key at most once; a get sees what the operations before it did. */
export const op = {
  /** Store a value. `lease`: that the key belongs to from now on; default none. */
  put: (key: Bytes, value: Bytes, options?: { readonly lease?: number }): Operation<'put'> => ({
    type: 'put',
    key: ownedBytes(key),
    value: ownedBytes(value),
    lease: options?.lease === undefined ? 0 : checkLease(options.lease),
  }),
  /** Add to the decimal number of 64 bits that is the value; an absent key counts as 0. */
  add: (key: Bytes, delta: number | bigint): Operation<'add'> => ({
    type: 'add',
    key: ownedBytes(key),
    delta: toDelta(delta),
  }),
  delete: (key: Bytes): Operation<'delete'> => ({ type: 'delete', key: ownedBytes(key) }),
  /** Delete the keys of a range; `{ prefix: '' }` is every key. At most four of these in a branch. */
  deleteRange: (range: RangeOptions): Operation<'delete-range'> => ({
    type: 'delete-range',
    ...toDeleteRange(range),
  }),
  deletePrefix: (prefix: Bytes): Operation<'delete-range'> => ({
    type: 'delete-range',
    ...toRange({ prefix: toBytes(prefix) }),
  }),
  get: (key: Bytes): Operation<'get'> => ({ type: 'get', key: ownedBytes(key) }),
} as const;

export interface PutDone {
  readonly type: 'put';
}

export interface AddDone {
  readonly type: 'added';
  /** After the addition. */
  readonly value: bigint;
}

export interface DeleteDone {
  readonly type: 'deleted';
  /** How many keys were there. */
  readonly deleted: number;
}

export interface GetDone {
  readonly type: 'entry';
  /** undefined: the key is absent. */
  readonly entry: Entry | undefined;
}

/** What an operation of a transaction did. */
export type OperationDone = PutDone | AddDone | DeleteDone | GetDone;

type DoneOf<O> = O extends { type: 'put' }
  ? PutDone
  : O extends { type: 'add' }
    ? AddDone
    : O extends { type: 'delete' | 'delete-range' }
      ? DeleteDone
      : O extends { type: 'get' }
        ? GetDone
        : OperationDone;

/** One result for each operation, in order: a tuple where the operations are known one by one. */
type ResultsOf<Operations extends readonly TxnOperation[]> = {
  readonly [I in keyof Operations]: DoneOf<Operations[I]>;
};

/**
 * What a transaction did. `succeeded`: all compares held, and `results` are those of `then`; else of `else`. `revision`:
 * that of its changes; the cluster's present one when it changed nothing.
 */
export type TxnResult<
  Then extends readonly TxnOperation[] = readonly TxnOperation[],
  Else extends readonly TxnOperation[] = readonly TxnOperation[],
> =
  | { readonly revision: number; readonly succeeded: true; readonly results: ResultsOf<Then> }
  | { readonly revision: number; readonly succeeded: false; readonly results: ResultsOf<Else> };

/**
 * A transaction that is being put together. Each step gives a new builder, so one may be kept and used again.
 *
 *     const { succeeded, results } = await kv
 *       .txn()
 *       .if(compare.modRevision('from', '=', from.modRevision))
 *       .then(op.add('from', -5), op.add('to', 5))
 *       .else(op.get('from'))
 *       .commit();
 */
export class TxnBuilder<
  Then extends readonly TxnOperation[] = [],
  Else extends readonly TxnOperation[] = [],
> {
  /** @internal */
  constructor(
    private readonly run: (parts: TxnParts, options: MutationOptions | undefined) => Promise<TxnResult>,
    private readonly compares: readonly Compare[],
    private readonly success: Then,
    private readonly failure: Else,
  ) {}

  /** All of these must hold, and those given before. Without any, `then` is done. */
  if(...compares: readonly Compare[]): TxnBuilder<Then, Else> {
    for (const each of compares) checkObject('if', each);
    return new TxnBuilder(this.run, [...this.compares, ...compares], this.success, this.failure);
  }

  /** To be done in this order when all compares hold. */
  // It is the word for it; awaiting a builder is refused below.
  // oxlint-disable-next-line unicorn/no-thenable
  then<const More extends readonly TxnOperation[]>(
    ...operations: More
  ): TxnBuilder<[...Then, ...More], Else> {
    // `await builder` would call this with two functions.
    if (operations.some((operation) => typeof operation === 'function'))
      throw bad('a transaction is begun by commit(), not by awaiting it');
    return new TxnBuilder(this.run, this.compares, [...this.success, ...operations], this.failure);
  }

  /** To be done in this order when one of the compares does not hold. */
  else<const More extends readonly TxnOperation[]>(
    ...operations: More
  ): TxnBuilder<Then, [...Else, ...More]> {
    return new TxnBuilder(this.run, this.compares, this.success, [...this.failure, ...operations]);
  }

  /**
   * Do it: one branch, all of it or nothing, as one revision. Rejects as every mutation does (KvdClient), and with
   * - KVD_LEASE_NOT_FOUND: a put names a lease that is over,
   * - KVD_NOT_AN_INTEGER: there is nothing to add to, or it would have more than 64 bits,
   * - KVD_TOO_LARGE: more than 1,024 compares or operations, 1.5 MiB in all, or gets that return over 1 MiB (64 KiB where
   *   the transaction can change something).
   */
  async commit(options?: MutationOptions): Promise<TxnResult<Then, Else>> {
    const { compares, success, failure } = this;
    // The results are those of the operations above, one each; the state machine makes sure of it.
    return (await this.run({ compares, success, failure }, options)) as TxnResult<Then, Else>;
  }
}

export function toDone(result: TxnOperationResult): OperationDone {
  switch (result.type) {
    case 'put':
      return { type: 'put' };
    case 'added':
      return { type: 'added', value: result.value };
    case 'deleted':
      return { type: 'deleted', deleted: result.deleted };
    case 'entry':
      return { type: 'entry', entry: result.entry === null ? undefined : new Entry(result.entry) };
  }
}

export function toDelta(delta: number | bigint): bigint {
  if (typeof delta === 'bigint') return delta;
  if (Number.isSafeInteger(delta)) return BigInt(delta);
  throw bad(`delta: ${delta} is not a whole number; beyond 2^53 give a bigint`);
}

/** The range of a deletion, which nobody should get wrong by leaving something out. */
export function toDeleteRange(range: RangeOptions): KeyRange {
  const { prefix, from, to } = range;
  if (prefix === undefined && from === undefined && to === undefined) throw bad(NO_RANGE);
  for (const [name, bound] of Object.entries({ prefix, from, to }))
    if (bound === null) throw bad(`${name}: null is no bound; ${NO_RANGE}`);
  // As an upper bound it would be none at all.
  if (to?.length === 0) throw bad("to: '' is before every key; leave it out for no upper bound");
  return toRange(range);
}

const NO_RANGE = "deleteRange needs prefix, from or to; { prefix: '' } means every key";
