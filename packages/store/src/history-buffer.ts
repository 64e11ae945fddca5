/**
 * The history that is not on disk yet: superseded versions and what revisions did, in two layers as the write-back's
 * (write-back.ts), frozen and flushed together with it.
 */
import type { Revision } from '@kvd/protocol';
import { addSealed, Hash64 } from './content-hash.js';
import {
  encodeRevisions,
  encodeVersion,
  groupRevisions,
  type RevisionDone,
  type RevisionPart,
  revisionKey,
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

/** What a flush writes, and what that adds to the hash of the kept history. */
export interface HistoryOps {
  readonly ops: StoreOp[];
  readonly hash: Hash64;
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

/** The records of a layer, on logical keys, sealed with `flush`. */
export function historyOps(layer: HistoryLayer, flush: number): HistoryOps {
  const ops: StoreOp[] = [];
  const hash = new Hash64();
  const add = (key: Buffer, body: Uint8Array): void => {
    const value = seal(key, flush, body);
    addSealed(hash, value);
    ops.push({ key, value });
  };
  for (const [key, versions] of layer.versions) {
    for (const version of versions) add(versionKey(key, version.revision), encodeVersion(version));
  }
  for (const parts of groupRevisions(layer.revisions)) {
    const { revision, index } = parts[0] as RevisionPart;
    add(revisionKey(revision, index), encodeRevisions(parts));
  }
  return { ops, hash };
}
