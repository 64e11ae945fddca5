/** When each watcher is due for a mark: once a round of ticks, spread so that no tick has many of them. */
import type { Watcher } from './watcher.js';

export class ProgressMarks {
  private readonly places: Set<Watcher>[];
  private readonly placeOf = new Map<Watcher, Set<Watcher>>();
  private now = 0;
  private nextPlace = 0;

  constructor(ticks: number) {
    this.places = Array.from({ length: ticks }, () => new Set<Watcher>());
  }

  add(watcher: Watcher): void {
    const place = this.places[this.nextPlace] as Set<Watcher>;
    this.nextPlace = (this.nextPlace + 1) % this.places.length;
    place.add(watcher);
    this.placeOf.set(watcher, place);
  }

  remove(watcher: Watcher): void {
    this.placeOf.get(watcher)?.delete(watcher);
    this.placeOf.delete(watcher);
  }

  /** Those who are due at the next tick. */
  tick(): Iterable<Watcher> {
    this.now = (this.now + 1) % this.places.length;
    return this.places[this.now] as Set<Watcher>;
  }
}
