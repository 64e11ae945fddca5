/**
 * The cluster as a database sees it: the calls to @kvd/client that it makes, at a revision or at the present one, with
 * Level's errors. Knows nothing of prefixes, formats or the order of operations.
 */
import { connect, type ConnectOptions, type Entry, type KvdClient, KvdError, op } from '@kvd/client';
import { TXN_OPERATIONS_MAX } from '@kvd/protocol';
import { LevelError, toLevelError } from './errors.js';
import { onlyKey, type Range } from './keyspace.js';

/** The state after this revision; undefined: the present one, linearizable. */
export type At = number | undefined;

/** A change of one key; `value` null deletes it. */
export interface Write {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

export interface RemoteScan {
  readonly range: Range;
  readonly at: number;
  readonly reverse: boolean;
  readonly keysOnly: boolean;
  readonly limit: number;
  readonly signal?: AbortSignal | undefined;
}

export class Remote {
  private constructor(private readonly client: KvdClient) {}

  static async connect(options: ConnectOptions): Promise<Remote> {
    return new Remote(await mapped(connect(options)));
  }

  /** The present revision: no lower than that of any write that was acknowledged before. */
  revision(signal?: AbortSignal): Promise<number> {
    return mapped(this.client.revision(withSignal(signal)), signal);
  }

  async get(key: Uint8Array, at: At): Promise<Uint8Array | undefined> {
    if (at === NOTHING_YET) return undefined;
    return (await mapped(this.client.get(key, revisionOf(at))))?.value;
  }

  async has(key: Uint8Array, at: At): Promise<boolean> {
    if (at === NOTHING_YET) return false;
    // Counted, so that no value comes over the wire.
    const count = this.client.count({ ...toOptions(onlyKey(key)), ...revisionOf(at) });
    return (await mapped(count)) > 0;
  }

  /** Fetched page by page as it is consumed. */
  async *scan({ range, at, limit, signal, ...order }: RemoteScan): AsyncGenerator<Entry, void, void> {
    if (at === NOTHING_YET) return;
    const bounded = Number.isFinite(limit) ? { limit } : {};
    const options = { ...toOptions(range), ...order, ...bounded, ...revisionOf(at), ...withSignal(signal) };
    try {
      yield* this.client.scan(options);
    } catch (error) {
      throw toLevelError(error, signal);
    }
  }

  /** All or nothing. Each key at most once. */
  async write(writes: readonly Write[]): Promise<void> {
    const [only] = writes;
    if (writes.length === 1 && only !== undefined) return this.writeOne(only);
    if (writes.length > TXN_OPERATIONS_MAX) {
      const message = `a batch changes at most ${TXN_OPERATIONS_MAX} keys, not ${writes.length}: it is one transaction`;
      throw new LevelError('LEVEL_BATCH_TOO_LARGE', message);
    }
    const operations = writes.map(({ key, value }) => (value === null ? op.delete(key) : op.put(key, value)));
    try {
      await this.client.transact({ compares: [], success: operations, failure: [] });
    } catch (error) {
      if (isTooLarge(error)) throw new LevelError('LEVEL_BATCH_TOO_LARGE', error.message, error);
      throw toLevelError(error);
    }
  }

  /** False when the range holds more than one command may delete: nothing was done. */
  async deleteRange(range: Range): Promise<boolean> {
    try {
      await this.client.deleteRange(toOptions(range));
      return true;
    } catch (error) {
      if (isTooLarge(error)) return false;
      throw toLevelError(error);
    }
  }

  close(): Promise<void> {
    return mapped(this.client.close());
  }

  private async writeOne({ key, value }: Write): Promise<void> {
    await mapped<unknown>(value === null ? this.client.delete(key) : this.client.put(key, value));
  }
}

/** The revision of a cluster that nothing was ever written to. To the client it means: the present one. */
const NOTHING_YET = 0;

function revisionOf(at: At): { revision?: number } {
  return at === undefined ? {} : { revision: at };
}

function withSignal(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

function toOptions({ from, to }: Range): { from: Uint8Array; to?: Uint8Array } {
  return to === null ? { from } : { from, to };
}

function isTooLarge(error: unknown): error is KvdError {
  return error instanceof KvdError && error.code === 'KVD_TOO_LARGE' && error.outcome === 'not-done';
}

function mapped<T>(call: Promise<T>, signal?: AbortSignal): Promise<T> {
  return call.catch((error: unknown) => {
    throw toLevelError(error, signal);
  });
}
