/** Which values a transition surely demands of its keys, as far as it says so exactly. */
import type { Value } from '../operation.js';
import { integerOf, type Way, writes } from './transition.js';

/** A value that a key must have. */
export interface ExactDemand {
  readonly key: number;
  readonly value: Value;
}

/** What `way` demands of what it finds; not of what it does itself. */
export function exactDemands({ guard, moves }: Way): readonly ExactDemand[] {
  const demands: ExactDemand[] = [];
  if (guard?.holds === true) {
    for (const { key, compare } of guard.compares) {
      if (compare.target === 'value' && compare.comparison === '=')
        demands.push({ key, value: compare.value });
      if (compare.target === 'exists' && !compare.exists) demands.push({ key, value: null });
    }
  }
  const written = new Set<number>();
  for (const move of moves) {
    if (move.type === 'count') {
      if (move.present > 0) continue;
      for (const key of move.keys) if (!written.has(key)) demands.push({ key, value: null });
      continue;
    }
    if (!written.has(move.key)) {
      if (move.type === 'expect') demands.push({ key: move.key, value: move.value });
      const before = move.type === 'add' ? valueBefore(move.delta, move.sum) : undefined;
      if (before !== undefined) demands.push({ key: move.key, value: before });
    }
    if (writes(move)) written.add(move.key);
  }
  return demands;
}

/** What was there before `delta` made it `sum`; undefined: not known, or 0, which may be absent as well. */
export function valueBefore(delta: bigint, sum: string | undefined): string | undefined {
  const total = sum === undefined ? undefined : integerOf(sum);
  return total === undefined || total === delta ? undefined : String(total - delta);
}
