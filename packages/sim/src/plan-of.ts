/** Which plan a seed stands for: a mixture, or a scenario. */
import { randomPlan } from './generate.js';
import type { Plan } from './plan.js';
import { scenarioNamed, scenarioPlan } from './scenarios/index.js';

/** `replicas` and `scenario` null: as the seed says. An unknown scenario is an error. */
export function planOf(seed: number, replicas: number | null, scenario: string | null): Plan {
  if (scenario === null) return randomPlan({ seed, replicas });
  const named = scenarioNamed(scenario);
  if (named === undefined) throw new Error(`there is no scenario ${scenario}`);
  return scenarioPlan(named, seed, replicas);
}
