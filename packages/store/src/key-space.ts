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
  type KvRecord,
  leaseOf,
  modRevisionOf,
  putRecord,
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

export class KeySpace {
  readonly writeBack: WriteBack;
  readonly history = new HistoryBuffer();
  revision: Revision;
  keys: number;
  /** The key-value records' part of the content hash. */
  readonly hash: Hash64;
  private watched = false;
  private taken: RevisionEvents[] = [];
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
   * As lookup, for a change that is committed at once, before anything else is looked up: the record is only lent, and
   * what a commit keeps of it, it copies.
   */
  lend(key: string): KvRecord | null {
    const known = this.writeBack.lend(key);
    return known === undefined ? this.load(key) : known;
  }

  private load(key: string): KvRecord | null {
    const diskKey = kvKey(this.prefix, key);
    const stored = this.store.get(diskKey);
    const bytes = userKey(diskKey);
    const record = stored === undefined ? null : this.withValue(bytes, checkRecord(bytes, stored));
    this.writeBack.remember(key, record);
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
    return keys.map((key) => ({ key, before: this.lookup(key), after: null }));
  }

  watchRevisions(wanted: boolean): void {
    this.watched = wanted;
    if (!wanted) this.taken = [];
  }

  takeRevisions(): readonly RevisionEvents[] {
    const { taken } = this;
    if (taken.length > 0) this.taken = [];
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

  private tell(changes: readonly Change[], note: RevisionNote): void {
    const { revision } = this;
    this.taken.push({ revision, note, events: changes.map((change) => eventOf(change, revision)) });
  }
}

export function eventOf({ key, before, after }: Change, revision: Revision): KvEvent {
  const bytes = keyBytes(key);
  // Watchers may get to it later.
  const previous = before === null ? null : entryOf(bytes, Buffer.from(before));
  if (after === null) return { type: 'delete', key: bytes, modRevision: revision, previous };
  return { type: 'put', entry: entryOf(bytes, after), previous };
}
