/**
 * Where superseded versions lie on disk. Revisions are cut into spans of equal length, and a version lies in the span of the
 * revision that superseded it, there by key.
 *
 * Why: what is superseded now belongs to the last span, so what LevelDB holds of those before overlaps with nothing new, and
 * its tables are moved down the levels as they are. With all versions in one order by key every flush touches all of the
 * history, and LevelDB writes it again and again. What it costs is that a read of the past looks into each span since.
 *
 * A version valid after revision N was superseded later, if at all: so it is in the span of N + 1 or one after it, or
 * among those that were written up to format 4, which lie in one order and go with the compaction.
 */
import type { Revision } from '@kvd/protocol';
import {
  decodeVersion,
  type Span,
  spanEnd,
  type Version,
  versionKey,
  versionsFrom,
} from './history-records.js';
import type { TextRange } from './key-range.js';
import type { KvRecord } from './kv-record.js';
import type { KeyRange } from './ordered-store.js';
import { unseal } from './sealed.js';
import { stateKey } from './state-records.js';

/** About 50 MB of versions of 100 B. */
export const DEFAULT_SPAN_REVISIONS = 2 ** 18;

export interface FoundVersion {
  readonly logical: Buffer;
  readonly sealed: Buffer;
  /** Where its value lies apart, a stub. */
  readonly record: KvRecord;
}

export class VersionSpans {
  /**
   * `revisions`: how many a span has, of one directory always as many. `writes`: where new versions go; what is read is the
   * same.
   */
  constructor(
    private readonly revisions: number,
    private readonly writes: 'spans' | 'as-format-4',
  ) {}

  /** The logical key of a version of `key` that is to be written. */
  keyOf(key: string, { revision, superseded }: Pick<Version, 'revision' | 'superseded'>): Buffer {
    return versionKey(this.writes === 'spans' ? this.spanOf(superseded) : null, key, revision);
  }

  /**
   * The version of `key` that revision `revision` made, if one from `first` to `last` superseded it. `read`: by logical key.
   * @throws StoreError damaged
   */
  find(
    read: (logical: Buffer) => Buffer | undefined,
    key: string,
    revision: Revision,
    first: Revision,
    last = first,
  ): FoundVersion | undefined {
    for (const span of [...this.spansOf(first, last), null]) {
      const logical = versionKey(span, key, revision);
      const sealed = read(logical);
      if (sealed === undefined) continue;
      return { logical, sealed, record: decodeVersion(logical, unseal(logical, sealed).body).record };
    }
    return undefined;
  }

  /**
   * Groups of ranges for the version of `key` that was valid after `revision`: it is the first pair that a reader finds in one of
   * the groups, or none is. `present`: the state's revision.
   *
   * Why: each range goes down from `revision`. In the spans after the first all were superseded later, so the first that is
   * found was valid; what the first span finds may have been superseded before, and then whatever lies below it was, too. The
   * same goes for what was written up to format 4, which is a group of its own.
   */
  rangesAt(generation: number, key: string, revision: Revision, present: Revision): readonly KeyRange[][] {
    const rangeOf = (span: Span): KeyRange => ({
      gte: stateKey(generation, versionKey(span, key, 0)),
      lt: stateKey(generation, versionKey(span, key, revision + 1)),
      reverse: true,
    });
    return [
      this.spansOf(revision + 1, present)
        .toReversed()
        .map(rangeOf),
      [rangeOf(null)],
    ];
  }

  /** Of the versions of a range of keys that were valid after `revision`, and others: a range for each span. */
  rangesOf(
    generation: number,
    { from, to }: TextRange,
    revision: Revision,
    present: Revision,
  ): readonly Pick<KeyRange, 'gte' | 'lt'>[] {
    return [...this.spansOf(revision + 1, present), null].map((span) => ({
      gte: stateKey(generation, versionsFrom(span, from)),
      lt: stateKey(generation, to === '' ? spanEnd(span) : versionsFrom(span, to)),
    }));
  }

  private spanOf(superseded: Revision): number {
    return Math.floor(superseded / this.revisions);
  }

  /** Of versions that were superseded by a revision from `first` to `last`. */
  private spansOf(first: Revision, last: Revision): number[] {
    const spans: number[] = [];
    const end = this.spanOf(last);
    for (let span = this.spanOf(first); span <= end; span += 1) spans.push(span);
    return spans;
  }
}
