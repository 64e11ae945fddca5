/** What no order can explain, seen without a search: somebody found a value that nobody wrote. */
import type { Value } from '../operation.js';
import { type Transition, writes } from './transition.js';

/** Of the transitions that found such a value, the first to end; undefined: there is none. */
export function findImpossible(transitions: readonly Transition[], initial: Value): Transition | undefined {
  const written = new Map<number, Set<Value>>();
  const computed = new Set<number>();
  for (const { ways } of transitions) {
    for (const move of ways.flatMap(({ moves }) => moves)) {
      if (!writes(move) || move.type === 'count') continue;
      const value = move.type === 'set' ? move.value : move.type === 'add' ? move.sum : undefined;
      if (value === undefined) computed.add(move.key);
      else written.set(move.key, (written.get(move.key) ?? new Set<Value>()).add(value));
    }
  }
  let first: Transition | undefined;
  for (const transition of transitions) {
    if (transition.end >= (first?.end ?? Number.POSITIVE_INFINITY)) continue;
    const isImpossible = (transition.ways[0]?.moves ?? []).some((move) => {
      if (move.type !== 'expect' || move.value === initial || computed.has(move.key)) return false;
      return written.get(move.key)?.has(move.value) !== true;
    });
    if (isImpossible) first = transition;
  }
  return first;
}
