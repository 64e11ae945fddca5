/**
 * A history split by key. Linearizability is local: a history is linearizable exactly when its part on each key is, so
 * each key is judged alone. An operation becomes a step: what it demands of the key's value and what it makes of it. A scan
 * becomes a read of each key under its prefix, absent ones included; that a scan is one snapshot is not judged.
 */
import { type History, HistoryError, type Operation, type ScanOperation, type Value } from './operation.js';
import { compareBytes, hasPrefix } from './text.js';

/** More steps than this are refused: scans multiply. */
export const STEPS_MAX = 5_000_000;

/** What an operation demands of one key and does to it, each undefined when it does not. */
export interface Step {
  /** Its operation's index in the history. */
  readonly operation: number;
  readonly start: number;
  /** Infinity: it may take effect at any time from `start` on, or never. */
  readonly end: number;
  /** The value must be this. */
  readonly requires: Value | undefined;
  /** The value must not be this. */
  readonly excludes: Value | undefined;
  /** The value becomes this. */
  readonly sets: Value | undefined;
  /** The value gets this at its end. */
  readonly appends: string | undefined;
}

type Action = Partial<Pick<Step, 'requires' | 'excludes' | 'sets' | 'appends'>>;

/** Steps of each key, in the order of the history. @throws HistoryError when they are more than STEPS_MAX */
export function splitByKey(history: History): Map<string, Step[]> {
  const byKey = new Map<string, Step[]>();
  for (const key of keysOf(history)) byKey.set(key, []);
  const underPrefix = new Map<string, readonly string[]>();
  const keysUnder = (prefix: string): readonly string[] => {
    let keys = underPrefix.get(prefix);
    if (keys === undefined) {
      keys = [...byKey.keys()].filter((key) => hasPrefix(key, prefix));
      underPrefix.set(prefix, keys);
    }
    return keys;
  };
  let count = 0;
  history.operations.forEach((operation, index) => {
    const add = (key: string, action: Action): void => {
      if (++count > STEPS_MAX) {
        throw new HistoryError('HISTORY_TOO_LARGE', `more than ${STEPS_MAX} operations and reads of scans`);
      }
      byKey.get(key)?.push(makeStep(operation, index, action));
    };
    addSteps(operation, keysUnder, add);
  });
  return byKey;
}

/** Every key that any operation names. */
function keysOf(history: History): Set<string> {
  const keys = new Set<string>();
  for (const operation of history.operations) {
    if ('key' in operation) keys.add(operation.key);
    else if (operation.op === 'scan') for (const entry of operation.entries ?? []) keys.add(entry.key);
  }
  return keys;
}

function addSteps(
  operation: Operation,
  keysUnder: (prefix: string) => readonly string[],
  add: (key: string, action: Action) => void,
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
      if (!known || operation.deleted === undefined) add(operation.key, { sets: null });
      else if (operation.deleted === 0) add(operation.key, { requires: null });
      else add(operation.key, { excludes: null, sets: null });
      return;
    case 'cas':
      // Of an unknown outcome only the swap counts: without it, it is as if it had never been.
      if (known && operation.swapped === false) add(operation.key, { excludes: operation.expected });
      else add(operation.key, { requires: operation.expected, sets: operation.value });
      return;
    case 'delete-prefix':
      for (const key of keysUnder(operation.prefix)) {
        add(key, known && operation.deleted === 0 ? { requires: null } : { sets: null });
      }
      return;
    case 'scan':
      if (known) addReads(operation, keysUnder(operation.prefix), add);
      return;
  }
}

function addReads(
  scan: ScanOperation,
  keys: readonly string[],
  add: (key: string, action: Action) => void,
): void {
  const entries = scan.entries ?? [];
  const found = new Set<string>();
  for (const { key, value } of entries) {
    found.add(key);
    add(key, { requires: value });
  }
  // A scan that its limit ended says nothing of the keys behind its last entry.
  const last = entries.at(-1)?.key;
  const cutAfter =
    scan.limit !== undefined && scan.limit > 0 && entries.length >= scan.limit ? last : undefined;
  for (const key of keys) {
    if (found.has(key)) continue;
    if (cutAfter === undefined || compareBytes(key, cutAfter) < 0) add(key, { requires: null });
  }
}

function makeStep(operation: Operation, index: number, action: Action): Step {
  return {
    operation: index,
    start: operation.start,
    end: operation.outcome === 'ok' && operation.end !== null ? operation.end : Number.POSITIVE_INFINITY,
    requires: action.requires,
    excludes: action.excludes,
    sets: action.sets,
    appends: action.appends,
  };
}
