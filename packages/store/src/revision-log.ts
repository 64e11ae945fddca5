/**
 * What revisions did and is not on disk yet, as the records that a flush will write (history-records.ts). Encoded at once:
 * what waits for a flush as objects is copied by the collector, more than once.
 */
import type { Revision } from '@kvd/protocol';
import {
  decodeRevisions,
  encodePart,
  EVENT_BYTES,
  RECORD_BYTES_MAX,
  RECORD_EVENTS_MAX,
  recordBody,
  type RevisionDone,
  type RevisionPart,
  revisionKey,
} from './history-records.js';

const FIRST_BYTES = 4 * 1024;

export class RevisionLog {
  /** Revisions in it. */
  count = 0;
  records: RevisionRecord[] = [];
  private readonly scratch = new Scratch();

  /** Ascending, contiguous. */
  add({ revision, note, events }: RevisionDone): void {
    this.count += 1;
    let index = 0;
    for (let end = 1; end <= events.length; end += 1) {
      const record = this.recordFor(revision, index);
      record.count((events[end - 1]?.key.length ?? 0) + EVENT_BYTES);
      const more = end < events.length;
      if (more && !record.isFull) continue;
      const own = index === 0 && !more ? events : events.slice(index, end);
      record.append({ revision, note, index, more, events: own });
      index = end;
    }
  }

  /** Nothing will be added before clear(). */
  end(): void {
    this.records.at(-1)?.end();
  }

  /** Forgets all, and keeps the memory for what comes. */
  clear(): void {
    this.count = 0;
    this.records = [];
  }

  /** The last one that is not full, or a new one. */
  private recordFor(revision: Revision, index: number): RevisionRecord {
    const last = this.records.at(-1);
    if (last !== undefined && !last.isFull) return last;
    last?.end();
    const record = new RevisionRecord(revision, index, this.scratch);
    this.records.push(record);
    return record;
  }
}

/** A record that grows until it is full. */
export class RevisionRecord {
  readonly key: Buffer;
  /** The revision of its last part. */
  through: Revision;
  private parts = 0;
  private events = 0;
  /** About as many as its events take. */
  private bytes = 0;
  /** Null: they are in the scratch, and grow. */
  private encoded: Buffer | null = null;

  /** @param revision of its first part, whose place in the revision is `index` */
  constructor(
    revision: Revision,
    index: number,
    private readonly scratch: Scratch,
  ) {
    this.key = revisionKey(revision, index);
    this.through = revision;
    scratch.clear();
  }

  get isFull(): boolean {
    return this.events >= RECORD_EVENTS_MAX || this.bytes >= RECORD_BYTES_MAX;
  }

  /** An event that will be in the next part. */
  count(bytes: number): void {
    this.events += 1;
    this.bytes += bytes;
  }

  append(part: RevisionPart): void {
    this.scratch.add(encodePart(part));
    this.parts += 1;
    this.through = part.revision;
  }

  /** Nothing more is appended. */
  end(): void {
    this.encoded ??= recordBody(this.parts, this.scratch.content);
  }

  /** As it is now. */
  body(): Buffer {
    return this.encoded ?? recordBody(this.parts, this.scratch.content);
  }

  /** The parts that are in it now, decoded when they are asked for. */
  snapshot(): () => readonly RevisionPart[] {
    const { key } = this;
    const body = this.body();
    return () => decodeRevisions(key, body);
  }
}

/** The parts of the one record that grows. */
class Scratch {
  private bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  private length = 0;

  get content(): Buffer {
    return this.bytes.subarray(0, this.length);
  }

  clear(): void {
    this.length = 0;
  }

  add(part: Uint8Array): void {
    const end = this.length + part.length;
    if (end > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(2 * end);
      this.bytes.copy(larger, 0, 0, this.length);
      this.bytes = larger;
    }
    this.bytes.set(part, this.length);
    this.length = end;
  }
}
