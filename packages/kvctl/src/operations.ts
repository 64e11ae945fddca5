/**
 * The operations of scripts and of the shell: read from words, done on a client, told as JSON or text. One executor for
 * both, so that a line means the same in either. Never prints and never exits.
 */
import type { Entry, KvdClient } from '@kvd/client';
import { setTimeout as sleep } from 'node:timers/promises';
import { bytesField, printable } from './bytes.js';

export type ScriptOperation =
  | { readonly op: 'PUT'; readonly key: string; readonly value: string }
  | { readonly op: 'GET'; readonly key: string }
  | { readonly op: 'DELETE'; readonly key: string }
  | { readonly op: 'SCAN'; readonly prefix: string }
  | { readonly op: 'SLEEP'; readonly ms: number }
  /** `value` null: EXPECT NONE. */
  | { readonly op: 'EXPECT'; readonly value: string | null };

/** Why words are no operation. */
export class OperationError extends Error {
  override name = 'OperationError';
}

/** Usage of every operation, in the order of `HELP`. */
export const OPERATIONS: readonly { readonly usage: string; readonly about: string }[] = [
  { usage: 'PUT key value', about: 'store a value' },
  { usage: 'GET key', about: 'read a value' },
  { usage: 'DELETE key', about: 'delete a key (also DEL)' },
  { usage: 'SCAN [prefix]', about: 'list the keys that begin with prefix, with their values' },
  { usage: 'EXPECT value', about: 'check the value of the last GET; EXPECT NONE: it was absent' },
  { usage: 'SLEEP ms', about: 'wait' },
];

const SLEEP_MS_MAX = 3_600_000;
/** A SCAN lists so many entries at most: its result is one line, held in memory. `kvctl scan` has no such bound. */
const SCAN_ENTRIES_MAX = 10_000;

/** The operation that the words of a line are. @throws OperationError saying what is wrong */
export function parseOperation(words: readonly string[]): ScriptOperation {
  const [name = '', ...rest] = words;
  const [first = '', second = ''] = rest;
  switch (name.toUpperCase()) {
    case 'PUT':
      checkCount(rest, 2, 2, 'PUT key value');
      return { op: 'PUT', key: checkKey(first), value: second };
    case 'GET':
      checkCount(rest, 1, 1, 'GET key');
      return { op: 'GET', key: checkKey(first) };
    case 'DELETE':
    case 'DEL':
      checkCount(rest, 1, 1, 'DELETE key');
      return { op: 'DELETE', key: checkKey(first) };
    case 'SCAN':
      checkCount(rest, 0, 1, 'SCAN [prefix]');
      return { op: 'SCAN', prefix: first };
    case 'EXPECT':
      checkCount(rest, 1, 1, 'EXPECT value');
      return { op: 'EXPECT', value: first === 'NONE' ? null : first };
    case 'SLEEP': {
      checkCount(rest, 1, 1, 'SLEEP ms');
      const ms = /^\d+$/.test(first) ? Number(first) : Number.NaN;
      if (!(ms <= SLEEP_MS_MAX)) throw new OperationError(`SLEEP: '${first}' is not a number of ms`);
      return { op: 'SLEEP', ms };
    }
    default:
      throw new OperationError(`unknown operation '${name}'`);
  }
}

function checkCount(words: readonly string[], min: number, max: number, usage: string): void {
  if (words.length >= min && words.length <= max) return;
  throw new OperationError(
    `${words.length === 0 ? 'nothing' : `${words.length} word(s)`} after the name, wanted: ${usage}`,
  );
}

function checkKey(key: string): string {
  if (key.length > 0) return key;
  throw new OperationError('a key has at least one byte');
}

/** What an operation did. `json`: the fields of its line, without line and ms; `text`: for people, may be empty. */
export interface Done {
  readonly json: Readonly<Record<string, unknown>>;
  readonly text: string;
  /** EXPECT only: what is wrong, or empty. */
  readonly mismatch: string;
}

/** Does operations one after the other; remembers the last GET for EXPECT. */
export class Executor {
  /** Undefined before the first GET, null when it found nothing. */
  private lastGet: Entry | null | undefined = undefined;

  constructor(
    private readonly client: KvdClient,
    private readonly signal?: AbortSignal,
  ) {}

  /** @throws KvdError what the operation failed with */
  async execute(operation: ScriptOperation): Promise<Done> {
    const options = this.signal === undefined ? {} : { signal: this.signal };
    switch (operation.op) {
      case 'PUT': {
        const { revision } = await this.client.put(operation.key, operation.value, options);
        return done({ op: 'PUT', key: operation.key, revision }, `revision ${revision}`);
      }
      case 'GET': {
        const entry = await this.client.get(operation.key, options);
        this.lastGet = entry ?? null;
        if (entry === undefined) return done({ op: 'GET', key: operation.key, value: null }, '(absent)');
        return done(
          { op: 'GET', key: operation.key, ...bytesField('value', entry.value) },
          printable(entry.value),
        );
      }
      case 'DELETE': {
        const result = await this.client.delete(operation.key, options);
        const text = result.deleted === 0 ? 'was absent' : `deleted, revision ${result.revision}`;
        return done({ op: 'DELETE', key: operation.key, ...result }, text);
      }
      case 'SCAN':
        return this.scan(operation.prefix, options);
      case 'SLEEP':
        await sleep(operation.ms, undefined, options);
        return done({ op: 'SLEEP' }, '');
      case 'EXPECT':
        return this.expect(operation.value);
    }
  }

  private async scan(prefix: string, options: { signal?: AbortSignal }): Promise<Done> {
    const entries: Record<string, string>[] = [];
    const lines: string[] = [];
    for await (const entry of this.client.scan({ prefix, limit: SCAN_ENTRIES_MAX, ...options })) {
      entries.push({ ...bytesField('key', entry.keyBytes), ...bytesField('value', entry.value) });
      lines.push(`  ${printable(entry.keyBytes)}\t${printable(entry.value)}`);
    }
    return done(
      { op: 'SCAN', prefix, count: entries.length, entries },
      [`${entries.length} entries`, ...lines].join('\n'),
    );
  }

  private expect(value: string | null): Done {
    const last = this.lastGet;
    const wanted = value === null ? 'NONE' : value;
    if (last === undefined)
      return { ...done({ op: 'EXPECT', ok: false }, ''), mismatch: 'there was no GET before it' };
    const ok = value === null ? last === null : last !== null && Buffer.from(value).equals(last.value);
    const found = last === null ? 'NONE' : printable(last.value);
    const mismatch = ok ? '' : `expected ${wanted}, found ${found}`;
    return { ...done({ op: 'EXPECT', value: wanted, ok }, ok ? 'as expected' : mismatch), mismatch };
  }
}

function done(json: Readonly<Record<string, unknown>>, text: string): Done {
  return { json, text, mismatch: '' };
}
