/**
 * Is there an order of one key's steps that respects time and in which every demand is met? A depth-first search after
 * Wing and Gong (Testing and Verifying Concurrent Objects, 1993) with Lowe's memory of configurations (Testing for
 * Linearizability, 2017). It takes steps one after the other, each before the end of any step not yet taken. What keeps it
 * small, each with why nothing is lost:
 *
 * - A known step without effect is taken as soon as its demand is met: earlier, it hinders nobody.
 * - An open step is taken only when some step under way could notice: in any order it can be moved back to where it is
 *   noticed first, or be left out.
 * - Of steps that demand and do the same, the one that ends first is taken first: in any order two of them can be swapped.
 * - With a write that nobody need notice, all others under way that nobody will notice are taken, just before it.
 * - A value is not overwritten while somebody still has to read it and nobody is left to write it again.
 * - Nor is a value set while too few steps would be left to set it as often as it will be demanded (visits.ts).
 * - Of two configurations that differ only in that one has used fewer open steps, or met more reads, the other is dropped.
 *
 * Knows no clock: a budget that is handed in says when to stop.
 */
import { Configuration } from './configuration.js';
import { APPENDS, at, DIFFERS, EQUALS, NEVER, NOTHING, type Problem, SETS } from './problem.js';
import { Seen } from './seen.js';
import { Visits } from './visits.js';

/** An urgency after all others, with room for a whim. */
const LAST = NEVER - 16;

/** Asked once for each configuration; false: stop. */
export interface Budget {
  spend(): boolean;
}

export type Answer = 'yes' | 'no' | 'stopped';

/**
 * Search for an order.
 * @param variant which of equally sound guesses to follow first; the same variant always goes the same way
 */
export function search(problem: Problem, budget: Budget, variant: number): Answer {
  return new Search(problem, budget, variant).run();
}

class Search {
  private readonly here: Configuration;
  private readonly seen: Seen;
  private readonly visits: Visits;
  /** Configurations that are being left in each possible way, and where the ways of each begin among the candidates. */
  private readonly frames: { readonly mark: Configuration['mark']; readonly firstCandidate: number }[] = [];
  private readonly candidates: number[] = [];
  /** By value: when the first step under way ends that demands it, if it is marked with the present number. */
  private readonly wantedEnd: Int32Array;
  private readonly wanted: Int32Array;
  private wantedMark = 0;
  private readonly urgencies: Int32Array;
  private readonly kindBest: Int32Array;

  constructor(
    private readonly problem: Problem,
    private readonly budget: Budget,
    private readonly variant: number,
  ) {
    const { size, values } = problem;
    this.here = new Configuration(problem);
    this.seen = new Seen(this.here.keyWords, this.here.burdenWords);
    this.visits = new Visits(problem);
    this.wantedEnd = new Int32Array(values.count);
    this.wanted = new Int32Array(values.count);
    this.urgencies = new Int32Array(size);
    this.kindBest = new Int32Array(size).fill(-1);
  }

  run(): Answer {
    if (this.cannotEnd()) return 'no';
    this.settle();
    if (this.here.ended) return 'yes';
    this.pushFrame();
    while (this.frames.length > 0) {
      const step = this.nextCandidate();
      if (step < 0) {
        this.popFrame();
        continue;
      }
      if (!this.budget.spend() || this.seen.full || this.problem.values.full) return 'stopped';
      if (!this.take(step)) {
        this.undo();
        continue;
      }
      if (this.here.ended) return 'yes';
      if (this.seen.add(this.here.description)) this.pushFrame();
      else this.undo();
    }
    return 'no';
  }

  /** Somebody read what nobody wrote. */
  private cannotEnd(): boolean {
    if (this.problem.hasAppends) return false;
    return this.here.demands.some((demands, value) => {
      return demands > 0 && at(this.here.sources, value) === 0 && value !== this.problem.initial;
    });
  }

  /** Take `step` and all that follows from it. False when that leads nowhere. */
  private take(step: number): boolean {
    const { effect, effectValue, hasAppends, values } = this.problem;
    const before = this.here.state;
    if (this.isBlind(step) && this.here.onlookers === 0) this.takeUnnoticed(step);
    this.here.take(step);
    this.here.state =
      at(effect, step) === APPENDS ? values.append(before, at(effectValue, step)) : at(effectValue, step);
    if (
      !hasAppends &&
      this.here.state !== before &&
      at(this.here.demands, before) > 0 &&
      at(this.here.sources, before) === 0
    ) {
      return false;
    }
    this.settle();
    if (hasAppends) return this.appendedIsOfUse();
    return this.canReturnTo(before) && this.canReturnTo(this.here.state);
  }

  /** Are enough steps left that set `value`, for all that will demand it? */
  private canReturnTo(value: number): boolean {
    return this.visits.areEnough(value, this.here.horizon, this.here.supply(value));
  }

  /** A write that asks nothing. */
  private isBlind(step: number): boolean {
    return at(this.problem.demand, step) === NOTHING && at(this.problem.effect, step) === SETS;
  }

  private takeUnnoticed(before: number): void {
    const { known, startRank, effectValue } = this.problem;
    const horizon = this.here.horizon;
    for (let step = at(this.here.next, known); step < known && at(startRank, step) < horizon; ) {
      const following = at(this.here.next, step);
      if (step !== before && this.isBlind(step) && at(this.here.interests, at(effectValue, step)) === 0) {
        this.here.take(step);
      }
      step = following;
    }
  }

  /** Take all steps without effect whose demands are met, and move on. */
  private settle(): void {
    const { known, startRank, effect } = this.problem;
    this.here.advance();
    let horizon = this.here.horizon;
    let step = at(this.here.next, known);
    while (step < known && at(startRank, step) < horizon) {
      const following = at(this.here.next, step);
      if (at(effect, step) === NOTHING && this.here.demandHolds(step)) {
        this.here.take(step);
        this.here.advance();
        horizon = this.here.horizon;
      }
      step = following;
    }
  }

  private pushFrame(): void {
    this.frames.push({ mark: this.here.mark, firstCandidate: this.candidates.length });
    this.findCandidates();
  }

  private popFrame(): void {
    this.frames.pop();
    if (this.frames.length > 0) this.undo();
  }

  private nextCandidate(): number {
    if (this.candidates.length === this.frames.at(-1)?.firstCandidate) return -1;
    return this.candidates.pop() ?? -1;
  }

  /** Back to the configuration of the last frame. */
  private undo(): void {
    const frame = this.frames.at(-1);
    if (frame !== undefined) this.here.backTo(frame.mark);
  }

  /** The steps that may come next, the most urgent last. */
  private findCandidates(): void {
    const { known, startRank, effect, openKinds } = this.problem;
    const first = this.candidates.length;
    const horizon = this.here.horizon;
    const anythingIsWanted = this.noteWanted(horizon);
    for (
      let step = at(this.here.next, known);
      step < known && at(startRank, step) < horizon;
      step = at(this.here.next, step)
    ) {
      if (at(effect, step) !== NOTHING && this.here.demandHolds(step)) this.offer(step);
    }
    for (let open = 0; open < openKinds.length; open++) {
      if (at(startRank, at(openKinds[open] as Int32Array, 0)) > horizon) break;
      const step = this.here.nextOpen(open);
      if (step < 0 || at(startRank, step) > horizon) continue;
      if (this.here.demandHolds(step) && this.isOfUse(step, anythingIsWanted)) this.offer(step);
    }
    this.sortCandidates(first, horizon);
  }

  private sortCandidates(first: number, horizon: number): void {
    const { kind } = this.problem;
    for (let i = first; i < this.candidates.length; i++) {
      const step = this.candidates[i] as number;
      this.kindBest[at(kind, step)] = -1;
      const urgency = this.urgencyOf(step, horizon) + this.whim(step);
      this.urgencies[step] = urgency;
      let to = i;
      while (to > first && at(this.urgencies, this.candidates[to - 1] as number) < urgency) {
        this.candidates[to] = this.candidates[to - 1] as number;
        to--;
      }
      this.candidates[to] = step;
    }
  }

  /** A small number, another for each step and variant. */
  private whim(step: number): number {
    return Math.imul(Math.imul(step + 1, 0x9e3779b1) ^ this.variant, this.variant) >>> 28;
  }

  /** When at the latest somebody has to see this step's effect: a guess, which decides only what is tried first. */
  private urgencyOf(step: number, horizon: number): number {
    const { known, effect, effectValue, endRank } = this.problem;
    if (at(effect, step) !== SETS) return Math.min(at(endRank, step), LAST);
    const value = at(effectValue, step);
    if (step < known) return Math.min(at(endRank, step), this.problem.nextDemandEnd(value, horizon));
    return this.wanted[value] === this.wantedMark && at(this.wantedEnd, value) === horizon ? horizon : LAST;
  }

  /** One candidate of each kind, the one that ends first. */
  private offer(step: number): void {
    const { kind, endRank } = this.problem;
    const place = at(this.kindBest, at(kind, step));
    if (place < 0) {
      this.kindBest[at(kind, step)] = this.candidates.length;
      this.candidates.push(step);
    } else if (at(endRank, step) < at(endRank, this.candidates[place] as number)) {
      this.candidates[place] = step;
    }
  }

  /** Mark what steps under way demand. True when one of them might notice any change. */
  private noteWanted(horizon: number): boolean {
    const { known, startRank, endRank, demand, demanded, effect, openKinds } = this.problem;
    if (openKinds.length === 0) return false;
    this.wantedMark++;
    let anything = false;
    const note = (step: number) => {
      if (at(demand, step) === EQUALS) {
        const value = at(demanded, step);
        const earlier = this.wanted[value] === this.wantedMark ? at(this.wantedEnd, value) : NEVER;
        this.wanted[value] = this.wantedMark;
        this.wantedEnd[value] = Math.min(earlier, at(endRank, step));
      }
      if (at(demand, step) === DIFFERS || at(effect, step) === APPENDS) anything = true;
    };
    for (
      let step = at(this.here.next, known);
      step < known && at(startRank, step) < horizon;
      step = at(this.here.next, step)
    ) {
      note(step);
    }
    for (let open = 0; open < openKinds.length; open++) {
      const step = this.here.nextOpen(open);
      if (step >= 0 && at(startRank, step) < horizon) note(step);
    }
    return anything;
  }

  /** Might a step under way notice that this open one was taken? */
  private isOfUse(step: number, anythingIsWanted: boolean): boolean {
    const { effect, effectValue, hasAppends, values } = this.problem;
    const appends = at(effect, step) === APPENDS;
    const value = appends ? values.append(this.here.state, at(effectValue, step)) : at(effectValue, step);
    // Appends that follow notice it, but somebody must in turn notice those.
    if (hasAppends && !this.problem.leadsToDemanded(value)) return false;
    if (appends) return true;
    return value !== this.here.state && (anythingIsWanted || this.wanted[value] === this.wantedMark);
  }

  /**
   * Can what was appended still be read as it must be? Not when a read has to come before anything can set the value anew,
   * and reads something that does not begin with the present value.
   */
  private appendedIsOfUse(): boolean {
    const { known, startRank, endRank, demand, demanded, effect, openKinds, values } = this.problem;
    let firstSet = NEVER;
    let firstReadEnd = NEVER;
    let firstRead = -1;
    for (let step = at(this.here.next, known); step < known; step = at(this.here.next, step)) {
      const rank = at(startRank, step);
      if (rank > firstSet || rank > firstReadEnd) break;
      if (at(effect, step) === SETS) firstSet = rank;
      else if (
        at(effect, step) === NOTHING &&
        at(demand, step) === EQUALS &&
        at(endRank, step) < firstReadEnd
      ) {
        firstReadEnd = at(endRank, step);
        firstRead = step;
      }
    }
    for (let open = 0; open < openKinds.length; open++) {
      const step = this.here.nextOpen(open);
      if (step >= 0 && at(effect, step) === SETS) firstSet = Math.min(firstSet, at(startRank, step));
    }
    if (firstRead < 0 || firstSet < firstReadEnd) return true;
    return values.text(at(demanded, firstRead)).startsWith(values.text(this.here.state));
  }
}
