/**
 * From steps that cannot be ordered to few of them that cannot. Every removal is sound: whenever what is left cannot be
 * ordered, neither could what was there before. So the piece is a proof on its own.
 *
 * - All after a moment: a history is linearizable only if each of its beginnings is. What was under way becomes open.
 * - A step that changes nothing: to leave it out of an order hinders nobody.
 * - What a step demanded that changes the value: an order that meets the demand is an order without it, too.
 * - A step that changes the value, if no step left can notice: one could that compares with what it leaves, unless it was
 *   over before, or something else surely set the value in between. Of the writes of one value the last stays even then,
 *   because a reader of the piece wants to see where the value came from, and that it was overwritten.
 * - An append whose text nobody left has found: whoever came after it would have.
 */
import type { Value } from './operation.js';
import { Problem } from './problem.js';
import { type Answer, type Budget, search } from './search.js';
import { changesValue, withoutRemovable } from './removal.js';
import type { Step } from './steps.js';
import { tighten } from './tighten.js';
import { lastToEnd } from './timing.js';

/** Can `steps` of one key be ordered, from `initial` on? `variant`: see search. */
export function judge(steps: readonly Step[], initial: Value, budget: Budget, variant = 0): Answer {
  const tightened = tighten(steps, initial);
  return tightened === undefined ? 'no' : search(new Problem(tightened, initial), budget, variant);
}

const BEGINNING_MAX = 5_000;

interface Trial {
  /** There is nothing more to spend. */
  isOver(): boolean;
  /** Can they surely not be ordered? */
  stillFails(steps: readonly Step[]): boolean;
}

export interface Piece {
  readonly steps: readonly Step[];
  /** No step can be left out soundly; false when the budget ended before that was known. */
  readonly minimal: boolean;
}

/**
 * The smallest piece found of `steps`, which cannot be ordered.
 * @param makeBudget a fresh budget for one judgement; undefined when there is no more to spend
 */
export function minimize(
  steps: readonly Step[],
  initial: Value,
  makeBudget: () => Budget | undefined,
): Piece {
  let minimal = true;
  const trial: Trial = {
    isOver: () => makeBudget() === undefined,
    stillFails: (candidate) => {
      const budget = makeBudget();
      const answer = budget === undefined ? 'stopped' : judge(candidate, initial, budget);
      if (answer === 'stopped') minimal = false;
      return answer === 'no';
    },
  };
  let piece: readonly Step[] = [...steps].sort((a, b) => a.start - b.start);
  for (let chunk = piece.length; ; chunk = Math.max(1, Math.ceil(chunk / 4))) {
    // Only what the last pass could not find out matters.
    minimal = true;
    // Finding the beginning takes many trials that succeed, which are slow; so not of a long piece.
    const begun = piece.length <= BEGINNING_MAX || chunk === 1 ? shortestBeginning(piece, trial) : piece;
    const smaller = withoutChunks(withoutDemands(begun, chunk, trial), chunk, trial);
    const shrunk = weight(smaller) < weight(piece);
    piece = smaller;
    if (chunk === 1 && !shrunk) break;
    if (trial.isOver()) {
      minimal = false;
      break;
    }
  }
  // With its demands again a swap may prove what took a read before.
  const whole = withDemands(piece, steps, initial, makeBudget);
  return { steps: withoutChunks(whole, 1, trial), minimal };
}

/** What there is to be removed. */
function weight(steps: readonly Step[]): number {
  return steps.length + steps.filter(hasDemandToDrop).length;
}

/** It changes the value, but only if it finds what it demands. */
function hasDemandToDrop(step: Step): boolean {
  return step.sets !== undefined && (step.requires !== undefined || step.excludes !== undefined);
}

function withoutDemands(steps: readonly Step[], size: number, trial: Trial): readonly Step[] {
  const demanding = steps.filter(hasDemandToDrop);
  let piece = steps;
  for (let from = 0; from < demanding.length; from += size) {
    const unwanted = new Set(demanding.slice(from, from + size));
    const weaker = piece.map((step) => {
      return unwanted.has(step) ? { ...step, requires: undefined, excludes: undefined } : step;
    });
    if (trial.stillFails(weaker)) piece = weaker;
  }
  return piece;
}

/** With the demands again that do no harm to the proof: all but its last step can still be ordered. */
function withDemands(
  piece: readonly Step[],
  all: readonly Step[],
  initial: Value,
  makeBudget: () => Budget | undefined,
): readonly Step[] {
  const originals = new Map(all.map((step) => [step.operation, step]));
  const culprit = lastToEnd(piece);
  let whole = piece;
  for (const step of piece) {
    const original = originals.get(step.operation);
    if (original === undefined || !hasDemandToDrop(original) || hasDemandToDrop(step)) continue;
    const { requires, excludes } = original;
    const candidate = whole.map((each) => (each === step ? { ...step, requires, excludes } : each));
    const budget = makeBudget();
    const others = candidate.filter((each) => each.operation !== culprit.operation);
    if (budget !== undefined && judge(others, initial, budget) === 'yes') whole = candidate;
  }
  return whole;
}

function shortestBeginning(steps: readonly Step[], trial: Trial): readonly Step[] {
  const ends = [...new Set(steps.map((step) => step.end))].filter(Number.isFinite).sort((a, b) => a - b);
  let low = 0;
  let high = ends.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (trial.stillFails(beginning(steps, ends[middle] ?? 0))) high = middle;
    else low = middle + 1;
  }
  return beginning(steps, ends[high] ?? Number.POSITIVE_INFINITY);
}

/** What was begun until `end`; what had not ended then is open, and of no interest if it changes nothing. */
function beginning(steps: readonly Step[], end: number): readonly Step[] {
  return steps
    .filter((step) => step.start <= end && (step.end <= end || changesValue(step)))
    .map((step) => (step.end <= end ? step : { ...step, end: Number.POSITIVE_INFINITY }));
}

function withoutChunks(steps: readonly Step[], size: number, trial: Trial): readonly Step[] {
  let piece = steps;
  for (let from = 0; from < piece.length && !trial.isOver(); ) {
    const smaller = withoutRemovable(piece, from, from + size);
    if (smaller.length < piece.length && trial.stillFails(smaller)) piece = smaller;
    else from += size;
  }
  return piece;
}
