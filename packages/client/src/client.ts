/**
 * The client as its users see it. It puts the parts together and hands each call to the one that does it; what they do is
 * documented here.
 */
import type { Response } from '@kvd/protocol';
import type { Bytes } from './bytes.js';
import { Caller, unexpected } from './caller.js';
import { Dispatcher } from './dispatcher.js';
import { Election } from './election.js';
import type { Entry } from './entry.js';
import { Leases } from './lease.js';
import type { OpenSocket } from './link.js';
import { Locks } from './lock.js';
import {
  bad,
  checkObject,
  checkRevision,
  checkSignal,
  type ConnectOptions,
  type CountOptions,
  type DeleteOptions,
  type GetOptions,
  type HistoryOptions,
  type MutationOptions,
  type OperationOptions,
  type PutOptions,
  type RangeOptions,
  type ReadOptions,
  type ScanOptions,
  toSettings,
} from './options.js';
import { askOutcome, type OperationName, type OperationOutcome } from './outcome.js';
import type { Parts } from './ownership.js';
import { type HistoryRevision, Reads } from './reads.js';
import { openSocket as openClientSocket } from './socket.js';
import type { TxnBuilder, TxnParts, TxnResult } from './txn.js';
import type { Watch } from './watch.js';
import { toWatchRequest, type WatchOptions } from './watch-options.js';
import { type AddResult, type DeleteResult, type PutResult, Writes } from './writes.js';

/**
 * How much of the past the cluster keeps: what either bound asks for. The rest is compacted in the background; with both
 * 0, nothing is. At first it is 100,000 revisions and five minutes.
 */
export interface Retention {
  /** The last so many revisions; 0: no such bound. */
  readonly keepRevisions: number;
  /** Those of the last so many ms of the cluster's clock; 0: no such bound. */
  readonly keepMs: number;
}

/** How long one replica may take to welcome us, before it counts as not answering. */
const HANDSHAKE_MS = 2_000;

/**
 * A client of a kvd cluster. Made by connect().
 *
 * Operations may be started without waiting for earlier ones; those under way at the same time take effect in any
 * order. Each is retried, at other replicas too, until its timeout, and a mutation takes effect at most once however
 * often it is sent. Do not change a Uint8Array that you passed before the call's promise settled.
 *
 * Every method rejects with a KvdError:
 * - KVD_BAD_REQUEST, KVD_TOO_LARGE: it can never be done.
 * - KVD_UNAVAILABLE (reads also KVD_TIMEOUT): no quorum could be reached in time; nothing was done.
 * - KVD_OUTCOME_UNKNOWN: a mutation was sent and not answered in time. It was done at most once, or may yet be.
 *   `error.operationId` is what outcome() takes to find out.
 * - KVD_SESSION_EXPIRED: the cluster has forgotten this client's session, so it cannot tell whether it did the mutation.
 * - KVD_OVERLOADED: too much is under way; await some of it first.
 * - KVD_CLOSED: close() was called, or the AbortSignal fired before anything was sent.
 *
 * Any error has `outcome`: 'not-done' where certainly nothing was done, else 'unknown', which a mutation can have with any
 * of these codes when an earlier attempt of it was lost.
 */
export class KvdClient {
  /** Leases: keys that end together unless they are kept alive. */
  readonly lease: Leases;
  /** Locks, with fencing. */
  readonly lock: Locks;
  private readonly caller: Caller;
  private readonly reads: Reads;
  private readonly writes: Writes;
  private readonly parts: Parts;

  private constructor(caller: Caller) {
    this.caller = caller;
    this.reads = new Reads(caller);
    this.writes = new Writes(caller);
    this.lease = new Leases(caller);
    const { reads, writes, lease: leases } = this;
    this.parts = { reads, writes, leases, watch: (options) => this.watch(options) };
    this.lock = new Locks(this.parts);
  }

  /** As connect(); `openSocket` and `random` are for tests. */
  static async connect(
    options: ConnectOptions,
    openSocket: OpenSocket = openClientSocket,
    random: () => number = Math.random,
  ): Promise<KvdClient> {
    const settings = toSettings(options);
    const handshakeTimeoutMs = Math.min(HANDSHAKE_MS, settings.connectTimeoutMs);
    const dispatcher = new Dispatcher({ ...settings, handshakeTimeoutMs, openSocket, random });
    try {
      await dispatcher.connect(settings.connectTimeoutMs, options.signal);
    } catch (error) {
      await dispatcher.close();
      throw error;
    }
    return new KvdClient(new Caller(dispatcher, settings));
  }

  /**
   * Store `value` (0 B to 1 MiB) under `key` (1 B to 4 KiB). Strings are stored as UTF-8.
   *
   * @throws KvdError KVD_CONDITION_FALSE: ifAbsent or ifRevision does not hold; KVD_LEASE_NOT_FOUND
   */
  async put(key: Bytes, value: Bytes, options?: PutOptions): Promise<PutResult> {
    return this.writes.put(key, value, options);
  }

  /**
   * The entry of `key`, undefined when there is none (or was none at that revision).
   *
   * @throws KvdError KVD_COMPACTED: the revision is no longer kept; KVD_FUTURE_REVISION: it is not there yet
   */
  async get(key: Bytes, options?: GetOptions): Promise<Entry | undefined> {
    return this.reads.get(key, options);
  }

  /**
   * Delete one key, or with `{ prefix }` all keys that begin with it, as one mutation. `{ prefix: '' }` is every key.
   *
   * @throws KvdError KVD_CONDITION_FALSE: ifRevision does not hold
   */
  async delete(key: Bytes | { readonly prefix: Bytes }, options?: DeleteOptions): Promise<DeleteResult> {
    return this.writes.delete(key, options);
  }

  /** Delete all keys of a range, as one mutation. `{ prefix: '' }` is every key; `{}` is refused. */
  async deleteRange(range: RangeOptions, options?: MutationOptions): Promise<DeleteResult> {
    return this.writes.deleteRange(range, options);
  }

  /**
   * Add to the decimal number in a value; an absent key counts as 0. Exactly once, like every mutation.
   *
   * @throws KvdError KVD_NOT_AN_INTEGER: the value is no decimal number of 64 bits, or would not be after
   */
  async add(key: Bytes, delta: number | bigint, options?: MutationOptions): Promise<AddResult> {
    return this.writes.add(key, delta, options);
  }

  /** A transaction: compares, and one of two branches, all of it or nothing, as one revision. See TxnBuilder. */
  txn(): TxnBuilder {
    return this.writes.txn();
  }

  /** A transaction as data, as parseTxnJson of @kvd/protocol gives it. */
  async transact(parts: TxnParts, options?: MutationOptions): Promise<TxnResult> {
    return this.writes.transact(parts, options);
  }

  /**
   * The entries of a range in the order of their keys' bytes, as of one revision: the given one, else that at which the
   * first page was read. Pages are fetched as they are needed, each with a timeout of its own.
   *
   * @throws KvdError KVD_COMPACTED: the revision is no longer kept, or the cluster stopped keeping it before the scan was
   *   through
   */
  scan(options: ScanOptions = {}): AsyncGenerator<Entry, void, void> {
    return this.reads.scan(checkObject('scan', options));
  }

  /** How many keys a range holds, or held at a revision. */
  async count(options: CountOptions = {}): Promise<number> {
    return this.reads.count(checkObject('count', options));
  }

  /** The cluster's present revision: reads and watches can start from it. */
  async revision(options?: ReadOptions): Promise<number> {
    return this.reads.revision(options);
  }

  /**
   * What happens to the keys of a range, from a revision on: in order, each event once, also across restarts and changes of
   * replica. See Watch.
   *
   *     for await (const event of kv.watch({ prefix: 'config/' })) console.log(event.type, event.keyText(), event.text());
   *
   * @throws KvdError KVD_OVERLOADED: 20,000 watches are open
   */
  watch(options: WatchOptions): Watch {
    const { request, bounds } = toWatchRequest(checkObject('watch', options));
    return this.caller.dispatcher.watches.open(request, bounds, checkSignal(options.signal));
  }

  /**
   * What was done to the keys of a range, by whom and why, from a revision on until the present one; without any of key,
   * prefix, from and to: to all keys.
   *
   * @throws KvdError KVD_COMPACTED: fromRevision is no longer kept
   */
  history(options: HistoryOptions = {}): AsyncGenerator<HistoryRevision, void, void> {
    return this.reads.history(checkObject('history', options));
  }

  /** An election of that name; does nothing yet. */
  election(name: string): Election {
    return new Election(this.parts, name);
  }

  /**
   * What became of an operation that ended with outcome 'unknown'? If nothing did, nothing will: asking fences it. Can be
   * asked by any client, for about ten minutes after the one that did it is gone.
   */
  async outcome(operation: OperationName, options?: OperationOptions): Promise<OperationOutcome> {
    return askOutcome(this.caller, operation, options);
  }

  /**
   * Forget what was superseded at or below a revision: it can no longer be read, and no watch can start at or below it.
   *
   * @throws KvdError KVD_FUTURE_REVISION: the cluster has not come to it
   */
  async compact(revision: number, options?: OperationOptions): Promise<void> {
    if (checkRevision('revision', revision) === 0) throw bad('revision: compact needs one');
    await this.caller.repeat({ type: 'compact', revision }, asDone, options);
  }

  /** Tell the cluster how much of the past to keep. */
  async setRetention(retention: Retention, options?: MutationOptions): Promise<void> {
    const { keepRevisions, keepMs } = checkObject('retention', retention);
    for (const [name, value] of Object.entries({ keepRevisions, keepMs })) {
      if (!Number.isSafeInteger(value) || value < 0)
        throw bad(`${name}: ${value} is not a whole number from 0`);
    }
    await this.caller.mutate({ type: 'set-retention', keepRevisions, keepMs }, asDone, options);
  }

  /**
   * Reject what is under way with KVD_CLOSED, end watches, stop keeping leases alive, and disconnect. Leaves no timer and no
   * socket. Leases are not revoked, so what is locked stays so until its lease ends: release it before.
   */
  async close(): Promise<void> {
    this.lease.close();
    await this.caller.dispatcher.close();
  }
}

/**
 * Connect to a cluster. Resolves once any of the endpoints answered; goes to the leader by itself.
 *
 * @throws KvdError KVD_UNAVAILABLE when none answered in time (the message says what each did), KVD_BAD_REQUEST on an
 *   option that makes no sense, KVD_WRONG_CLUSTER or KVD_PROTOCOL_VERSION when every endpoint refused us
 */
export function connect(options: ConnectOptions): Promise<KvdClient> {
  return KvdClient.connect(options);
}

function asDone(response: Response): void {
  if (response.type !== 'result' || response.result.type !== 'done') throw unexpected(response, 'unknown');
}
