/**
 * Is what the clients saw the work of one copy, in an order that time allows? Every answer names the cluster's revision
 * it belongs to, which is the order to be believed; so each rule is one pass over the history:
 *
 * - an operation that began after another ended has no lower revision (and a mutation a higher one);
 * - a read at a revision sees, of every key, the last mutation at or below it, and what it sees was really written;
 * - what failed for certain is never seen.
 */
import type { History, Recorded } from '../history.js';
import { safety } from '../violation.js';

interface Written {
  readonly revision: number;
  readonly operation: Recorded;
}

export function judgeRevisions(history: History): void {
  const done = history.operations.filter(({ outcome }) => outcome === 'ok');
  judgeOrder(done);
  const puts = new Map<string, Recorded>();
  const mutations = new Map<string, Written[]>();
  const taken = new Map<number, Recorded>();
  for (const operation of history.operations) {
    if (operation.value !== null) puts.set(operation.value, operation);
    if (operation.outcome !== 'ok' || !hasEffect(operation)) continue;
    const other = taken.get(operation.revision);
    if (other !== undefined) throw complain(operation, `has the same revision as ${describe(other)}`);
    taken.set(operation.revision, operation);
    for (const key of operation.keys) {
      const list = mutations.get(key) ?? [];
      list.push({ revision: operation.revision, operation });
      mutations.set(key, list);
    }
  }
  const deletesOpen = new Set<string>();
  for (const { kind, keys, outcome } of history.operations) {
    if ((kind === 'delete' || kind === 'delete-range') && (outcome === 'unknown' || outcome === 'open'))
      for (const key of keys) deletesOpen.add(key);
  }
  for (const list of mutations.values()) list.sort((a, b) => a.revision - b.revision);
  for (const operation of done) if (isRead(operation)) judgeRead(operation, puts, mutations, deletesOpen);
}

function isRead({ kind }: Recorded): boolean {
  return kind === 'get' || kind === 'scan';
}

/** A delete of nothing takes no revision, nor does a transaction that changes nothing. */
function hasEffect({ kind, deleted, changed }: Recorded): boolean {
  return kind === 'put' || kind === 'keyed-put' || deleted > 0 || changed;
}

function judgeOrder(done: readonly Recorded[]): void {
  const events = done.flatMap((operation) => [
    { at: operation.calledAt, operation, end: false },
    { at: operation.returnedAt, operation, end: true },
  ]);
  events.sort((a, b) => a.at - b.at);
  let latest: Recorded | null = null;
  const floors = new Map<Recorded, Recorded | null>();
  for (const { operation, end } of events) {
    if (!end) {
      floors.set(operation, latest);
      continue;
    }
    const floor = floors.get(operation) ?? null;
    if (floor !== null) {
      const least = floor.revision + (hasEffect(operation) && !isRead(operation) ? 1 : 0);
      if (operation.revision < least)
        throw complain(operation, `comes before ${describe(floor)}, which ended before it began`);
    }
    if (latest === null || operation.revision > latest.revision) latest = operation;
  }
}

function judgeRead(
  read: Recorded,
  puts: ReadonlyMap<string, Recorded>,
  mutations: ReadonlyMap<string, Written[]>,
  /** Keys with a delete whose fate nobody knows. */
  deletesOpen: ReadonlySet<string>,
): void {
  for (const { key, value, modRevision } of read.seen) {
    const last = lastAtOrBelow(mutations.get(key) ?? [], read.revision);
    if (value === null) {
      if (last !== null && isPut(last.operation) && !deletesOpen.has(key))
        throw complain(read, `does not see ${describe(last.operation)}`);
      continue;
    }
    const put = puts.get(value);
    if (put === undefined || !put.keys.includes(key))
      throw complain(read, `sees ${value} at ${key}, which nobody wrote`);
    if (put.outcome === 'failed') throw complain(read, `sees ${describe(put)}, which failed for certain`);
    if (put.calledAt > read.returnedAt)
      throw complain(read, `sees ${describe(put)}, which began after it ended`);
    if (put.outcome === 'ok' && put.revision !== modRevision)
      throw complain(read, `sees ${describe(put)} at revision ${modRevision}`);
    if (modRevision > read.revision)
      throw complain(read, `sees ${describe(put)} at the later revision ${modRevision}`);
    if (last !== null && last.revision > modRevision)
      throw complain(read, `sees ${describe(put)} (${modRevision}) and not ${describe(last.operation)}`);
  }
}

function isPut({ kind }: Recorded): boolean {
  return kind === 'put' || kind === 'keyed-put';
}

function lastAtOrBelow(list: readonly Written[], revision: number): Written | null {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((list[middle] as Written).revision <= revision) low = middle + 1;
    else high = middle;
  }
  return list[low - 1] ?? null;
}

function complain(operation: Recorded, what: string): Error {
  return safety('linearizability', `${describe(operation)} ${what}`);
}

export function describe(operation: Recorded): string {
  const { client, kind, keys, value, revision, index, calledMs, returnedMs } = operation;
  const what = value === null ? keys.join(' ') : `${keys.join(' ')} = ${value}`;
  return `[#${index} client ${client} ${kind} ${what}, revision ${revision}, ${calledMs.toFixed(1)}-${returnedMs.toFixed(1)} ms]`;
}
