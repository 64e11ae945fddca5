/**
 * Does the version of a key count every write that was acknowledged before it was read? It counts all since the key was
 * created, so that says something only where nothing can have deleted the key until then.
 */
import type { Findings } from './finding.js';
import type { History, Operation } from './operation.js';
import { readingsOf } from './readings.js';
import { hasPrefix, shown } from './text.js';
import { branchesOf, foundNothing } from './transactions.js';
import { hasChanged, writtenBy } from './written.js';

/** Tells of each key once, and of none that there is a finding of already. */
export function checkUncounted(history: History, findings: Findings): void {
  if ((history.initial ?? null) !== null) return;
  const readings = readingsOf(history).filter(({ version }) => version !== undefined);
  if (readings.length === 0) return;
  const ends = endsOfWrites(history);
  const deletions = new Deletions(history);
  for (const { key, version = 0, operation, start, end, name } of readings) {
    const acknowledged = countBelow(ends.get(key) ?? [], start);
    if (version >= acknowledged || findings.keys.has(key) || deletions.mayHaveBegun(key, end)) continue;
    const explanation = `${name()}: version ${version} of ${shown(key)}, but ${acknowledged} writes of it were acknowledged before`;
    findings.add('lost-write', key, operation < 0 ? [] : [operation], explanation);
  }
}

/** When the acknowledged writes of each key ended, ascending; a transaction counts once. */
function endsOfWrites(history: History): Map<string, number[]> {
  const endsByKey = new Map<string, number[]>();
  for (const operation of history.operations) {
    if (!hasChanged(operation) || operation.end === null) continue;
    const keys = writtenBy(operation).flatMap(({ key, value }) => (value === null ? [] : [key]));
    for (const key of new Set(keys)) {
      const ends = endsByKey.get(key);
      if (ends === undefined) endsByKey.set(key, [operation.end]);
      else ends.push(operation.end);
    }
  }
  for (const ends of endsByKey.values()) ends.sort((a, b) => a - b);
  return endsByKey;
}

/** When each key may have been deleted for the first time. */
class Deletions {
  private readonly starts = new Map<string, number>();
  private readonly startsOfPrefixes = new Map<string, number>();

  constructor({ operations }: History) {
    for (const operation of operations) {
      for (const { key, value } of writtenBy(operation)) {
        if (value === null) note(this.starts, key, operation.start);
      }
      for (const prefix of deletedPrefixes(operation)) note(this.startsOfPrefixes, prefix, operation.start);
    }
  }

  mayHaveBegun(key: string, until: number): boolean {
    const start = this.starts.get(key);
    if (start !== undefined && start <= until) return true;
    return [...this.startsOfPrefixes].some(([prefix, time]) => time <= until && hasPrefix(key, prefix));
  }
}

function deletedPrefixes(operation: Operation): string[] {
  if (operation.outcome === 'fail') return [];
  if (operation.op === 'delete-prefix') return operation.deleted === 0 ? [] : [operation.prefix];
  if (operation.op !== 'txn') return [];
  return branchesOf(operation)
    .flatMap(({ actions }) => actions)
    .flatMap((told) =>
      told.action.op === 'delete-prefix' && !foundNothing(told) ? [told.action.prefix] : [],
    );
}

function note(starts: Map<string, number>, name: string, start: number): void {
  starts.set(name, Math.min(starts.get(name) ?? start, start));
}

function countBelow(ascending: readonly number[], bound: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ascending[middle] ?? 0) < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}
