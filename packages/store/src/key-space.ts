/**
 * Keys, their history and their leases, changed one revision at a time: whatever a command does to keys ends in one
 * `commit`, which keeps the hashes, the history, the leases and the watchers in step. (DESIGN 6)
 */
import type { KvEvent, LeaseId, Revision, RevisionEvents, RevisionNote } from '@kvd/protocol';
import { keyBytes } from './bytes.js';
import type { Hash64 } from './content-hash.js';
import { HistoryBuffer } from './history-buffer.js';
import type { StoredEvent } from './history-records.js';
import {
  checkRecord,
  entryOf,
  hashA,
  hashB,
  isStub,
  type KvRecord,
  leaseOf,
  modRevisionOf,
  putRecord,
  sizeOf,
} from './kv-record.js';
import type { KvStateOptions } from './kv-state-options.js';
import type { LeaseTable } from './leases.js';
import type { OrderedStore } from './ordered-store.js';
import { generationPrefix, kvKey, type StateHead, stateKey, userKey } from './state-records.js';
import { completed } from './values-apart.js';
import { WriteBack } from './write-back.js';

/** What happens to one key. `after` null: it is deleted. */
export interface Change {
  /** As text. */
  readonly key: string;
  readonly before: KvRecord | null;
  readonly after: KvRecord | null;
}

/** Of events that wait to be told to watchers. */
const TAKEN_BYTES_MAX = 64 * 1024 * 1024;

export class KeySpace {
  readonly writeBack: WriteBack;
  readonly history = new HistoryBuffer();
  revision: Revision;
  keys: number;
  /** The key-value records' part of the content hash. */
  readonly hash: Hash64;
  private watched = false;
  private taken: RevisionEvents[] = [];
  /** Of the records in all events since they were taken last. */
  private takenBytes = 0;
  private readonly generation: number;
  private readonly prefix: Buffer;

  constructor(
    private readonly store: OrderedStore,
    head: StateHead,
    readonly leases: LeaseTable,
    private readonly options: KvStateOptions,
  ) {
    this.generation = head.generation;
    this.prefix = generationPrefix(head.generation);
    this.writeBack = new WriteBack(options.cacheBytes);
    this.revision = head.revision;
    this.keys = head.keys;
    this.hash = head.contentHash.clone();
  }

  /** The record of a key; null: absent. @throws StoreError damaged */
  lookup(key: string): KvRecord | null {
    const known = this.writeBack.get(key);
    return known === undefined ? this.load(key) : known;
  }

  /**
   * The record that a change will supersede; null: absent. It may be a stub: a value that lies apart on disk stays where it
   * is, and need not be read to become one of the past. @throws StoreError damaged
   */
  before(key: string): KvRecord | null {
    const lent = this.lend(key);
    return lent === null ? null : Buffer.from(lent);
  }

  /**
   * As before, for a change that is committed at once, before anything else is looked up: the record is only lent, and
   * what a commit keeps of it, it copies.
   */
  lend(key: string): KvRecord | null {
    const known = this.writeBack.lend(key);
    return known === undefined ? this.loadStored(key) : known;
  }

  private load(key: string): KvRecord | null {
    const stored = this.loadStored(key);
    if (stored === null || !isStub(stored)) return stored;
    const record = this.withValue(keyBytes(key), stored);
    this.writeBack.remember(key, record);
    return record;
  }

  /** As it is on disk. A stub is nothing to remember. */
  private loadStored(key: string): KvRecord | null {
    const diskKey = kvKey(this.prefix, key);
    const bytes = this.store.get(diskKey);
    const record = bytes === undefined ? null : checkRecord(userKey(diskKey), bytes);
    if (record === null || !isStub(record)) this.writeBack.remember(key, record);
    return record;
  }

  /** The record with its value, which is read if it lies apart. @throws StoreError damaged */
  withValue(key: Uint8Array, record: KvRecord): KvRecord {
    return completed(key, record, (logical) => this.store.get(stateKey(this.generation, logical)));
  }

  /** The record of a put in the next revision; `before` is what the key has. */
  recordOfPut(key: Uint8Array, value: Uint8Array, before: KvRecord | null, lease: LeaseId = 0): KvRecord {
    const { apartBytes } = this.options;
    return putRecord(key, value, before, { revision: this.revision + 1, lease, apartBytes });
  }

  /** Make the changes, of records made for revision + 1. Each key is changed at most once. */
  commit(changes: readonly Change[], note: RevisionNote): Revision {
    this.revision += 1;
    const events: StoredEvent[] = [];
    for (const change of changes) events.push(this.change(change));
    this.history.addRevision({ revision: this.revision, note, events });
    if (this.watched) this.tell(changes, note);
    return this.revision;
  }

  /** The changes that end a lease: its keys go, whatever they hold. */
  endOf(lease: LeaseId): Change[] {
    const keys = [...(this.leases.get(lease)?.keys ?? [])].sort();
    return keys.map((key) => ({ key, before: this.before(key), after: null }));
  }

  watchRevisions(wanted: boolean): void {
    this.watched = wanted;
    if (!wanted) this.takeRevisions();
  }

  /** What was done since the last call, ascending; from where it was too much to be told at once, nothing. */
  takeRevisions(): readonly RevisionEvents[] {
    const { taken } = this;
    if (taken.length > 0) this.taken = [];
    this.takenBytes = 0;
    return taken;
  }

  private change({ key, before, after }: Change): StoredEvent {
    if (before === null) this.keys += 1;
    else {
      this.hash.subtract(hashA(before), hashB(before));
      this.history.addVersion(key, before, this.revision);
    }
    if (after === null) this.keys -= 1;
    else this.hash.add(hashA(after), hashB(after));
    this.writeBack.set(key, after);
    this.moveLease(key, before === null ? 0 : leaseOf(before), after === null ? 0 : leaseOf(after));
    return {
      kind: after === null ? 'delete' : 'put',
      key,
      before: before === null ? 0 : modRevisionOf(before),
    };
  }

  private moveLease(key: string, from: LeaseId, to: LeaseId): void {
    if (from === to) return;
    if (from !== 0) this.leases.detach(from, key);
    if (to !== 0) this.leases.attach(to, key);
  }

  /** With all values, those superseded too. What is too much is left to the history, which is read in pages. */
  private tell(changes: readonly Change[], note: RevisionNote): void {
    for (const { before, after } of changes)
      for (const record of [before, after]) if (record !== null) this.takenBytes += sizeOf(record);
    if (this.takenBytes > TAKEN_BYTES_MAX) return;
    const { revision } = this;
    this.taken.push({ revision, note, events: changes.map((change) => this.eventOf(change)) });
  }

  private eventOf({ key, before, after }: Change): KvEvent {
    const bytes = keyBytes(key);
    const previous = before === null ? null : entryOf(bytes, this.superseded(key, before));
    if (after === null) return { type: 'delete', key: bytes, modRevision: this.revision, previous };
    return { type: 'put', entry: entryOf(bytes, after), previous };
  }

  /** Whole and to keep, of what may be a stub or only lent. Its place in the cache is not taken before a flush. */
  private superseded(key: string, record: KvRecord): KvRecord {
    if (!isStub(record)) return Buffer.from(record);
    const cached = this.writeBack.cached(key);
    const isIt = cached && modRevisionOf(cached) === modRevisionOf(record);
    return isIt ? cached : this.withValue(keyBytes(key), record);
  }
}
