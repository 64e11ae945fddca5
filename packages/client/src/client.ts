/**
 * The client as its users see it: checks what they pass, turns it into tasks for the dispatcher and its answers into
 * results. Holds no state of its own.
 */
import {
  checkKey,
  checkValue,
  KvdError,
  PAGE_ENTRIES_MAX,
  type Response,
  type ScanPage,
} from '@kvd/protocol';
import { type Bytes, copyBytes, isEmptyRange, type KeyRange, toBytes, toRange } from './bytes.js';
import { Dispatcher } from './dispatcher.js';
import { Entry } from './entry.js';
import type { OpenSocket } from './link.js';
import {
  bad,
  checkConsistency,
  checkLimit,
  checkTimeout,
  type ConnectOptions,
  type CountOptions,
  type OperationOptions,
  type RangeOptions,
  type ReadOptions,
  type ScanOptions,
  type Settings,
  toSettings,
} from './options.js';
import { openSocket as openClientSocket } from './socket.js';

/** `revision`: the cluster's count of mutations, which this one took. */
export interface PutResult {
  readonly revision: number;
}

/** `deleted`: how many keys were there. With 0, `revision` is the cluster's present one: nothing changed. */
export interface DeleteResult {
  readonly revision: number;
  readonly deleted: number;
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
 * - KVD_SESSION_EXPIRED: the cluster has forgotten this client's session, so it cannot tell whether it did the mutation.
 * - KVD_OVERLOADED: too much is under way; await some of it first.
 * - KVD_CLOSED: close() was called, or the AbortSignal fired before anything was sent.
 */
export class KvdClient {
  private constructor(
    private readonly dispatcher: Dispatcher,
    private readonly settings: Settings,
  ) {}

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
    return new KvdClient(dispatcher, settings);
  }

  /** Store `value` (0 B to 1 MiB) under `key` (1 B to 4 KiB). Strings are stored as UTF-8. */
  async put(key: Bytes, value: Bytes, options?: OperationOptions): Promise<PutResult> {
    const task = { type: 'put', key: toBytes(key), value: toBytes(value) } as const;
    checkKey(task.key);
    checkValue(task.value);
    return this.dispatcher.submit(task, asPut, this.timeoutMs(options), options?.signal);
  }

  /** The entry of `key`, undefined when there is none. */
  async get(key: Bytes, options?: ReadOptions): Promise<Entry | undefined> {
    const consistency = checkConsistency(options?.consistency ?? this.settings.consistency);
    const task = { type: 'get', consistency, key: copyBytes(toBytes(key)) } as const;
    checkKey(task.key);
    return this.dispatcher.submit(task, asEntry, this.timeoutMs(options), options?.signal);
  }

  /** Delete one key, or with `{ prefix }` all keys that begin with it, as one mutation. */
  async delete(key: Bytes | { readonly prefix: Bytes }, options?: OperationOptions): Promise<DeleteResult> {
    if (typeof key === 'object' && 'prefix' in key) return this.deleteRange({ prefix: key.prefix }, options);
    const task = { type: 'delete', key: toBytes(key) } as const;
    checkKey(task.key);
    return this.dispatcher.submit(task, asDeleted, this.timeoutMs(options), options?.signal);
  }

  /** Delete all keys of a range, as one mutation. `{ prefix: '' }` is every key; `{}` is refused. */
  async deleteRange(range: RangeOptions, options?: OperationOptions): Promise<DeleteResult> {
    if (range.prefix === undefined && range.from === undefined && range.to === undefined) {
      throw bad("deleteRange needs prefix, from or to; { prefix: '' } means every key");
    }
    const task = { type: 'delete-range', ...toRange(range) } as const;
    return this.dispatcher.submit(task, asDeleted, this.timeoutMs(options), options?.signal);
  }

  /**
   * The entries of a range in the order of their keys' bytes. Pages are fetched as they are needed, each with a timeout
   * of its own and as of the moment it is read: a scan over more than one page is no snapshot.
   */
  async *scan(options: ScanOptions = {}): AsyncGenerator<Entry, void, void> {
    let left = options.limit === undefined ? Number.POSITIVE_INFINITY : checkLimit(options.limit);
    let range = toRange(options);
    while (left > 0 && !isEmptyRange(range)) {
      const page = await this.page(
        range,
        options,
        Math.min(left, PAGE_ENTRIES_MAX),
        options.keysOnly ?? false,
        false,
      );
      for (const entry of page.entries) yield new Entry(entry);
      left -= page.entries.length;
      if (page.next === null) return;
      range = { from: copyBytes(page.next), to: range.to };
    }
  }

  /** How many keys a range holds. */
  async count(options: CountOptions = {}): Promise<number> {
    let range = toRange(options);
    let count = 0;
    while (!isEmptyRange(range)) {
      const page = await this.page(range, options, 0, true, true);
      count += page.count;
      if (page.next === null) break;
      range = { from: copyBytes(page.next), to: range.to };
    }
    return count;
  }

  /** Reject what is under way with KVD_CLOSED and disconnect. Leaves no timer and no socket. */
  async close(): Promise<void> {
    await this.dispatcher.close();
  }

  private page(
    range: KeyRange,
    options: ReadOptions,
    limit: number,
    keysOnly: boolean,
    countOnly: boolean,
  ): Promise<ScanPage> {
    const consistency = checkConsistency(options.consistency ?? this.settings.consistency);
    const task = { type: 'scan', consistency, ...range, limit, keysOnly, countOnly } as const;
    return this.dispatcher.submit(task, asPage, this.timeoutMs(options), options.signal);
  }

  private timeoutMs(options: OperationOptions | undefined): number {
    return options?.timeoutMs === undefined
      ? this.settings.timeoutMs
      : checkTimeout('timeoutMs', options.timeoutMs);
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

function asPut(response: Response): PutResult {
  if (response.type === 'result' && response.result.type === 'put')
    return { revision: response.result.revision };
  throw unexpected(response, 'unknown');
}

function asDeleted(response: Response): DeleteResult {
  if (response.type !== 'result' || response.result.type !== 'deleted') throw unexpected(response, 'unknown');
  return { revision: response.result.revision, deleted: response.result.deleted };
}

function asEntry(response: Response): Entry | undefined {
  if (response.type !== 'entry') throw unexpected(response, 'not-done');
  return response.entry === null ? undefined : new Entry(response.entry);
}

function asPage(response: Response): ScanPage {
  if (response.type !== 'page') throw unexpected(response, 'not-done');
  return response;
}

function unexpected(response: Response, outcome: 'unknown' | 'not-done'): KvdError {
  return new KvdError('KVD_INTERNAL', `the replica sent an answer of type '${response.type}'`, outcome);
}
