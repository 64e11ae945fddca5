/**
 * Do the revisions that clients were told fit together? Every mutation that changes something takes the next revision of the
 * store, and a key carries that of its last write. Three things must hold, each judged on its own, without a search:
 *
 * - What begins after something has ended has no smaller revision; a mutation has a greater one.
 * - No two mutations have the same revision.
 * - Who reads a revision reads what was written with it, and a value written once has the revision its writer was told.
 *
 * And what transactions found of revisions was so: compared.ts.
 */
import { checkCompared } from './compared.js';
import { Findings } from './finding.js';
import { integerOf } from './group/transition.js';
import type { Action, ActionResult, EntryRead, History, Operation, Value } from './operation.js';
import { shown } from './text.js';
import { branchesOf } from './transactions.js';
import { nameOperation } from './wording.js';
import { takenRevision, writtenBy } from './written.js';

/** What one operation was told of revisions. */
interface Sighting {
  readonly operation: number;
  readonly start: number;
  readonly end: number;
  readonly revision: number;
  /** null: a mutation, which is about every key; else a read of this one. */
  readonly key: string | null;
  /** Did it take the revision, so that nothing before has it? */
  readonly took: boolean;
}

export function checkRevisions(history: History): Findings {
  const findings = new Findings();
  const sightings = history.operations.flatMap(sightingsOf);
  checkOrder(history, sightings, findings);
  checkShared(history, sightings, findings);
  checkReads(history, findings);
  checkCompared(history, findings);
  return findings;
}

/** Reads of entries that an operation was answered. */
export function entriesOf(operation: Operation): readonly EntryRead[] {
  if (operation.outcome !== 'ok') return [];
  switch (operation.op) {
    case 'get':
      return entryOf(operation.key, operation);
    case 'scan':
      return operation.entries ?? [];
    case 'txn':
      return branchesOf(operation).flatMap(({ actions }) => {
        return actions.flatMap(({ action, result }) => {
          return action.op === 'get' ? entryOf(action.key, result) : (result.entries ?? []);
        });
      });
    default:
      return [];
  }
}

function entryOf(key: string, { value, modRevision, version }: ActionResult): EntryRead[] {
  if (typeof value !== 'string') return [];
  return [
    {
      key,
      value,
      ...(modRevision === undefined ? {} : { modRevision }),
      ...(version === undefined ? {} : { version }),
    },
  ];
}

function sightingsOf(operation: Operation, index: number): Sighting[] {
  if (operation.outcome !== 'ok' || operation.end === null) return [];
  const { start, end } = operation;
  const sightings: Sighting[] = [];
  if ('revision' in operation && operation.revision !== undefined) {
    const took = takenRevision(operation) !== undefined;
    sightings.push({ operation: index, start, end, revision: operation.revision, key: null, took });
  }
  for (const { key, modRevision } of entriesOf(operation)) {
    if (modRevision === undefined) continue;
    sightings.push({ operation: index, start, end, revision: modRevision, key, took: false });
  }
  return sightings;
}

/** Walks through time with the highest revision that was over, of the store and of each key. */
function checkOrder(history: History, sightings: readonly Sighting[], findings: Findings): void {
  const byStart = [...sightings].sort((a, b) => a.start - b.start);
  const byEnd = [...sightings].sort((a, b) => a.end - b.end);
  let highest: Sighting | undefined;
  const highestOfKey = new Map<string, Sighting>();
  const noteOver = (over: Sighting): void => {
    if (highest === undefined || over.revision > highest.revision) highest = over;
    for (const key of keysOf(history, over)) {
      const known = highestOfKey.get(key);
      if (known === undefined || over.revision > known.revision) highestOfKey.set(key, over);
    }
  };
  let ended = 0;
  for (const sighting of byStart) {
    for (let over = byEnd[ended]; over !== undefined && over.end < sighting.start; over = byEnd[++ended]) {
      noteOver(over);
    }
    const before = sighting.key === null ? highest : highestOfKey.get(sighting.key);
    if (before === undefined) continue;
    const fits = sighting.took ? sighting.revision > before.revision : sighting.revision >= before.revision;
    // Two that took the same revision are told of as such.
    if (fits || (sighting.took && before.took && sighting.revision === before.revision)) continue;
    const explanation =
      `${describe(history, sighting)} has revision ${sighting.revision}, ` +
      `but ${describe(history, before)}, over before it began, has ${before.revision}`;
    findings.add('revision-went-back', sighting.key, [before.operation, sighting.operation], explanation);
  }
}

/** The keys whose last write cannot be older than what was sighted. */
function keysOf(history: History, { key, took, operation }: Sighting): readonly string[] {
  if (key !== null) return [key];
  const told = history.operations[operation];
  return took && told !== undefined ? writtenBy(told).map((written) => written.key) : [];
}

function checkShared(history: History, sightings: readonly Sighting[], findings: Findings): void {
  const takers = new Map<number, Sighting>();
  for (const sighting of sightings) {
    if (!sighting.took) continue;
    const other = takers.get(sighting.revision);
    takers.set(sighting.revision, other ?? sighting);
    if (other === undefined) continue;
    const explanation = `${describe(history, other)} and ${describe(history, sighting)} both took revision ${sighting.revision}`;
    findings.add('revision-shared', null, [other.operation, sighting.operation], explanation);
  }
}

function checkReads(history: History, findings: Findings): void {
  const told = new Map<number, number>();
  const writers = soleWriters(history);
  history.operations.forEach((operation, index) => {
    const revision = takenRevision(operation);
    if (revision !== undefined && !told.has(revision)) told.set(revision, index);
  });
  const firstReads = new Map<string, { value: string; operation: number }>();
  history.operations.forEach((operation, index) => {
    for (const { key, value, modRevision } of entriesOf(operation)) {
      if (modRevision === undefined) continue;
      const problem = mismatch(history, writers, told.get(modRevision), key, value, modRevision);
      const read = nameOperation(operation, index);
      if (problem !== undefined) {
        findings.add('revision-mismatch', key, [problem.writer, index], `${read}: ${problem.what}`);
      }
      const name = `${modRevision} ${key}`;
      const first = firstReads.get(name);
      if (first === undefined) firstReads.set(name, { value, operation: index });
      else if (first.value !== value) {
        const what = `two values of ${shown(key)} at revision ${modRevision}: ${shown(first.value)} and ${shown(value)}`;
        findings.add('revision-mismatch', key, [first.operation, index], `${read}: ${what}`);
      }
    }
  });
}

function mismatch(
  history: History,
  writers: ReadonlyMap<string, number | null>,
  teller: number | undefined,
  key: string,
  value: string,
  modRevision: number,
): { writer: number; what: string } | undefined {
  const told = teller === undefined ? undefined : history.operations[teller];
  if (told !== undefined && teller !== undefined && !couldLeave(told, key, value)) {
    return {
      writer: teller,
      what: `${shown(value)} at revision ${modRevision}, which is that of ${nameOperation(told, teller)}`,
    };
  }
  const writer = writers.get(nameOfValue(key, value)) ?? undefined;
  const wrote = writer === undefined ? undefined : history.operations[writer];
  const answered = wrote === undefined ? undefined : takenRevision(wrote);
  if (wrote === undefined || writer === undefined || answered === undefined || answered === modRevision) {
    return undefined;
  }
  return {
    writer,
    what: `${shown(value)} at revision ${modRevision}, but ${nameOperation(wrote, writer)} was answered ${answered}`,
  };
}

/** May `key` hold `value` right after `operation`? */
function couldLeave(operation: Operation, key: string, value: string): boolean {
  return writtenBy(operation).some((written) => {
    if (written.key !== key) return false;
    if (operation.op === 'append') return value.endsWith(operation.value);
    return written.value === undefined ? integerOf(value) !== undefined : written.value === value;
  });
}

/**
 * Of each value that a key was given: the index of the one operation that can have done it, null when there are several.
 * Empty when keys begin with a value. Names are those of `nameOfValue`.
 */
export function soleWriters(history: History): Map<string, number | null> {
  const writers = new Map<string, number | null>();
  /** Keys whose values depend on what was there. */
  const computed = new Set<string>();
  history.operations.forEach((operation, index) => {
    for (const { key, value } of writtenBy(operation)) {
      if (isComputed(operation, value)) computed.add(key);
      if (typeof value !== 'string' || value === (history.initial ?? null)) continue;
      const name = nameOfValue(key, value);
      const other = writers.get(name);
      writers.set(name, other === undefined || other === index ? index : null);
    }
  });
  if (computed.size === 0) return writers;
  return new Map([...writers].filter(([name]) => !computed.has(keyOfName(name))));
}

function isComputed(operation: Operation, value: Value | undefined): boolean {
  const adds = operation.op === 'txn' && [...operation.success, ...operation.failure].some(isAddition);
  return value === undefined || operation.op === 'add' || adds;
}

function isAddition({ op }: Action): boolean {
  return op === 'add';
}

/** A key and a value in one string, without confusion. */
export function nameOfValue(key: string, value: string): string {
  return `${key.length} ${key}${value}`;
}

function keyOfName(name: string): string {
  const space = name.indexOf(' ');
  return name.slice(space + 1, space + 1 + Number(name.slice(0, space)));
}

function describe(history: History, sighting: Sighting): string {
  const operation = history.operations[sighting.operation];
  return operation === undefined ? 'an operation' : nameOperation(operation, sighting.operation);
}
