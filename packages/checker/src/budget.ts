/** What a search may spend: steps, and time by a clock that is handed in. Asks the clock only now and then. */
import type { Budget } from './search.js';

const STEPS_PER_LOOK = 16;

export interface Clock {
  /** In ms, from any origin. */
  readonly now: () => number;
  /** When to stop, by `now`. */
  readonly untilMs: number;
}

export class StepBudget implements Budget {
  /** Steps spent. */
  spent = 0;

  constructor(
    private readonly stepsMax: number,
    private readonly clock: Clock | undefined,
  ) {}

  spend(): boolean {
    this.spent++;
    if (this.spent > this.stepsMax) return false;
    return this.spent % STEPS_PER_LOOK !== 0 || !this.isLate();
  }

  isLate(): boolean {
    return this.clock !== undefined && this.clock.now() > this.clock.untilMs;
  }
}
