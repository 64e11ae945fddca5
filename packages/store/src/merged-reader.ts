/**
 * Several readers as one: their pairs in one order, which is that of each of them.
 */
import type { Done } from '@kvd/replica';
import type { Pair, RangeReader } from './ordered-store.js';

interface Part {
  readonly reader: RangeReader;
  /** Where its next pair belongs. */
  place: Buffer;
  pairs: readonly Pair[];
  /** Of the pairs, the next. */
  position: number;
  ended: boolean;
}

const NOWHERE = Buffer.alloc(0);
/** What is asked of a reader at least: to ask costs more than to read some pairs. */
const SHARE_MIN = 16;

export class MergedReader implements RangeReader {
  private readonly parts: readonly Part[];

  /**
   * At least one reader, each made after the one before it, each in the order of the places, `reverse` from the last down.
   */
  constructor(
    private readonly readers: readonly RangeReader[],
    private readonly placeOf: (pair: Pair) => Buffer,
    private readonly reverse: boolean,
  ) {
    this.parts = readers.map((reader) => ({ reader, place: NOWHERE, pairs: [], position: 0, ended: false }));
  }

  next(pairsMax: number, done: Done<readonly Pair[]>): void {
    const share = Math.max(SHARE_MIN, Math.ceil(pairsMax / this.parts.length));
    const fill = (): void => {
      const part = this.parts.find(isWaiting);
      if (part === undefined) return done(null, this.take(pairsMax));
      part.reader.next(share, (error, pairs) => {
        if (error !== null) return done(error, []);
        part.pairs = pairs;
        part.ended = pairs.length === 0;
        this.moveTo(part, 0);
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
      this.moveTo(part, part.position + 1);
      if (isWaiting(part)) break;
    }
    return taken;
  }

  /** Whose pair comes next; null: all are through. */
  private first(): Part | null {
    let first: Part | null = null;
    for (const part of this.parts)
      if (!part.ended && (first === null || this.isBefore(part, first))) first = part;
    return first;
  }

  private isBefore(a: Part, b: Part): boolean {
    const order = Buffer.compare(a.place, b.place);
    return this.reverse ? order > 0 : order < 0;
  }

  private moveTo(part: Part, position: number): void {
    part.position = position;
    const pair = part.pairs[position];
    part.place = pair === undefined ? NOWHERE : this.placeOf(pair);
  }
}

const isWaiting = ({ ended, pairs, position }: Part): boolean => !ended && position === pairs.length;
