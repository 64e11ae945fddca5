/**
 * Does the operations of scripts and of the shell on a client, and tells them as JSON or text. One executor for both, so
 * that a line means the same in either. Never prints and never exits.
 */
import { compare, type Entry, type KvdClient, KvdError, op, type WatchEvent } from '@kvd/client';
import { bytesField } from '@kvd/protocol';
import { setTimeout as sleep } from 'node:timers/promises';
import { printable } from './bytes.js';
import { eventFields, eventText } from './entries.js';
import type { ScriptOperation } from './operations.js';
import { txnFields, txnText } from './results.js';

/** A SCAN lists so many entries at most: its result is one line, held in memory. `kvctl scan` has no such bound. */
const SCAN_ENTRIES_MAX = 10_000;

/** What an operation did. `json`: the fields of its line, without line and ms; `text`: for people, may be empty. */
export interface Done {
  readonly json: Readonly<Record<string, unknown>>;
  readonly text: string;
  /** EXPECT and CAS only: what is wrong, or empty. */
  readonly mismatch: string;
}

export interface ExecutorOptions {
  /** Gives up what is under way, where execute() is not told of another. */
  readonly signal?: AbortSignal;
  /** How long a WATCH waits for its events. */
  readonly timeoutMs: number;
  /** For each mutation: why, if it was said. */
  readonly note: { readonly reason?: string };
}

type Of<Name extends ScriptOperation['op']> = Extract<ScriptOperation, { op: Name }>;

/** Does operations one after the other; remembers the last GET for EXPECT, and what WATCH has told. */
export class Executor {
  /** Undefined before the first GET, null when it found nothing. */
  private lastGet: Entry | null | 'failed' | undefined = undefined;
  /** What WATCH has told, or left behind, is at or below this revision; undefined: begin() was not called. */
  private watched: number | undefined = undefined;
  /** Of the operation under way. */
  private signal: AbortSignal | undefined;

  constructor(
    private readonly client: KvdClient,
    private readonly options: ExecutorOptions,
  ) {
    this.signal = options.signal;
  }

  private get reading(): { readonly signal?: AbortSignal } {
    return this.signal === undefined ? {} : { signal: this.signal };
  }

  private get writing(): { readonly signal?: AbortSignal; readonly reason?: string } {
    return { ...this.reading, ...this.options.note };
  }

  /** From now on a WATCH sees what happens, also what this executor does itself. */
  async begin(signal = this.options.signal): Promise<void> {
    this.signal = signal;
    this.watched = await this.client.revision(this.reading);
  }

  /** One at a time. @throws KvdError what the operation failed with */
  async execute(operation: ScriptOperation, signal = this.options.signal): Promise<Done> {
    this.signal = signal;
    switch (operation.op) {
      case 'PUT': {
        const { revision } = await this.client.put(operation.key, operation.value, this.writing);
        return done({ op: 'PUT', key: operation.key, revision }, `revision ${revision}`);
      }
      case 'GET': {
        this.lastGet = 'failed';
        const entry = await this.client.get(operation.key, this.reading);
        this.lastGet = entry ?? null;
        if (entry === undefined) return done({ op: 'GET', key: operation.key, value: null }, '(absent)');
        return done(
          { op: 'GET', key: operation.key, ...bytesField('value', entry.value) },
          printable(entry.value),
        );
      }
      case 'DELETE': {
        const result = await this.client.delete(operation.key, this.writing);
        const text = result.deleted === 0 ? 'was absent' : `deleted, revision ${result.revision}`;
        return done({ op: 'DELETE', key: operation.key, ...result }, text);
      }
      case 'SCAN':
        return this.scan(operation.prefix);
      case 'CAS':
        return this.compareAndSet(operation);
      case 'ADD': {
        const { revision, value } = await this.client.add(operation.key, operation.delta, this.writing);
        const json = { op: 'ADD', key: operation.key, revision, value: value.toString() };
        return done(json, `${value}, revision ${revision}`);
      }
      case 'TXN': {
        const result = await this.client.transact(operation.parts, this.writing);
        return done({ op: 'TXN', ...txnFields(result) }, txnText(result));
      }
      case 'WATCH':
        return this.watch(operation);
      case 'SLEEP':
        await sleep(operation.ms, undefined, this.reading);
        return done({ op: 'SLEEP' }, '');
      case 'EXPECT':
        return this.expect(operation.value);
    }
  }

  private async scan(prefix: string): Promise<Done> {
    const entries: Record<string, string>[] = [];
    const lines: string[] = [];
    for await (const entry of this.client.scan({ prefix, limit: SCAN_ENTRIES_MAX, ...this.reading })) {
      entries.push({ ...bytesField('key', entry.keyBytes), ...bytesField('value', entry.value) });
      lines.push(`  ${printable(entry.keyBytes)}\t${printable(entry.value)}`);
    }
    return done(
      { op: 'SCAN', prefix, count: entries.length, entries },
      [`${entries.length} entries`, ...lines].join('\n'),
    );
  }

  private async compareAndSet({ key, old, value }: Of<'CAS'>): Promise<Done> {
    const condition = old === null ? compare.absent(key) : compare.value(key, '=', old);
    const { revision, succeeded } = await this.client
      .txn()
      .if(condition)
      .then(op.put(key, value))
      .commit(this.writing);
    const json = { op: 'CAS', key, swapped: succeeded, revision };
    if (succeeded) return done(json, `revision ${revision}`);
    // Only for people: it may be another by now, and a value need not fit the result of a transaction.
    const found = await this.client.get(key, this.reading);
    const mismatch = `${key} is not ${shown(old)} but ${shown(found?.value)}`;
    return { json, text: `not swapped: ${mismatch}`, mismatch };
  }

  /** Whole revisions: what else the last one did is left behind, and the next WATCH begins after it. */
  private async watch({ prefix, count }: Of<'WATCH'>): Promise<Done> {
    const { signal } = this;
    const { timeoutMs } = this.options;
    const late = AbortSignal.timeout(timeoutMs);
    const events: WatchEvent[] = [];
    const after = this.watched ?? (await this.client.revision(this.reading));
    const watch = this.client.watch({
      prefix,
      fromRevision: after + 1,
      signal: signal === undefined ? late : AbortSignal.any([signal, late]),
    });
    try {
      for await (const event of watch) {
        events.push(event);
        if (events.length === count) break;
      }
    } catch (error) {
      if (!late.aborted || signal?.aborted) throw error;
      const message = `${events.length} of ${count} events under '${prefix}' within ${timeoutMs} ms`;
      throw new KvdError('KVD_TIMEOUT', message);
    }
    this.watched = events.at(-1)?.modRevision ?? after;
    const lines = events.map((event) => `  ${event.modRevision}\t${eventText(event)}`);
    return done(
      { op: 'WATCH', prefix, count: events.length, events: events.map(eventFields) },
      [`${events.length} events`, ...lines].join('\n'),
    );
  }

  private expect(value: string | null): Done {
    const last = this.lastGet;
    const wanted = value === null ? 'NONE' : value;
    if (last === undefined || last === 'failed') {
      const mismatch = last === undefined ? 'there was no GET before it' : 'the GET before it failed';
      return { ...done({ op: 'EXPECT', value: wanted, ok: false }, mismatch), mismatch };
    }
    const ok = value === null ? last === null : last !== null && Buffer.from(value).equals(last.value);
    const mismatch = ok ? '' : `expected ${shown(value)}, found ${shown(last?.value)}`;
    return { ...done({ op: 'EXPECT', value: wanted, ok }, ok ? 'as expected' : mismatch), mismatch };
  }
}

/** A value in quotes, for one may be called NONE. */
function shown(value: string | Uint8Array | null | undefined): string {
  if (value === null || value === undefined) return 'no value';
  return `'${printable(Buffer.from(value))}'`;
}

function done(json: Readonly<Record<string, unknown>>, text: string): Done {
  return { json, text, mismatch: '' };
}
