/** What a watch, and the history, tell of a key: events as users see them, owning their bytes. */
import type { KvEvent } from '@kvd/protocol';
import { copyBytes, utf8 } from './bytes.js';
import { Entry } from './entry.js';

/** A change of one key. */
export class WatchEvent {
  readonly type: 'put' | 'delete';
  /** The key, exactly. */
  readonly key: Uint8Array;
  /** What was put; undefined for a delete. */
  readonly value: Uint8Array | undefined;
  /** The revision that did it. */
  readonly modRevision: number;
  /** The revision that created the key; 0 for a delete. */
  readonly createRevision: number;
  /** 1 for a key just created, one more with every put; 0 for a delete. */
  readonly version: number;
  /** The lease that the key ends with; 0: none. */
  readonly lease: number;
  /** What the key had before, where the watch asked for it; undefined when it was absent. */
  readonly previous: Entry | undefined;

  constructor(event: KvEvent) {
    const entry = event.type === 'put' ? event.entry : null;
    this.type = event.type;
    // As in Entry: what is kept must not keep the whole frame.
    this.key = copyBytes(event.type === 'put' ? event.entry.key : event.key);
    this.value = entry === null ? undefined : copyBytes(entry.value);
    this.modRevision = revisionOf(event);
    this.createRevision = entry?.createRevision ?? 0;
    this.version = entry?.version ?? 0;
    this.lease = entry?.lease ?? 0;
    this.previous = event.previous === null ? undefined : new Entry(event.previous);
  }

  /** The key as UTF-8 text. */
  keyText(): string {
    return utf8(this.key);
  }

  /** The value as UTF-8 text; empty for a delete. */
  text(): string {
    return this.value === undefined ? '' : utf8(this.value);
  }
}

/** The revision that an event belongs to. */
export function revisionOf(event: KvEvent): number {
  return event.type === 'put' ? event.entry.modRevision : event.modRevision;
}
