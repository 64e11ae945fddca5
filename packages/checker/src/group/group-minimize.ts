/**
 * From transitions that cannot be ordered to few of them that cannot. As in minimize.ts every removal is sound: whenever what
 * is left cannot be ordered, neither could what was there before. Besides what is removed there:
 *
 * - All but the effects of what came long before, and of those the ones that were overwritten: tried first, with as little left
 *   as may be, because to judge little is quick and to judge it all takes long.
 * - A key, from all transitions: what happens on one key decides nothing on another once it is known which branch a
 *   transaction took, and where it is not known, either is allowed after that.
 */
import type { Value } from '../operation.js';
import { Witnesses } from '../removal.js';
import type { Answer, Budget } from '../search.js';
import type { Step } from '../steps.js';
import { lastToEnd } from '../timing.js';
import { searchGroup } from './group-search.js';
import { keysOf, onKey } from './on-key.js';
import { changesAnything, type Guard, keysOfMove, type Move, type Transition, writes } from './transition.js';

export interface GroupPiece {
  readonly transitions: readonly Transition[];
  /** Nothing can be left out soundly; false when the budget ended before that was known. */
  readonly minimal: boolean;
  /** Operations of whose transitions no demand is left, only the effect. */
  readonly effectOnly: readonly number[];
  /** Without the last to end, the others can be ordered; false when that is not known. */
  readonly isLastToBlame: boolean;
}

/**
 * The smallest piece found of `transitions`, which cannot be ordered, on `keys` keys.
 * @param notReached what the search that found so said of it
 */
export function minimizeGroup(
  transitions: readonly Transition[],
  keys: number,
  initial: Value,
  notReached: number,
  makeBudget: () => Budget | undefined,
): GroupPiece {
  return new Minimizing(beginning(transitions, notReached), keys, initial, makeBudget).run();
}

/** How many transitions are left whole at first; then four times as many, and so on. */
const WHOLE_FIRST = 16;

class Minimizing {
  private piece: readonly Transition[];
  private isSure = true;
  private readonly originals: ReadonlyMap<number, Transition>;

  constructor(
    transitions: readonly Transition[],
    private readonly keys: number,
    private readonly initial: Value,
    private readonly makeBudget: () => Budget | undefined,
  ) {
    this.piece = [...transitions].sort((a, b) => a.start - b.start);
    this.originals = new Map(transitions.map((step) => [step.operation, step]));
  }

  run(): GroupPiece {
    this.keepEnd();
    for (let share = 1; ; share *= 4) {
      const before = weight(this.piece);
      this.isSure = true;
      const chunk = Math.max(1, Math.ceil(this.piece.length / share));
      this.dropKeys(Math.max(1, Math.ceil(this.keys / share)));
      this.dropDemands(chunk);
      this.dropTransitions(chunk);
      this.cutEnd();
      const isStill = weight(this.piece) === before;
      if (chunk === 1 && isStill) break;
      if (this.makeBudget() === undefined) {
        this.isSure = false;
        break;
      }
    }
    const last = lastToEnd(this.piece);
    const isLastToBlame = this.judge(without(this.piece, last)) === 'yes';
    if (isLastToBlame) {
      this.restoreDemands(last);
      // With its demands again one may prove what took a read before.
      this.dropTransitions(1);
    }
    const effectOnly = this.piece.filter((step) => this.isEffectOnly(step)).map(({ operation }) => operation);
    return { transitions: this.piece, minimal: this.isSure, effectOnly, isLastToBlame };
  }

  private isEffectOnly(step: Transition): boolean {
    const original = this.originals.get(step.operation);
    return original !== undefined && hasDemandToDrop(original) && !hasDemandToDrop(step);
  }

  /** With the demands again that do no harm to the proof: all but its last step can still be ordered. */
  private restoreDemands(last: Transition): void {
    const left = new Set(this.piece.flatMap(keysOf));
    const dropped = new Set(
      Array.from({ length: this.keys }, (_, key) => key).filter((key) => !left.has(key)),
    );
    for (const step of this.piece.filter((each) => this.isEffectOnly(each))) {
      const [whole] = withoutKeys([this.originals.get(step.operation) ?? step], dropped);
      if (whole === undefined) continue;
      const candidate = this.piece.map((each) => (each === step ? { ...whole, end: step.end } : each));
      if (this.judge(candidate.filter(({ operation }) => operation !== last.operation)) === 'yes') {
        this.piece = candidate;
      }
    }
  }

  private judge(piece: readonly Transition[]): Answer {
    const budget = this.makeBudget();
    return budget === undefined ? 'stopped' : searchGroup(piece, this.keys, this.initial, budget, 0).answer;
  }

  private tryPiece(candidate: readonly Transition[]): boolean {
    const answer = this.judge(candidate);
    if (answer === 'stopped') this.isSure = false;
    if (answer !== 'no') return false;
    this.piece = candidate;
    return true;
  }

  /** Only what had begun when the first transition ended that no order comes to. */
  private cutEnd(): void {
    const budget = this.makeBudget();
    if (budget === undefined) return;
    const { answer, notReached } = searchGroup(this.piece, this.keys, this.initial, budget, 0);
    if (answer === 'no') this.tryPiece(beginning(this.piece, notReached));
  }

  /** Of all but the last transitions only what they left. */
  private keepEnd(): void {
    const { piece } = this;
    for (let whole = WHOLE_FIRST; whole < piece.length; whole *= 4) {
      const early = piece.length - whole;
      const effects = piece.map((step, place) => {
        return place < early && step.end !== Number.POSITIVE_INFINITY && changesAnything(step)
          ? effectOf(step)
          : step;
      });
      if (this.tryPiece(withoutUnnoticed(effects, this.keys, 0, early))) return;
    }
  }

  private dropKeys(size: number): void {
    const used = [...new Set(this.piece.flatMap(keysOf))];
    if (used.length < 2) return;
    for (let from = 0; from < used.length; from += size) {
      const dropped = new Set(used.slice(from, from + size));
      if (dropped.size < used.length) this.tryPiece(withoutKeys(this.piece, dropped));
    }
  }

  private dropDemands(size: number): void {
    const demanding = this.piece.filter(hasDemandToDrop);
    for (let from = 0; from < demanding.length; from += size) {
      const unwanted = new Set(demanding.slice(from, from + size));
      this.tryPiece(this.piece.map((step) => (unwanted.has(step) ? effectOf(step) : step)));
    }
  }

  private dropTransitions(size: number): void {
    for (let from = 0; from < this.piece.length; ) {
      const smaller = withoutUnnoticed(this.piece, this.keys, from, from + size);
      if (smaller.length === this.piece.length || !this.tryPiece(smaller)) from += size;
      if (this.makeBudget() === undefined) return;
    }
  }
}

function without(piece: readonly Transition[], step: Transition): readonly Transition[] {
  return piece.filter((each) => each !== step);
}

/** What there is to be removed. */
function weight(piece: readonly Transition[]): number {
  const demands = piece.filter(hasDemandToDrop).length;
  return piece.length + demands + new Set(piece.flatMap(keysOf)).size;
}

/** It changes something, but only if it finds what it demands. */
function hasDemandToDrop(step: Transition): boolean {
  const [way] = step.ways;
  if (step.ways.length > 1 || way === undefined || !changesAnything(step)) return false;
  return way.guard !== undefined || way.moves.some((move) => effectsOf(move)[0] !== move);
}

/** It did what it did, whatever it found. */
export function effectOf(step: Transition): Transition {
  const moves = (step.ways[0]?.moves ?? []).flatMap(effectsOf);
  return { ...step, ways: [{ guard: undefined, moves }] };
}

function effectsOf(move: Move): readonly Move[] {
  if (!writes(move)) return [];
  if (move.type !== 'add' || move.sum === undefined) return [move];
  return [{ type: 'set', key: move.key, value: move.sum }];
}

/** The transitions without what is about `dropped` keys; those that are about nothing else are gone. */
export function withoutKeys(piece: readonly Transition[], dropped: ReadonlySet<number>): Transition[] {
  return piece.flatMap((step) => {
    if (!keysOf(step).some((key) => dropped.has(key))) return [step];
    const ways = step.ways.map(({ guard, moves }) => ({
      guard: guard === undefined ? undefined : guardWithout(guard, dropped),
      moves: moves.filter((move) => !keysOfMove(move).some((key) => dropped.has(key))),
    }));
    const isLeft = ways.some(({ guard, moves }) => guard !== undefined || moves.length > 0);
    return isLeft ? [{ ...step, ways }] : [];
  });
}

/** That some compare does not hold says nothing of those that are left. */
function guardWithout(guard: Guard, dropped: ReadonlySet<number>): Guard | undefined {
  const compares = guard.compares.filter(({ key }) => !dropped.has(key));
  if (compares.length === guard.compares.length) return guard;
  return guard.holds && compares.length > 0 ? { compares, holds: true } : undefined;
}

/** `piece`, in order of starts, without those from place `from` up to `to` that change nothing or that nobody notices. */
export function withoutUnnoticed(
  piece: readonly Transition[],
  keys: number,
  from: number,
  to: number,
): readonly Transition[] {
  const isUnwanted = (place: number) => from <= place && place < to;
  const left = new Set(piece.filter((step, place) => changesAnything(step) || !isUnwanted(place)));
  const steps = new Map<Transition, Map<number, Step>>();
  const byKey = Array.from({ length: keys }, () => new Set<Step>());
  for (const each of left) {
    const ofEach = new Map<number, Step>();
    for (const key of keysOf(each)) {
      const step = onKey(each, key);
      if (step === undefined) continue;
      ofEach.set(key, step);
      byKey[key]?.add(step);
    }
    steps.set(each, ofEach);
  }
  const witnesses = byKey.map((ofKey) => new Witnesses(ofKey));
  for (const candidate of piece.slice(from, to)) {
    const ofCandidate = [...(steps.get(candidate) ?? [])];
    const isNoticed = ofCandidate.some(([key, step]) => {
      const isWritten = step.sets !== undefined || step.appends !== undefined;
      return isWritten && (witnesses[key]?.mayNotice(step, byKey[key] ?? new Set()) ?? true);
    });
    if (isNoticed || !left.delete(candidate)) continue;
    for (const [key, step] of ofCandidate) byKey[key]?.delete(step);
  }
  return [...left];
}

/** What was begun until `end`; what had not ended then is open, and of no interest if it changes nothing. */
function beginning(piece: readonly Transition[], end: number): readonly Transition[] {
  return piece
    .filter((step) => step.start <= end && (step.end <= end || changesAnything(step)))
    .map((step) => (step.end <= end ? step : { ...step, end: Number.POSITIVE_INFINITY }));
}
