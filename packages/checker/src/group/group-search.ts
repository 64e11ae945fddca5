/**
 * Is there an order of one group's transitions that respects time and in which every demand is met? The same search as for
 * registers (search.ts), on values of several keys at once, with what holds for any object of the means to keep it small:
 *
 * - A known transition without effect is taken as soon as its demand is met: earlier, it hinders nobody.
 * - Of those that demand and do the same, the one that ends first is taken first: in any order two of them can be swapped.
 * - An open one is taken only where one that follows, before or at the next known one, touches what it writes or writes what
 *   it reads: else in any order it can be moved behind that, or be left out at the end.
 * - Of open ones in a row, two neighbours that have no key in common come in the order of their start.
 * - Of two configurations that differ only in that one has used fewer open transitions, the other is dropped. Looked up
 *   after known transitions only, because the two rules before depend on how an open one was come to.
 *
 * A narrow search takes open transitions only where they give a blocked one what it demands, and of those that were told their
 * revision only the one with the lowest. That is nearly always where they belong, and leaves little choice; but that it finds no
 * order proves nothing, so then a full one follows.
 *
 * Knows no clock: a budget that is handed in says when to stop.
 */
import type { Value } from '../operation.js';
import type { Answer, Budget } from '../search.js';
import { Seen } from '../seen.js';
import { at, inOrder, Timing } from '../timing.js';
import { findImpossible } from './impossible.js';
import { Moves } from './moves.js';
import { type OpenKind, OpenSteps } from './open-steps.js';
import { Progress } from './progress.js';
import { changesAnything, keysOfMove, type Transition, type Way, writes } from './transition.js';

export interface GroupAnswer {
  readonly answer: Answer;
  /** The earliest end that was not reached: what had ended until then is to blame. Infinity: none. */
  readonly notReached: number;
}

/**
 * Search for an order.
 * @param variant which of equally sound guesses to follow first; with an even one a narrow search comes before the full one
 */
export function searchGroup(
  transitions: readonly Transition[],
  keys: number,
  initial: Value,
  budget: Budget,
  variant: number,
): GroupAnswer {
  const impossible = findImpossible(transitions, initial);
  if (impossible !== undefined) return { answer: 'no', notReached: impossible.end };
  if (variant % 2 === 0) {
    const narrow = new GroupSearch(transitions, keys, initial, budget, variant, true).run();
    if (narrow.answer !== 'no') return narrow;
  }
  return new GroupSearch(transitions, keys, initial, budget, variant, false).run();
}

/** Of a transition, the keys that it demands something of, and those that it writes: a bit for each 32nd key. */
interface Touch {
  readonly reads: number;
  readonly writes: number;
}

interface Frame {
  readonly depth: number;
  readonly mark: number;
  readonly firstCandidate: number;
  openOffered: boolean;
}

class GroupSearch {
  private readonly steps: readonly Transition[];
  private readonly known: number;
  private readonly timing: Timing;
  private readonly progress: Progress;
  private readonly moves: Moves;
  private readonly seen: Seen;
  private readonly touches: readonly Touch[];
  private readonly isRead: readonly boolean[];
  private readonly kinds: Int32Array;
  private readonly open: OpenSteps;
  private readonly frames: Frame[] = [];
  /** A step and a way of it: two times the one and the other. */
  private readonly candidates: number[] = [];
  private furthest = 0;

  constructor(
    transitions: readonly Transition[],
    keys: number,
    initial: Value,
    private readonly budget: Budget,
    private readonly variant: number,
    private readonly isNarrow: boolean,
  ) {
    const { all, known } = inOrder(transitions);
    [this.steps, this.known] = [all, known];
    this.timing = new Timing(all, known);
    this.progress = new Progress(this.timing, known, all.length);
    this.moves = new Moves(keys, initial);
    this.seen = new Seen(this.progress.keyWords, this.progress.burdenWords);
    this.touches = all.map(({ ways }) => touchOf(ways));
    this.isRead = all.map((step) => !changesAnything(step));
    this.kinds = kindsOf(all);
    const isReady = (step: number) =>
      !this.progress.isTaken(step) && at(this.timing.startRank, step) <= this.progress.horizon;
    this.open = new OpenSteps(this.sortOpen(), this.moves, isReady);
  }

  private sortOpen(): OpenKind[] {
    const byKind = new Map<number, { readonly steps: number[]; readonly ways: readonly Way[] }>();
    for (let step = this.known; step < this.steps.length; step++) {
      const kind = byKind.get(at(this.kinds, step));
      if (kind !== undefined) kind.steps.push(step);
      else byKind.set(at(this.kinds, step), { steps: [step], ways: this.steps[step]?.ways ?? [] });
    }
    return [...byKind.values()];
  }

  run(): GroupAnswer {
    const answer = this.search();
    const { byEnd } = this.timing;
    const notReached = this.furthest < this.known ? this.steps[at(byEnd, this.furthest)]?.end : undefined;
    return { answer, notReached: notReached ?? Number.POSITIVE_INFINITY };
  }

  private search(): Answer {
    this.settle();
    if (this.progress.ended) return 'yes';
    this.pushFrame();
    for (let frame = this.frames.at(-1); frame !== undefined; frame = this.frames.at(-1)) {
      const candidate = this.nextCandidate(frame);
      if (candidate === undefined) {
        this.popFrame();
        continue;
      }
      const step = candidate >>> 1;
      if (!this.take(step, candidate & 1)) continue;
      if (!this.budget.spend() || this.seen.full || this.moves.full) return 'stopped';
      if (step < this.known) {
        this.settle();
        if (this.progress.ended) return 'yes';
        if (!this.seen.add(this.progress.description(this.moves.state.number))) {
          this.undo();
          continue;
        }
      }
      this.pushFrame();
    }
    return 'no';
  }

  private take(step: number, way: number): boolean {
    const { mark } = this.moves;
    const isKnown = step < this.known;
    if (isKnown && !this.isRunOfUse(step)) return false;
    const chosen = this.steps[step]?.ways[way];
    if (chosen === undefined || !this.moves.run(chosen)) return false;
    // An open one that changes nothing is as if it had never been.
    if (!isKnown && this.moves.mark === mark) return false;
    this.progress.take(step);
    this.furthest = Math.max(this.furthest, this.progress.position);
    return true;
  }

  /** Does every open step just taken matter to one after it, of which `last` is the last? */
  private isRunOfUse(last: number): boolean {
    const { run } = this.progress;
    return run.every((step, i) => {
      return (
        this.areDependent(step, last) || run.slice(i + 1).some((later) => this.areDependent(step, later))
      );
    });
  }

  private areDependent(a: number, b: number): boolean {
    const [one, other] = [this.touches[a] as Touch, this.touches[b] as Touch];
    return (one.writes & (other.reads | other.writes)) !== 0 || (one.reads & other.writes) !== 0;
  }

  /** Take all known steps without effect whose demands are met. */
  private settle(): void {
    const { next } = this.progress;
    const { startRank } = this.timing;
    let step = at(next, this.known);
    while (step < this.known && at(startRank, step) < this.progress.horizon) {
      const following = at(next, step);
      const [way] = this.steps[step]?.ways ?? [];
      if (this.isRead[step] === true && way !== undefined && this.moves.run(way)) this.progress.take(step);
      step = following;
    }
    this.furthest = Math.max(this.furthest, this.progress.position);
  }

  private pushFrame(): void {
    const [depth, mark, firstCandidate] = [this.progress.depth, this.moves.mark, this.candidates.length];
    this.frames.push({ depth, mark, firstCandidate, openOffered: false });
    this.offerKnown();
  }

  private popFrame(): void {
    this.frames.pop();
    this.undo();
  }

  /** Back to the configuration of the last frame. */
  private undo(): void {
    const frame = this.frames.at(-1);
    if (frame === undefined) return;
    this.progress.backTo(frame.depth);
    this.moves.backTo(frame.mark);
  }

  private nextCandidate(frame: Frame): number | undefined {
    if (this.candidates.length > frame.firstCandidate) return this.candidates.pop();
    if (frame.openOffered) return undefined;
    frame.openOffered = true;
    this.offerOpen();
    return this.candidates.length > frame.firstCandidate ? this.candidates.pop() : undefined;
  }

  /** Known steps that may come next: of each kind the one that ends first, of all those that end first last. */
  private offerKnown(): void {
    const { next } = this.progress;
    const { startRank, endRank } = this.timing;
    const { horizon } = this.progress;
    const best = new Map<number, number>();
    for (
      let step = at(next, this.known);
      step < this.known && at(startRank, step) < horizon;
      step = at(next, step)
    ) {
      const kind = at(this.kinds, step);
      const other = best.get(kind);
      if (other === undefined || at(endRank, step) < at(endRank, other)) best.set(kind, step);
    }
    const urgency = (step: number) => at(endRank, step) + this.whim(step);
    const steps = this.isNarrow ? this.lowestRevision([...best.values()]) : [...best.values()];
    for (const step of steps.sort((a, b) => urgency(b) - urgency(a))) this.candidates.push(2 * step);
  }

  /** Without those that were told a higher revision than another of them. */
  private lowestRevision(steps: readonly number[]): number[] {
    const revisionOf = (step: number) => this.steps[step]?.revision;
    const lowest = steps.reduce(
      (least, step) => Math.min(least, revisionOf(step) ?? Number.POSITIVE_INFINITY),
      Number.POSITIVE_INFINITY,
    );
    return steps.filter((step) => (revisionOf(step) ?? lowest) === lowest);
  }

  /** A small number, another for each step and variant. */
  private whim(step: number): number {
    return Math.imul(Math.imul(step + 1, 0x9e3779b1) ^ this.variant, this.variant) >>> 28;
  }

  private offerOpen(): void {
    const last = this.progress.run.at(-1);
    const open = this.isNarrow ? this.open.helping(this.underWay()) : this.open.applicable();
    for (const { step, index } of open) {
      if (last !== undefined && step < last && !this.areDependent(last, step)) continue;
      this.candidates.push(2 * step + index);
    }
  }

  /** Known steps that are not taken and may come next. */
  private underWay(): Transition[] {
    const { next, horizon } = this.progress;
    const steps: Transition[] = [];
    let step = at(next, this.known);
    for (; step < this.known && at(this.timing.startRank, step) < horizon; step = at(next, step)) {
      steps.push(this.steps[step] as Transition);
    }
    return steps;
  }
}

function touchOf(ways: readonly Way[]): Touch {
  const touch = { reads: 0, writes: 0 };
  for (const { guard, moves } of ways) {
    for (const { key } of guard?.compares ?? []) touch.reads |= 1 << (key & 31);
    for (const move of moves) {
      const bits = keysOfMove(move).reduce((mask, key) => mask | (1 << (key & 31)), 0);
      if (writes(move)) touch.writes |= bits;
      if (move.type !== 'set') touch.reads |= bits;
    }
  }
  return touch;
}

/** A number for each step, equal for those that demand and do the same. */
function kindsOf(steps: readonly Transition[]): Int32Array {
  const numbers = new Map<string, number>();
  const wordOf = (_: string, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value);
  return Int32Array.from(steps, ({ ways, end }) => {
    const name = `${end === Number.POSITIVE_INFINITY} ${JSON.stringify(ways, wordOf)}`;
    const kind = numbers.get(name) ?? numbers.size;
    numbers.set(name, kind);
    return kind;
  });
}
