/** Final reads as operations, so that the search has to explain them too: what is held in the end is read after everything. */
import type { FinalRead, GetOperation, History, Operation } from './operation.js';
import { nextAbove } from './timing.js';

/**
 * The history with final reads as gets behind all its operations, of each value of a key one. Each is always in the same
 * place, so that a violation can be shown from the history alone.
 * @param passedOver keys whose final reads are there, but demand nothing
 */
export function withFinalReads(history: History, passedOver: ReadonlySet<string> = new Set()): History {
  const { operations, finals = [] } = history;
  if (finals.length === 0) return history;
  const time = timeAfter(operations);
  const gets = distinct(finals).map(({ replica, key, value, line }): GetOperation => {
    const outcome = passedOver.has(key) ? 'unknown' : 'ok';
    const client = `replica ${replica} in the end`;
    const where = line === undefined ? {} : { line };
    return { client, op: 'get', key, value, start: time, end: time, outcome, ...where };
  });
  return { ...history, operations: [...operations, ...gets], finals: [] };
}

function distinct(finals: readonly FinalRead[]): FinalRead[] {
  const valuesOfKeys = new Map<string, Set<FinalRead['value']>>();
  return finals.filter(({ key, value }) => {
    const values = valuesOfKeys.get(key) ?? new Set();
    const isNew = !values.has(value);
    valuesOfKeys.set(key, values.add(value));
    return isNew;
  });
}

function timeAfter(operations: readonly Operation[]): number {
  const latest = operations.reduce((time, { start, end }) => Math.max(time, end ?? start), 0);
  return Math.max(latest + 1, nextAbove(latest));
}
