/**
 * When steps may be taken, in whole numbers. Steps 0 to known - 1 were answered and are in order of their start; the others
 * are open and have no end.
 *
 * Two times that are equal do not order their operations: what ends when another begins is concurrent with it.
 */

/** A rank after every rank. */
export const NEVER = 0x7fffffff;

/** Reads of arrays whose bounds the code keeps itself. */
export function at(array: Int32Array, index: number): number {
  return array[index] as number;
}

export interface Timed {
  readonly start: number;
  /** Infinity: open. */
  readonly end: number;
}

/** Those that were answered, then those that are open, each in order of their start. */
export function inOrder<T extends Timed>(steps: readonly T[]): { all: readonly T[]; known: number } {
  const known = steps.filter(({ end }) => end !== Number.POSITIVE_INFINITY).sort(byStart);
  const open = steps.filter(({ end }) => end === Number.POSITIVE_INFINITY).sort(byStart);
  return { all: [...known, ...open], known: known.length };
}

/** The one whose end completes a piece of history: the last of those that ended. */
export function lastToEnd<T extends Timed>(steps: readonly T[]): T {
  return steps
    .filter(({ end }) => end !== Number.POSITIVE_INFINITY)
    .reduce((latest, step) => (step.end > latest.end ? step : latest));
}

export class Timing {
  readonly startRank: Int32Array;
  /** NEVER for an open step. */
  readonly endRank: Int32Array;
  /** Known steps in order of their end. */
  readonly byEnd: Int32Array;
  /** A known step's bit in masks: no two that are under way at the same time share one. */
  readonly slot: Int32Array;
  readonly slots: number;

  constructor(
    private readonly steps: readonly Timed[],
    private readonly known: number,
  ) {
    this.startRank = new Int32Array(steps.length);
    this.endRank = new Int32Array(steps.length).fill(NEVER);
    this.byEnd = this.sortedBy(known, ({ end }) => end);
    this.rank();
    this.slot = new Int32Array(known);
    this.slots = this.assignSlots();
  }

  /** The places of the first `count` steps, sorted by a time. */
  private sortedBy(count: number, time: (step: Timed) => number): Int32Array {
    const timeOf = (index: number) => time(this.steps[index] as Timed);
    return Int32Array.from({ length: count }, (_, i) => i).sort((a, b) => timeOf(a) - timeOf(b) || a - b);
  }

  /** Starts before ends at equal times. */
  private rank(): void {
    const { steps, known, byEnd } = this;
    let rank = 0;
    let ended = 0;
    for (const index of this.sortedBy(steps.length, ({ start }) => start)) {
      const { start } = steps[index] as Timed;
      while (ended < known && (steps[at(byEnd, ended)] as Timed).end < start) {
        this.endRank[at(byEnd, ended++)] = rank++;
      }
      this.startRank[index] = rank++;
    }
    while (ended < known) this.endRank[at(byEnd, ended++)] = rank++;
  }

  private assignSlots(): number {
    const free: number[] = [];
    let slots = 0;
    let ended = 0;
    for (let index = 0; index < this.known; index++) {
      while (ended < this.known && at(this.endRank, at(this.byEnd, ended)) < at(this.startRank, index)) {
        free.push(at(this.slot, at(this.byEnd, ended++)));
      }
      this.slot[index] = free.pop() ?? slots++;
    }
    return slots;
  }
}

function byStart(a: Timed, b: Timed): number {
  return a.start - b.start;
}

const float = new Float64Array(1);
const bits = new BigInt64Array(float.buffer);

/** The smallest number above `value`. */
export function nextAbove(value: number): number {
  if (value === 0) return Number.MIN_VALUE;
  float[0] = value;
  bits[0] = (bits[0] ?? 0n) + (value > 0 ? 1n : -1n);
  return float[0];
}
