/** What a client can be told: at connect, and for each operation. Checks it; the defaults are here. */
import {
  type Consistency,
  KvdError,
  CLIENT_NAME_BYTES_MAX,
  PRINCIPAL_BYTES_MAX,
  REASON_BYTES_MAX,
  TIMEOUT_MS_MAX,
} from '@kvd/protocol';
import type { Bytes } from './bytes.js';
import type { Note } from './operation.js';

/** For connect(). */
export interface ConnectOptions {
  /** HOST:PORT of one or more replicas. The others are learned from them. */
  readonly endpoints: string | readonly string[];
  /** What an operation may take, retries included, unless it says otherwise. Default 5,000 ms. */
  readonly timeoutMs?: number;
  /** How long connect() waits for the first replica to answer. Default: timeoutMs. */
  readonly connectTimeoutMs?: number;
  /** For reads that do not say otherwise. Default 'linearizable'. */
  readonly consistency?: Consistency;
  /** Shown in the replicas' logs. Default 'kvd-client'. */
  readonly name?: string;
  /**
   * Who this client's mutations are noted to be by in the history, up to 256 bytes. It is what the client says of
   * itself: nothing checks it. Default: nobody.
   */
  readonly principal?: string;
  /** Operations sent and not answered, at most; more wait in the queue. Default 16,384. */
  readonly inFlightMax?: number;
  /** The same in bytes of keys and values. Default 32 MiB. */
  readonly inFlightBytesMax?: number;
  /** Operations that wait to be sent, at most; one more is refused as KVD_OVERLOADED. Default 65,536. */
  readonly queueMax?: number;
  /** The same in bytes of keys and values. Default 64 MiB. */
  readonly queueBytesMax?: number;
  /** Gives up connecting. */
  readonly signal?: AbortSignal;
}

/** For every operation. */
export interface OperationOptions {
  /** What it may take, retries included, in ms. */
  readonly timeoutMs?: number;
  /** Gives up waiting. A mutation that was sent already may still happen: KVD_OUTCOME_UNKNOWN. */
  readonly signal?: AbortSignal;
}

/** For every mutation. */
export interface MutationOptions extends OperationOptions {
  /** Who it is noted to be by in the history, up to 256 bytes. Default: the client's principal. */
  readonly principal?: string;
  /** Why it is done, for the history, up to 1 KiB. */
  readonly reason?: string;
}

export interface PutOptions extends MutationOptions {
  /** The lease that the key belongs to from now on, and ends with. Default: none, also if it belonged to one before. */
  readonly lease?: number;
  /** Only if the key is absent. */
  readonly ifAbsent?: boolean;
  /** Only if the key's modRevision is this one; 0: only if it is absent. */
  readonly ifRevision?: number;
}

export interface DeleteOptions extends MutationOptions {
  /** Only if the key's modRevision is this one. Of one key, not of a range. */
  readonly ifRevision?: number;
}

/** For every read. */
export interface ReadOptions extends OperationOptions {
  /**
   * 'linearizable': sees every write that was acknowledged before the read began. 'stale': what the replica at hand
   * has applied, which may lag; answered without a quorum.
   */
  readonly consistency?: Consistency;
}

export interface GetOptions extends ReadOptions {
  /** As it was after this revision, which must not be compacted. Default, and 0: now. */
  readonly revision?: number;
}

/** Which keys: those that satisfy all that is given. Keys are ordered by their bytes. */
export interface RangeOptions {
  readonly prefix?: Bytes;
  /** The first key wanted. */
  readonly from?: Bytes;
  /** The first key not wanted any more. */
  readonly to?: Bytes;
}

export interface ScanOptions extends RangeOptions, GetOptions {
  /** Entries at most. Default: all. */
  readonly limit?: number;
  /** Leave the values out. */
  readonly keysOnly?: boolean;
  /** The last key first. */
  readonly reverse?: boolean;
}

export interface CountOptions extends RangeOptions, GetOptions {}

/** One key, or a range. */
export interface KeysOptions extends RangeOptions {
  readonly key?: Bytes;
}

export interface HistoryOptions extends KeysOptions, ReadOptions {
  /** The first revision wanted. Default: the oldest that is kept. */
  readonly fromRevision?: number;
  /** Revisions at most. Default: all. */
  readonly limit?: number;
}

const DEFAULT_TIMEOUT_MS = 5_000;

/** ConnectOptions with every default filled in. */
export interface Settings {
  readonly endpoints: readonly string[];
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly consistency: Consistency;
  readonly name: string;
  readonly principal: string;
  readonly inFlightMax: number;
  readonly inFlightBytesMax: number;
  readonly queueMax: number;
  readonly queueBytesMax: number;
}

/** @throws KvdError KVD_BAD_REQUEST on an option that makes no sense */
export function toSettings(options: ConnectOptions): Settings {
  if (typeof options !== 'object' || options === null) throw bad('connect({ endpoints }) says where kvd is');
  const given = typeof options.endpoints === 'string' ? options.endpoints.split(',') : options.endpoints;
  if (!Array.isArray(given) || given.length === 0) throw bad('endpoints: give at least one HOST:PORT');
  const timeoutMs = checkTimeout('timeoutMs', options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  return {
    endpoints: [...new Set(given.map(checkEndpoint))],
    timeoutMs,
    connectTimeoutMs: checkTimeout('connectTimeoutMs', options.connectTimeoutMs ?? timeoutMs),
    consistency: checkConsistency(options.consistency ?? 'linearizable'),
    name: checkText('name', options.name ?? 'kvd-client', CLIENT_NAME_BYTES_MAX),
    principal: checkText('principal', options.principal ?? '', PRINCIPAL_BYTES_MAX),
    inFlightMax: checkCount('inFlightMax', options.inFlightMax ?? 16_384),
    inFlightBytesMax: checkCount('inFlightBytesMax', options.inFlightBytesMax ?? 32 * 1024 * 1024),
    queueMax: checkCount('queueMax', options.queueMax ?? 65_536),
    queueBytesMax: checkCount('queueBytesMax', options.queueBytesMax ?? 64 * 1024 * 1024),
  };
}

export function checkTimeout(name: string, ms: number): number {
  if (typeof ms === 'number' && ms > 0 && ms <= TIMEOUT_MS_MAX) return ms;
  throw bad(`${name}: ${ms} is not a number of ms from 1 to ${TIMEOUT_MS_MAX}`);
}

export function checkConsistency(consistency: Consistency): Consistency {
  if (consistency === 'linearizable' || consistency === 'stale') return consistency;
  throw bad(`consistency: '${String(consistency)}' is neither 'linearizable' nor 'stale'`);
}

/** A whole number, 0 or more. */
export function checkLimit(limit: number): number {
  if (Number.isSafeInteger(limit) && limit >= 0) return limit;
  throw bad(`limit: ${limit} is not a whole number, 0 or more`);
}

/** A revision, 0 or undefined: none in particular. */
export function checkRevision(name: string, revision: number | undefined): number {
  if (revision === undefined) return 0;
  if (Number.isSafeInteger(revision) && revision >= 0) return revision;
  throw bad(`${name}: ${revision} is no revision`);
}

/** A lease's id; 0 is none. */
export function checkLease(lease: number): number {
  if (Number.isSafeInteger(lease) && lease > 0) return lease;
  throw bad(`lease: ${lease} is no id of a lease`);
}

/** What the history is to say of a mutation besides what the session says; null: nothing. */
export function noteOf(options: MutationOptions | undefined): Note | null {
  if (options?.principal === undefined && options?.reason === undefined) return null;
  return {
    principal: checkText('principal', options.principal ?? '', PRINCIPAL_BYTES_MAX),
    reason: checkText('reason', options.reason ?? '', REASON_BYTES_MAX),
  };
}

/** What has to be an object, from JavaScript that was not told by types. */
export function checkObject<T extends object>(name: string, given: T): T {
  if (typeof given === 'object' && given !== null) return given;
  throw bad(`${name}: an object is expected, not ${given === null ? 'null' : typeof given}`);
}

export function checkSignal(signal: AbortSignal | undefined): AbortSignal | undefined {
  // Of whichever realm: test runners have their own.
  if (signal === undefined || typeof signal?.addEventListener === 'function') return signal;
  throw bad('signal: an AbortSignal is expected');
}

export function bad(message: string): KvdError {
  return new KvdError('KVD_BAD_REQUEST', message);
}

function checkEndpoint(endpoint: string): string {
  const text = String(endpoint).trim();
  const port = Number(/^(?:[^\s:/[\]]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})$/.exec(text)?.[1]);
  if (port >= 1 && port <= 65_535) return text;
  throw bad(`endpoints: '${text}' is not HOST:PORT`);
}

function checkCount(name: string, count: number): number {
  if (Number.isSafeInteger(count) && count >= 1) return count;
  throw bad(`${name}: ${count} is not a whole number, 1 or more`);
}

function checkText(name: string, text: string, bytesMax: number): string {
  const bytes = typeof text === 'string' ? Buffer.byteLength(text) : Number.NaN;
  if (bytes <= bytesMax) return text;
  throw bad(`${name}: not a text of at most ${bytesMax} bytes`);
}
