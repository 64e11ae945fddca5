/** Elections: one leader at a time, that everybody can see. A queue like that of a lock (ownership.ts), with values. */
import { KvdError } from '@kvd/protocol';
import { type Bytes, utf8 } from './bytes.js';
import type { Entry } from './entry.js';
import { Fenced } from './fenced.js';
import { bad, type MutationOptions, type OperationOptions, type ReadOptions } from './options.js';
import { contend, type ContendOptions, contenders, type Ownership, type Parts } from './ownership.js';
import { op } from './txn.js';
import type { Writes } from './writes.js';

export type CampaignOptions = ContendOptions;

/** Who leads, as others see it. */
export interface Leader {
  /** Its fencing token: higher with every leader. */
  readonly token: number;
  /** What it campaigned with, or proclaimed last. */
  readonly value: Uint8Array;
  /** The same as UTF-8 text. */
  text(): string;
  /** The key that it holds. */
  readonly key: string;
}

/** Being the leader. Kept alive in the background until resign(). */
export class Leadership extends Fenced {
  /** @internal */
  constructor(
    readonly election: string,
    writes: Writes,
    ownership: Ownership,
  ) {
    super(writes, ownership);
  }

  /**
   * Tell everybody another value.
   * @throws KvdError KVD_LOCK_LOST: somebody else leads, or nobody
   */
  async proclaim(value: Bytes, options?: MutationOptions): Promise<void> {
    await this.txn()
      .then(op.put(this.key, value, { lease: this.ownership.lease.id }))
      .commit(options);
  }

  /** Let the next candidate lead. Nothing when leadership is lost already. */
  async resign(options?: MutationOptions): Promise<void> {
    await this.ownership.release(options);
  }
}

/** `kv.election(name)`. */
export class Election {
  private readonly prefix: string;

  /** @internal */
  constructor(
    private readonly parts: Parts,
    readonly name: string,
  ) {
    if (typeof name !== 'string' || name === '') throw bad('an election needs a name');
    this.prefix = `kvd/election/${name}/`;
  }

  /**
   * Wait until we are the leader; `value` is what others then see. Rejects as kv.lock.acquire() does.
   */
  async campaign(value: Bytes, options: CampaignOptions = {}): Promise<Leadership> {
    const ownership = await contend(this.parts, this.prefix, `election '${this.name}'`, value, options);
    return new Leadership(this.name, this.parts.writes, ownership);
  }

  /** The present leader; undefined when nobody leads. */
  async leader(options?: ReadOptions): Promise<Leader | undefined> {
    const { entries } = await this.candidates(options);
    return toLeader(firstOf(new Map(entries.map((e) => [e.key, candidateOf(e.key, e)])), this.prefix));
  }

  /**
   * The leader now and after every change of leader or value, undefined while there is none. What changes faster than it
   * is read is not left out. Ends with KVD_CLOSED when the signal fires.
   */
  observe(options: OperationOptions = {}): AsyncIterableIterator<Leader | undefined> {
    // Who leaves the loop may do so while the next leader is waited for.
    const left = new AbortController();
    const signal =
      options.signal === undefined ? left.signal : AbortSignal.any([options.signal, left.signal]);
    const leaders = this.follow({ ...options, signal }, left.signal);
    return {
      [Symbol.asyncIterator]() {
        return this;
      },
      next: () => leaders.next(),
      return: async () => {
        left.abort();
        await leaders.return();
        return { done: true, value: undefined };
      },
    };
  }

  private async *follow(
    options: OperationOptions & { readonly signal: AbortSignal },
    left: AbortSignal,
  ): AsyncGenerator<Leader | undefined, void, void> {
    const { signal } = options;
    let shown: Candidate | undefined | null = null;
    for (;;) {
      const { entries, revision } = await this.candidates(options).catch((error: unknown) => {
        if (left.aborted) return NOBODY;
        throw error;
      });
      if (left.aborted) return;
      const known = new Map(entries.map((entry) => [entry.key, candidateOf(entry.key, entry)]));
      const first = firstOf(known, this.prefix);
      if (shown === null || !isSame(shown, first)) yield toLeader((shown = first));
      const watch = this.parts.watch({ prefix: this.prefix, fromRevision: revision + 1, signal });
      try {
        for await (const { events, more } of watch.batches()) {
          for (const [at, event] of events.entries()) {
            const key = event.keyText();
            if (event.type === 'delete') known.delete(key);
            else known.set(key, candidateOf(key, event));
            // Between the changes of one revision nobody ever led.
            const next = events[at + 1];
            if (next === undefined ? more : next.modRevision === event.modRevision) continue;
            const leader = firstOf(known, this.prefix);
            if (!isSame(shown, leader)) yield toLeader((shown = leader));
          }
        }
        return;
      } catch (error) {
        if (left.aborted) return;
        // What happened is forgotten, what is now can be read.
        if (!(error instanceof KvdError && error.code === 'KVD_COMPACTED')) throw error;
      }
    }
  }

  private async candidates(
    options: ReadOptions | undefined,
  ): Promise<{ entries: Entry[]; revision: number }> {
    const found: { entries: Entry[]; revision: number } = { entries: [], revision: 0 };
    for await (const page of this.parts.reads.pages({ ...options, prefix: this.prefix })) {
      found.entries.push(...page.entries);
      found.revision = page.revision;
    }
    return found;
  }
}

const NOBODY: { readonly entries: Entry[]; readonly revision: number } = { entries: [], revision: 0 };

interface Candidate {
  readonly key: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly value: Uint8Array;
}

function candidateOf(
  key: string,
  {
    createRevision,
    modRevision,
    value,
  }: { createRevision: number; modRevision: number; value: Uint8Array | undefined },
): Candidate {
  return { key, createRevision, modRevision, value: value ?? new Uint8Array(0) };
}

function firstOf(candidates: ReadonlyMap<string, Candidate>, prefix: string): Candidate | undefined {
  return contenders([...candidates.values()], prefix)[0];
}

function isSame(a: Candidate | undefined, b: Candidate | undefined): boolean {
  return a?.modRevision === b?.modRevision && a?.key === b?.key;
}

function toLeader(candidate: Candidate | undefined): Leader | undefined {
  if (candidate === undefined) return undefined;
  const { key, createRevision: token, value } = candidate;
  return { key, token, value, text: () => utf8(value) };
}
