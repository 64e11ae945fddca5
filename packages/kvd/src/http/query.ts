/**
 * Query parameters and request headers that mean something. Strict: a name that a route does not know, a name given
 * twice and a value that is not allowed are errors, so that a misspelt `consistency` never reads stale data in silence.
 */
import type { IncomingMessage } from 'node:http';
import {
  type Consistency,
  IDEMPOTENCY_KEY_BYTES_MAX,
  KvdError,
  type LeaseId,
  parseLease,
  prefixEnd,
  PRINCIPAL_BYTES_MAX,
  REASON_BYTES_MAX,
  type Revision,
  TIMEOUT_MS_MAX,
} from '@kvd/protocol';
import { isUtf8 } from 'node:buffer';
import { percentDecode } from './bytes.js';

export const DEFAULT_TIMEOUT_MS = 5_000;
export const LIMIT_MAX = 2 ** 31 - 1;

const bad = (message: string): KvdError => new KvdError('KVD_BAD_REQUEST', message);

export class Query {
  readonly #values = new Map<string, Uint8Array>();

  /**
   * @param raw what follows the '?', undecoded
   * @param known names that the route takes
   * @throws KvdError(KVD_BAD_REQUEST)
   */
  constructor(raw: string, known: readonly string[]) {
    for (const part of raw.split('&')) {
      if (part === '') continue;
      const equals = part.indexOf('=');
      const name = text(percentDecode(equals < 0 ? part : part.slice(0, equals)));
      if (!known.includes(name)) {
        const names = known.length === 0 ? 'none is' : `${known.join(', ')} are`;
        throw bad(`unknown query parameter ${JSON.stringify(name.slice(0, 64))}; ${names} known here`);
      }
      if (this.#values.has(name)) throw bad(`query parameter ${name} is given twice`);
      this.#values.set(name, percentDecode(equals < 0 ? '' : part.slice(equals + 1)));
    }
  }

  bytes(name: string): Uint8Array | undefined {
    return this.#values.get(name);
  }

  consistency(): Consistency {
    const value = this.#text('consistency') ?? 'linearizable';
    if (value !== 'linearizable' && value !== 'stale') {
      throw bad(`consistency must be linearizable or stale, not ${JSON.stringify(value)}`);
    }
    return value;
  }

  /** A name alone, as in `?keys_only`, is true. */
  flag(name: string): boolean {
    const value = this.#text(name) ?? 'false';
    if (value !== 'true' && value !== 'false' && value !== '') {
      throw bad(`${name} must be true or false, not ${JSON.stringify(value)}`);
    }
    return value !== 'false';
  }

  /** Entries wanted at most; 0: all. */
  limit(): number {
    return this.wholeNumber('limit', 1, LIMIT_MAX) ?? 0;
  }

  /** To read the past; 0: now. */
  revision(): Revision {
    return this.wholeNumber('revision', 1, Number.MAX_SAFE_INTEGER) ?? 0;
  }

  wholeNumber(name: string, min: number, max: number): number | undefined {
    const value = this.#text(name);
    return value === undefined ? undefined : wholeNumber(name, value, min, max);
  }

  /** What is in prefix, from and to, as far as they are given. An empty `to`: no upper bound. */
  range(): { readonly from: Uint8Array; readonly to: Uint8Array } {
    const prefix = this.bytes('prefix') ?? new Uint8Array(0);
    const from = this.bytes('from');
    return {
      from: from !== undefined && Buffer.compare(prefix, from) < 0 ? from : prefix,
      to: lowerBound(prefixEnd(prefix), this.bytes('to')),
    };
  }

  /** As range(), or the key alone. @throws KvdError(KVD_BAD_REQUEST) when both are given */
  keyOrRange(): { readonly from: Uint8Array; readonly to: Uint8Array } {
    const key = this.bytes('key');
    if (key === undefined) return this.range();
    if (key.length === 0) throw bad('the key is empty');
    if (['prefix', 'from', 'to'].some((name) => this.#values.has(name))) {
      throw bad('key goes with none of prefix, from and to');
    }
    return { from: key, to: Buffer.concat([key, Buffer.of(0)]) };
  }

  lease(): LeaseId {
    const value = this.#text('lease');
    return value === undefined ? 0 : leaseOf(value);
  }

  #text(name: string): string | undefined {
    const bytes = this.#values.get(name);
    return bytes === undefined ? undefined : text(bytes);
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/** Of two upper bounds the one that excludes more; empty means none. */
function lowerBound(a: Uint8Array, b: Uint8Array | undefined): Uint8Array {
  if (b === undefined || b.length === 0) return a;
  if (a.length === 0) return b;
  return Buffer.compare(a, b) < 0 ? a : b;
}

/** @throws KvdError(KVD_BAD_REQUEST) on what names no lease */
export function leaseOf(value: string): LeaseId {
  const lease = parseLease(value);
  if (lease === null) throw bad(`${JSON.stringify(value.slice(0, 64))} is not the number of a lease`);
  return lease;
}

function wholeNumber(name: string, value: string, min: number, max: number): number {
  const number = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (number >= min && number <= max) return number;
  throw bad(`${name} must be an integer from ${min} to ${max}, not ${JSON.stringify(value.slice(0, 64))}`);
}

function oneHeader(request: IncomingMessage, name: string): string | undefined {
  const values = request.headersDistinct[name];
  if (values === undefined) return undefined;
  if (values.length > 1) throw bad(`header ${name} is given ${values.length} times`);
  return values[0];
}

/** Kvd-Timeout-Ms. */
export function timeoutOf(request: IncomingMessage): number {
  const value = oneHeader(request, 'kvd-timeout-ms');
  return value === undefined ? DEFAULT_TIMEOUT_MS : wholeNumber('Kvd-Timeout-Ms', value, 1, TIMEOUT_MS_MAX);
}

/** Last-Event-ID: a revision, for whoever reads server-sent events and comes back. */
export function lastEventIdOf(request: IncomingMessage): Revision | undefined {
  const value = oneHeader(request, 'last-event-id');
  return value === undefined
    ? undefined
    : wholeNumber('Last-Event-ID', value, 0, Number.MAX_SAFE_INTEGER - 1);
}

/** Idempotency-Key, as its bytes. */
export function idempotencyKeyOf(request: IncomingMessage): Uint8Array | undefined {
  const value = oneHeader(request, 'idempotency-key');
  if (value === undefined) return undefined;
  const bytes = Buffer.from(value, 'latin1');
  if (bytes.length < 1 || bytes.length > IDEMPOTENCY_KEY_BYTES_MAX) {
    throw bad(`Idempotency-Key must have 1 to ${IDEMPOTENCY_KEY_BYTES_MAX} bytes, not ${bytes.length}`);
  }
  return bytes;
}

/** Kvd-Principal and Kvd-Reason: who does it and why, as the client says; empty: not said. */
export function noteOf(request: IncomingMessage): { readonly principal: string; readonly reason: string } {
  return {
    principal: textHeader(request, 'Kvd-Principal', PRINCIPAL_BYTES_MAX),
    reason: textHeader(request, 'Kvd-Reason', REASON_BYTES_MAX),
  };
}

/** Headers are bytes; what people write into these is UTF-8. */
function textHeader(request: IncomingMessage, name: string, bytesMax: number): string {
  const bytes = Buffer.from(oneHeader(request, name.toLowerCase()) ?? '', 'latin1');
  if (bytes.length > bytesMax) throw bad(`${name} has at most ${bytesMax} bytes, not ${bytes.length}`);
  if (!isUtf8(bytes)) throw bad(`${name} is not valid UTF-8`);
  return bytes.toString('utf8');
}
