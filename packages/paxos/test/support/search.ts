/**
 * Breadth-first search of a Model: every state within its bounds is visited once, so the first violation found is one
 * of the shortest. Returns how many states there were, and how the violation came about.
 */
import type { Slot } from '../../src/types.js';
import type { Model, State, Step } from './small-scope.js';

export interface Verdict {
  readonly states: number;
  readonly transitions: number;
  /** Null: no two values. */
  readonly violation: string | null;
  /** The steps that lead to it. */
  readonly trace: readonly string[];
}

export function search(model: Model, statesMax: number): Verdict {
  const states: State[] = [model.initial];
  const parents: number[] = [-1];
  const seen = new StateSet();
  seen.add(model.initial);
  let transitions = 0;
  for (let index = 0; index < states.length; index++) {
    for (const step of model.steps(states[index] as State)) {
      transitions += 1;
      const next = model.canonical(step.state);
      const isNew = seen.add(next);
      const violation = isNew || step.learned.length > 0 ? judge(model, step) : null;
      if (violation !== null) {
        return {
          states: states.length,
          transitions,
          violation,
          trace: [...traceTo(model, states, parents, index, step), violation],
        };
      }
      if (!isNew) continue;
      states.push(next);
      parents.push(index);
      if (states.length > statesMax) throw new Error(`more than ${statesMax} states`);
      if (model.replicas.count > RECORDS_MAX) throw new Error('more records than a key can tell apart');
    }
  }
  return { states: states.length, transitions, violation: null, trace: [] };
}

/** 2^17: three of them fit into the 53 bits of a number. */
const RECORDS_MAX = 131_072;

/** Canonical states, in numbers rather than text: there are hundreds of thousands. */
class StateSet {
  private readonly byContext = new Map<number, Set<number>>();

  /** Whether it was new. */
  add({ records: [a, b, c], sent, crashes, wipes }: State): boolean {
    const context = (sent * 8 + crashes) * 8 + wipes;
    let set = this.byContext.get(context);
    if (!set) this.byContext.set(context, (set = new Set()));
    const before = set.size;
    set.add((a * RECORDS_MAX + b) * RECORDS_MAX + c);
    return set.size > before;
  }
}
/** Two values chosen in a slot, or one taken for chosen that is not. */
function judge(model: Model, step: Step): string | null {
  const chosen = model.chosen(step.state);
  const values = new Map<Slot, string>();
  for (const { slot, value } of chosen) {
    const other = values.get(slot) ?? value;
    if (other !== value) return `slot ${slot}: ${[other, value].sort().join(' and ')} chosen`;
    values.set(slot, value);
  }
  for (const { slot, value } of step.learned) {
    if (values.get(slot) !== value)
      return `slot ${slot}: ${value} taken for chosen, ${values.get(slot) ?? 'nothing'} chosen`;
  }
  return null;
}

/** Played once more with the acceptors in their places. */
function traceTo(
  model: Model,
  states: readonly State[],
  parents: readonly number[],
  index: number,
  last: Step,
): string[] {
  const path: State[] = [last.state];
  for (let at = index; at > 0; at = parents[at] as number) path.unshift(states[at] as State);
  const labels: string[] = [];
  let state = model.initial;
  for (const next of path) {
    const key = model.keyOf(next);
    const step = model
      .steps(state)
      .find((one) => model.keyOf(one.state) === key && (next !== last.state || one.action === last.action));
    if (!step) throw new Error('the trace cannot be played again');
    labels.push(step.actor < 0 ? step.action : `acceptor ${step.actor + 1} ${step.action}`);
    state = step.state;
  }
  return labels;
}
