/**
 * Is a history of a key-value store linearizable (Herlihy and Wing, 1990)? Each part is judged alone, a key or the keys that
 * transactions connect; the quick ones first, so that a hard one cannot hide the verdict on the rest. A violation comes with the smallest piece of history that cannot
 * be ordered. No clock of its own: `now` is handed in, and `stepLimit` limits without any.
 */
import { StepBudget } from './budget.js';
import type { History } from './operation.js';
import { AnswerPart, GroupPart, type Part, RegisterPart, type Violation } from './part.js';
import { partition } from './partition.js';
import type { Answer } from './search.js';

export type { Violation } from './part.js';

export interface CheckOptions {
  /** Answer "undecided" after about so many ms, by `now`. Default: no limit. */
  readonly timeLimitMs?: number;
  /** A monotonic clock in ms. Needed for `timeLimitMs`. */
  readonly now?: () => number;
  /** Answer "undecided" on a part after so many steps of the search: a limit that is the same on every machine. */
  readonly stepLimit?: number;
  /** Violations that are shown, each of another part. Default 5. */
  readonly violationsMax?: number;
}

export interface Linearizability {
  readonly verdict: 'linearizable' | 'violated' | 'undecided';
  readonly keys: number;
  /** Configurations that the search went through. */
  readonly steps: number;
  readonly violations: readonly Violation[];
  /** How many more parts have one. */
  readonly violationsHidden: number;
  /** All keys of parts with a violation, also of those not shown. */
  readonly violatedKeys: readonly string[];
  readonly undecidedKeys: readonly string[];
}

const FIRST_TRY_STEPS = 50_000;
const SHORT_TRY_STEPS = 20_000;
/** And for each operation so many: a try that could not see the end of a long part would be in vain. */
const TRY_STEPS_PER_OPERATION = 4;
const VIOLATIONS_MAX = 5;
/** For showing a violation, all in all, beyond what finding it took. */
const MINIMIZE_MS = 5_000;
const MINIMIZE_STEPS = 10_000_000;
const MINIMIZE_TRIAL_STEPS = 30_000;

/**
 * Looks at operations only; for final reads, see withFinalReads.
 * @throws HistoryError when the history is too large
 */
export function checkLinearizability(history: History, options: CheckOptions = {}): Linearizability {
  return new Check(history, options).run();
}

class Check {
  private readonly violated: Part[] = [];
  private steps = 0;

  constructor(
    private readonly history: History,
    private readonly options: CheckOptions,
  ) {
    if (options.timeLimitMs !== undefined && options.now === undefined) {
      throw new TypeError('timeLimitMs needs a clock: now');
    }
  }

  run(): Linearizability {
    const { now, timeLimitMs, stepLimit = Number.POSITIVE_INFINITY } = this.options;
    const untilMs =
      now !== undefined && timeLimitMs !== undefined ? now() + timeLimitMs : Number.POSITIVE_INFINITY;
    const parts = partsOf(this.history);
    const bySize = [...parts].sort((a, b) => a.size - b.size);
    const hard = bySize.filter((part) => {
      const steps = Math.min(Math.max(FIRST_TRY_STEPS, TRY_STEPS_PER_OPERATION * part.size), stepLimit);
      return this.tryPart(part, 0, steps, untilMs) === 'stopped';
    });
    const undecided = hard.filter((part, index) => {
      // A fair share of the time that is left.
      const shareUntilMs = now === undefined ? untilMs : now() + (untilMs - now()) / (hard.length - index);
      return !this.tryHarder(part, stepLimit, shareUntilMs);
    });
    const violations = this.showViolations();
    return {
      verdict: this.violated.length > 0 ? 'violated' : undecided.length > 0 ? 'undecided' : 'linearizable',
      keys: new Set(parts.flatMap(({ keys }) => keys)).size,
      steps: this.steps,
      violations,
      violationsHidden: this.violated.length - violations.length,
      violatedKeys: [...new Set(this.violated.flatMap(({ keys }) => keys))],
      undecidedKeys: undecided.flatMap(({ keys }) => keys),
    };
  }

  /**
   * Whether a search is lucky depends on what it tries first, and luck comes soon or hardly ever. So: many short tries that
   * differ in that, and some of every greater length, for what takes long in any case. True when one came to an end.
   */
  private tryHarder(part: Part, stepLimit: number, untilMs: number): boolean {
    const stepsBefore = this.steps;
    const shortest = Math.max(SHORT_TRY_STEPS, TRY_STEPS_PER_OPERATION * part.size);
    for (let variant = 1; ; variant++) {
      const stepsLeft = stepLimit - (this.steps - stepsBefore);
      const isLate = this.budget(0, untilMs).isLate();
      if (stepsLeft <= 0 || isLate) return false;
      // Every second try is of the least length, every fourth of twice that, and so on.
      const length = shortest * (variant & -variant);
      if (this.tryPart(part, variant, Math.min(length, stepsLeft), untilMs) !== 'stopped') return true;
    }
  }

  private tryPart(part: Part, variant: number, stepsMax: number, untilMs: number): Answer {
    const budget = this.budget(stepsMax, untilMs);
    const answer = budget.isLate() ? 'stopped' : part.judge(budget, variant);
    this.steps += budget.spent;
    if (answer === 'no') this.violated.push(part);
    return answer;
  }

  private showViolations(): Violation[] {
    const parts = this.violated.slice(0, this.options.violationsMax ?? VIOLATIONS_MAX);
    const { now } = this.options;
    return parts.map((part) => {
      const untilMs = now === undefined ? Number.POSITIVE_INFINITY : now() + MINIMIZE_MS / parts.length;
      let stepsLeft = MINIMIZE_STEPS / parts.length;
      let last: StepBudget | undefined;
      return part.show(() => {
        stepsLeft -= last?.spent ?? 0;
        last = this.budget(Math.min(stepsLeft, MINIMIZE_TRIAL_STEPS), untilMs);
        return stepsLeft <= 0 || last.isLate() ? undefined : last;
      });
    });
  }

  private budget(stepsMax: number, untilMs: number): StepBudget {
    const { now } = this.options;
    return new StepBudget(stepsMax, now === undefined ? undefined : { now, untilMs });
  }
}

function partsOf(history: History): readonly Part[] {
  const { registers, groups, wrongAnswers } = partition(history);
  return [
    ...wrongAnswers.map((wrong) => new AnswerPart(history, wrong)),
    ...[...registers].map(([key, steps]) => new RegisterPart(history, key, steps)),
    ...groups.map((group) => new GroupPart(history, group)),
  ];
}
