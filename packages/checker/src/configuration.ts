/**
 * Where a search stands: which steps of a problem are taken, what the value is, and what is left, counted. Steps are taken and
 * given back in the order of a stack. Decides nothing: search.ts does.
 */
import { APPENDS, at, DIFFERS, EQUALS, NEVER, NOTHING, type Problem, SETS } from './problem.js';
import type { Supply } from './visits.js';

export class Configuration {
  /** The present value. */
  state: number;
  /** Known steps that are not taken, a ring in order of their start; `known` itself is its anchor. */
  readonly next: Int32Array;
  private readonly previous: Int32Array;
  private readonly taken: Uint8Array;
  /** All known steps before this one, in order of their end, are taken. */
  private position = 0;
  /** How many open steps of each kind are taken. */
  private readonly openTaken: Int32Array;
  /** Steps in the order in which they were taken. */
  private readonly trail: number[] = [];

  /** By value: known steps not taken that demand it; and with open ones. */
  readonly demands: Int32Array;
  readonly interests: Int32Array;
  /** By value: steps not taken that set it; and open ones of those. */
  readonly sources: Int32Array;
  private readonly openSources: Int32Array;
  /** By value: known steps not taken that demand it and set another. */
  private readonly swaps: Int32Array;
  /** Steps not taken that can tell one value from another without demanding it. */
  onlookers = 0;

  /** Key: position, state, mask of known steps with an effect. Burden: mask of reads not met, open steps used. See Seen. */
  private readonly words: Int32Array;
  private readonly slotWords: number;

  constructor(private readonly problem: Problem) {
    const { known, size, slots, values } = problem;
    this.state = problem.initial;
    this.next = Int32Array.from({ length: known + 1 }, (_, i) => (i === known ? 0 : i + 1));
    this.previous = Int32Array.from({ length: known + 1 }, (_, i) => (i === 0 ? known : i - 1));
    this.taken = new Uint8Array(size);
    this.openTaken = new Int32Array(problem.openKinds.length);
    const byValue = () => new Int32Array(values.count);
    [this.demands, this.interests, this.swaps] = [byValue(), byValue(), byValue()];
    [this.sources, this.openSources] = [byValue(), byValue()];
    this.slotWords = Math.ceil(slots / 32);
    this.words = new Int32Array(this.keyWords + this.burdenWords);
    this.words.fill(-1, this.keyWords, this.keyWords + this.slotWords);
    for (let step = 0; step < size; step++) this.count(step, 1);
  }

  get keyWords(): number {
    return 2 + this.slotWords;
  }

  get burdenWords(): number {
    return this.slotWords + Math.ceil((this.problem.size - this.problem.known) / 32);
  }

  /** What tells this configuration from others. Valid until the next change. */
  get description(): Int32Array {
    this.words[0] = this.position;
    this.words[1] = this.state;
    return this.words;
  }

  get ended(): boolean {
    return this.position === this.problem.known;
  }

  /** Steps that start before this rank can be taken. */
  get horizon(): number {
    const { known, byEnd, endRank } = this.problem;
    return this.position < known ? at(endRank, at(byEnd, this.position)) : NEVER;
  }

  /** The open step of a kind that comes next, or -1. */
  nextOpen(kind: number): number {
    const steps = this.problem.openKinds[kind] as Int32Array;
    const used = at(this.openTaken, kind);
    return used < steps.length ? at(steps, used) : -1;
  }

  /** What is left for those that demand `value`. */
  supply(value: number): Supply {
    return {
      isThere: this.state === value,
      sources: at(this.sources, value),
      openSources: at(this.openSources, value),
      swaps: at(this.swaps, value),
    };
  }

  demandHolds(step: number): boolean {
    const demand = at(this.problem.demand, step);
    if (demand === NOTHING) return true;
    return (at(this.problem.demanded, step) === this.state) === (demand === EQUALS);
  }

  /** The step is taken: off the ring, out of the counts, into the masks. */
  take(step: number): void {
    const { known, openKind } = this.problem;
    this.taken[step] = 1;
    this.trail.push(step);
    this.count(step, -1);
    if (step < known) {
      this.next[at(this.previous, step)] = at(this.next, step);
      this.previous[at(this.next, step)] = at(this.previous, step);
      this.setSlot(step, true);
      return;
    }
    const open = at(openKind, step);
    this.openTaken[open] = at(this.openTaken, open) + 1;
    this.setOpen(step, true);
  }

  private giveBack(step: number): void {
    const { known, openKind } = this.problem;
    this.taken[step] = 0;
    this.count(step, 1);
    if (step < known) {
      this.next[at(this.previous, step)] = step;
      this.previous[at(this.next, step)] = step;
      this.setSlot(step, false);
      return;
    }
    const open = at(openKind, step);
    this.openTaken[open] = at(this.openTaken, open) - 1;
    this.setOpen(step, false);
  }

  private count(step: number, by: 1 | -1): void {
    const { known, demand, demanded, effect, effectValue } = this.problem;
    if (at(demand, step) === EQUALS) {
      const value = at(demanded, step);
      this.interests[value] = at(this.interests, value) + by;
      if (step < known) {
        this.demands[value] = at(this.demands, value) + by;
        if (at(effect, step) === SETS) this.swaps[value] = at(this.swaps, value) + by;
      }
    } else if (at(demand, step) === DIFFERS) this.onlookers += by;
    if (at(effect, step) === APPENDS) this.onlookers += by;
    else if (at(effect, step) === SETS) {
      const value = at(effectValue, step);
      this.sources[value] = at(this.sources, value) + by;
      if (step >= known) this.openSources[value] = at(this.openSources, value) + by;
    }
  }

  /** A known step's bit: among those taken, or for reads among those not taken, which are a burden. */
  private setSlot(step: number, on: boolean): void {
    const slot = at(this.problem.slot, step);
    const isRead = at(this.problem.effect, step) === NOTHING;
    this.setBit(isRead ? this.keyWords : 2, slot, on !== isRead);
  }

  private setOpen(step: number, on: boolean): void {
    this.setBit(this.keyWords + this.slotWords, step - this.problem.known, on);
  }

  private setBit(firstWord: number, bit: number, on: boolean): void {
    const word = firstWord + (bit >>> 5);
    const mask = 1 << (bit & 31);
    this.words[word] = on ? at(this.words, word) | mask : at(this.words, word) & ~mask;
  }

  /** Past all that is taken, in order of ends. */
  advance(): void {
    const { known, byEnd } = this.problem;
    while (this.position < known) {
      const step = at(byEnd, this.position);
      if (this.taken[step] === 0) return;
      this.setSlot(step, false);
      this.position++;
    }
  }

  /** A mark to go back to. */
  get mark(): { readonly trail: number; readonly position: number; readonly state: number } {
    return { trail: this.trail.length, position: this.position, state: this.state };
  }

  /** Give back all that was taken since. */
  backTo({ trail, position, state }: Configuration['mark']): void {
    while (this.trail.length > trail) this.giveBack(this.trail.pop() ?? 0);
    // After that, because of two steps that share a slot the one to end first may still be taken, the other no longer.
    while (this.position > position) {
      const step = at(this.problem.byEnd, --this.position);
      this.setSlot(step, this.taken[step] === 1);
    }
    this.state = state;
  }
}
