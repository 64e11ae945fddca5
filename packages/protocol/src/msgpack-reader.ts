/**
 * A schema-directed MessagePack reader: the caller says what must come next, the reader gives it or refuses. It owns the
 * rule that no byte of a peer, a client or a disk is trusted: every length is checked against its bound and against the
 * bytes that are really there before anything is made of it, nesting is that of the calling code, and what the schema
 * does not ask for (maps, floats, negative numbers, extensions) is refused by construction.
 *
 * It must never allocate by a length that it read, and never throw anything but KvdError.
 */
import { KvdError } from './errors.js';

/**
 * Whose fault a refusal is. `frame`: the sender does not speak the protocol (KVD_BAD_FRAME). `request`: one request is
 * no good (KVD_BAD_REQUEST, or KVD_TOO_LARGE where a length is over its bound).
 */
export type ReaderPurpose = 'frame' | 'request';

const TWO_TO_32 = 2 ** 32;
/** The upper half of 2^53 - 1. */
const SAFE_HIGH_MAX = 0x1fffff;
const ASCII_FAST_PATH_BYTES = 40;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class MsgpackReader {
  private readonly bytes: Uint8Array;
  /** May be changed on the way: a request within a frame. */
  purpose: ReaderPurpose;
  private readonly endOffset: number;
  /** Offset of the next byte to read. */
  private at = 0;

  constructor(bytes: Uint8Array, purpose: ReaderPurpose = 'frame') {
    this.bytes = bytes;
    this.purpose = purpose;
    this.endOffset = bytes.length;
  }

  get offset(): number {
    return this.at;
  }

  /** Go back to an offset that was read before, to look at a value again or to skip it. */
  rewind(offset: number): void {
    this.at = offset;
  }

  get remaining(): number {
    return this.endOffset - this.at;
  }

  /** An array of exactly `length` values. */
  expectArray(length: number, what: string): void {
    const start = this.at;
    const found = this.arrayLength(what);
    if (found !== length) this.refuse(`${what}: an array of ${length} expected, not of ${found}`, start);
  }

  /** An array of at most `max` values; gives its length, which is never more than there are bytes left. */
  readArrayHeader(max: number, what: string): number {
    const start = this.at;
    const length = this.arrayLength(what);
    if (length > max) this.refuseSize(`${what}: ${length} items, at most ${max} allowed`, start);
    if (length > this.remaining)
      this.refuse(`${what}: ${length} items announced, the bytes end before`, start);
    return length;
  }

  /** A whole number from 0 to `max` (2^53 - 1 when left out), in any of the unsigned forms. */
  readUint(what: string, max = Number.MAX_SAFE_INTEGER): number {
    const start = this.at;
    const value = this.uint(what);
    if (value > max) this.refuse(`${what}: ${value} is above ${max}`, start);
    return value;
  }

  readBool(what: string): boolean {
    const byte = this.byte(what);
    if (byte === 0xc2) return false;
    if (byte !== 0xc3) this.refuse(`${what}: true or false expected`, this.at - 1);
    return true;
  }

  /** True, and the nil is consumed, when a nil comes next. */
  readNil(): boolean {
    if (this.at < this.endOffset && this.bytes[this.at] === 0xc0) {
      this.at += 1;
      return true;
    }
    return false;
  }

  /** At most `max` raw bytes, as a view on the input: whoever keeps it long should copy it. */
  readBin(what: string, max: number): Uint8Array {
    const length = this.binLength(what, max);
    const start = this.at;
    this.at = start + length;
    return new Uint8Array(this.bytes.buffer, this.bytes.byteOffset + start, length);
  }

  /** As readBin, without making the view. Gives the length. */
  skipBin(what: string, max: number): number {
    const length = this.binLength(what, max);
    this.at += length;
    return length;
  }

  /** Valid UTF-8 of at most `max` bytes. */
  readStr(what: string, max: number): string {
    const start = this.at;
    const length = this.strLength(what, max, start);
    const from = this.at;
    this.at = from + length;
    if (length <= ASCII_FAST_PATH_BYTES) {
      const text = this.ascii(from, length);
      if (text !== null) return text;
    }
    try {
      return utf8.decode(this.bytes.subarray(from, from + length));
    } catch {
      return this.refuse(`${what}: not valid UTF-8`, start);
    }
  }

  /**
   * Step over one value, whatever it is. Without recursion: an array of n adds n values to the ones still to come, and
   * as each takes a byte at least, more than there are bytes left is refused at once.
   */
  skipValue(what: string): void {
    let values = 1;
    while (values > 0) {
      if (values > this.remaining) this.refuse(`${what}: the bytes end in the middle`, this.at);
      values += this.skipOne(what) - 1;
    }
  }

  /** Nothing may be left. */
  end(what: string): void {
    if (this.at !== this.endOffset) this.refuse(`${what}: ${this.remaining} bytes too many`, this.at);
  }

  /** Refuse what was read, for a reason that the schema's types cannot say. */
  refuse(message: string, offset = this.at): never {
    const code = this.purpose === 'frame' ? 'KVD_BAD_FRAME' : 'KVD_BAD_REQUEST';
    throw new KvdError(code, `${message} (byte ${offset})`);
  }

  private refuseSize(message: string, offset: number): never {
    const code = this.purpose === 'frame' ? 'KVD_BAD_FRAME' : 'KVD_TOO_LARGE';
    throw new KvdError(code, `${message} (byte ${offset})`);
  }

  private byte(what: string): number {
    const byte = this.bytes[this.at];
    if (byte === undefined) this.refuse(`${what}: the bytes end in the middle`, this.at);
    this.at += 1;
    return byte;
  }

  /** A big-endian number of `width` (1, 2 or 4) bytes. */
  private fixed(width: number, what: string): number {
    const at = this.at;
    if (at + width > this.endOffset) this.refuse(`${what}: the bytes end in the middle`, at);
    this.at = at + width;
    let value = 0;
    for (let i = at; i < at + width; i += 1) value = value * 256 + (this.bytes[i] ?? 0);
    return value;
  }

  private uint(what: string): number {
    const first = this.byte(what);
    if (first < 0x80) return first;
    if (first === 0xcc) return this.fixed(1, what);
    if (first === 0xcd) return this.fixed(2, what);
    if (first === 0xce) return this.fixed(4, what);
    if (first !== 0xcf) this.refuse(`${what}: a whole number of at least 0 expected`, this.at - 1);
    const high = this.fixed(4, what);
    if (high > SAFE_HIGH_MAX) this.refuse(`${what}: above 2^53 - 1`, this.at - 5);
    return high * TWO_TO_32 + this.fixed(4, what);
  }

  private arrayLength(what: string): number {
    const first = this.byte(what);
    if ((first & 0xf0) === 0x90) return first & 0x0f;
    if (first === 0xdc) return this.fixed(2, what);
    if (first !== 0xdd) this.refuse(`${what}: an array expected`, this.at - 1);
    return this.fixed(4, what);
  }

  private binLength(what: string, max: number): number {
    const start = this.at;
    const first = this.byte(what);
    if (first < 0xc4 || first > 0xc6) this.refuse(`${what}: binary data expected`, start);
    return this.checkLength(this.fixed(1 << (first - 0xc4), what), max, what, start);
  }

  private strLength(what: string, max: number, start: number): number {
    const first = this.byte(what);
    if ((first & 0xe0) === 0xa0) return this.checkLength(first & 0x1f, max, what, start);
    if (first < 0xd9 || first > 0xdb) this.refuse(`${what}: a string expected`, start);
    return this.checkLength(this.fixed(1 << (first - 0xd9), what), max, what, start);
  }

  private checkLength(length: number, max: number, what: string, start: number): number {
    if (length > max) this.refuseSize(`${what}: ${length} bytes, at most ${max} allowed`, start);
    if (length > this.remaining)
      this.refuse(`${what}: ${length} bytes announced, the bytes end before`, start);
    return length;
  }

  /** Null when a byte is not ASCII. Faster than TextDecoder for the short strings that most are. */
  private ascii(from: number, length: number): string | null {
    let text = '';
    for (let i = from; i < from + length; i += 1) {
      const byte = this.bytes[i] ?? 0x80;
      if (byte >= 0x80) return null;
      text += String.fromCharCode(byte);
    }
    return text;
  }

  /** Step over a value without what it contains; gives how many values it contains. */
  private skipOne(what: string): number {
    const first = this.byte(what);
    if (first < 0x80 || first >= 0xe0) return 0;
    if (first < 0x90) return 2 * (first & 0x0f);
    if (first < 0xa0) return first & 0x0f;
    if (first < 0xc0) return this.skipBytes(first & 0x1f, what);
    switch (first) {
      case 0xc0: // nil
      case 0xc2: // false
      case 0xc3: // true
        return 0;
      case 0xc4: // bin 8, str 8
      case 0xd9:
        return this.skipBytes(this.fixed(1, what), what);
      case 0xc5: // bin 16, str 16
      case 0xda:
        return this.skipBytes(this.fixed(2, what), what);
      case 0xc6: // bin 32, str 32
      case 0xdb:
        return this.skipBytes(this.fixed(4, what), what);
      case 0xcc: // uint 8, int 8
      case 0xd0:
        return this.skipBytes(1, what);
      case 0xcd: // uint 16, int 16
      case 0xd1:
        return this.skipBytes(2, what);
      case 0xca: // float 32, uint 32, int 32
      case 0xce:
      case 0xd2:
        return this.skipBytes(4, what);
      case 0xcb: // float 64, uint 64, int 64
      case 0xcf:
      case 0xd3:
        return this.skipBytes(8, what);
      case 0xdc:
        return this.fixed(2, what);
      case 0xdd:
        return this.fixed(4, what);
      case 0xde:
        return 2 * this.fixed(2, what);
      case 0xdf:
        return 2 * this.fixed(4, what);
      default:
        return this.refuse(`${what}: a kind of value that is not used here`, this.at - 1);
    }
  }

  private skipBytes(length: number, what: string): 0 {
    if (length > this.remaining) this.refuse(`${what}: the bytes end in the middle`, this.at);
    this.at += length;
    return 0;
  }
}
