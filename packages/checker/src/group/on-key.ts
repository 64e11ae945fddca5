/**
 * What a transition is to one key of its group: a step. Errs on the side of seeing more and setting less: what cannot be said
 * of one key alone looks on (excludes, appends), so that nothing is taken for unnoticed that might be noticed.
 */
import type { Value } from '../operation.js';
import type { Step } from '../steps.js';
import { valueBefore } from './exact-demands.js';
import { keysOfMove, type Move, type Transition, writes } from './transition.js';

/** undefined: it has nothing to do with the key. */
export function onKey(transition: Transition, key: number): Step | undefined {
  const { operation, start, end, ways } = transition;
  const moves = ways.flatMap((way) => way.moves).filter((move) => keysOfMove(move).includes(key));
  const guards = ways.flatMap(({ guard }) => (guard?.compares ?? []).filter((placed) => placed.key === key));
  if (moves.length === 0 && guards.length === 0) return undefined;
  const step = { operation, start, end };
  const isWritten = moves.some(writes);
  if (ways.length > 1 || moves.some(({ type }) => type === 'append')) {
    const appends = isWritten ? '' : undefined;
    return { ...step, requires: undefined, excludes: null, sets: undefined, appends };
  }
  const demands = [...guards.map(() => undefined), ...moves.filter(isDemand).map(demanded)];
  const [requires] = demands.filter((value) => value !== undefined);
  const sets = moves.filter(writes).map(leaves).at(-1);
  return {
    ...step,
    requires,
    excludes: demands.includes(undefined) ? null : undefined,
    sets,
    appends: isWritten && sets === undefined ? '' : undefined,
  };
}

/** The keys that a transition has anything to do with. */
export function keysOf({ ways }: Transition): number[] {
  const keys = new Set<number>();
  for (const { guard, moves } of ways) {
    for (const { key } of guard?.compares ?? []) keys.add(key);
    for (const move of moves) for (const key of keysOfMove(move)) keys.add(key);
  }
  return [...keys];
}

function isDemand({ type }: Move): boolean {
  return type !== 'set';
}

/** The one value that it demands; undefined: it demands something else. */
function demanded(move: Move): Value | undefined {
  if (move.type === 'expect') return move.value;
  return move.type === 'add' ? valueBefore(move.delta, move.sum) : undefined;
}

function leaves(move: Move): Value | undefined {
  if (move.type === 'set') return move.value;
  return move.type === 'add' ? move.sum : undefined;
}
