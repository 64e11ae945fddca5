/** Bytes of many records in a few large buffers, kept for the next ones when they are done with. */

const CHUNK_BYTES = 256 * 1024;
/** What is kept when it is cleared. */
const KEPT_CHUNKS_MAX = 16;

export class ByteArena {
  private chunks: Buffer[] = [];
  /** The chunk that is written to, and how far it is filled. */
  private current = -1;
  private used = CHUNK_BYTES;

  /** Copies the bytes; the place that it returns is theirs until clear(). */
  add(bytes: Uint8Array): number {
    if (this.used + bytes.length > CHUNK_BYTES) this.nextChunk(bytes.length);
    const place = this.current * CHUNK_BYTES + this.used;
    this.chunks[this.current]?.set(bytes, this.used);
    this.used += bytes.length;
    return place;
  }

  /** The very memory: not to be kept once it is cleared. */
  view(place: number, length: number): Buffer {
    const offset = place % CHUNK_BYTES;
    const chunk = this.chunks[(place - offset) / CHUNK_BYTES] as Buffer;
    return chunk.subarray(offset, offset + length);
  }

  clear(): void {
    this.chunks = this.chunks.filter((chunk) => chunk.length === CHUNK_BYTES).slice(0, KEPT_CHUNKS_MAX);
    this.current = -1;
    this.used = CHUNK_BYTES;
  }

  /** What is larger than a chunk gets one of its own, which nothing else goes into. */
  private nextChunk(bytes: number): void {
    this.current += 1;
    this.used = 0;
    const kept = this.chunks[this.current];
    if (kept === undefined || kept.length < bytes)
      this.chunks[this.current] = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, bytes));
  }
}
