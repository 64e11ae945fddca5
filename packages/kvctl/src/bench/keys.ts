/** The keys of a run: how they are named, which of them are there, and which one an operation takes. */
import { scatteredZipfian, Zipfian } from './zipfian.js';

/** Names in the order of numbers, also for what a run inserts. */
const DIGITS = 10;

export type Distribution = 'uniform' | 'zipfian' | 'latest';

export class KeySpace {
  /** One after the last key that may be there. */
  private endsAt: number;
  private present: number;
  /** Inserted out of order: there, but something before them is not yet. */
  private readonly ahead = new Set<number>();

  constructor(
    readonly prefix: string,
    readonly loaded: number,
  ) {
    this.endsAt = loaded;
    this.present = loaded;
  }

  name(number: number): string {
    return this.prefix + String(number).padStart(DIGITS, '0');
  }

  /** All keys below it are there. */
  get count(): number {
    return this.present;
  }

  get end(): number {
    return this.endsAt;
  }

  /** The number of a key that is about to be inserted. */
  insert(): number {
    return this.endsAt++;
  }

  /** Its insertion has ended, well or not: as in YCSB a failed one must not hold up those after it. */
  inserted(number: number): void {
    this.ahead.add(number);
    while (this.ahead.delete(this.present)) this.present++;
  }
}

/** Which key an operation takes. The same random numbers, the same keys. */
export function keyChoice(distribution: Distribution, keys: KeySpace, random: () => number): () => number {
  switch (distribution) {
    case 'uniform':
      return () => Math.floor(random() * keys.count);
    case 'zipfian':
      // Over the loaded keys: with every key inserted others would be the popular ones.
      return scatteredZipfian(random, keys.loaded);
    case 'latest': {
      const ages = new Zipfian(random, keys.count);
      return () => {
        ages.grow(keys.count);
        return keys.count - 1 - ages.next();
      };
    }
  }
}
