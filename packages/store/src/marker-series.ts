/**
 * The markers that a log keeps, in memory: which record each one's write still owns, and how much of the series' head
 * nobody needs any more. The series is contiguous from `oldest` to `last`; only its head is ever dropped.
 */
import type { MarkerNumber, Slot } from '@kvd/paxos';
import type { Marker } from './log-records.js';

export class MarkerSeries {
  oldest: MarkerNumber;
  /** The last one named. */
  last: MarkerNumber;
  identityOwner: MarkerNumber = 0;
  configurationsOwner: MarkerNumber = 0;
  private readonly ownerOfSlot = new Map<Slot, MarkerNumber>();
  /** How many records each marker still owns; absent: none. */
  private readonly owned = new Map<MarkerNumber, number>();

  /** An empty series whose first marker will be `first`. */
  constructor(first: MarkerNumber) {
    this.oldest = first;
    this.last = first - 1;
  }

  /** Entries in the log. */
  get slots(): number {
    return this.ownerOfSlot.size;
  }

  /** The next marker takes over what it names. */
  add(marker: Pick<Marker, 'slots' | 'identity' | 'configurations'>): void {
    this.last += 1;
    for (const slot of marker.slots) {
      this.release(this.ownerOfSlot.get(slot));
      this.ownerOfSlot.set(slot, this.last);
      this.acquire();
    }
    if (marker.identity) {
      this.release(this.identityOwner);
      this.identityOwner = this.last;
      this.acquire();
    }
    if (marker.configurations) {
      this.release(this.configurationsOwner);
      this.configurationsOwner = this.last;
      this.acquire();
    }
  }

  /** The marker that the slot's entry was written with; undefined: the log has no such entry. */
  ownerOf(slot: Slot): MarkerNumber | undefined {
    return this.ownerOfSlot.get(slot);
  }

  /** The slot's entry was cut. */
  cut(slot: Slot): void {
    this.release(this.ownerOfSlot.get(slot));
    this.ownerOfSlot.delete(slot);
  }

  /** How many records the marker's write still owns. */
  ownedBy(marker: MarkerNumber): number {
    return this.owned.get(marker) ?? 0;
  }

  ownedSlots(): IterableIterator<[Slot, MarkerNumber]> {
    return this.ownerOfSlot.entries();
  }

  /** Drops the head of the series that owns nothing, up to `before`; gives the numbers dropped. */
  dropHead(before: MarkerNumber): MarkerNumber[] {
    const dropped: MarkerNumber[] = [];
    while (this.oldest < before && this.ownedBy(this.oldest) === 0) {
      dropped.push(this.oldest);
      this.oldest += 1;
    }
    return dropped;
  }

  private acquire(): void {
    this.owned.set(this.last, this.ownedBy(this.last) + 1);
  }

  private release(marker: MarkerNumber | undefined): void {
    if (marker === undefined || marker === 0) return;
    const left = this.ownedBy(marker) - 1;
    if (left > 0) this.owned.set(marker, left);
    else this.owned.delete(marker);
  }
}
