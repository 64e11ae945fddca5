/**
 * The steps of one key, made ready for the search: numbers in typed arrays, times as ranks. Steps 0 to known - 1 were
 * answered and must find a place, in order of their start; the others are open, and may. Never changes once made.
 */
import type { Value } from './operation.js';
import type { Step } from './steps.js';
import { at, inOrder, NEVER, Timing } from './timing.js';
import { Values } from './values.js';

export { at, NEVER };

export const NOTHING = 0;
/** Demands: the value must be `demanded`, or anything else. */
export const EQUALS = 1;
export const DIFFERS = 2;
/** Effects: the value becomes `effectValue`, or gets it at its end. */
export const SETS = 1;
export const APPENDS = 2;

export class Problem {
  /** Steps that were answered. */
  readonly known: number;
  readonly size: number;
  readonly values = new Values();
  readonly initial: number;
  /** Appending makes values that are not known beforehand. */
  readonly hasAppends: boolean;

  /** This and the following four: see Timing. */
  readonly startRank: Int32Array;
  readonly endRank: Int32Array;
  readonly byEnd: Int32Array;
  readonly slot: Int32Array;
  readonly slots: number;
  readonly demand: Int32Array;
  readonly demanded: Int32Array;
  readonly effect: Int32Array;
  readonly effectValue: Int32Array;
  /** With appends: the values that are demanded, sorted. */
  private readonly demandedTexts: readonly string[];
  private readonly hasExclusions: boolean;
  /** By value: the ends of the known steps that demand it, ascending. */
  private readonly demandEnds: readonly Int32Array[];
  /** Steps that demand and do the same have the same kind: of those, the one that ends first can always go first. */
  readonly kind: Int32Array;
  /** Open steps of each kind in order of their start; kinds in order of their first. */
  readonly openKinds: readonly Int32Array[];
  /** Of an open step, its place in openKinds. */
  readonly openKind: Int32Array;

  constructor(steps: readonly Step[], initial: Value) {
    const lastEnd = steps
      .filter(isKnown)
      .reduce((latest, step) => Math.max(latest, step.end), Number.NEGATIVE_INFINITY);
    this.hasAppends = steps.some((step) => step.appends !== undefined);
    const compared = comparedValues(steps);
    this.demandedTexts = this.hasAppends ? [...compared].map((value) => value ?? '').sort() : [];
    this.hasExclusions = steps.some((step) => step.excludes !== undefined);
    const seesAll = this.hasAppends || this.hasExclusions;
    const isOfUse = (step: Step) =>
      step.start <= lastEnd &&
      changes(step) &&
      (seesAll || (step.sets !== undefined && compared.has(step.sets)));
    const { all, known } = inOrder(steps.filter((step) => isKnown(step) || isOfUse(step)));
    this.known = known;
    this.size = all.length;

    const numberOf = this.numbering(compared);
    this.initial = numberOf(initial);
    const column = () => new Int32Array(all.length);
    [this.demand, this.demanded, this.effect, this.effectValue] = [column(), column(), column(), column()];
    this.kind = column();
    all.forEach((step, index) => this.fill(index, step, numberOf));
    const timing = new Timing(all, known);
    [this.startRank, this.endRank, this.byEnd] = [timing.startRank, timing.endRank, timing.byEnd];
    [this.slot, this.slots] = [timing.slot, timing.slots];
    this.demandEnds = this.findDemandEnds();
    this.openKind = column();
    this.openKinds = this.assignKinds();
  }

  /** How values get numbers: each its own if it matters which it is. */
  private numbering(compared: ReadonlySet<Value>): (value: Value) => number {
    if (this.hasAppends) return (value) => this.values.number(value);
    for (const value of compared) this.values.number(value);
    const other = this.values.anonymous();
    return (value) => this.values.find(value) ?? other;
  }

  private fill(index: number, step: Step, numberOf: (value: Value) => number): void {
    if (step.requires !== undefined) {
      this.demand[index] = EQUALS;
      this.demanded[index] = numberOf(step.requires);
    } else if (step.excludes !== undefined) {
      this.demand[index] = DIFFERS;
      this.demanded[index] = numberOf(step.excludes);
    }
    if (!changes(step)) return;
    this.effect[index] = step.sets !== undefined ? SETS : APPENDS;
    this.effectValue[index] = numberOf(step.sets !== undefined ? step.sets : (step.appends ?? null));
  }

  /** When the first known step ends that demands `value` and ends at `rank` or later; else NEVER. */
  nextDemandEnd(value: number, rank: number): number {
    const ends = this.demandEnds[value];
    return ends === undefined ? NEVER : firstFrom(ends, rank);
  }

  /** May appending to `value` lead to one that somebody compares with? */
  leadsToDemanded(value: number): boolean {
    if (this.hasExclusions) return true;
    const text = this.values.text(value);
    let low = 0;
    let high = this.demandedTexts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.demandedTexts[middle] ?? '') >= text) high = middle;
      else low = middle + 1;
    }
    return this.demandedTexts[low]?.startsWith(text) ?? false;
  }

  private findDemandEnds(): Int32Array[] {
    const endsByValue = Array.from({ length: this.values.count }, (): number[] => []);
    for (const index of this.byEnd) {
      if (at(this.demand, index) !== EQUALS) continue;
      endsByValue[at(this.demanded, index)]?.push(at(this.endRank, index));
    }
    return endsByValue.map((ends) => Int32Array.from(ends));
  }

  private assignKinds(): Int32Array[] {
    const numbers = new Map<string, number>();
    const open: number[][] = [];
    const openPlaces = new Map<number, number>();
    const columns = [this.demand, this.demanded, this.effect, this.effectValue];
    for (let index = 0; index < this.size; index++) {
      const name = columns.map((column) => at(column, index)).join(' ');
      const kind = numbers.get(name) ?? numbers.size;
      numbers.set(name, kind);
      this.kind[index] = kind;
      if (index < this.known) continue;
      const place = openPlaces.get(kind) ?? open.push([]) - 1;
      openPlaces.set(kind, place);
      open[place]?.push(index);
      this.openKind[index] = place;
    }
    return open.map((indexes) => Int32Array.from(indexes));
  }
}

/** Values that some step compares with: only those can be told from others. */
function comparedValues(steps: readonly Step[]): Set<Value> {
  const values = new Set<Value>();
  for (const step of steps) {
    if (step.requires !== undefined) values.add(step.requires);
    else if (step.excludes !== undefined) values.add(step.excludes);
  }
  return values;
}

/** Can it leave another value than it found? A swap of a value for itself cannot. */
function changes(step: Step): boolean {
  if (step.appends !== undefined) return true;
  return step.sets !== undefined && step.sets !== step.requires;
}

function isKnown(step: Step): boolean {
  return step.end !== Number.POSITIVE_INFINITY;
}

/** The first of ascending `numbers` that is `bound` or more, else NEVER. */
function firstFrom(numbers: Int32Array, bound: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (at(numbers, middle) >= bound) high = middle;
    else low = middle + 1;
  }
  return numbers[low] ?? NEVER;
}
