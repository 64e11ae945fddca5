/**
 * The history that is not on disk yet: superseded versions and what revisions did, in two layers as the write-back's
 * (write-back.ts), frozen and flushed together with it.
 */
import type { Revision } from '@kvd/protocol';
import { ByteArena } from './byte-arena.js';
import { addSealed, Hash64 } from './content-hash.js';
import { type RevisionDone, type RevisionPart, sealVersion, type Version } from './history-records.js';
import { type KvRecord, modRevisionOf } from './kv-record.js';
import type { StoreOp } from './ordered-store.js';
import { RevisionLog } from './revision-log.js';
import { seal } from './sealed.js';
import { hasNewValue, valueOp } from './values-apart.js';
import type { VersionSpans } from './version-spans.js';

/**
 * Versions lie in lists and not in an object each, and their bytes in an arena, for all of them live until the next flush;
 * and who wants those of a key, which only reads of the past do, makes the index of them.
 */
export class HistoryLayer {
  readonly revisions = new RevisionLog();
  private readonly keys: string[] = [];
  private readonly superseded: Revision[] = [];
  private readonly places: number[] = [];
  private readonly lengths: number[] = [];
  private readonly bytes = new ByteArena();
  /** By key, ascending: which versions are its, of the first `indexed`. */
  private readonly byKey = new Map<string, number[]>();
  private indexed = 0;

  get versionCount(): number {
    return this.keys.length;
  }

  /** A version that the change of revision `superseded` made one of the past. */
  addVersion(key: string, record: KvRecord, superseded: Revision): void {
    this.keys.push(key);
    this.superseded.push(superseded);
    this.places.push(this.bytes.add(record));
    this.lengths.push(record.length);
  }

  /** Their records are only lent: not to be kept beyond the flush that writes them. */
  *versionsOf(key: string): Generator<Version> {
    this.index();
    for (const i of this.byKey.get(key) ?? []) yield this.version(i);
  }

  /** Their records are only lent: not to be kept beyond the flush that writes them. */
  *versions(): Generator<readonly [key: string, version: Version]> {
    for (const [i, key] of this.keys.entries()) yield [key, this.version(i)];
  }

  /** Forgets all, and keeps the memory for what comes. */
  clear(): void {
    this.revisions.clear();
    for (const list of [this.keys, this.superseded, this.places, this.lengths]) list.length = 0;
    this.bytes.clear();
    this.byKey.clear();
    this.indexed = 0;
  }

  private version(i: number): Version {
    const record = this.bytes.view(this.places[i] as number, this.lengths[i] as number);
    return { revision: modRevisionOf(record), superseded: this.superseded[i] as Revision, record };
  }

  private index(): void {
    for (; this.indexed < this.keys.length; this.indexed += 1) {
      const key = this.keys[this.indexed] as string;
      const known = this.byKey.get(key);
      if (known === undefined) this.byKey.set(key, [this.indexed]);
      else known.push(this.indexed);
    }
  }
}

export class HistoryBuffer {
  active = new HistoryLayer();
  frozen: HistoryLayer | null = null;
  /** Empty: the next active one. */
  private spare: HistoryLayer | null = null;

  /** Changes that a flush would write, about as heavy as a key each. */
  get size(): number {
    const { active, frozen } = this;
    return Math.max(active.versionCount, active.revisions.count) + (frozen?.revisions.count ?? 0);
  }

  addVersion(key: string, record: KvRecord, superseded: Revision): void {
    this.active.addVersion(key, record, superseded);
  }

  addRevision(done: RevisionDone): void {
    this.active.revisions.add(done);
  }

  /** The version of the key with this very revision, if it is in memory. */
  versionOf(key: string, revision: Revision): Version | undefined {
    return this.find(key, (version) => version.revision === revision);
  }

  /** The superseded version of the key that was valid after this revision, if it is in memory. */
  versionAt(key: string, revision: Revision): Version | undefined {
    return this.find(key, (version) => wasValid(version, revision));
  }

  /** All versions in memory of keys that are wanted that were valid after this revision, newest layer first. */
  *versionsAt(
    revision: Revision,
    isWanted: (key: string) => boolean,
  ): Generator<readonly [key: string, version: Version]> {
    for (const layer of this.layers())
      for (const [key, version] of layer.versions())
        if (isWanted(key) && wasValid(version, revision)) yield [key, owned(version)];
  }

  /** What is in memory of revisions from `revision` on, record by record; the first parts may lie before it. */
  revisionsFrom(revision: Revision): (() => readonly RevisionPart[])[] {
    return [...(this.frozen?.revisions.records ?? []), ...this.active.revisions.records]
      .filter(({ through }) => through >= revision)
      .map((record) => record.snapshot());
  }

  freeze(): HistoryLayer {
    this.frozen = this.active;
    this.frozen.revisions.end();
    this.active = this.spare ?? new HistoryLayer();
    this.spare = null;
    return this.frozen;
  }

  thaw(): void {
    this.spare = this.frozen;
    this.spare?.clear();
    this.frozen = null;
  }

  private layers(): HistoryLayer[] {
    return this.frozen === null ? [this.active] : [this.active, this.frozen];
  }

  private find(key: string, isIt: (version: Version) => boolean): Version | undefined {
    for (const layer of this.layers())
      for (const version of layer.versionsOf(key)) if (isIt(version)) return owned(version);
    return undefined;
  }
}

/** With a record that may be kept. */
function owned(version: Version): Version {
  return { ...version, record: Buffer.from(version.record) };
}

function wasValid(version: Version, revision: Revision): boolean {
  return version.revision <= revision && revision < version.superseded;
}

/** The records of a layer on logical keys, made one by one, sealed with `flush`; and what they add to the kept history. */
export class HistoryRecords {
  count = 0;
  readonly hash = new Hash64();

  constructor(
    private readonly layer: HistoryLayer,
    private readonly flush: number,
    /** The revision that is on disk. */
    private readonly flushed: Revision,
    private readonly spans: VersionSpans,
  ) {}

  /** Once. */
  *make(): Generator<StoreOp> {
    const { layer, flush, flushed, spans } = this;
    for (const [key, version] of layer.versions()) {
      const logical = spans.keyOf(key, version);
      yield this.counted(logical, sealVersion(logical, flush, version));
      // No part of the kept history: its stub is.
      if (hasNewValue(version.record, flushed)) yield valueOp(key, version.record);
    }
    for (const record of layer.revisions.records)
      yield this.counted(record.key, seal(record.key, flush, record.body()));
  }

  private counted(key: Buffer, value: Buffer): StoreOp {
    this.count += 1;
    addSealed(this.hash, value);
    return { key, value };
  }
}
