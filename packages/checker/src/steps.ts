/**
 * What an operation demands of one key's value and what it makes of it: a step of that key. A scan becomes a read of each key
 * under its prefix, absent ones included, and the deletion of a prefix a delete of each. Transactions and additions are no
 * steps: see partition.ts.
 */
import type { EntryRead, Operation, Value } from './operation.js';
import { compareBytes } from './text.js';
import type { Timed } from './timing.js';

/** What an operation demands of one key and does to it, each undefined when it does not. */
export interface Step extends Timed {
  /** Its operation's index in the history. */
  readonly operation: number;
  /** The value must be this. */
  readonly requires: Value | undefined;
  /** The value must not be this. */
  readonly excludes: Value | undefined;
  /** The value becomes this. */
  readonly sets: Value | undefined;
  /** The value gets this at its end. */
  readonly appends: string | undefined;
}

export type Demand = Partial<Pick<Step, 'requires' | 'excludes' | 'sets' | 'appends'>>;

/** Calls `add` for each key that the operation is about. */
export function demandsOf(
  operation: Operation,
  keysUnder: (prefix: string) => readonly string[],
  add: (key: string, demand: Demand) => void,
): void {
  if (operation.outcome === 'fail') return;
  const known = operation.outcome === 'ok';
  switch (operation.op) {
    case 'get':
      if (known && operation.value !== undefined) add(operation.key, { requires: operation.value });
      return;
    case 'put':
      add(operation.key, { sets: operation.value });
      return;
    case 'append':
      add(operation.key, { appends: operation.value });
      return;
    case 'delete':
      add(operation.key, deletion(known ? operation.deleted : undefined));
      return;
    case 'cas':
      // Of an unknown outcome only the swap counts: without it, it is as if it had never been.
      if (known && operation.swapped === false) add(operation.key, { excludes: operation.expected });
      else add(operation.key, { requires: operation.expected, sets: operation.value });
      return;
    case 'delete-prefix': {
      const keys = keysUnder(operation.prefix);
      // Which of several keys were there, their number alone does not say: see counts.ts.
      const says = known && (keys.length === 1 || operation.deleted === 0);
      const demand = deletion(says ? operation.deleted : undefined);
      for (const key of keys) add(key, demand);
      return;
    }
    case 'scan':
      if (known) addReads(operation.entries ?? [], operation.limit, keysUnder(operation.prefix), add);
      return;
    case 'add':
    case 'txn':
      return;
  }
}

function deletion(deleted: number | undefined): Demand {
  if (deleted === undefined) return { sets: null };
  return deleted === 0 ? { requires: null } : { excludes: null, sets: null };
}

/** What a scan demands that was told `entries`, of all `keys` under its prefix. */
export function addReads(
  entries: readonly EntryRead[],
  limit: number | undefined,
  keys: readonly string[],
  add: (key: string, demand: Demand) => void,
): void {
  const found = new Set<string>();
  for (const { key, value } of entries) {
    found.add(key);
    add(key, { requires: value });
  }
  // A scan that its limit ended says nothing of the keys behind its last entry.
  const last = entries.at(-1)?.key;
  const cutAfter = limit !== undefined && limit > 0 && entries.length >= limit ? last : undefined;
  for (const key of keys) {
    if (found.has(key)) continue;
    if (cutAfter === undefined || compareBytes(key, cutAfter) < 0) add(key, { requires: null });
  }
}

export function makeStep(operation: Operation, index: number, demand: Demand): Step {
  return {
    operation: index,
    ...timesOf(operation),
    requires: demand.requires,
    excludes: demand.excludes,
    sets: demand.sets,
    appends: demand.appends,
  };
}

/** An unknown outcome stays open: it may take effect at any time from its start on, or never. */
export function timesOf({ start, end, outcome }: Operation): Timed {
  return { start, end: outcome === 'ok' && end !== null ? end : Number.POSITIVE_INFINITY };
}
