/** Writes that the cluster does only as long as their writer is the owner of something (ownership.ts). */
import { KvdError, type TxnOperation } from '@kvd/protocol';
import type { Bytes } from './bytes.js';
import { bad, type MutationOptions } from './options.js';
import type { Ownership } from './ownership.js';
import { op, TxnBuilder, type TxnParts, type TxnResult } from './txn.js';
import type { DeleteResult, PutResult, Writes } from './writes.js';

/**
 * What is done through it is refused with KVD_LOCK_LOST, by the state machine, once the owner is another or nobody: also
 * when this process was stopped meanwhile and does not know it yet. Other writes than these are not fenced: where the token
 * should guard something outside of the cluster, pass it along, and refuse there whatever is below the highest one seen.
 */
export abstract class Fenced {
  /** The fencing token: a revision, higher with every owner. */
  readonly token: number;
  /** The key that is ours, with a lease, as long as we are the owner. `token` is its createRevision. */
  readonly key: string;
  /**
   * Fires when ownership is lost, with a KvdError KVD_LOCK_LOST as its reason: our lease was not kept alive in time, counted
   * on the safe side, or our key was deleted. Not when we gave it up ourselves.
   */
  readonly signal: AbortSignal;

  /** @internal */
  constructor(
    protected readonly writes: Writes,
    protected readonly ownership: Ownership,
  ) {
    this.token = ownership.token;
    this.key = ownership.key;
    this.signal = ownership.signal;
  }

  /** As kv.put(), for the owner. */
  async put(
    key: Bytes,
    value: Bytes,
    options: MutationOptions & { readonly lease?: number } = {},
  ): Promise<PutResult> {
    const { lease, ...rest } = options;
    const { revision } = await this.fence(op.put(key, value, lease === undefined ? {} : { lease }), rest);
    return { revision };
  }

  /** As kv.delete(), for the owner. */
  async delete(
    key: Bytes | { readonly prefix: Bytes },
    options: MutationOptions = {},
  ): Promise<DeleteResult> {
    const isPrefix = typeof key === 'object' && key !== null && 'prefix' in key;
    const operation = isPrefix ? op.deletePrefix(key.prefix) : op.delete(key);
    const { revision, results } = await this.fence(operation, options);
    const [result] = results;
    return { revision, deleted: result?.type === 'deleted' ? result.deleted : 0 };
  }

  /**
   * As kv.txn(), for the owner. Its `else` may only get: what is done there must not depend on whether it was the
   * condition or the ownership that did not hold.
   */
  txn(): TxnBuilder {
    return new TxnBuilder((parts, options) => this.transact(parts, options), [], [], []);
  }

  private fence(operation: TxnOperation, options: MutationOptions): Promise<TxnResult> {
    return this.transact({ compares: [], success: [operation], failure: [] }, options);
  }

  private async transact(parts: TxnParts, options: MutationOptions | undefined): Promise<TxnResult> {
    if (parts.failure.some(({ type }) => type !== 'get'))
      throw bad('the else of a fenced transaction may only get');
    this.ownership.check();
    const compares = [this.ownership.condition, ...parts.compares];
    const failure = [op.get(this.key), ...parts.failure];
    const result = await this.writes.transact({ compares, success: parts.success, failure }, options);
    if (result.succeeded) return result;
    const [own, ...results] = result.results;
    if (own?.type !== 'entry')
      throw new KvdError('KVD_INTERNAL', 'the replica did not say who the owner is', 'not-done');
    if (own.entry?.createRevision !== this.token) throw this.ownership.refused();
    return { ...result, results };
  }
}
