/**
 * Gives the room of what was removed back, where LevelDB would not for long: tables whose keys only ascend overlap with nothing,
 * so LevelDB has no reason to compact them, and what is dead in them stays.
 */
import type { KeyRange, OrderedStore } from './ordered-store.js';

/** Of all there is, before a compaction is worth it: so each byte that stays is written a few times at most. */
const GROWTH = 1.5;

export class Reclaimer {
  private running = false;

  /** `settledBytes`: what all of it took after the last time; 0: not known. `deadBytesMax`: what may be dead besides. */
  constructor(
    private readonly store: OrderedStore,
    private readonly deadBytesMax: number,
    public settledBytes = 0,
  ) {}

  /** If it is worth it, in the background, one at a time. Says whether it was done: if not, ask again for more. */
  reclaim(range: KeyRange, done: (reclaimed: boolean) => void): void {
    const { store } = this;
    if (this.running) return done(false);
    this.running = true;
    const end = (reclaimed: boolean): void => {
      this.running = false;
      done(reclaimed);
    };
    store.bytes((error, bytes) => {
      if (error !== null || bytes < this.deadBytesMax + this.settledBytes * GROWTH) return end(false);
      store.compact(range, (failure) => {
        if (failure !== null) return end(false);
        store.bytes((unknown, left) => {
          if (unknown === null) this.settledBytes = left;
          end(true);
        });
      });
    });
  }
}
