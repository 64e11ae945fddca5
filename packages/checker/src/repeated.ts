/**
 * Was a mutation applied more than once? Seen in four ways, none of which a correct store can show:
 *
 * - a value that one operation wrote once has two revisions;
 * - a key's version counts more writes than were ever asked for;
 * - a piece that was appended once is there twice;
 * - the store's revision counts more mutations than were ever asked for (where the history is known to have them all).
 */
import { Findings } from './finding.js';
import type { History, Operation } from './operation.js';
import { type Reading, readingsOf } from './readings.js';
import { nameOfValue, soleWriters } from './revisions.js';
import { shown } from './text.js';
import { nameOperation } from './wording.js';
import { hasChanged, takenRevision, writtenBy } from './written.js';

export function checkRepeated(history: History): Findings {
  const findings = new Findings();
  const readings = readingsOf(history);
  checkRevisionsOfValues(history, readings, findings);
  checkVersions(history, readings, findings);
  checkAppends(history, readings, findings);
  checkCount(history, readings, findings);
  return findings;
}

function checkRevisionsOfValues(history: History, readings: readonly Reading[], findings: Findings): void {
  const writers = soleWriters(history);
  const known = new Map<string, { revision: number; from: () => string; operation: number }>();
  const told = new Set<string>();
  for (const [value, writer] of writers) {
    const operation = writer === null ? undefined : history.operations[writer];
    const revision = operation === undefined ? undefined : takenRevision(operation);
    if (operation === undefined || writer === null || revision === undefined) continue;
    known.set(value, { revision, from: () => 'its writer was answered', operation: writer });
  }
  for (const { key, value, modRevision, operation, name } of readings) {
    if (modRevision === undefined) continue;
    const valueName = nameOfValue(key, value);
    const writer = writers.get(valueName);
    if (writer === undefined || writer === null) continue;
    const first = known.get(valueName);
    if (first === undefined)
      known.set(valueName, { revision: modRevision, from: () => `${name()} found`, operation });
    // A smaller one than the first is no second time, but something else that is wrong: see revisions.ts.
    else if (first.revision < modRevision && !told.has(valueName)) {
      told.add(valueName);
      const wrote = history.operations[writer] as Operation;
      const explanation =
        `${nameOperation(wrote, writer)} took effect twice: ` +
        `${first.from()} revision ${first.revision}, ${name()} revision ${modRevision}`;
      findings.add('applied-twice', key, unique([writer, first.operation, operation]), explanation);
    }
  }
}

/** A version counts the writes since the key was created, so it is at most the writes that were begun. */
function checkVersions(history: History, readings: readonly Reading[], findings: Findings): void {
  if ((history.initial ?? null) !== null) return;
  const startsByKey = new Map<string, number[]>();
  for (const operation of history.operations) {
    for (const { key, value } of writtenBy(operation)) {
      if (value === null) continue;
      const starts = startsByKey.get(key) ?? [];
      starts.push(operation.start);
      startsByKey.set(key, starts);
    }
  }
  for (const starts of startsByKey.values()) starts.sort((a, b) => a - b);
  const told = new Set<string>();
  for (const { key, version, operation, end, name } of readings) {
    if (version === undefined || told.has(key)) continue;
    const begun = countUpTo(startsByKey.get(key) ?? [], end);
    if (version <= begun) continue;
    told.add(key);
    const explanation = `${name()}: version ${version} of ${shown(key)}, but only ${begun} writes of it had begun`;
    findings.add('applied-twice', key, unique([operation]), explanation);
  }
}

function checkAppends(history: History, readings: readonly Reading[], findings: Findings): void {
  if ((history.initial ?? '') !== '') return;
  const piecesByKey = new Map<string, Map<string, number | null>>();
  const settable = new Set<string>();
  history.operations.forEach((operation, index) => {
    if (operation.outcome === 'fail') return;
    if (operation.op !== 'append') {
      for (const { key, value } of writtenBy(operation)) if (value !== null) settable.add(key);
      return;
    }
    if (operation.value === '') return;
    const pieces = piecesByKey.get(operation.key) ?? new Map<string, number | null>();
    pieces.set(operation.value, pieces.has(operation.value) ? null : index);
    piecesByKey.set(operation.key, pieces);
  });
  for (const [key, pieces] of piecesByKey) {
    const end = commonEnd([...pieces.keys()]);
    if (settable.has(key) || end === undefined) continue;
    const longest = readings
      .filter((reading) => reading.key === key)
      .reduce<Reading | undefined>(
        (a, b) => (a === undefined || b.value.length > a.value.length ? b : a),
        undefined,
      );
    if (longest === undefined) continue;
    const found = new Set<string>();
    // After the last end nothing is left, or what is no piece.
    for (const record of longest.value.split(end).slice(0, -1)) {
      const writer = pieces.get(record + end) ?? null;
      const isAgain = found.has(record);
      found.add(record);
      if (writer === null || !isAgain) continue;
      const wrote = history.operations[writer] as Operation;
      const explanation = `${nameOperation(wrote, writer)} took effect twice: ${longest.name()} has it more than once`;
      findings.add('applied-twice', key, unique([writer, longest.operation]), explanation);
    }
  }
}

/** The character that all pieces end with and have nowhere else, so that a value falls into its pieces at it. */
function commonEnd(pieces: readonly string[]): string | undefined {
  const end = pieces[0]?.at(-1);
  if (end === undefined) return undefined;
  return pieces.every((piece) => piece.indexOf(end) === piece.length - 1) ? end : undefined;
}

function checkCount(history: History, readings: readonly Reading[], findings: Findings): void {
  if (history.baseRevision === undefined) return;
  let asked = 0;
  let highest = history.baseRevision;
  for (const operation of history.operations) {
    if (operation.op === 'get' || operation.op === 'scan') continue;
    if (operation.outcome === 'unknown' || hasChanged(operation)) asked++;
    if ('revision' in operation) highest = Math.max(highest, operation.revision ?? 0);
  }
  for (const { modRevision = 0 } of readings) highest = Math.max(highest, modRevision);
  const taken = highest - history.baseRevision;
  if (taken <= asked) return;
  const explanation = `revisions ${history.baseRevision + 1} to ${highest} are ${taken} mutations, but only ${asked} can have taken one`;
  findings.add('applied-twice', null, [], explanation);
}

function countUpTo(ascending: readonly number[], bound: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ascending[middle] ?? 0) <= bound) low = middle + 1;
    else high = middle;
  }
  return low;
}

function unique(operations: readonly number[]): number[] {
  return [...new Set(operations)].filter((index) => index >= 0).sort((a, b) => a - b);
}
