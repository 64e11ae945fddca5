/**
 * Which steps can be left out of a history that cannot be ordered, such that what is left proves that it cannot: see
 * minimize.ts for the rules. Looks things up in sorted lists, because histories are long and this is asked often.
 */
import type { Value } from './operation.js';
import type { Step } from './steps.js';

/** Values that an append is looked for in: more would take long. */
const DEMANDED_MAX = 1_000;

/** Does its taking effect make a difference? */
export function changesValue(step: Step): boolean {
  return step.appends !== undefined || (step.sets !== undefined && step.sets !== step.requires);
}

/** `steps`, in order of their start, without those from place `from` up to `to` that may go. */
export function withoutRemovable(steps: readonly Step[], from: number, to: number): readonly Step[] {
  const isUnwanted = (place: number) => from <= place && place < to;
  const left = new Set(steps.filter((step, place) => changesValue(step) || !isUnwanted(place)));
  const witnesses = new Witnesses(left);
  // In order of starts: what the removal of a step relies on starts after it ended, and is there still.
  for (let place = from; place < Math.min(to, steps.length); place++) {
    const step = steps[place];
    if (step !== undefined && left.has(step) && !witnesses.mayNotice(step, left)) left.delete(step);
  }
  return [...left];
}

/**
 * Who of the steps that were left, given in order of their start, could notice a write of theirs, and what may have hidden it
 * from them.
 */
export class Witnesses {
  /** By value, those that demand it. */
  private readonly demanding: Map<Value, Noticers>;
  /** Those that can tell one value from another without demanding it. */
  private readonly onlookers: Noticers;
  private readonly hasExclusions: boolean;
  /** By value, those that set it, by end. */
  private readonly sources: Map<Value, Step[]>;
  /** Those that surely set the value, by start; and the earliest end of each and those after it. */
  private readonly setters: readonly Step[];
  private readonly setterEnds: readonly number[];

  constructor(steps: ReadonlySet<Step>) {
    const all = [...steps];
    const demanding = groupBy(all, (step) => step.requires);
    this.demanding = new Map([...demanding].map(([value, group]) => [value, new Noticers(group)]));
    this.onlookers = new Noticers(
      all.filter((step) => step.excludes !== undefined || step.appends !== undefined),
    );
    this.hasExclusions = all.some((step) => step.excludes !== undefined);
    this.sources = groupBy(all, (step) => (changesValue(step) ? step.sets : undefined));
    for (const sources of this.sources.values()) sources.sort((a, b) => a.end - b.end);
    this.setters = all.filter((step) => step.sets !== undefined && step.end !== Number.POSITIVE_INFINITY);
    this.setterEnds = runningFromEnd(this.setters, (step) => step.end);
  }

  /** Could any step notice that `write` took effect? Errs on the side of yes. */
  mayNotice(write: Step, left: ReadonlySet<Step>): boolean {
    if (write.sets === undefined) return this.mayNoticeAppend(write);
    // Whoever starts after this cannot find what was written: another write was done since.
    const hiddenAfter = this.setterEnds[firstAfter(this.setters, write.end)] ?? Number.POSITIVE_INFINITY;
    if (this.onlookers.anyBetween(write.start, hiddenAfter)) return true;
    const group = this.demanding.get(write.sets);
    if (group === undefined) return false;
    if (group.anyBetween(write.start, hiddenAfter)) return true;
    const firstEnd = group.firstEndAfter(hiddenAfter);
    return firstEnd !== undefined && !this.isRepeated(write, firstEnd, left);
  }

  /** Whoever comes after it finds its text, unless the value was set anew, and then it may as well not have been. */
  private mayNoticeAppend({ appends = '' }: Step): boolean {
    if (appends === '' || this.hasExclusions || this.demanding.size > DEMANDED_MAX) return true;
    return [...this.demanding.keys()].some((value) => value?.includes(appends) === true);
  }

  /** Is a write of the same value left that ends no earlier, and starts before `time`? */
  private isRepeated(write: Step, time: number, left: ReadonlySet<Step>): boolean {
    const sources = this.sources.get(write.sets ?? null) ?? [];
    for (let i = sources.length - 1; i >= 0; i--) {
      const other = sources[i] as Step;
      if (other.end < write.end) return false;
      if (other !== write && left.has(other) && other.start <= time) return true;
    }
    return false;
  }
}

/** Steps that could notice a write, ready for two questions. */
class Noticers {
  /** By start; the latest end of each and those before it; the earliest end of each and those after it. */
  private readonly steps: readonly Step[];
  private readonly latestEnds: readonly number[];
  private readonly earliestEnds: readonly number[];

  constructor(steps: readonly Step[]) {
    this.steps = steps;
    let latest = Number.NEGATIVE_INFINITY;
    this.latestEnds = steps.map(({ end }) => (latest = Math.max(latest, end)));
    this.earliestEnds = runningFromEnd(steps, (step) => step.end);
  }

  /** Does any end at `from` or later, and start at `to` or earlier? */
  anyBetween(from: number, to: number): boolean {
    const last = firstAfter(this.steps, to) - 1;
    return last >= 0 && (this.latestEnds[last] as number) >= from;
  }

  /** The earliest end of those that start after `time`. */
  firstEndAfter(time: number): number | undefined {
    return this.earliestEnds[firstAfter(this.steps, time)];
  }
}

function groupBy(steps: readonly Step[], value: (step: Step) => Value | undefined): Map<Value, Step[]> {
  const groups = new Map<Value, Step[]>();
  for (const step of steps) {
    const name = value(step);
    if (name === undefined) continue;
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [step]);
    else group.push(step);
  }
  return groups;
}

/** For each place, the least measure of the steps from there on. */
function runningFromEnd(steps: readonly Step[], measure: (step: Step) => number): number[] {
  const least = steps.map(measure);
  for (let i = least.length - 2; i >= 0; i--) least[i] = Math.min(least[i] as number, least[i + 1] as number);
  return least;
}

/** The place of the first of `steps`, in order of their start, that starts after `time`. */
function firstAfter(steps: readonly Step[], time: number): number {
  let low = 0;
  let high = steps.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((steps[middle] as Step).start > time) high = middle;
    else low = middle + 1;
  }
  return low;
}
