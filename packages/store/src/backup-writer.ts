/**
 * A backup as bytes, made of a snapshot of the present while it is read: header, records, trailer, in parts of a size that
 * is asked for, so that nobody has to hold more of it than one of them. Where and how fast the parts go is the caller's.
 */
import type { ClusterId, ReplicaId } from '@kvd/paxos';
import type { Done } from '@kvd/replica';
import { createHash } from 'node:crypto';
import { BACKUP_MAGIC, encodeBackupHeader, encodeBlock, encodeTrailer } from './backup-format.js';
import { asStoreError } from './errors.js';
import { withoutHistory } from './seed-state.js';
import { decodeChunk, encodeItem, type SnapshotItem, type StateSnapshot } from './snapshot.js';

export interface BackupOrigin {
  readonly clusterId: ClusterId;
  readonly replicaId: ReplicaId;
  readonly wallMs: number;
}

export class BackupWriter {
  private readonly hash = createHash('sha256');
  private begun = false;
  private ended = false;
  private records = 0;

  constructor(
    private readonly snapshot: StateSnapshot,
    private readonly origin: BackupOrigin,
  ) {}

  get slot(): number {
    return this.snapshot.head.appliedThrough;
  }

  get revision(): number {
    return this.snapshot.head.revision;
  }

  get contentHash(): string {
    return this.snapshot.head.contentHash.toString();
  }

  /** The next part, made of about `bytesMax` of the state; null after the last. Errors: StoreError. */
  next(bytesMax: number, done: Done<Buffer | null>): void {
    if (!this.begun) {
      this.begun = true;
      return this.snapshot.defer(() => done(null, this.hashed(this.opening())));
    }
    if (this.ended) return this.snapshot.defer(() => done(null, null));
    this.snapshot.next(bytesMax, (error, chunk) => {
      if (error !== null) return done(error, null);
      try {
        const part = chunk === null ? this.ending() : this.hashed(this.block(chunk));
        // Nothing but the stream's head or end: header and trailer say it.
        if (part.length === 0) this.next(bytesMax, done);
        else done(null, part);
      } catch (thrown) {
        done(asStoreError(thrown), null);
      }
    });
  }

  close(): void {
    this.snapshot.close();
  }

  private opening(): Buffer {
    const { head } = this.snapshot;
    const header = { ...this.origin, compactRevision: head.compactRevision, head: withoutHistory(head) };
    return Buffer.concat([BACKUP_MAGIC, encodeBlock('header', encodeBackupHeader(header))]);
  }

  private block(chunk: Uint8Array): Buffer {
    const kept = decodeChunk(chunk).filter(isKept);
    if (kept.length === 0) return Buffer.alloc(0);
    this.records += kept.length;
    return encodeBlock('records', Buffer.concat(kept.map((item) => encodeItem(item))));
  }

  private ending(): Buffer {
    this.ended = true;
    const { keys } = this.snapshot.head;
    const sha256 = this.hash.digest();
    return encodeBlock('trailer', encodeTrailer({ records: this.records, keys, sha256 }));
  }

  private hashed(part: Buffer): Buffer {
    this.hash.update(part);
    return part;
  }
}

/** Head and end are the header's and the trailer's to say. */
function isKept(item: SnapshotItem): boolean {
  return item.type === 'record';
}
