/** Values to store: bytes that do not compress, or none of them would cost a disk what real ones do. */

/** As db_bench does it: values are pieces of one buffer, so that making one costs nothing. */
const POOL_BYTES = 1024 * 1024;
/** Of a value that says when it was put. */
export const STAMP_BYTES = 8;

export class Values {
  private readonly pool: Uint8Array;

  constructor(
    private readonly random: () => number,
    readonly bytes: number,
  ) {
    const words = new Uint32Array((POOL_BYTES + bytes + 3) >>> 2);
    for (let i = 0; i < words.length; i++) words[i] = random() * 2 ** 32;
    this.pool = new Uint8Array(words.buffer);
  }

  next(): Uint8Array {
    const at = Math.floor(this.random() * POOL_BYTES);
    return this.pool.subarray(at, at + this.bytes);
  }

  /** A value that begins with a moment, for who receives it; stampOf() gives it back. */
  stamped(momentMs: number): Uint8Array {
    const value = new Uint8Array(this.next());
    new DataView(value.buffer).setFloat64(0, momentMs);
    return value;
  }
}

export function stampOf(value: Uint8Array): number {
  return new DataView(value.buffer, value.byteOffset, STAMP_BYTES).getFloat64(0);
}
