/**
 * The keys of a range that changed after a revision, as they were at it: from what the revisions since then did, the first
 * of which to change a key names the version that it superseded. Costs as much as there were changes since.
 */
import type { Revision } from '@kvd/protocol';
import type { Done } from '@kvd/replica';
import { keyBytes } from './bytes.js';
import { damaged } from './errors.js';
import type { HistoryBuffer } from './history-buffer.js';
import { isIn, type TextRange } from './key-range.js';
import type { KvRecord } from './kv-record.js';
import type { OrderedStore } from './ordered-store.js';
import { RevisionParts } from './revision-parts.js';
import { stateKey } from './state-records.js';
import { completed } from './values-apart.js';
import type { VersionSpans } from './version-spans.js';

interface Superseded {
  readonly revision: Revision;
  readonly by: Revision;
}

export class ChangedSince {
  private readonly parts: RevisionParts;
  /** By key: the revision of the version that it had, 0: none; and the one that superseded it. */
  private readonly before = new Map<string, Superseded>();

  constructor(
    private readonly store: OrderedStore,
    private readonly generation: number,
    private readonly spans: VersionSpans,
    private readonly history: HistoryBuffer,
    private readonly range: TextRange,
    private readonly revision: Revision,
  ) {
    this.parts = new RevisionParts(store, generation, history, { revision: revision + 1, index: 0 });
  }

  /** The keys that were there, in no order. */
  read(done: Done<readonly string[]>): void {
    this.parts.read(
      ({ revision, events }) => {
        if (revision <= this.revision) return true;
        for (const { key, before } of events) {
          if (isIn(key, this.range) && !this.before.has(key))
            this.before.set(key, { revision: before, by: revision });
        }
        return true;
      },
      (error) =>
        done(
          error,
          [...this.before].flatMap(([key, { revision }]) => (revision > 0 ? [key] : [])),
        ),
    );
  }

  /** What one of them had, with its value. @throws StoreError damaged: it is not there, or was compacted meanwhile */
  recordOf(key: string): KvRecord {
    const { revision, by } = this.before.get(key) as Superseded;
    const record = this.history.versionOf(key, revision)?.record ?? this.onDisk(key, revision, by);
    return completed(keyBytes(key), record, this.onLogical);
  }

  private onDisk(key: string, revision: Revision, by: Revision): KvRecord {
    const found = this.spans.find(this.onLogical, key, revision, by);
    if (found === undefined) throw damaged(`version ${revision} of a key is missing from the history`);
    return found.record;
  }

  private readonly onLogical = (logical: Buffer): Buffer | undefined =>
    this.store.get(stateKey(this.generation, logical));

  close(): void {
    this.parts.close();
  }
}
