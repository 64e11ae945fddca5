/**
 * What an operation demands of several keys at one moment and makes of them. Single operations on a key that transactions
 * touch become transitions, too. Made of values as text; `Moves` in moves.ts runs them.
 */
import type { Compare, Value } from '../operation.js';
import { compareBytes } from '../text.js';
import type { Timed } from '../timing.js';

/** Keys are places in their group. Done one after the other, each on what those before left. */
export type Move =
  | { readonly type: 'expect'; readonly key: number; readonly value: Value }
  | { readonly type: 'differ'; readonly key: number; readonly value: Value }
  /** So many of the keys are there. */
  | { readonly type: 'count'; readonly keys: readonly number[]; readonly present: number }
  | { readonly type: 'set'; readonly key: number; readonly value: Value }
  | { readonly type: 'append'; readonly key: number; readonly value: string }
  /** `sum`: what it was told that it came to. Demands that the value is a number, or absent. */
  | {
      readonly type: 'add';
      readonly key: number;
      readonly delta: bigint;
      readonly sum: string | undefined;
    };

export interface PlacedCompare {
  readonly key: number;
  readonly compare: Compare;
}

/** What compares demand before the moves: that all hold, or that not all do. */
export interface Guard {
  readonly compares: readonly PlacedCompare[];
  readonly holds: boolean;
}

/** One way in which an operation may have taken effect. */
export interface Way {
  readonly guard: Guard | undefined;
  readonly moves: readonly Move[];
}

export interface Transition extends Timed {
  /** Its operation's index in the history. */
  readonly operation: number;
  /** That it was told it took: a hint where to look for its place first, and no more. */
  readonly revision: number | undefined;
  /** Several only where it is open and the branch is not known. */
  readonly ways: readonly Way[];
}

export function writes({ type }: Move): boolean {
  return type === 'set' || type === 'append' || type === 'add';
}

export function keysOfMove(move: Move): readonly number[] {
  return move.type === 'count' ? move.keys : [move.key];
}

/** Could it change anything? */
export function changesAnything({ ways }: Transition): boolean {
  return ways.some(({ moves }) => moves.some(writes));
}

/**
 * Does `compare` hold of a key with this value? Of the numbers of a key that is there nothing is known, except that all but the
 * lease are at least 1: undefined where that leaves it open.
 */
export function holds(compare: Compare, value: Value): boolean | undefined {
  switch (compare.target) {
    case 'exists':
      return (value !== null) === compare.exists;
    case 'value':
      if (value === null) return compare.comparison === '!=';
      if (compare.comparison === '=') return value === compare.value;
      if (compare.comparison === '!=') return value !== compare.value;
      return (
        compareBytes(value, compare.value) < 0 === (compare.comparison === '<') && value !== compare.value
      );
    default:
      return numberHolds(compare, value === null);
  }
}

function numberHolds(
  { target, comparison, number }: Extract<Compare, { number: number }>,
  isAbsent: boolean,
): boolean | undefined {
  const ofZero =
    comparison === '='
      ? number === 0
      : comparison === '!='
        ? number !== 0
        : comparison === '<'
          ? number > 0
          : false;
  if (isAbsent) return ofZero;
  if (target === 'lease') return undefined;
  switch (comparison) {
    case '=':
      return number < 1 ? false : undefined;
    case '!=':
      return number < 1 ? true : undefined;
    case '<':
      return number <= 1 ? false : undefined;
    case '>':
      return number < 1 ? true : undefined;
  }
}

/** The number that a text is, in its one decimal form; undefined: none. */
export function integerOf(text: Value): bigint | undefined {
  if (text === null) return 0n;
  return /^(0|-?[1-9][0-9]*)$/.test(text) ? BigInt(text) : undefined;
}
