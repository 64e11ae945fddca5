/**
 * The history that is not on disk yet: superseded versions and what revisions did, in two layers as the write-back's
 * (write-back.ts), frozen and flushed together with it.
 */
import type { Revision } from '@kvd/protocol';
import { addSealed, Hash64 } from './content-hash.js';
import {
  encodeRevisions,
  groupRevisions,
  type RevisionDone,
  type RevisionPart,
  revisionKey,
  sealVersion,
  type Version,
  versionKey,
} from './history-records.js';
import type { StoreOp } from './ordered-store.js';
import { seal } from './sealed.js';

export class HistoryLayer {
  /** By key, ascending by revision. */
  readonly versions = new Map<string, Version[]>();
  /** Ascending, contiguous. */
  readonly revisions: RevisionDone[] = [];
  versionCount = 0;
}

export class HistoryBuffer {
  active = new HistoryLayer();
  frozen: HistoryLayer | null = null;

  /** Changes that a flush would write, about as heavy as a key each. */
  get size(): number {
    return (
      Math.max(this.active.versionCount, this.active.revisions.length) + (this.frozen?.revisions.length ?? 0)
    );
  }

  addVersion(key: string, version: Version): void {
    const versions = this.active.versions.get(key);
    if (versions === undefined) this.active.versions.set(key, [version]);
    else versions.push(version);
    this.active.versionCount += 1;
  }

  addRevision(done: RevisionDone): void {
    this.active.revisions.push(done);
  }

  /** The version of the key with this very revision, if it is in memory. */
  versionOf(key: string, revision: Revision): Version | undefined {
    return this.find(key, (version) => version.revision === revision);
  }

  /** The superseded version of the key that was valid after this revision, if it is in memory. */
  versionAt(key: string, revision: Revision): Version | undefined {
    return this.find(key, (version) => version.revision <= revision && revision < version.superseded);
  }

  /** All versions in memory that were valid after this revision, newest layer first. */
  *versionsAt(revision: Revision): Generator<readonly [key: string, version: Version]> {
    for (const layer of this.layers()) {
      for (const [key, versions] of layer.versions) {
        for (const version of versions) {
          if (version.revision <= revision && revision < version.superseded) yield [key, version];
        }
      }
    }
  }

  /** What revisions from `revision` on did, of those in memory, ascending. */
  revisionsFrom(revision: Revision): RevisionDone[] {
    const all = [...(this.frozen?.revisions ?? []), ...this.active.revisions];
    const first = all[0]?.revision ?? 0;
    return all.slice(Math.max(0, revision - first));
  }

  freeze(): HistoryLayer {
    this.frozen = this.active;
    this.active = new HistoryLayer();
    return this.frozen;
  }

  thaw(): void {
    this.frozen = null;
  }

  private layers(): HistoryLayer[] {
    return this.frozen === null ? [this.active] : [this.active, this.frozen];
  }

  private find(key: string, isIt: (version: Version) => boolean): Version | undefined {
    for (const layer of this.layers()) {
      const found = layer.versions.get(key)?.find(isIt);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/** The records of a layer on logical keys, made one by one, sealed with `flush`; and what they add to the kept history. */
export class HistoryRecords {
  count = 0;
  readonly hash = new Hash64();

  constructor(
    private readonly layer: HistoryLayer,
    private readonly flush: number,
  ) {}

  /** Once. */
  *make(): Generator<StoreOp> {
    const { layer, flush } = this;
    for (const [key, versions] of layer.versions) {
      for (const version of versions) {
        const logical = versionKey(key, version.revision);
        yield this.counted(logical, sealVersion(logical, flush, version));
      }
    }
    for (const parts of groupRevisions(layer.revisions)) {
      const { revision, index } = parts[0] as RevisionPart;
      const logical = revisionKey(revision, index);
      yield this.counted(logical, seal(logical, flush, encodeRevisions(parts)));
    }
  }

  private counted(key: Buffer, value: Buffer): StoreOp {
    this.count += 1;
    addSealed(this.hash, value);
    return { key, value };
  }
}
