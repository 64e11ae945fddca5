/** A violation among transitions in a sentence. Says only what follows from the operations. */
import { explain } from '../explain.js';
import type { History } from '../operation.js';
import { shown } from '../text.js';
import { nameOperation } from '../wording.js';
import { onKey } from './on-key.js';
import type { Transition } from './transition.js';

/**
 * Why a piece cannot be ordered.
 * @param places of the keys that it is about
 * @param culprit the last of it to end
 * @param isLastToBlame the others can be ordered without it
 */
export function explainGroup(
  history: History,
  keys: readonly string[],
  places: readonly number[],
  piece: readonly Transition[],
  culprit: Transition,
  isLastToBlame: boolean,
): string {
  const [place, ...others] = places;
  const told = history.operations[culprit.operation];
  const subject = told === undefined ? 'an operation' : nameOperation(told, culprit.operation);
  if (place !== undefined && others.length === 0 && piece.every(isPlain)) {
    const steps = piece.map((transition) => ({ transition, step: onKey(transition, place) }));
    const blamed = steps.find(({ transition }) => transition === culprit)?.step;
    const all = steps.flatMap(({ step }) => step ?? []);
    if (blamed?.requires !== undefined) return explain(history, keys[place] ?? '', all, blamed);
  }
  const [way] = culprit.ways;
  const expects = (way?.moves ?? []).flatMap((move) => (move.type === 'expect' ? [move.key] : []));
  const among = [...new Set(expects)].map((key) => shown(keys[key] ?? ''));
  if (among.length > 1 && isLastToBlame) {
    return `${subject} found values of ${among.join(', ')} that no order of the others leaves there at one moment`;
  }
  if (!isLastToBlame) return `no order explains all answers, the last of them to ${subject}`;
  return `no order explains all answers; without ${subject} the others can be ordered`;
}

/** It only finds values and leaves values. */
function isPlain({ ways }: Transition): boolean {
  return ways.every(({ guard, moves }) => {
    return guard === undefined && moves.every(({ type }) => type === 'expect' || type === 'set');
  });
}
