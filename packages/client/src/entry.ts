/** An entry as users see it: owns its bytes, and gives them as text on request. */
import type { Entry as WireEntry } from '@kvd/protocol';
import { copyBytes, utf8 } from './bytes.js';

/** A key with its value and history, as read at some revision. */
export class Entry {
  /** The key as UTF-8 text. What is not valid UTF-8 shows as U+FFFD: use keyBytes where keys may be any bytes. */
  readonly key: string;
  /** The key, exactly. */
  readonly keyBytes: Uint8Array;
  /** Empty when only keys were asked for. */
  readonly value: Uint8Array;
  /** The revision that created the key (again, after its last deletion). */
  readonly createRevision: number;
  /** The revision that wrote this value. */
  readonly modRevision: number;
  /** 1 for a key just created, one more with every put. */
  readonly version: number;
  /** The lease that the key ends with; 0: none. */
  readonly lease: number;

  constructor(entry: WireEntry) {
    // The decoder's bytes are views of a whole frame; a kept entry must not keep the frame.
    this.keyBytes = copyBytes(entry.key);
    this.key = utf8(this.keyBytes);
    this.value = copyBytes(entry.value);
    this.createRevision = entry.createRevision;
    this.modRevision = entry.modRevision;
    this.version = entry.version;
    this.lease = entry.lease;
  }

  /** The value as UTF-8 text. */
  text(): string {
    return utf8(this.value);
  }
}
