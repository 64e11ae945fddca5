/**
 * Is a history of a key-value store linearizable (Herlihy and Wing, 1990)? Each key is judged alone; the quick ones first,
 * so that a hard one cannot hide the verdict on the rest. A violation comes with the smallest piece of history that cannot
 * be ordered. No clock of its own: `now` is handed in, and `stepLimit` limits without any.
 */
import { StepBudget } from './budget.js';
import { explain } from './explain.js';
import { judge, lastToEnd, minimize } from './minimize.js';
import type { History, Operation, Value } from './operation.js';
import type { Answer } from './search.js';
import { type Step, splitByKey } from './steps.js';

export interface CheckOptions {
  /** Answer "undecided" after about so many ms, by `now`. Default: no limit. */
  readonly timeLimitMs?: number;
  /** A monotonic clock in ms. Needed for `timeLimitMs`. */
  readonly now?: () => number;
  /** Answer "undecided" on a key after so many steps of the search: a limit that is the same on every machine. */
  readonly stepLimit?: number;
  /** Violations that are shown, each of another key. Default 5. */
  readonly violationsMax?: number;
}

/** Few operations on one key that no order explains. */
export interface Violation {
  readonly key: string;
  /** Indices in the history, by start. */
  readonly operations: readonly number[];
  /** The one whose answer cannot be: without it the others can be ordered. */
  readonly culprit: number;
  /** Those that had not ended when the culprit did, and so may have taken effect or not. */
  readonly open: readonly number[];
  /** Those of which only the effect counts here: what they were told does not matter, and may have no cause here. */
  readonly effectOnly: readonly number[];
  /** In a sentence. */
  readonly explanation: string;
  /** None of them could be left out; false when there was no time to make sure. */
  readonly minimal: boolean;
}

export interface Linearizability {
  readonly verdict: 'linearizable' | 'violated' | 'undecided';
  readonly keys: number;
  /** Configurations that the search went through. */
  readonly steps: number;
  readonly violations: readonly Violation[];
  /** All keys with a violation, also of those not shown. */
  readonly violatedKeys: readonly string[];
  readonly undecidedKeys: readonly string[];
}

const FIRST_TRY_STEPS = 50_000;
const SHORT_TRY_STEPS = 20_000;
const VIOLATIONS_MAX = 5;
/** For showing a violation, all in all, beyond what finding it took. */
const MINIMIZE_MS = 5_000;
const MINIMIZE_STEPS = 10_000_000;
const MINIMIZE_TRIAL_STEPS = 30_000;

const NOT_MINIMAL = 'no order explains all answers; there was no time to find out which of them are to blame';

/** @throws HistoryError when the history is too large */
export function checkLinearizability(history: History, options: CheckOptions = {}): Linearizability {
  return new Check(history, options).run();
}

class Check {
  private readonly initial: Value;
  private readonly violatedKeys: string[] = [];
  private readonly undecidedKeys: string[] = [];
  private steps = 0;

  constructor(
    private readonly history: History,
    private readonly options: CheckOptions,
  ) {
    if (options.timeLimitMs !== undefined && options.now === undefined) {
      throw new TypeError('timeLimitMs needs a clock: now');
    }
    this.initial = history.initial ?? null;
  }

  run(): Linearizability {
    const { now, timeLimitMs, stepLimit = Number.POSITIVE_INFINITY } = this.options;
    const untilMs =
      now !== undefined && timeLimitMs !== undefined ? now() + timeLimitMs : Number.POSITIVE_INFINITY;
    const byKey = splitByKey(this.history);
    const bySize = [...byKey].sort(([, a], [, b]) => a.length - b.length);
    const hard = bySize.filter(([key, steps]) => {
      return this.tryKey(key, steps, 0, Math.min(FIRST_TRY_STEPS, stepLimit), untilMs) === 'stopped';
    });
    const left = hard.filter(([key, steps], index) => {
      // A fair share of the time that is left.
      const shareUntilMs = now === undefined ? untilMs : now() + (untilMs - now()) / (hard.length - index);
      return !this.tryHarder(key, steps, stepLimit, shareUntilMs);
    });
    this.undecidedKeys.push(...left.map(([key]) => key));
    const violations = this.showViolations(byKey);
    const verdict =
      this.violatedKeys.length > 0
        ? 'violated'
        : this.undecidedKeys.length > 0
          ? 'undecided'
          : 'linearizable';
    const { steps, violatedKeys, undecidedKeys } = this;
    return { verdict, keys: byKey.size, steps, violations, violatedKeys, undecidedKeys };
  }

  /**
   * Whether a search is lucky depends on what it tries first, and luck comes soon or hardly ever. So: many short tries that
   * differ in that, and some of every greater length, for what takes long in any case. True when one came to an end.
   */
  private tryHarder(key: string, steps: readonly Step[], stepLimit: number, untilMs: number): boolean {
    const stepsBefore = this.steps;
    for (let variant = 1; ; variant++) {
      const stepsLeft = stepLimit - (this.steps - stepsBefore);
      const isLate = this.budget(0, untilMs).isLate();
      if (stepsLeft <= 0 || isLate) return false;
      // Every second try is of the least length, every fourth of twice that, and so on.
      const length = SHORT_TRY_STEPS * (variant & -variant);
      if (this.tryKey(key, steps, variant, Math.min(length, stepsLeft), untilMs) !== 'stopped') return true;
    }
  }

  private tryKey(
    key: string,
    steps: readonly Step[],
    variant: number,
    stepsMax: number,
    untilMs: number,
  ): Answer {
    const budget = this.budget(stepsMax, untilMs);
    const answer = budget.isLate() ? 'stopped' : judge(steps, this.initial, budget, variant);
    this.steps += budget.spent;
    if (answer === 'no') this.violatedKeys.push(key);
    return answer;
  }

  private showViolations(byKey: ReadonlyMap<string, readonly Step[]>): Violation[] {
    const keys = this.violatedKeys.slice(0, this.options.violationsMax ?? VIOLATIONS_MAX);
    const { now } = this.options;
    return keys.map((key) => {
      const untilMs = now === undefined ? Number.POSITIVE_INFINITY : now() + MINIMIZE_MS / keys.length;
      let stepsLeft = MINIMIZE_STEPS / keys.length;
      let last: StepBudget | undefined;
      const makeBudget = (): StepBudget | undefined => {
        stepsLeft -= last?.spent ?? 0;
        last = this.budget(Math.min(stepsLeft, MINIMIZE_TRIAL_STEPS), untilMs);
        return stepsLeft <= 0 || last.isLate() ? undefined : last;
      };
      const piece = minimize(byKey.get(key) ?? [], this.initial, makeBudget);
      return describe(this.history, key, piece.steps, piece.minimal);
    });
  }

  private budget(stepsMax: number, untilMs: number): StepBudget {
    const { now } = this.options;
    return new StepBudget(stepsMax, now === undefined ? undefined : { now, untilMs });
  }
}

function describe(history: History, key: string, steps: readonly Step[], minimal: boolean): Violation {
  const byStart = [...steps].sort((a, b) => a.start - b.start);
  const last = lastToEnd(byStart);
  const isOpen = (step: Step) => step.end === Number.POSITIVE_INFINITY;
  return {
    key,
    operations: [...new Set(byStart.map((step) => step.operation))],
    culprit: last.operation,
    open: byStart.filter(isOpen).map((step) => step.operation),
    effectOnly: byStart
      .filter((step) => demandsLess(step, history.operations[step.operation]))
      .map((step) => step.operation),
    explanation: minimal ? explain(history, key, byStart, last) : NOT_MINIMAL,
    minimal,
  };
}

function demandsLess(step: Step, operation: Operation | undefined): boolean {
  if (operation === undefined || step.requires !== undefined || step.excludes !== undefined) return false;
  if (operation.op === 'cas') return step.sets !== undefined;
  return operation.op === 'delete' && operation.outcome === 'ok' && (operation.deleted ?? 0) > 0;
}
