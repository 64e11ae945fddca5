/**
 * What follows at once from values that can have come about in one way only. Where a single step can have set a value that
 * others demand:
 *
 * - it took effect, whether its outcome is known or not, before each of them: it ends when the first of them does;
 * - none of them took effect before it: they start when it does;
 * - the one among them that sets another value (two such cannot be) comes last of them;
 * - from the moment the first of all these has ended until the last has started the value is there, and whatever shows another
 *   one comes before or after (the zones of Gibbons and Korach, Testing Shared Memories, 1997).
 *
 * The steps that come back can be ordered exactly when those given can. Values of their own, the usual case, leave little
 * to search for.
 */
import type { Value } from './operation.js';
import type { Step } from './steps.js';

/** How often a value is looked at again, on average; only a bound, more would do no harm. */
const LOOKS_PER_STEP = 20;

/** The steps with times that are as narrow as that; undefined when they cannot be ordered. */
export function tighten(steps: readonly Step[], initial: Value): readonly Step[] | undefined {
  if (steps.some((step) => step.appends !== undefined)) return steps;
  return new Tightening(steps, initial).run();
}

/** A step that is being narrowed. */
interface Span {
  readonly step: Step;
  start: number;
  end: number;
}

interface Place {
  readonly value: Value;
  readonly sources: Span[];
  /** Those that surely took effect and demand the value. */
  readonly demanders: Span[];
}

class Tightening {
  private readonly spans: readonly Span[];
  private readonly places = new Map<Value, Place>();
  private readonly waiting = new Set<Place>();
  private readonly byStart: readonly Span[];
  private readonly byEnd: readonly Span[];

  constructor(
    steps: readonly Step[],
    private readonly initial: Value,
  ) {
    this.spans = steps.map((step) => ({ step, start: step.start, end: step.end }));
    this.byStart = [...this.spans].sort((a, b) => a.step.start - b.step.start);
    this.byEnd = this.spans
      .filter(({ end }) => end !== Number.POSITIVE_INFINITY)
      .sort((a, b) => a.step.end - b.step.end);
    for (const span of this.spans) {
      const { sets, requires } = span.step;
      if (sets !== undefined && sets !== requires) this.place(sets).sources.push(span);
      if (requires !== undefined && span.end !== Number.POSITIVE_INFINITY) {
        this.place(requires).demanders.push(span);
      }
    }
  }

  run(): readonly Step[] | undefined {
    for (const place of this.places.values()) this.waiting.add(place);
    let looks = LOOKS_PER_STEP * this.spans.length;
    for (const place of this.waiting) {
      if (looks-- === 0) break;
      this.waiting.delete(place);
      if (!this.narrow(place)) return undefined;
    }
    return this.spans.map(({ step, start, end }) => {
      return start === step.start && end === step.end ? step : { ...step, start, end };
    });
  }

  private place(value: Value): Place {
    let place = this.places.get(value);
    if (place === undefined) {
      place = { value, sources: [], demanders: [] };
      this.places.set(value, place);
    }
    return place;
  }

  /** False when it cannot be. */
  private narrow({ value, sources, demanders }: Place): boolean {
    if (demanders.length === 0) return true;
    const [source] = sources;
    const isInitial = value === this.initial;
    if (sources.length + (isInitial ? 1 : 0) !== 1) return isInitial || sources.length > 0;
    if (source !== undefined && !this.putBefore(source, demanders)) return false;
    const swaps = demanders.filter(({ step }) => step.sets !== undefined && step.sets !== value);
    const [swap] = swaps;
    if (swap !== undefined) {
      const others = demanders.filter((span) => span !== swap);
      if (swaps.length > 1 || !this.putAfter(swap, others)) return false;
    }
    return this.keepClear(value, source, demanders);
  }

  /** Move what shows another value out of the time in which `value` is there. */
  private keepClear(value: Value, source: Span | undefined, demanders: readonly Span[]): boolean {
    const firstEnd = demanders.reduce(
      (earliest, { end }) => Math.min(earliest, end),
      Number.POSITIVE_INFINITY,
    );
    const from = source === undefined ? Number.NEGATIVE_INFINITY : Math.min(firstEnd, source.end);
    const to = demanders.reduce((latest, { start }) => Math.max(latest, start), Number.NEGATIVE_INFINITY);
    if (from >= to) return true;
    const isBetween = (time: number) => from < time && time < to;
    for (let i = firstAfter(this.byStart, from, startOf); ; i++) {
      const span = this.byStart[i];
      if (span === undefined || span.step.start >= to) break;
      if (showsOther(span.step, value) && isBetween(span.start) && !this.set(span, to, span.end))
        return false;
    }
    for (let i = firstAfter(this.byEnd, from, endOf); ; i++) {
      const span = this.byEnd[i];
      if (span === undefined || span.step.end >= to) break;
      if (showsOther(span.step, value) && isBetween(span.end) && !this.set(span, span.start, from))
        return false;
    }
    return true;
  }

  private putBefore(source: Span, demanders: readonly Span[]): boolean {
    const end = demanders.reduce((earliest, span) => Math.min(earliest, span.end), Number.POSITIVE_INFINITY);
    return (
      this.set(source, source.start, end) && demanders.every((span) => this.set(span, source.start, span.end))
    );
  }

  private putAfter(swap: Span, others: readonly Span[]): boolean {
    const start = others.reduce((latest, span) => Math.max(latest, span.start), Number.NEGATIVE_INFINITY);
    return this.set(swap, start, swap.end) && others.every((span) => this.set(span, span.start, swap.end));
  }

  /** Narrow a span to what lies from `start` to `end`, and have a look again at what that concerns. */
  private set(span: Span, start: number, end: number): boolean {
    const newStart = Math.max(span.start, start);
    const newEnd = Math.min(span.end, end);
    if (newStart === span.start && newEnd === span.end) return true;
    const { requires, sets } = span.step;
    const isNowKnown = span.end === Number.POSITIVE_INFINITY && newEnd !== Number.POSITIVE_INFINITY;
    if (isNowKnown && requires !== undefined && requires !== sets) this.place(requires).demanders.push(span);
    span.start = newStart;
    span.end = newEnd;
    if (requires !== undefined) this.waiting.add(this.place(requires));
    if (sets !== undefined) this.waiting.add(this.place(sets));
    return newStart <= newEnd;
  }
}

/** Was another value than `value` there just before, or is just after, and `value` at neither time? */
function showsOther({ requires, excludes, sets }: Step, value: Value): boolean {
  if (requires === value || sets === value) return false;
  return requires !== undefined || sets !== undefined || excludes === value;
}

function startOf({ step }: Span): number {
  return step.start;
}

function endOf({ step }: Span): number {
  return step.end;
}

/** The place of the first of `spans`, sorted by `time`, whose time is after `bound`. */
function firstAfter(spans: readonly Span[], bound: number, time: (span: Span) => number): number {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (time(spans[middle] as Span) > bound) high = middle;
    else low = middle + 1;
  }
  return low;
}
