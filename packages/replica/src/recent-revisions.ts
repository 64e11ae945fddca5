/**
 * The last revisions, in memory, shared by all watchers: where a watcher that reads the history catches up from. Without
 * them it never would while writes go on, for each read takes longer than the next write.
 */
import { eventBytes, type Revision, type RevisionEvents } from '@kvd/protocol';

const REVISIONS_MAX = 1_024;
const BYTES_MAX = 8 * 1024 * 1024;
/** Of an event, beside its bytes, and of a revision without any. */
const OVERHEAD_BYTES = 64;

interface Kept {
  readonly revision: RevisionEvents;
  readonly bytes: number;
}

export class RecentRevisions {
  /** Contiguous, from `first` on. */
  private readonly kept = new Map<Revision, Kept>();
  private first: Revision = 0;
  private bytes = 0;

  /** The next revision; it is the one after the last. */
  push(revision: RevisionEvents): void {
    let bytes = OVERHEAD_BYTES;
    for (const event of revision.events) bytes += eventBytes(event);
    if (this.kept.size === 0) this.first = revision.revision;
    this.kept.set(revision.revision, { revision, bytes });
    this.bytes += bytes;
    while (this.kept.size > REVISIONS_MAX || this.bytes > BYTES_MAX) this.dropFirst();
  }

  has(revision: Revision): boolean {
    return this.kept.has(revision);
  }

  /** Everything from `revision` on; empty when not all of that is here. */
  since(revision: Revision): readonly RevisionEvents[] {
    const revisions: RevisionEvents[] = [];
    for (let at = revision, kept = this.kept.get(at); kept; at += 1, kept = this.kept.get(at))
      revisions.push(kept.revision);
    return revisions;
  }

  clear(): void {
    this.kept.clear();
    this.bytes = 0;
  }

  private dropFirst(): void {
    this.bytes -= this.kept.get(this.first)?.bytes ?? 0;
    this.kept.delete(this.first);
    this.first += 1;
  }
}
