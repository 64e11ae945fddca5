/** All planted bugs, and the hunt for one. */
import { planOf } from '../plan-of.js';
import type { Plan } from '../plan.js';
import { type RunOptions, simulate } from '../simulate.js';
import type { Violation } from '../violation.js';
import type { Outcome } from '../world.js';
import { Patches } from './patches.js';
import { CORE_BUGS } from './core-bugs.js';
import { DATA_BUGS } from './data-bugs.js';
import { MEMBER_BUGS } from './member-bugs.js';
import { ONCE_REAL_BUGS } from './once-real.js';
import { STORAGE_BUGS } from './storage-bugs.js';
import type { Bug } from './bug.js';

export type { Bug } from './bug.js';

/** What a simulator has to be able to find. */
export const PLANTED_BUGS: readonly Bug[] = [...CORE_BUGS, ...STORAGE_BUGS, ...DATA_BUGS, ...MEMBER_BUGS];
export { ONCE_REAL_BUGS };

export interface Hunt {
  /** The seed that found it; null: none did. */
  readonly seed: number | null;
  readonly seeds: number;
  readonly violation: Violation | null;
}

/** One run with the bug in the product's place. */
export async function plant(bug: Bug, plan: Plan, options: Omit<RunOptions, 'parts'> = {}): Promise<Outcome> {
  const patches = new Patches();
  const parts = bug.plant(patches);
  try {
    return await simulate(plan, { ...options, parts });
  } finally {
    patches.restore();
  }
}

/** Runs seeds 1, 2, 3, … with the bug, until one fails. */
export async function hunt(bug: Bug, seedsMax: number): Promise<Hunt> {
  for (let seed = 1; seed <= seedsMax; seed++) {
    const { violation } = await plant(bug, planOf(seed, bug.replicas, bug.scenario));
    if (violation !== null) return { seed, seeds: seed, violation };
  }
  return { seed: null, seeds: seedsMax, violation: null };
}
