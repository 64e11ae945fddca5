/** Locks: mutual exclusion with fencing, first come first served. How it works is in ownership.ts. */
import type { Bytes } from './bytes.js';
import { Fenced } from './fenced.js';
import { bad, checkObject, type MutationOptions } from './options.js';
import { contend, type ContendOptions, type Ownership, type Parts } from './ownership.js';
import type { Writes } from './writes.js';

export interface LockOptions extends ContendOptions {
  /** Stored under the holder's key, for people: who it is, say. Default: empty. */
  readonly value?: Bytes;
}

/**
 * A lock that is held. Its lease is kept alive in the background until release(); a holder that is gone loses it after
 * ttlMs at the latest.
 */
export class Lock extends Fenced {
  /** @internal */
  constructor(
    readonly name: string,
    writes: Writes,
    ownership: Ownership,
  ) {
    super(writes, ownership);
  }

  /** Give it to the next one in the queue. Nothing when it is lost already. */
  async release(options?: MutationOptions): Promise<void> {
    await this.ownership.release(options);
  }
}

/** `kv.lock`. */
export class Locks {
  /** @internal */
  constructor(private readonly parts: Parts) {}

  /**
   * Wait for the lock, in the order of asking. Release it before the client is closed: else it is held until its lease ends.
   *
   * @throws KvdError KVD_TIMEOUT: it was not free, or no lease was granted, within timeoutMs; KVD_CONDITION_FALSE: it is
   *   held, with tryOnce; KVD_CLOSED: the signal fired; KVD_LOCK_LOST: the place in the queue was lost, as after a long pause of this process
   */
  async acquire(name: string, options: LockOptions = {}): Promise<Lock> {
    if (typeof name !== 'string' || name === '') throw bad('a lock needs a name');
    const { value = '', ...rest } = checkObject('options', options);
    const ownership = await contend(this.parts, `kvd/lock/${name}/`, `lock '${name}'`, value, rest);
    return new Lock(name, this.parts.writes, ownership);
  }
}
