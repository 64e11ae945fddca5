/**
 * Compaction on disk: removes, in bounded pages, what no read at or above the compact revision can want. It goes along
 * the revisions: what one of them superseded goes, and what it did itself. A record whose last revision is not compacted
 * stays whole.
 */
import type { Revision } from '@kvd/protocol';
import type { Done } from '@kvd/replica';
import { keyBytes } from './bytes.js';
import { subtractSealed } from './content-hash.js';
import { damaged } from './errors.js';
import { decodeRevisions, type RevisionPart, revisionKey } from './history-records.js';
import { isStub, sizeOf } from './kv-record.js';
import type { OrderedStore, StoreOp } from './ordered-store.js';
import { unseal } from './sealed.js';
import { type KeptHistory, PREFIX_BYTES, type StateHead, stateKey, valueKey } from './state-records.js';
import type { VersionSpans } from './version-spans.js';

/** Records of revisions that one page reads at most; and records that it removes, but for those of its last one. */
const PAGE_READS = 32;
const PAGE_RECORDS = 256;

export interface CompactedPage {
  /** None: there is nothing to remove. */
  readonly ops: StoreOp[];
  readonly kept: KeptHistory;
  /** Nothing more can be removed before the compact revision reaches this one; 0: perhaps there is more. */
  readonly doneUntil: Revision;
}

/** The next page. Errors: StoreError damaged. */
export function compactPage(
  store: OrderedStore,
  head: StateHead,
  spans: VersionSpans,
  done: Done<CompactedPage>,
): void {
  const { generation, kept, compactRevision } = head;
  const gte = stateKey(generation, revisionKey(0));
  const reader = store.range({ gte, lt: stateKey(generation, revisionKey(compactRevision + 1)) });
  const ops: StoreOp[] = [];
  /** Of the values that lie apart from what goes. */
  const values: StoreOp[] = [];
  const hash = kept.hash.clone();
  let { compactedThrough } = kept;
  let doneUntil = 0;
  const read = (logical: Buffer): Buffer | undefined => store.get(stateKey(generation, logical));
  const remove = (diskKey: Buffer, sealed: Buffer): void => {
    subtractSealed(hash, sealed);
    ops.push({ key: diskKey, value: null });
  };
  reader.next(PAGE_READS, (error, pairs) => {
    reader.close();
    let failure = error;
    try {
      for (const [diskKey, sealed] of failure === null ? pairs : []) {
        const logical = diskKey.subarray(PREFIX_BYTES);
        const parts = decodeRevisions(logical, unseal(logical, sealed).body);
        const { revision, more } = parts.at(-1) as RevisionPart;
        if (revision > compactRevision) {
          doneUntil = revision;
          break;
        }
        for (const { revision: superseded, events } of parts) {
          for (const { key, before } of events) {
            if (before === 0) continue;
            const found = spans.find(read, key, before, superseded);
            if (found === undefined) throw damaged(`version ${before} of a key is missing from the history`);
            remove(stateKey(generation, found.logical), found.sealed);
            if (!isStub(found.record)) continue;
            const valueDiskKey = stateKey(generation, valueKey(keyBytes(key), before));
            values.push({ key: valueDiskKey, value: null, freed: sizeOf(found.record) });
          }
        }
        remove(diskKey, sealed);
        compactedThrough = more ? revision - 1 : revision;
        if (ops.length >= PAGE_RECORDS) break;
      }
      if (ops.length === 0) doneUntil ||= compactRevision + 1;
    } catch (thrown) {
      failure = thrown instanceof Error ? thrown : new Error(String(thrown));
    }
    const records = kept.records - ops.length;
    ops.push(...values);
    done(failure, { ops, kept: { compactedThrough, records, hash }, doneUntil });
  });
}
