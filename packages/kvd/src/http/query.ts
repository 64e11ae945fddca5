/**
 * Query parameters and request headers that mean something. Strict: a name that a route does not know, a name given
 * twice and a value that is not allowed are errors, so that a misspelt `consistency` never reads stale data in silence.
 */
import type { IncomingMessage } from 'node:http';
import { type Consistency, IDEMPOTENCY_KEY_BYTES_MAX, KvdError, TIMEOUT_MS_MAX } from '@kvd/protocol';
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
      if (name === 'revision') {
        throw bad('?revision (reading the past) is not supported yet');
      }
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
    const value = this.#text('limit');
    return value === undefined ? 0 : wholeNumber('limit', value, LIMIT_MAX);
  }

  #text(name: string): string | undefined {
    const bytes = this.#values.get(name);
    return bytes === undefined ? undefined : text(bytes);
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

function wholeNumber(name: string, value: string, max: number): number {
  const number = /^\d{1,15}$/.test(value) ? Number(value) : 0;
  if (number < 1 || number > max) {
    throw bad(`${name} must be an integer from 1 to ${max}, not ${JSON.stringify(value.slice(0, 64))}`);
  }
  return number;
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
  return value === undefined ? DEFAULT_TIMEOUT_MS : wholeNumber('Kvd-Timeout-Ms', value, TIMEOUT_MS_MAX);
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
