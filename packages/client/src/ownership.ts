/**
 * What a lock and an office have in common: a place in a queue of keys, and ownership while one's own key is the oldest.
 *
 * A contender has a lease and a key of its own, PREFIX/LEASE, which ends with the lease. The create revisions of the keys
 * are the order of the queue; each contender watches the key right before its own only, so that nobody but the next in line
 * is woken. Who has no key before its own is the owner, and the create revision of its key is the fencing token: it goes
 * up with every owner, and writes compare it, so that the state machine refuses those of a former owner whatever that one
 * believes. That it is told by a signal as soon as it can know is a courtesy.
 */
import { type Compare, KvdError, TIMEOUT_MS_MAX } from '@kvd/protocol';
import { onAbort } from './abort.js';
import { type Bytes, toBytes } from './bytes.js';
import type { Entry } from './entry.js';
import type { Lease, Leases } from './lease.js';
import { withCause } from './operation.js';
import { bad, type MutationOptions, type OperationOptions } from './options.js';
import type { Reads } from './reads.js';
import { compare, op } from './txn.js';
import type { Watch } from './watch.js';
import type { WatchOptions } from './watch-options.js';
import type { Writes } from './writes.js';

/** Of the client, what is needed here. */
export interface Parts {
  readonly reads: Reads;
  readonly writes: Writes;
  readonly leases: Leases;
  watch(options: WatchOptions): Watch;
}

export interface ContendOptions extends OperationOptions {
  /** How long ownership outlives a holder that is gone. Default 10,000 ms. */
  readonly ttlMs?: number;
  /** How long to wait for one's turn. Default: as long as it takes. */
  readonly timeoutMs?: number;
  /** Fail at once when somebody else is before us. */
  readonly tryOnce?: boolean;
  readonly principal?: string;
  readonly reason?: string;
}

const DEFAULT_TTL_MS = 10_000;
/** How long giving up waits for its lease to be revoked. */
const GOODBYE_MS = 2_000;
/** Of what an owner says of itself. */
const OWNER_BYTES_MAX = 32 * 1024;
const LEASE_DIGITS = 16;
const LEASE_NAME = /^[0-9a-f]{16}$/;

/** Wait for one's turn; what is returned is owned. `what` is for messages: `lock 'a'`. */
export async function contend(
  parts: Parts,
  prefix: string,
  what: string,
  value: Bytes,
  options: ContendOptions,
): Promise<Ownership> {
  const { ttlMs = DEFAULT_TTL_MS, timeoutMs, signal, ...rest } = options;
  // Whoever is refused gets it with the refusal (fenced.ts), which is a result that is kept.
  if (toBytes(value).length > OWNER_BYTES_MAX) throw tooLarge(what, toBytes(value).length);
  const givenUp = new AbortController();
  const giveUp = (error: KvdError) => givenUp.abort(error);
  if (signal?.aborted) throw withCause(new KvdError('KVD_CLOSED', `${what}: aborted`), signal.reason);
  if (timeoutMs !== undefined && !(timeoutMs > 0 && timeoutMs <= TIMEOUT_MS_MAX))
    throw bad(`timeoutMs: ${timeoutMs} is not a number of ms from 1 to ${TIMEOUT_MS_MAX}`);
  let hasLease = false;
  const late = () => {
    const why = hasLease ? 'was not free' : 'could not be asked for: no lease was granted';
    giveUp(new KvdError('KVD_TIMEOUT', `${what} ${why} within ${timeoutMs} ms`));
  };
  const timer = timeoutMs === undefined ? null : setTimeout(late, timeoutMs);
  const stayOn =
    signal &&
    onAbort(signal, () => giveUp(withCause(new KvdError('KVD_CLOSED', `${what}: aborted`), signal.reason)));
  try {
    const lease = await grantUnless(parts.leases, ttlMs, givenUp.signal);
    hasLease = true;
    const onLost = () => {
      const { reason } = lease.signal;
      giveUp(
        isClosed(reason)
          ? reason
          : withCause(new KvdError('KVD_LOCK_LOST', `${what}: the lease is lost`), reason),
      );
    };
    lease.signal.addEventListener('abort', onLost, { once: true });
    try {
      const contender = new Contender(parts, prefix, what, lease, givenUp.signal);
      return await contender.waitForTurn(value, rest);
    } catch (error) {
      await leave(lease);
      throw error;
    } finally {
      lease.signal.removeEventListener('abort', onLost);
    }
  } catch (error) {
    throw givenUp.signal.aborted ? givenUp.signal.reason : error;
  } finally {
    if (timer !== null) clearTimeout(timer);
    stayOn?.();
  }
}

/** Waits for the grant even when it is given up meanwhile, and then revokes it: nothing is left behind. */
async function grantUnless(leases: Leases, ttlMs: number, givenUp: AbortSignal): Promise<Lease> {
  const grant = leases.grant({ ttlMs, keepAlive: true });
  const onGivenUp = new Promise<never>((_, reject) => {
    givenUp.addEventListener('abort', () => reject(givenUp.reason as Error), { once: true });
  });
  try {
    return await Promise.race([grant, onGivenUp]);
  } catch (error) {
    if (givenUp.aborted) void grant.then(leave, () => undefined);
    throw error;
  }
}

/** Leaves no key behind; where that does not get through, nobody keeps the lease alive, and it ends by itself. */
async function leave(lease: Lease): Promise<void> {
  lease.stopKeepAlive();
  await lease.revoke({ timeoutMs: GOODBYE_MS }).catch(() => undefined);
}

function tooLarge(what: string, bytes: number): KvdError {
  const message = `${what}: a value of ${bytes} bytes, at most ${OWNER_BYTES_MAX} are possible`;
  return new KvdError('KVD_TOO_LARGE', message);
}

/** The key of a contender. */
export function keyOf(prefix: string, lease: number): string {
  return prefix + lease.toString(16).padStart(LEASE_DIGITS, '0');
}

/** Of all that is under a queue's prefix: the keys of its contenders, the oldest first. */
export function contenders<E extends { readonly key: string; readonly createRevision: number }>(
  entries: readonly E[],
  prefix: string,
): E[] {
  const own = entries.filter(({ key }) => LEASE_NAME.test(key.slice(prefix.length)));
  return own.sort((a, b) => a.createRevision - b.createRevision);
}

class Contender {
  private readonly key: string;

  constructor(
    private readonly parts: Parts,
    private readonly prefix: string,
    private readonly what: string,
    private readonly lease: Lease,
    /** Fires when it is of no use to wait any longer. */
    private readonly givenUp: AbortSignal,
  ) {
    this.key = keyOf(prefix, lease.id);
  }

  async waitForTurn(
    value: Bytes,
    { tryOnce = false, ...options }: MutationOptions & { tryOnce?: boolean },
  ): Promise<Ownership> {
    const { key, givenUp } = this;
    const enter = {
      compares: [compare.absent(key)],
      success: [op.put(key, value, { lease: this.lease.id })],
      failure: [],
    };
    await this.parts.writes.transact(enter, { ...options, signal: givenUp });
    for (;;) {
      const { entries, revision } = await this.readQueue();
      const queue = contenders(entries, this.prefix);
      const at = queue.findIndex((entry) => entry.key === key);
      const own = queue[at];
      if (own === undefined)
        throw new KvdError('KVD_LOCK_LOST', `${this.what}: the place in the queue is gone`);
      const predecessor = queue[at - 1];
      if (predecessor === undefined) {
        const ownership = new Ownership(this.parts, this.what, key, own.createRevision, this.lease);
        ownership.guard(revision);
        return ownership;
      }
      if (tryOnce) throw new KvdError('KVD_CONDITION_FALSE', `${this.what} is held by somebody else`);
      await this.waitForEndOf(predecessor, revision);
    }
  }

  private async readQueue(): Promise<{ entries: Entry[]; revision: number }> {
    const found: { entries: Entry[]; revision: number } = { entries: [], revision: 0 };
    const pages = this.parts.reads.pages({
      prefix: this.prefix,
      keysOnly: true,
      consistency: 'linearizable',
      // As long as we are in the queue at all.
      timeoutMs: TIMEOUT_MS_MAX,
      signal: this.givenUp,
    });
    for await (const { entries, revision } of pages) {
      found.entries.push(...entries);
      found.revision = revision;
    }
    return found;
  }

  private async waitForEndOf(predecessor: Entry, revision: number): Promise<void> {
    const watch = this.parts.watch({
      key: predecessor.keyBytes,
      fromRevision: revision + 1,
      signal: this.givenUp,
    });
    try {
      for await (const event of watch) if (event.type === 'delete') return;
    } catch (error) {
      // What happened to it is forgotten: look again.
      if (!(error instanceof KvdError && error.code === 'KVD_COMPACTED')) throw error;
    }
  }
}

/** Being the owner: until it is given up, or lost. */
export class Ownership {
  readonly signal: AbortSignal;
  private readonly lost = new AbortController();
  private watch: Watch | null = null;
  private isOver = false;
  /** Given up, and the cluster does not know yet. */
  private isLeaving = false;
  private readonly onLeaseLost = (): void => this.lose('its lease is lost', this.lease.signal.reason);

  constructor(
    private readonly parts: Parts,
    readonly what: string,
    /** The owner's key. */
    readonly key: string,
    readonly token: number,
    readonly lease: Lease,
  ) {
    this.signal = this.lost.signal;
    lease.signal.addEventListener('abort', this.onLeaseLost, { once: true });
    // Lost in the moment between.
    if (lease.signal.aborted) this.onLeaseLost();
  }

  /** Notice when the key is deleted, which it was not at `revision`. */
  guard(revision: number): void {
    if (this.isOver) return;
    this.watch = this.parts.watch({ key: this.key, fromRevision: revision + 1 });
    void this.follow(this.watch);
  }

  /** What holds as long as this ownership does. */
  get condition(): Compare {
    return compare.createRevision(this.key, '=', this.token);
  }

  /** @throws KvdError KVD_LOCK_LOST: it is over */
  check(): void {
    // The timer that notices may be late, where this process was stopped.
    if (!this.isOver) this.lease.checkTime();
    if (this.isOver) throw this.refusal();
  }

  /** The cluster refused a write for it. */
  refused(): KvdError {
    this.lose('the cluster has another owner, or none', undefined);
    return this.refusal();
  }

  /** Give it up: the next in line gets it. Where that fails it may be called again, and the lease ends by itself. */
  async release(options: MutationOptions | undefined): Promise<void> {
    if (this.isOver && !this.isLeaving) return;
    this.isLeaving = true;
    this.end();
    this.lease.stopKeepAlive();
    try {
      await this.lease.revoke(options);
    } catch (error) {
      // It had ended already, which is what was wanted.
      if (!(error instanceof KvdError && error.code === 'KVD_LEASE_NOT_FOUND')) throw error;
    }
    this.isLeaving = false;
  }

  private refusal(): KvdError {
    const error = new KvdError('KVD_LOCK_LOST', `${this.what} is no longer held with token ${this.token}`);
    return this.signal.aborted ? withCause(error, this.signal.reason) : error;
  }

  private lose(why: string, cause: unknown): void {
    if (this.isOver) return;
    this.end();
    // The key may still be there: let the next one in.
    if (!isClosed(cause)) void leave(this.lease);
    this.lost.abort(withCause(new KvdError('KVD_LOCK_LOST', `${this.what} is lost: ${why}`), cause));
  }

  private end(): void {
    this.isOver = true;
    this.watch?.close();
    this.lease.signal.removeEventListener('abort', this.onLeaseLost);
  }

  private async follow(watch: Watch): Promise<void> {
    try {
      for await (const event of watch)
        if (event.type === 'delete') this.lose('its key was deleted', undefined);
    } catch (error) {
      if (!(error instanceof KvdError && error.code === 'KVD_COMPACTED')) return;
      await this.lookAgain();
    }
  }

  /** The history of the key is gone: is the key? */
  private async lookAgain(): Promise<void> {
    try {
      const options = {
        consistency: 'linearizable',
        timeoutMs: TIMEOUT_MS_MAX,
        signal: this.lease.signal,
      } as const;
      const { entry, revision } = await this.parts.reads.getWithRevision(toBytes(this.key), options);
      if (entry?.createRevision === this.token) this.guard(revision);
      else this.lose('its key was deleted', undefined);
    } catch {
      // The lease is lost, or the client closed: then the signal says so.
    }
  }
}

function isClosed(cause: unknown): cause is KvdError {
  return cause instanceof KvdError && cause.code === 'KVD_CLOSED';
}
