/** One run: from a plan to what came of it. */
import { type Parts, REAL_PARTS } from './parts.js';
import type { Plan } from './plan.js';
import { type Outcome, World } from './world.js';

export interface RunOptions {
  readonly parts?: Parts;
  /** Keep a readable account. */
  readonly trace?: boolean;
}

export function simulate(
  plan: Plan,
  { parts = REAL_PARTS, trace = false }: RunOptions = {},
): Promise<Outcome> {
  return new World(plan, parts, trace).run();
}
