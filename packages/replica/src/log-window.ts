/**
 * How much of the log stays behind the applied slots for those who lag: so many slots, and no more than so many bytes.
 * Without the second bound ten thousand large batches would fill a disk and make every start wait for their
 * verification. Sizes are known for what was applied in this life; older slots go by number.
 */
import type { Slot } from '@kvd/paxos';

/** By number it shrinks in steps, not with every slot. */
const SHRINK_SLOTS = 256;

export class LogWindow {
  /** Bytes of the slots from `first` on. */
  private readonly sizes: number[] = [];
  private first: Slot = 0;
  private bytes = 0;
  /** Slots through it are beyond the bounds. */
  private dropped: Slot = 0;

  constructor(
    private readonly slotsMax: number,
    private readonly bytesMax: number,
  ) {}

  /** Slots come in order; after a gap (a snapshot) it starts anew. */
  onApplied(slot: Slot, bytes: number): void {
    if (slot !== this.first + this.sizes.length) {
      this.sizes.length = 0;
      this.bytes = 0;
      this.first = slot;
    }
    this.sizes.push(bytes);
    this.bytes += bytes;
    if (this.sizes.length >= this.slotsMax + SHRINK_SLOTS || this.bytes > this.bytesMax) this.shrink();
  }

  /** Slots through it need not be kept for those who lag, when everything through `durableThrough` is in the state. */
  cuttableThrough(durableThrough: Slot): Slot {
    return Math.min(durableThrough, Math.max(durableThrough - this.slotsMax, this.dropped));
  }

  private shrink(): void {
    let count = 0;
    while (
      this.sizes.length - count > this.slotsMax ||
      (this.bytes > this.bytesMax && count < this.sizes.length - 1)
    ) {
      this.bytes -= this.sizes[count] as number;
      count += 1;
    }
    this.sizes.splice(0, count);
    this.first += count;
    this.dropped = this.first - 1;
  }
}
