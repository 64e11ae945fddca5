/** Runs transitions on the values of a group, and takes them back. Values are numbers, so that to compare them is cheap. */
import type { Value } from '../operation.js';
import { type Guard, holds, integerOf, type Move, type Way } from './transition.js';
import { WholeState } from './whole-state.js';

/** Characters of values that moves made. */
const CHARACTERS_MAX = 200_000_000;

export class Moves {
  readonly state: WholeState;
  private readonly numbers = new Map<Value, number>();
  private readonly texts: Value[] = [];
  private characters = 0;
  /** Keys that were changed, and what they were before, in pairs. */
  private readonly undo: number[] = [];

  constructor(keys: number, initial: Value) {
    this.state = new WholeState(keys);
    const number = this.numberOf(initial);
    for (let key = 0; key < keys; key++) this.state.set(key, number);
  }

  /** Do all that `way` does, if all that it demands is there; else nothing. */
  run(way: Way): boolean {
    const mark = this.mark;
    if (way.guard !== undefined && !this.mayPass(way.guard)) return false;
    for (const move of way.moves) {
      if (this.make(move)) continue;
      this.backTo(mark);
      return false;
    }
    return true;
  }

  /** A mark to go back to. */
  get mark(): number {
    return this.undo.length;
  }

  backTo(mark: number): void {
    while (this.undo.length > mark) {
      const value = this.undo.pop() ?? 0;
      this.state.set(this.undo.pop() ?? 0, value);
    }
  }

  /** There were too many states, or values that are too long, to go on. */
  get full(): boolean {
    return this.state.full || this.characters > CHARACTERS_MAX;
  }

  /** Compares whose outcome nothing is known of may go either way. */
  private mayPass(guard: Guard): boolean {
    let isOpen = false;
    for (const { key, compare } of guard.compares) {
      const answer = holds(compare, this.valueOf(key));
      if (answer === false) return !guard.holds;
      isOpen ||= answer === undefined;
    }
    return guard.holds || isOpen;
  }

  private make(move: Move): boolean {
    switch (move.type) {
      case 'expect':
        return this.valueOf(move.key) === move.value;
      case 'differ':
        return this.valueOf(move.key) !== move.value;
      case 'count':
        return move.keys.filter((key) => this.valueOf(key) !== null).length === move.present;
      case 'set':
        this.set(move.key, move.value);
        return true;
      case 'append':
        this.set(move.key, (this.valueOf(move.key) ?? '') + move.value);
        return true;
      case 'add': {
        const present = integerOf(this.valueOf(move.key));
        if (present === undefined) return false;
        const sum = String(present + move.delta);
        if (move.sum !== undefined && move.sum !== sum) return false;
        this.set(move.key, sum);
        return true;
      }
    }
  }

  private set(key: number, value: Value): void {
    const before = this.state.get(key);
    const number = this.numberOf(value);
    if (number === before) return;
    this.undo.push(key, before);
    this.state.set(key, number);
  }

  /** Could `way` be run now? */
  allows(way: Way): boolean {
    const mark = this.mark;
    if (!this.run(way)) return false;
    this.backTo(mark);
    return true;
  }

  valueOf(key: number): Value {
    return this.texts[this.state.get(key)] as Value;
  }

  private numberOf(value: Value): number {
    const known = this.numbers.get(value);
    if (known !== undefined) return known;
    const number = this.texts.length;
    this.numbers.set(value, number);
    this.texts.push(value);
    this.characters += value?.length ?? 0;
    return number;
  }
}
