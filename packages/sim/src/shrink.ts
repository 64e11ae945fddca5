/**
 * From a failing run to a smaller one: leaves out faults, then operations, by halves, quarters and so on, as long as
 * what is left still fails in the same way. (Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input)
 */
import type { Plan, Selection } from './plan.js';
import { select } from './plan.js';
import type { Outcome } from './world.js';

export interface Shrunk {
  readonly selection: Selection;
  readonly outcome: Outcome;
  /** Runs that it took. */
  readonly runs: number;
}

export interface ShrinkLimits {
  readonly runsMax: number;
}

type Run = (plan: Plan) => Promise<Outcome>;

/** `failed` is the outcome of the whole plan. */
export async function shrink(
  plan: Plan,
  failed: Outcome,
  run: Run,
  { runsMax }: ShrinkLimits,
): Promise<Shrunk> {
  let best: { faults: number[]; operations: number[]; outcome: Outcome } = {
    faults: plan.faults.map((_, i) => i),
    operations: plan.operations.map((_, i) => i),
    outcome: failed,
  };
  let runs = 0;
  const attempt = async (faults: number[], operations: number[]): Promise<boolean> => {
    if (runs >= runsMax) return false;
    runs += 1;
    const outcome = await run(select(plan, { faults, operations }));
    if (!isSameFailure(outcome, failed)) return false;
    best = { faults, operations, outcome };
    return true;
  };
  await minimize(best.faults, (faults) => attempt(faults, best.operations));
  await minimize(best.operations, (operations) => attempt(best.faults, operations));
  await minimize(best.faults, (faults) => attempt(faults, best.operations));
  const { faults, operations, outcome } = best;
  return { selection: { faults, operations }, outcome, runs };
}

function isSameFailure(a: Outcome, b: Outcome): boolean {
  return (
    a.violation !== null && a.violation.kind === b.violation?.kind && a.violation.rule === b.violation.rule
  );
}

/** Leaves out pieces of the list, large ones first, as long as `stillFails`. */
async function minimize(
  list: readonly number[],
  stillFails: (rest: number[]) => Promise<boolean>,
): Promise<void> {
  let rest = [...list];
  for (let size = rest.length; size >= 1; size = Math.floor(size / 2)) {
    for (let from = 0; from < rest.length; ) {
      const without = [...rest.slice(0, from), ...rest.slice(from + size)];
      if (await stillFails(without)) rest = without;
      else from += size;
    }
  }
}
