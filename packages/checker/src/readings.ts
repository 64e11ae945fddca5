/** Every entry that was seen, by whomever: what the checks without a search go through. */
import type { History } from './operation.js';
import { entriesOf } from './revisions.js';
import { nameOperation } from './wording.js';

/** A read of an entry, by a client or at the end. */
export interface Reading {
  readonly key: string;
  readonly value: string;
  readonly modRevision?: number;
  readonly version?: number;
  /** -1: a final read. */
  readonly operation: number;
  /** Infinity: a final read. */
  readonly start: number;
  readonly end: number;
  /** Said only of few, and long to say. */
  readonly name: () => string;
}

export function readingsOf(history: History): Reading[] {
  const readings: Reading[] = [];
  history.operations.forEach((operation, index) => {
    for (const entry of entriesOf(operation)) {
      const name = () => nameOperation(operation, index);
      const { start, end } = operation;
      readings.push({ ...entry, operation: index, start, end: end ?? Number.POSITIVE_INFINITY, name });
    }
  });
  for (const final of history.finals ?? []) {
    const { key, value, modRevision, version } = final;
    if (value === null) continue;
    readings.push({
      key,
      value,
      ...(modRevision === undefined ? {} : { modRevision }),
      ...(version === undefined ? {} : { version }),
      operation: -1,
      start: Number.POSITIVE_INFINITY,
      end: Number.POSITIVE_INFINITY,
      name: () => `what replica ${final.replica} holds in the end`,
    });
  }
  return readings;
}
