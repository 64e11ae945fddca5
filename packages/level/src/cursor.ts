/**
 * What the three kinds of iterators have in common: a place in a range, as it was at one revision, from which entries
 * are taken. Entries are fetched in pages that grow, so that an iterator that is asked for one entry and dropped costs
 * little and a long one few round trips; they are bounded by bytes on the server.
 */
import type { Entry } from '@kvd/client';
import { beyond, fromBound, isEmpty, isIn, type Range } from './keyspace.js';
import type { Remote } from './remote.js';

const FIRST_PAGE_ENTRIES = 64;
const PAGE_GROWTH = 16;

export interface CursorOptions {
  readonly range: Range;
  readonly reverse: boolean;
  readonly keysOnly: boolean;
  /** Entries in all, seeks or not. */
  readonly limit: number;
  readonly signal: AbortSignal | undefined;
}

export class Cursor {
  /** What the entries that were not taken yet are in. */
  private rest: Range;
  private left: number;
  private walk: AsyncGenerator<Entry, void, void> | null = null;

  constructor(
    private readonly remote: Remote,
    private readonly revision: Promise<number>,
    private readonly options: CursorOptions,
  ) {
    this.rest = options.range;
    this.left = options.limit;
    // Whoever takes from the cursor gets the error; nobody may.
    revision.catch(() => undefined);
  }

  /** The next entries, up to `size`; none at the end. After an error it is where it was before the call. */
  async take(size: number): Promise<Entry[]> {
    const count = Math.min(size, this.left);
    const entries: Entry[] = [];
    try {
      this.walk ??= this.pages(await this.revision, count);
      while (entries.length < count) {
        const step = await this.walk.next();
        if (step.done === true) break;
        entries.push(step.value);
      }
    } catch (error) {
      this.walk = null;
      throw error;
    }
    const last = entries.at(-1);
    if (last !== undefined) this.rest = beyond(this.rest, last.keyBytes, this.options.reverse);
    this.left -= entries.length;
    return entries;
  }

  /** Go on at `target`, where the range has it; to the end otherwise. */
  seek(target: Uint8Array): void {
    const { range, reverse } = this.options;
    this.walk = null;
    this.rest = isIn(range, target) ? fromBound(range, target, reverse) : { from: target, to: target };
  }

  private async *pages(at: number, wanted: number): AsyncGenerator<Entry, void, void> {
    const { reverse, keysOnly, signal } = this.options;
    let rest = this.rest;
    let left = this.left;
    for (let page = Math.max(FIRST_PAGE_ENTRIES, wanted); left > 0 && !isEmpty(rest); page *= PAGE_GROWTH) {
      const limit = Math.min(page, left);
      let last: Entry | null = null;
      let count = 0;
      for await (const entry of this.remote.scan({ range: rest, at, reverse, keysOnly, limit, signal })) {
        last = entry;
        count++;
        yield entry;
      }
      if (last === null || count < limit) return;
      rest = beyond(rest, last.keyBytes, reverse);
      left -= count;
    }
  }
}
