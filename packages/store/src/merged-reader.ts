/**
 * Several readers as one: their pairs in one order, which is that of each of them.
 */
import type { Done } from '@kvd/replica';
import type { Pair, RangeReader } from './ordered-store.js';

interface Part {
  readonly reader: RangeReader;
  pairs: readonly Pair[];
  /** Of the pairs, the next. */
  position: number;
  ended: boolean;
}

export class MergedReader implements RangeReader {
  private readonly parts: readonly Part[];

  /** At least one reader, each made after the one before it. `compare`: below 0 when the first pair comes first. */
  constructor(
    private readonly readers: readonly RangeReader[],
    private readonly compare: (a: Pair, b: Pair) => number,
  ) {
    this.parts = readers.map((reader) => ({ reader, pairs: [], position: 0, ended: false }));
  }

  next(pairsMax: number, done: Done<readonly Pair[]>): void {
    const share = Math.ceil(pairsMax / this.parts.length);
    const fill = (): void => {
      const part = this.parts.find(isWaiting);
      if (part === undefined) return done(null, this.take(pairsMax));
      part.reader.next(share, (error, pairs) => {
        if (error !== null) return done(error, []);
        part.pairs = pairs;
        part.position = 0;
        part.ended = pairs.length === 0;
        fill();
      });
    };
    fill();
  }

  /** As they were when the last reader was made. */
  getMany(keys: readonly Buffer[], done: Done<readonly (Buffer | undefined)[]>): void {
    (this.readers.at(-1) as RangeReader).getMany(keys, done);
  }

  close(): void {
    for (const reader of this.readers) reader.close();
  }

  /** In order, until one of the readers has to be asked again. */
  private take(pairsMax: number): readonly Pair[] {
    const taken: Pair[] = [];
    while (taken.length < pairsMax) {
      const part = this.first();
      if (part === null) break;
      taken.push(part.pairs[part.position] as Pair);
      part.position += 1;
      if (isWaiting(part)) break;
    }
    return taken;
  }

  /** Whose pair comes next; null: all are through. */
  private first(): Part | null {
    let first: Part | null = null;
    for (const part of this.parts)
      if (!part.ended && (first === null || this.compare(headOf(part), headOf(first)) < 0)) first = part;
    return first;
  }
}

const headOf = ({ pairs, position }: Part): Pair => pairs[position] as Pair;

const isWaiting = ({ ended, pairs, position }: Part): boolean => !ended && position === pairs.length;
