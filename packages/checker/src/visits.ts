/**
 * How often a key must come to a value again. Two steps that demand a value, with one between them that shows another, need
 * the value to be set anew in between; and so do any two that demand it and set another. Counted ahead of the search, this tells early when too few steps are left that
 * could set it: a search that wasted them would otherwise find out much later, after trying all that lies between.
 *
 * A bound only: enough sources do not make an order.
 */
import { at, EQUALS, NEVER, NOTHING, type Problem, SETS } from './problem.js';

/** A chain of steps that demand one value, each of which needs it to be set once more than the one before. */
interface Need {
  /** When they start, ascending. */
  readonly starts: Int32Array;
  /** For each, when the last step starts that shows another value before it, or -1. It needs a source that ends later. */
  readonly departures: Int32Array;
  /** How many answered sources end late enough for it. */
  readonly inTime: Int32Array;
  /** The most that it or a later one needs: its number, from 1, plus the sources that start too late for it. */
  readonly most: Int32Array;
  /** When those end that demand the value and set another, ascending. */
  readonly swapEnds: Int32Array;
  /** For each, the most that holds of it or a later one: sources that start too late for it, less the swaps after it. */
  readonly swapMost: Int32Array;
}

/** What is left of one value's steps. */
export interface Supply {
  /** It is the present value. */
  readonly isThere: boolean;
  /** Steps not taken that set it, of those `openSources` open ones. */
  readonly sources: number;
  readonly openSources: number;
  /** Known steps not taken that demand it and set another. */
  readonly swaps: number;
}

export class Visits {
  /** By value; undefined where nothing is demanded. */
  private readonly needs: readonly (Need | undefined)[];

  constructor(problem: Problem) {
    this.needs = problem.hasAppends ? [] : new Planner(problem).needs();
  }

  /** Can the steps that are left find `value` as often as they must? Those that start before `horizon` can be taken now. */
  areEnough(value: number, horizon: number, supply: Supply): boolean {
    const need = this.needs[value];
    return (
      need === undefined ||
      (isEnoughForChain(need, horizon, supply) && isEnoughForSwaps(need, horizon, supply))
    );
  }
}

function isEnoughForChain(need: Need, horizon: number, { isThere, sources, openSources }: Supply): boolean {
  const first = firstFrom(need.starts, horizon);
  if (first === need.starts.length) return true;
  // What shows another value first and cannot be taken yet will end the present visit.
  const present = isThere && at(need.departures, first) < horizon ? 1 : 0;
  const usable = openSources + Math.min(sources - openSources, at(need.inTime, first));
  return at(need.most, first) - first <= present + usable;
}

function isEnoughForSwaps(need: Need, horizon: number, { isThere, sources, swaps }: Supply): boolean {
  const first = firstFrom(need.swapEnds, horizon);
  if (first === need.swapEnds.length) return true;
  return at(need.swapMost, first) <= (isThere ? 1 : 0) + sources - swaps;
}

const NO_STEP = -1;

/** Finds the chains: by ends, the longest ones. */
class Planner {
  /** By place in the order of starts: of the steps from there on, those that end first. */
  private readonly following: Witnesses;
  /** By place in the order of ends: of the steps before it, those that start last. */
  private readonly preceding: Witnesses;
  private readonly ends: Int32Array;
  private readonly starts: Int32Array;

  constructor(private readonly problem: Problem) {
    const { known, startRank, endRank, byEnd } = problem;
    this.starts = startRank.subarray(0, known);
    this.ends = byEnd.map((step) => at(endRank, step));
    this.following = new Witnesses(known);
    for (let place = known - 1; place >= 0; place--) {
      const comesFirst = (step: number, other: number) => at(endRank, step) < at(endRank, other);
      this.following.extend(place, place + 1, place, this.sparedBy(place), comesFirst);
    }
    this.preceding = new Witnesses(known);
    for (let place = 1; place <= known; place++) {
      const step = at(byEnd, place - 1);
      const comesLast = (one: number, other: number) => at(startRank, one) > at(startRank, other);
      this.preceding.extend(place, place - 1, step, this.sparedBy(step), comesLast);
    }
  }

  needs(): (Need | undefined)[] {
    const { known, size, values, demand, demanded, effect, effectValue, startRank, endRank, byEnd } =
      this.problem;
    const lists = () => Array.from({ length: values.count }, (): number[] => []);
    const [demanders, starts, ends] = [lists(), lists(), lists()];
    for (const step of byEnd) {
      if (at(demand, step) === EQUALS) demanders[at(demanded, step)]?.push(step);
      if (at(effect, step) === SETS) ends[at(effectValue, step)]?.push(at(endRank, step));
    }
    for (let step = 0; step < size; step++) {
      if (at(effect, step) === SETS) starts[at(effectValue, step)]?.push(at(startRank, step));
    }
    return demanders.map((steps, value) => {
      const sorted = Int32Array.from(starts[value] ?? []);
      if (known < size) sorted.sort();
      return this.need(value, steps, sorted, Int32Array.from(ends[value] ?? []));
    });
  }

  /** `starts` and `ends`: of what sets the value, ascending; the ends only of what was answered. */
  private need(
    value: number,
    demanders: readonly number[],
    starts: Int32Array,
    ends: Int32Array,
  ): Need | undefined {
    const { startRank, endRank } = this.problem;
    const chain: number[] = [];
    let from = -1;
    for (const step of demanders) {
      if (at(startRank, step) <= from) continue;
      chain.push(step);
      const other = this.following.showingOther(firstFrom(this.starts, at(endRank, step)), value);
      from = other === NO_STEP ? NEVER : at(endRank, other);
    }
    if (chain.length === 0) return undefined;
    const departures = Int32Array.from(chain, (step) => {
      const other = this.preceding.showingOther(firstFrom(this.ends, at(startRank, step)), value);
      return other === NO_STEP ? -1 : at(startRank, other);
    });
    const tooLateFor = (end: number) => starts.length - firstFrom(starts, end);
    const swapEnds = Int32Array.from(
      demanders.filter((step) => at(this.problem.effect, step) === SETS),
      (step) => at(endRank, step),
    );
    return {
      starts: Int32Array.from(chain, (step) => at(startRank, step)),
      departures,
      inTime: departures.map((start) => ends.length - firstFrom(ends, start)),
      most: highestFrom(chain, (step, i) => i + 1 + tooLateFor(at(endRank, step))),
      swapEnds,
      swapMost: highestFrom([...swapEnds], (end, i) => tooLateFor(end) - (swapEnds.length - 1 - i)),
    };
  }

  /** The only value that can have been there before, at and after the step; NO_VALUE, or ANY_VALUE. */
  private sparedBy(step: number): number {
    const { demand, demanded, effect, effectValue } = this.problem;
    const shows = at(demand, step) === EQUALS;
    if (at(effect, step) === NOTHING) return shows ? at(demanded, step) : ANY_VALUE;
    return shows ? NO_VALUE : at(effectValue, step);
  }
}

const NO_VALUE = -1;
const ANY_VALUE = -2;

/**
 * For each place, among the steps on one side of it that show what value was there: the best by some order, the one value
 * that it may leave as it is, and the best of those that do not leave that value.
 */
class Witnesses {
  private readonly best: Int32Array;
  private readonly spared: Int32Array;
  private readonly other: Int32Array;

  constructor(places: number) {
    this.best = new Int32Array(places + 1).fill(NO_STEP);
    this.spared = new Int32Array(places + 1).fill(NO_VALUE);
    this.other = new Int32Array(places + 1).fill(NO_STEP);
  }

  /** What holds at `place` is what held at `from`, and `step`. */
  extend(
    place: number,
    from: number,
    step: number,
    spared: number,
    isBetter: (step: number, other: number) => boolean,
  ): void {
    const best = at(this.best, from);
    const bestSpared = at(this.spared, from);
    const other = at(this.other, from);
    const leads = spared !== ANY_VALUE && (best === NO_STEP || isBetter(step, best));
    this.best[place] = leads ? step : best;
    this.spared[place] = leads ? spared : bestSpared;
    const isSame = spared === bestSpared;
    if (leads) this.other[place] = isSame ? other : best;
    else {
      const isOther = spared !== ANY_VALUE && !isSame && (other === NO_STEP || isBetter(step, other));
      this.other[place] = isOther ? step : other;
    }
  }

  /** The best step at `place` that shows another value than `value`, or NO_STEP. */
  showingOther(place: number, value: number): number {
    return at(this.spared, place) === value ? at(this.other, place) : at(this.best, place);
  }
}

/** For each item, the highest measure of it and those after it. */
function highestFrom(items: readonly number[], measure: (item: number, index: number) => number): Int32Array {
  const highest = Int32Array.from(items, measure);
  for (let i = highest.length - 2; i >= 0; i--) highest[i] = Math.max(at(highest, i), at(highest, i + 1));
  return highest;
}

/** The place of the first of ascending `numbers` that is `bound` or more. */
function firstFrom(numbers: Int32Array, bound: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (at(numbers, middle) >= bound) high = middle;
    else low = middle + 1;
  }
  return low;
}
