/**
 * The configurations that a search has come to. One is told by an exact key (a few words) and a burden (bits): of two with
 * the same key, the one whose burden is a subset of the other's can do whatever the other can. So only configurations
 * with no lesser one before them are new. Words, not objects: a hard search sees millions.
 */

/** Words held at most, 4 bytes each. */
const WORDS_MAX = 2 ** 26;
const FIRST_WORDS = 2 ** 10;
const FIRST_BUCKETS = 2 ** 8;

export class Seen {
  private buckets = new Int32Array(FIRST_BUCKETS).fill(-1);
  private words = new Int32Array(FIRST_WORDS);
  private used = 0;
  private entries = 0;
  /** Next in the bucket, then the key, then the burden. */
  private readonly stride: number;

  constructor(
    private readonly keyWords: number,
    burdenWords: number,
  ) {
    this.stride = 1 + keyWords + burdenWords;
  }

  /** No more room: the search has to stop. */
  get full(): boolean {
    return this.used + this.stride > WORDS_MAX;
  }

  /** Note a configuration: its key, then its burden, in one array. False when one as good was there before. */
  add(configuration: Int32Array): boolean {
    const hash = this.hash(configuration);
    const bucket = hash & (this.buckets.length - 1);
    let dominated = -1;
    for (let entry = this.head(bucket); entry >= 0; entry = this.word(entry)) {
      if (!this.sameKey(entry, configuration)) continue;
      if (this.noHeavier(entry, configuration)) return false;
      if (dominated < 0 && this.noLighter(entry, configuration)) dominated = entry;
    }
    if (dominated >= 0) this.words.set(configuration, dominated + 1);
    else this.insert(bucket, configuration);
    return true;
  }

  private insert(bucket: number, configuration: Int32Array): void {
    if (this.used + this.stride > this.words.length) {
      const words = new Int32Array(Math.max(this.words.length * 2, this.used + this.stride));
      words.set(this.words);
      this.words = words;
    }
    const entry = this.used;
    this.used += this.stride;
    this.words[entry] = this.head(bucket);
    this.words.set(configuration, entry + 1);
    this.buckets[bucket] = entry;
    if (++this.entries > this.buckets.length) this.rehash();
  }

  private rehash(): void {
    this.buckets = new Int32Array(this.buckets.length * 4).fill(-1);
    for (let entry = 0; entry < this.used; entry += this.stride) {
      const key = this.words.subarray(entry + 1, entry + 1 + this.keyWords);
      const bucket = this.hash(key) & (this.buckets.length - 1);
      this.words[entry] = this.head(bucket);
      this.buckets[bucket] = entry;
    }
  }

  private hash(key: Int32Array): number {
    let hash = 0;
    for (let i = 0; i < this.keyWords; i++) {
      hash = Math.imul(hash ^ (key[i] as number), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    return hash;
  }

  private head(bucket: number): number {
    return this.buckets[bucket] as number;
  }

  private word(index: number): number {
    return this.words[index] as number;
  }

  private sameKey(entry: number, configuration: Int32Array): boolean {
    for (let i = 0; i < this.keyWords; i++) {
      if (this.word(entry + 1 + i) !== configuration[i]) return false;
    }
    return true;
  }

  private noHeavier(entry: number, configuration: Int32Array): boolean {
    for (let i = this.keyWords; i < this.stride - 1; i++) {
      if ((this.word(entry + 1 + i) & ~(configuration[i] as number)) !== 0) return false;
    }
    return true;
  }

  private noLighter(entry: number, configuration: Int32Array): boolean {
    for (let i = this.keyWords; i < this.stride - 1; i++) {
      if (((configuration[i] as number) & ~this.word(entry + 1 + i)) !== 0) return false;
    }
    return true;
  }
}
