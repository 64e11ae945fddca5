/**
 * A MessagePack writer without intermediate arrays or objects: callers write header and fields in order. It writes into
 * a slab, hands out views on it and goes on behind them, so that a message costs no allocation but its view and each
 * byte is copied once. What was handed out is never written to again.
 *
 * It must never be used across a turn: begin, write, finish happen in one synchronous go. After an error in between,
 * the next begin starts over.
 */
import { KvdError } from './errors.js';

/** Small messages share a slab of this size; one that does not fit gets a buffer of its own. */
const SLAB_BYTES = 64 * 1024;
const TWO_TO_32 = 2 ** 32;
/** The longest header of any value. */
const HEADER_BYTES_MAX = 9;

export class MsgpackWriter {
  private slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  /** Where the message under way begins. */
  private start = 0;
  private at = 0;

  /** Begin a message. `bytesHint`: about how long it will be, so that a long one is not copied while it grows. */
  begin(bytesHint = 0): void {
    this.at = this.start;
    this.reserve(bytesHint);
  }

  /** Bytes written since begin. */
  get length(): number {
    return this.at - this.start;
  }

  /** The message written since begin. */
  finish(): Uint8Array {
    const message = new Uint8Array(this.slab.buffer, this.slab.byteOffset + this.start, this.at - this.start);
    this.start = this.at;
    return message;
  }

  array(length: number): void {
    this.reserve(HEADER_BYTES_MAX);
    if (length < 16) this.slab[this.at++] = 0x90 | length;
    else this.header(0xdc, 0xdd, length);
  }

  /** A whole number from 0 to 2^53 - 1; any other is a bug of the caller. */
  uint(value: number): void {
    this.reserve(HEADER_BYTES_MAX);
    if (value < 0x80 && value >= 0 && Number.isInteger(value)) this.slab[this.at++] = value;
    else this.longUint(value);
  }

  bool(value: boolean): void {
    this.reserve(1);
    this.slab[this.at++] = value ? 0xc3 : 0xc2;
  }

  nil(): void {
    this.reserve(1);
    this.slab[this.at++] = 0xc0;
  }

  bin(bytes: Uint8Array): void {
    const length = bytes.length;
    this.reserve(HEADER_BYTES_MAX + length);
    if (length < 0x100) {
      this.slab[this.at++] = 0xc4;
      this.slab[this.at++] = length;
    } else this.header(0xc5, 0xc6, length);
    this.slab.set(bytes, this.at);
    this.at += length;
  }

  /** Text of at most `bytesMax` bytes of UTF-8; longer text is a bug of the caller. */
  str(text: string, bytesMax: number): void {
    if (text.length * 3 > bytesMax && Buffer.byteLength(text) > bytesMax) {
      throw new KvdError('KVD_INTERNAL', `text of more than ${bytesMax} bytes must be encoded`);
    }
    this.cutStr(text, bytesMax);
  }

  /** As str, but longer text is cut at a character. For messages to people. */
  cutStr(text: string, bytesMax: number): void {
    // One UTF-16 unit takes at most three bytes of UTF-8.
    const roomBytes = Math.min(bytesMax, text.length * 3);
    this.reserve(HEADER_BYTES_MAX + roomBytes);
    const headerBytes = roomBytes < 32 ? 1 : roomBytes < 0x100 ? 2 : roomBytes < 0x10000 ? 3 : 5;
    const length = this.slab.write(text, this.at + headerBytes, roomBytes, 'utf8');
    if (headerBytes === 1) this.slab[this.at] = 0xa0 | length;
    else if (headerBytes === 2) {
      this.slab[this.at] = 0xd9;
      this.slab[this.at + 1] = length;
    } else if (headerBytes === 3) {
      this.slab[this.at] = 0xda;
      this.slab.writeUInt16BE(length, this.at + 1);
    } else {
      this.slab[this.at] = 0xdb;
      this.slab.writeUInt32BE(length, this.at + 1);
    }
    this.at += headerBytes + length;
  }

  private longUint(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new KvdError('KVD_INTERNAL', `a whole number from 0 to 2^53 - 1 must be encoded, not ${value}`);
    }
    if (value < 0x100) {
      this.slab[this.at++] = 0xcc;
      this.slab[this.at++] = value;
    } else if (value < TWO_TO_32) this.header(0xcd, 0xce, value);
    else {
      this.slab[this.at] = 0xcf;
      this.slab.writeUInt32BE(Math.floor(value / TWO_TO_32), this.at + 1);
      this.slab.writeUInt32BE(value >>> 0, this.at + 5);
      this.at += 9;
    }
  }

  /** A type byte and a number of two or four bytes. */
  private header(type16: number, type32: number, value: number): void {
    const slab = this.slab;
    let at = this.at;
    if (value < 0x10000) slab[at++] = type16;
    else {
      slab[at++] = type32;
      slab[at++] = value >>> 24;
      slab[at++] = value >>> 16;
    }
    slab[at++] = value >>> 8;
    slab[at++] = value;
    this.at = at;
  }

  private reserve(bytes: number): void {
    if (this.at + bytes > this.slab.length) this.grow(bytes);
  }

  private grow(bytes: number): void {
    const written = this.at - this.start;
    const needed = written + bytes;
    // The doubling keeps a message that grows without a hint from being copied again and again.
    const next = Buffer.allocUnsafeSlow(
      Math.max(SLAB_BYTES, written > 0 ? needed * 2 : needed + HEADER_BYTES_MAX),
    );
    this.slab.copy(next, 0, this.start, this.at);
    this.slab = next;
    this.start = 0;
    this.at = written;
  }
}
