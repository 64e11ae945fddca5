/**
 * The state that a new cluster begins with, made of a snapshot of what an old one has at present: a stream of chunks in, a
 * stream of chunks out (snapshot.ts). What a user's key holds stays as it was; what says *where in a history* it stands is moved on.
 *
 * - The **slot** is that of the new log. Sessions and leases are named by the log position of their opening, so the new
 *   log has to go on above every position that the old cluster may still hand out.
 * - The **revision** is stepped up, and everything below is compacted, for the old cluster may have gone on after the
 *   snapshot was taken: one of its later revisions must not be mistaken for one of ours. Whoever resumes with a revision
 *   of the old cluster gets KVD_COMPACTED, and never another history without a word.
 * - The **leader** is nobody: the new cluster's ballots are not the old one's, and its batches must not count as overtaken.
 * - The **history** is left out: nothing of it could be read.
 * - Sessions, idempotency keys and leases stay, with the time that each has left: cluster time stands still from the
 *   snapshot until the new cluster has a leader.
 */
import type { ConfigurationAt, Slot } from '@kvd/paxos';
import { NO_LEADER } from '@kvd/protocol';
import { BackupError } from './backup-errors.js';
import { Hash64 } from './content-hash.js';
import { damaged } from './errors.js';
import { decodeChunk, encodeItem, type SnapshotItem } from './snapshot.js';
import { isPresent, type StateHead } from './state-records.js';

/** How far a new cluster's revisions are above those of the state that it was made of. */
export const DEFAULT_REVISION_STEP = 1_000_000_000;
/** The same of slots. */
export const SLOT_STEP = 1_000_000_000;
/** Log positions are slots times 65,536: this leaves the new cluster as many slots as there are up to here. */
const SLOT_MAX = 2 ** 36;

export interface StateSeed {
  /** Of the new cluster's log. */
  readonly slot: Slot;
  readonly configurations: readonly ConfigurationAt[];
  readonly revisionStep: number;
}

export class SeededState {
  /** Of the snapshot, as it came; null: it has not come yet. */
  source: StateHead | null = null;
  /** As the new cluster has it. */
  head: StateHead | null = null;
  private arrived = 0;

  constructor(private readonly seed: StateSeed) {}

  /** @throws StoreError damaged, BackupError bad-request when there is no room above the snapshot */
  turn(chunk: Uint8Array): Buffer {
    const parts: Buffer[] = [];
    for (const item of decodeChunk(chunk)) parts.push(encodeItem(this.turnItem(item)));
    return Buffer.concat(parts);
  }

  private turnItem(item: SnapshotItem): SnapshotItem {
    switch (item.type) {
      case 'head':
        this.source = item.head;
        this.head = seededHead(item.head, this.seed);
        return { type: 'head', head: this.head };
      case 'record':
        this.arrived += 1;
        if (!isPresent(item.key)) throw damaged('a record that is not of the present');
        return item;
      case 'end':
        if (item.records !== this.arrived)
          throw damaged(`${item.records} records were sent, ${this.arrived} arrived`);
        return item;
    }
  }
}

/** The head without its history: nothing below its own revision can be read. And without a leader: a new cluster's begin anew. */
export function withoutHistory(head: StateHead): StateHead {
  const { revision } = head;
  const kept = { compactedThrough: revision, records: 0, hash: new Hash64() };
  return { ...head, compactRevision: revision, kept, leader: NO_LEADER };
}

function seededHead(source: StateHead, { slot, configurations, revisionStep }: StateSeed): StateHead {
  const refuse = (why: string): BackupError => new BackupError('bad-request', why);
  if (slot < source.appliedThrough || slot > SLOT_MAX)
    throw refuse(`the new log cannot begin at slot ${slot}: the state is of slot ${source.appliedThrough}`);
  const revision = source.revision + revisionStep;
  if (!Number.isSafeInteger(revisionStep) || revisionStep < 1 || !Number.isSafeInteger(revision))
    throw refuse(`there is no revision ${revisionStep} above ${source.revision}`);
  return withoutHistory({ ...source, appliedThrough: slot, revision, configurations });
}
