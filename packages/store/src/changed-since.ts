/**
 * The keys of a range that changed after a revision, as they were at it: from what the revisions since then did, the first
 * of which to change a key names the version that it superseded. Costs as much as there were changes since.
 */
import type { Revision } from '@kvd/protocol';
import type { Done } from '@kvd/replica';
import { keyBytes } from './bytes.js';
import { damaged } from './errors.js';
import type { HistoryBuffer } from './history-buffer.js';
import { decodeVersion, versionKey } from './history-records.js';
import { isIn, type TextRange } from './key-range.js';
import type { KvRecord } from './kv-record.js';
import type { OrderedStore } from './ordered-store.js';
import { RevisionParts } from './revision-parts.js';
import { unseal } from './sealed.js';
import { stateKey } from './state-records.js';
import { completed } from './values-apart.js';

export class ChangedSince {
  private readonly parts: RevisionParts;
  /** By key: the revision of the version that it had; 0: none. */
  private readonly before = new Map<string, Revision>();

  constructor(
    private readonly store: OrderedStore,
    private readonly generation: number,
    private readonly history: HistoryBuffer,
    private readonly range: TextRange,
    private readonly revision: Revision,
  ) {
    this.parts = new RevisionParts(store, generation, history, { revision: revision + 1, index: 0 });
  }

  /** The keys that were there, with the revision of what they had, in no order. */
  read(done: Done<readonly (readonly [key: string, revision: Revision])[]>): void {
    this.parts.read(
      ({ revision, events }) => {
        if (revision <= this.revision) return true;
        for (const { key, before } of events) {
          if (isIn(key, this.range) && !this.before.has(key)) this.before.set(key, before);
        }
        return true;
      },
      (error) =>
        done(
          error,
          [...this.before].filter(([, before]) => before > 0),
        ),
    );
  }

  /** With its value. @throws StoreError damaged: it is not there, or was compacted meanwhile */
  recordOf(key: string, revision: Revision): KvRecord {
    const record = this.history.versionOf(key, revision)?.record ?? this.onDisk(key, revision);
    const read = (value: Buffer): Buffer | undefined => this.store.get(stateKey(this.generation, value));
    return completed(keyBytes(key), record, read);
  }

  private onDisk(key: string, revision: Revision): KvRecord {
    const logical = versionKey(key, revision);
    const sealed = this.store.get(stateKey(this.generation, logical));
    if (sealed === undefined) throw damaged(`version ${revision} of a key is missing from the history`);
    return decodeVersion(logical, unseal(logical, sealed).body).record;
  }

  close(): void {
    this.parts.close();
  }
}
