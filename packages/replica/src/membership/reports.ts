/**
 * What the others last said of themselves, and for how long they have been heard of: all that a leader knows about who
 * has caught up, who is there, and which incarnation is still alive. By incarnation: what a disk that is gone once held
 * says nothing about its successor.
 */
import type { Identity, Incarnation, Slot } from '@kvd/paxos';
import type { Report } from '@kvd/protocol';

interface Heard {
  readonly identity: Identity;
  report: Report;
  atTick: number;
  /** What this leader knew chosen when it first heard of it. Null: it does not lead, or is not established. */
  target: Slot | null;
  /** It may be of a life that is over. */
  isOld: boolean;
}

export class Reports {
  private readonly heard = new Map<Incarnation, Heard>();
  /** When an incarnation was last heard of by anybody. */
  private readonly seen = new Map<Incarnation, number>();
  private nowTick = 0;

  /** @param freshTicks a report that is older says nothing any more */
  constructor(private readonly freshTicks: number) {}

  tick(): void {
    this.nowTick += 1;
    for (const [incarnation, { atTick }] of this.heard)
      if (this.nowTick - atTick > 100 * this.freshTicks) this.heard.delete(incarnation);
    for (const [incarnation, atTick] of this.seen)
      if (this.nowTick - atTick > 100 * this.freshTicks) this.seen.delete(incarnation);
  }

  on(identity: Identity, report: Report): void {
    const target = this.heard.get(identity.incarnation)?.target ?? null;
    this.heard.set(identity.incarnation, { identity, report, atTick: this.nowTick, target, isOld: false });
    this.sees(identity);
    for (const other of report.hears) this.sees(other);
  }

  /**
   * A connection with it began: perhaps another life of it, which starts may have cost the state that the last one
   * reported. It has to say anew how far its disk goes.
   */
  onConnected({ incarnation }: Identity): void {
    const heard = this.heard.get(incarnation);
    if (heard !== undefined) heard.isOld = true;
  }

  /** This incarnation is alive. */
  sees({ incarnation }: Identity): void {
    this.seen.set(incarnation, this.nowTick);
  }

  ticksSinceSeen({ incarnation }: Identity): number {
    return this.nowTick - (this.seen.get(incarnation) ?? Number.NEGATIVE_INFINITY);
  }

  /** Its last report, if it is fresh and of its present life. */
  of(identity: Identity): Report | null {
    const heard = this.heard.get(identity.incarnation);
    if (!heard || heard.isOld || heard.identity.replicaId !== identity.replicaId) return null;
    return this.nowTick - heard.atTick <= this.freshTicks ? heard.report : null;
  }

  /** How far its disk goes: what was once durable stays so while its life lasts. Null: it never said, or not in this life. */
  durableThrough({ incarnation }: Identity): Slot | null {
    const heard = this.heard.get(incarnation);
    return heard === undefined || heard.isOld ? null : heard.report.durableThrough;
  }

  /** A leader that is established: whoever is heard of from now on has to know what it knows. */
  setTargets(chosenThrough: Slot): void {
    for (const heard of this.heard.values()) heard.target ??= chosenThrough;
  }

  /** No longer leading. */
  dropTargets(): void {
    for (const heard of this.heard.values()) heard.target = null;
  }

  target({ incarnation }: Identity): Slot | null {
    return this.heard.get(incarnation)?.target ?? null;
  }
}
