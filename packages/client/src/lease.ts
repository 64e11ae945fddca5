/**
 * Leases: keys that end together unless somebody keeps them alive. The cluster counts their time on its own clock
 * (DESIGN 2), which never runs faster than ours; who holds one counts from before the request was sent, so that here it
 * is given up no later than there.
 */
import { KvdError, type LeasesPage, type Response, TIMEOUT_MS_MAX } from '@kvd/protocol';
import { copyBytes } from './bytes.js';
import { type Caller, unexpected } from './caller.js';
import {
  bad,
  checkLease,
  checkObject,
  type MutationOptions,
  type OperationOptions,
  type ReadOptions,
} from './options.js';
import { asDeleted, type DeleteResult } from './writes.js';

export interface GrantOptions extends MutationOptions {
  /** How long it lives without being kept alive: 100 ms to 366 days. */
  readonly ttlMs: number;
  /** Keep it alive in the background, at a third of its time, until it is revoked or the client closed. Default: no. */
  readonly keepAlive?: boolean;
}

/** A lease as the cluster has it. */
export interface LeaseStatus {
  readonly id: number;
  readonly ttlMs: number;
  /** On the cluster's clock. 0: about to end. */
  readonly remainingMs: number;
  /** Of show(): its keys, the first of them when they are more than 1 MiB; empty in a list. */
  readonly keys: readonly Uint8Array[];
}

const SHARE = 3;
/** A background keep-alive that failed is tried again after this time, or the third if that is less. */
const RETRY_MS = 1_000;
/** setTimeout takes no more than 2^31 - 1 ms. */
const TIMER_MS_MAX = 2 ** 30;

/** A lease that this client was granted. */
export class Lease {
  /** Fires when it is lost: it ended, or may have, because it was not kept alive in time. Not when it is revoked here. */
  readonly signal: AbortSignal;
  private readonly lost = new AbortController();
  private expiry: NodeJS.Timeout | null = null;
  private keeper: NodeJS.Timeout | null = null;
  private isOver = false;
  /** Its end is asked for: until that is answered it is not kept alive. */
  private isEnding = false;

  /** @internal */
  constructor(
    private readonly leases: Leases,
    readonly id: number,
    readonly ttlMs: number,
    /** By our monotonic clock: until then the cluster certainly has it. */
    private heldUntilMs: number,
    /** The same by the wall clock, which goes on while a machine is suspended. */
    private heldUntilWallMs: number,
    private isKept: boolean,
  ) {
    this.signal = this.lost.signal;
    this.watchExpiry();
    if (isKept) this.scheduleKeepAlive(heldUntilMs - ttlMs + ttlMs / SHARE);
  }

  /**
   * Let it live for its whole time again.
   * @throws KvdError KVD_LEASE_NOT_FOUND: it is over
   */
  async keepAliveOnce(options?: OperationOptions): Promise<void> {
    const sentMs = this.leases.now();
    const sentWallMs = this.leases.wallMs();
    try {
      await this.leases.keepAlive(this.id, options);
    } catch (error) {
      if (error instanceof KvdError && error.code === 'KVD_LEASE_NOT_FOUND') this.lose('it is over');
      throw error;
    }
    this.heldUntilMs = Math.max(this.heldUntilMs, sentMs + this.ttlMs);
    this.heldUntilWallMs = sentWallMs + this.ttlMs;
  }

  /**
   * End it and delete its keys, as one revision. Where that fails and nothing was done it goes on as before; where it may have
   * been done, it is not kept alive any more.
   * @throws KvdError KVD_LEASE_NOT_FOUND: it is over
   */
  async revoke(options?: MutationOptions): Promise<DeleteResult> {
    this.isEnding = true;
    this.clearKeeper();
    try {
      const result = await this.leases.revoke(this.id, options);
      this.end();
      return result;
    } catch (error) {
      const { code = '', outcome = 'unknown' } = error instanceof KvdError ? error : {};
      if (code === 'KVD_LEASE_NOT_FOUND') this.end();
      else if (outcome === 'not-done') {
        this.isEnding = false;
        if (this.isKept) this.scheduleKeepAlive(this.leases.now());
      }
      throw error;
    }
  }

  /** No longer keep it alive in the background: it ends when its time is over. */
  stopKeepAlive(): void {
    this.isKept = false;
    this.clearKeeper();
  }

  private clearKeeper(): void {
    if (this.keeper !== null) clearTimeout(this.keeper);
    this.keeper = null;
  }

  /** @internal It is of no interest any more: no timer, no signal. */
  end(): void {
    this.isOver = true;
    this.stopKeepAlive();
    if (this.expiry !== null) clearTimeout(this.expiry);
    this.expiry = null;
    this.leases.forget(this);
  }

  /** @internal */
  lose(why: string, code: 'KVD_LEASE_NOT_FOUND' | 'KVD_CLOSED' = 'KVD_LEASE_NOT_FOUND'): void {
    if (this.isOver) return;
    this.end();
    this.lost.abort(new KvdError(code, `lease ${this.id} is lost: ${why}`, 'not-done'));
  }

  /** @internal Has its time run out? Asked where a timer may come late, as after this process was stopped. */
  checkTime(): void {
    if (this.leases.now() >= this.heldUntilMs || this.leases.wallMs() >= this.heldUntilWallMs)
      this.lose('it was not kept alive in time');
  }

  private watchExpiry(): void {
    if (this.isOver) return;
    const leftMs = Math.max(0, Math.min(this.heldUntilMs - this.leases.now(), TIMER_MS_MAX));
    this.expiry = setTimeout(() => {
      this.checkTime();
      this.watchExpiry();
    }, leftMs).unref();
  }

  private scheduleKeepAlive(atMs: number): void {
    this.clearKeeper();
    const inMs = Math.max(0, Math.min(atMs - this.leases.now(), TIMER_MS_MAX));
    this.keeper = setTimeout(() => void this.keepAliveInBackground(), inMs);
  }

  private async keepAliveInBackground(): Promise<void> {
    const sentMs = this.leases.now();
    this.checkTime();
    if (!this.isKept || this.isEnding) return;
    let nextMs = sentMs + this.ttlMs / SHARE;
    try {
      await this.keepAliveOnce({ timeoutMs: Math.min(this.heldUntilMs - sentMs, TIMEOUT_MS_MAX) });
    } catch {
      nextMs = this.leases.now() + Math.min(RETRY_MS, this.ttlMs / SHARE);
    }
    // stopKeepAlive, revoke, loss or close may have come meanwhile.
    if (this.isKept && !this.isEnding) this.scheduleKeepAlive(nextMs);
  }
}

/** `kv.lease`. Every method rejects as KvdClient says. */
export class Leases {
  private readonly held = new Set<Lease>();

  /** @internal */
  constructor(
    private readonly caller: Caller,
    /** @internal */
    readonly wallMs: () => number = Date.now,
  ) {}

  /** A new lease, to be named in puts. */
  async grant(given: GrantOptions): Promise<Lease> {
    const { ttlMs, keepAlive = false, ...options } = checkObject('grant', given);
    if (!Number.isSafeInteger(ttlMs)) throw bad(`ttlMs: ${ttlMs} is not a whole number of ms`);
    const sentMs = this.now();
    const sentWallMs = this.wallMs();
    const { id } = await this.caller.mutate({ type: 'lease-grant', ttlMs }, asLease, options);
    const lease = new Lease(this, id, ttlMs, sentMs + ttlMs, sentWallMs + ttlMs, keepAlive);
    this.held.add(lease);
    return lease;
  }

  /**
   * Let any lease live for its whole time again, which is `ttlMs`.
   * @throws KvdError KVD_LEASE_NOT_FOUND: it is over, or never was
   */
  async keepAlive(id: number, options?: OperationOptions): Promise<{ readonly ttlMs: number }> {
    return this.caller.repeat({ type: 'lease-keep-alive', lease: checkLease(id) }, asLease, options);
  }

  /**
   * End any lease and delete its keys, as one revision.
   * @throws KvdError KVD_LEASE_NOT_FOUND: it is over, or never was
   */
  async revoke(id: number, options?: MutationOptions): Promise<DeleteResult> {
    return this.caller.mutate({ type: 'lease-revoke', lease: checkLease(id) }, asDeleted, options);
  }

  /** A lease with its keys; undefined when it is over, or never was. */
  async show(id: number, options?: ReadOptions): Promise<LeaseStatus | undefined> {
    const [status] = (await this.page(checkLease(id), 0, options)).leases;
    return status === undefined ? undefined : toStatus(status);
  }

  /** All leases, without their keys, in the order of their ids; page by page, so not of one moment. */
  async *list(options?: ReadOptions): AsyncGenerator<LeaseStatus, void, void> {
    let after = 0;
    for (;;) {
      const page = await this.page(0, after, options);
      yield* page.leases.map(toStatus);
      const last = page.leases.at(-1);
      if (!page.more || last === undefined) return;
      after = last.lease;
    }
  }

  /** @internal */
  now(): number {
    return this.caller.dispatcher.now();
  }

  /** @internal */
  forget(lease: Lease): void {
    this.held.delete(lease);
  }

  /** @internal Nothing is kept alive any more. */
  close(): void {
    for (const lease of this.held) lease.lose('the client was closed', 'KVD_CLOSED');
  }

  private page(lease: number, after: number, options: ReadOptions | undefined): Promise<LeasesPage> {
    const consistency = this.caller.consistency(options);
    return this.caller.read({ type: 'leases', consistency, lease, after }, asLeases, options);
  }
}

function asLease(response: Response): { id: number; ttlMs: number } {
  if (response.type !== 'result' || response.result.type !== 'lease') throw unexpected(response, 'unknown');
  return { id: response.result.lease, ttlMs: response.result.ttlMs };
}

function asLeases(response: Response): LeasesPage {
  if (response.type !== 'leases') throw unexpected(response, 'not-done');
  return response;
}

function toStatus({ lease, ttlMs, remainingMs, keys }: LeasesPage['leases'][number]): LeaseStatus {
  return { id: lease, ttlMs, remainingMs, keys: keys.map(copyBytes) };
}
