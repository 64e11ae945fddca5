/** Whether a machine's disk still is what its process once had, to the knowledge of whoever looks at the whole. */
import type { Identity, Incarnation, Slot } from '@kvd/paxos';

interface Loss {
  readonly incarnation: Incarnation;
  /** Of the process that had it. */
  readonly life: number;
  /** It had written down so much as chosen. */
  readonly through: Slot;
  readonly isForGood: boolean;
}

export class DiskLoss {
  private loss: Loss | null = null;

  /**
   * What is on the disk is gone, or not to be believed. `isForGood`: no start can tell; otherwise it does, and then the
   * directory is another one, or it is whole.
   */
  note({ incarnation }: Identity, life: number, through: Slot, isForGood: boolean): void {
    this.loss = { incarnation, life, through, isForGood };
  }

  isOf(identity: Identity | null): boolean {
    return this.loss !== null && this.loss.incarnation === identity?.incarnation;
  }

  /** It was verified at a later start, and the state, which that may have dropped, is again as far as it was: it counts. */
  forgetIfRepaired(life: number, stateThrough: Slot): void {
    const { loss } = this;
    if (loss !== null && !loss.isForGood && life > loss.life && stateThrough >= loss.through)
      this.loss = null;
  }
}
