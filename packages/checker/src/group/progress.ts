/**
 * Which transitions a search has taken, in the order of a stack, and which may come next. Knows nothing of values. The same
 * as Configuration keeps for registers, without what that counts.
 */
import { at, NEVER, type Timing } from '../timing.js';

export class Progress {
  /** All known steps before this one, in order of their end, are taken. */
  position = 0;
  /** Known steps that are not taken, a ring in order of their start; `known` itself is its anchor. */
  readonly next: Int32Array;
  private readonly previous: Int32Array;
  private readonly taken: Uint8Array;
  private readonly trail: number[] = [];
  /** How many of the last steps taken are open. */
  private runs: number[] = [];
  /** Key: position, state, mask of known steps. Burden: open steps used. See Seen. */
  private readonly words: Int32Array;

  constructor(
    private readonly timing: Timing,
    private readonly known: number,
    private readonly size: number,
  ) {
    this.next = Int32Array.from({ length: known + 1 }, (_, i) => (i === known ? 0 : i + 1));
    this.previous = Int32Array.from({ length: known + 1 }, (_, i) => (i === 0 ? known : i - 1));
    this.taken = new Uint8Array(size);
    this.words = new Int32Array(this.keyWords + this.burdenWords);
  }

  get keyWords(): number {
    return 2 + Math.ceil(this.timing.slots / 32);
  }

  get burdenWords(): number {
    return Math.ceil((this.size - this.known) / 32);
  }

  /** What tells this configuration from others, with the number of its state. Valid until the next change. */
  description(state: number): Int32Array {
    this.words[0] = this.position;
    this.words[1] = state;
    return this.words;
  }

  get ended(): boolean {
    return this.position === this.known;
  }

  /** Steps that start before this rank can be taken. */
  get horizon(): number {
    const { byEnd, endRank } = this.timing;
    return this.position < this.known ? at(endRank, at(byEnd, this.position)) : NEVER;
  }

  isTaken(step: number): boolean {
    return this.taken[step] === 1;
  }

  /** How many steps were taken. */
  get depth(): number {
    return this.trail.length;
  }

  /** The open steps that were taken since the last known one, in order. */
  get run(): readonly number[] {
    const length = this.runs.at(-1) ?? 0;
    return length === 0 ? [] : this.trail.slice(-length);
  }

  take(step: number): void {
    this.taken[step] = 1;
    this.trail.push(step);
    this.runs.push(step < this.known ? 0 : (this.runs.at(-1) ?? 0) + 1);
    this.setBit(step, true);
    if (step >= this.known) return;
    this.next[at(this.previous, step)] = at(this.next, step);
    this.previous[at(this.next, step)] = at(this.previous, step);
    this.advance();
  }

  /** Give back all but the first `depth` steps. */
  backTo(depth: number): void {
    while (this.trail.length > depth) {
      const step = this.trail.pop() ?? 0;
      this.runs.pop();
      if (step < this.known) this.retreat(step);
      this.taken[step] = 0;
      this.setBit(step, false);
      if (step >= this.known) continue;
      this.next[at(this.previous, step)] = step;
      this.previous[at(this.next, step)] = step;
    }
  }

  /** Past all that is taken, in order of ends; the bits of those are free for others. */
  private advance(): void {
    for (; this.position < this.known; this.position++) {
      const step = at(this.timing.byEnd, this.position);
      if (!this.isTaken(step)) return;
      this.setBit(step, false);
    }
  }

  /** To where `step` is not passed yet. */
  private retreat(step: number): void {
    const rank = at(this.timing.endRank, step);
    while (this.position > 0) {
      const passed = at(this.timing.byEnd, this.position - 1);
      if (at(this.timing.endRank, passed) < rank) return;
      this.setBit(passed, true);
      this.position--;
    }
  }

  private setBit(step: number, on: boolean): void {
    const isKnown = step < this.known;
    const bit = isKnown ? at(this.timing.slot, step) : step - this.known;
    const word = (isKnown ? 2 : this.keyWords) + (bit >>> 5);
    const mask = 1 << (bit & 31);
    this.words[word] = on ? at(this.words, word) | mask : at(this.words, word) & ~mask;
  }
}
