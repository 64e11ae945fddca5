/**
 * Gives the room of what was removed back, where LevelDB would not for long: tables whose keys only ascend overlap with nothing,
 * so LevelDB has no reason to compact them, and what is dead in them stays.
 *
 * It goes from the first key to the last one removed each time, so what one compaction has left (a reader could still see it, the disk was
 * full) the next one finds. And in pieces, for a database cannot be closed while LevelDB compacts, nor can the process end.
 */
import type { KeyRange, OrderedStore } from './ordered-store.js';

const PIECE_BYTES = 64 * 1024 * 1024;
/** Of a key: enough to tell pieces from each other. */
const SPLIT_BYTES = 16;

export class Reclaimer {
  private running = false;
  private stopped = false;

  constructor(private readonly store: OrderedStore) {}

  /**
   * In the background, one at a time; `done` gets how many bytes the store has then, or null: it was not done.
   * `isWorthIt` is asked with the bytes that it has now, of what was removed too.
   */
  reclaim(
    range: KeyRange,
    isWorthIt: (bytes: number) => boolean,
    done: (bytesLeft: number | null) => void,
  ): void {
    if (this.running) return done(null);
    this.running = true;
    this.stopped = false;
    const end = (bytesLeft: number | null): void => {
      this.running = false;
      done(bytesLeft);
    };
    this.store.bytes(null, (error, bytes) => {
      if (error !== null || !isWorthIt(bytes)) return end(null);
      this.compactFrom(range, (whole) => {
        if (!whole) return end(null);
        this.store.bytes(null, (failure, left) => end(failure === null ? left : null));
      });
    });
  }

  /** No further piece: the store is to be closed. */
  stop(): void {
    this.stopped = true;
  }

  private compactFrom(range: KeyRange, done: (whole: boolean) => void): void {
    if (this.stopped) return done(false);
    this.pieceOf(range, (piece, bytes) => {
      if (piece === null) return done(false);
      const next = (error: Error | null): void => {
        if (error !== null || piece.lt === range.lt) return done(error === null);
        this.compactFrom({ gte: piece.lt, lt: range.lt }, done);
      };
      // LevelDB writes its memory table out for each compaction: none where there is nothing.
      if (bytes > 0) this.store.compact(piece, next);
      else next(null);
    });
  }

  /** The longest beginning of the range, of those that halving gives, that is small enough. */
  private pieceOf(range: KeyRange, done: (piece: KeyRange | null, bytes: number) => void): void {
    this.store.bytes(range, (error, bytes) => {
      if (error !== null) return done(null, 0);
      const lt = middle(range.gte, range.lt);
      if (bytes <= PIECE_BYTES || lt === null) done(range, bytes);
      else this.pieceOf({ gte: range.gte, lt }, done);
    });
  }
}

/** A key between the two; null: there is none, as far as they are looked at. */
function middle(low: Buffer, high: Buffer): Buffer | null {
  const between = (numberOf(low) + numberOf(high)) / 2n;
  if (between === numberOf(low)) return null;
  return Buffer.from(between.toString(16).padStart(2 * SPLIT_BYTES, '0'), 'hex');
}

function numberOf(key: Buffer): bigint {
  const bytes = Buffer.alloc(SPLIT_BYTES);
  key.copy(bytes, 0, 0, SPLIT_BYTES);
  return BigInt(`0x${bytes.toString('hex')}`);
}
