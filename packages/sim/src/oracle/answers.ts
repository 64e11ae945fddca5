/**
 * The judge of answers. What a mutation is told is what the log gave it. What a read is told of a revision, present or
 * past, is what the reference has for it; and that something is compacted, or in the future, only when it is.
 */
import type {
  CommandResult,
  Entry,
  KvEvent,
  LeasesPage,
  LeasesRequest,
  Request,
  Response,
  RevisionEvents,
} from '@kvd/protocol';
import { StoreError } from '@kvd/store';
import { rangeOf, text } from '../reference/plain-txn.js';
import type { Reference } from '../reference/reference.js';
import type { PlainEntry, PlainEvent, PlainRevision } from '../reference/versions.js';
import { safety } from '../violation.js';

type Read = Exclude<Request, { type: 'mutate' | 'members' }>;
type Refused = Extract<Response, { type: 'error' }>;

/** @param floor a revision that was known to somebody before the read began */
export function judgeRead(reference: Reference, request: Read, response: Response, floor: number): void {
  const wrong = (what: string): never => {
    throw safety('past', `a ${request.type} at revision ${revisionAsked(request)} was told ${what}`);
  };
  if (response.type === 'error') {
    judgeRefusal(reference, request, response, floor, wrong);
    return;
  }
  if ('revision' in response && response.revision > reference.revision)
    wrong(`of revision ${response.revision}, nobody has applied more than ${reference.revision}`);
  if (request.type === 'get' && response.type === 'entry') {
    const expected = reference.versions.at(text(request.key), response.revision);
    if (show(response.entry) !== show(expected)) wrong(`${show(response.entry)}, not ${show(expected)}`);
    return;
  }
  if (request.type === 'scan' && response.type === 'page') {
    judgePage(reference, request, response, wrong);
    return;
  }
  if (request.type === 'history' && response.type === 'history') {
    judgeHistoryPage(reference, request, response, wrong);
    return;
  }
  if (request.type !== 'leases' || response.type !== 'leases') wrong(`something else, a ${response.type}`);
}

function revisionAsked(request: Read): number {
  if (request.type === 'leases') return 0;
  return request.type === 'history' ? request.start.revision : request.revision;
}

function judgeRefusal(
  reference: Reference,
  request: Read,
  { code }: Refused,
  floor: number,
  wrong: (what: string) => never,
): void {
  const asked = revisionAsked(request);
  if (code === 'KVD_COMPACTED') {
    const oldest = reference.compactRevision + (request.type === 'history' ? 1 : 0);
    if (asked >= oldest) wrong(`that it is compacted, the compact revision is ${reference.compactRevision}`);
  }
  if (code === 'KVD_FUTURE_REVISION' && request.consistency === 'linearizable' && asked <= floor)
    wrong(`that it is in the future; revision ${floor} was known before`);
}

function judgePage(
  { versions }: Reference,
  request: Extract<Read, { type: 'scan' }>,
  response: Extract<Response, { type: 'page' }>,
  wrong: (what: string) => never,
): void {
  const { limit, keysOnly, countOnly, reverse } = request;
  let expected: readonly PlainEntry[] = versions.scan(rangeOf(request), response.revision);
  if (reverse) expected = expected.toReversed();
  // A page ends where it says; before that nothing is missing.
  const { next } = response;
  if (next !== null)
    expected = expected.filter(({ key }) => (reverse ? key >= text(next) : key < text(next)));
  if (next !== null && response.count === 0 && limit !== 0) wrong('an empty page that is not the last one');
  if (limit > 0 && response.count > limit) wrong(`${response.count} entries, more than ${limit}`);
  if (response.count !== expected.length) wrong(`of ${response.count} keys, there were ${expected.length}`);
  if (countOnly) return;
  const shown = response.entries.map((entry) => show(entry)).join(', ');
  const right = expected.map((entry) => show(keysOnly ? { ...entry, value: '' } : entry)).join(', ');
  if (shown !== right) wrong(`${shown}, not ${right}`);
}

function judgeHistoryPage(
  { versions, compactRevision }: Reference,
  request: Extract<Read, { type: 'history' }>,
  response: Extract<Response, { type: 'history' }>,
  wrong: (what: string) => never,
): void {
  const { start, limit } = request;
  if (response.compactRevision > compactRevision) wrong(`that ${response.compactRevision} is compacted`);
  const first = start.revision === 0 ? response.compactRevision + 1 : start.revision;
  // Parts of a revision are for large ones, which the workload has none of.
  const last = response.next === null ? response.revision : response.next.revision - 1;
  if (limit > 0 && response.revisions.length > limit) wrong(`${response.revisions.length} revisions`);
  const expected = versions.events(rangeOf(request), first, last);
  const shown = response.revisions.map(showRevision).join('; ');
  const right = expected.map(showPlainRevision).join('; ');
  if (shown !== right) wrong(`${shown}, not ${right}`);
}

/** What a replica holds in the end. */
export function judgeState(
  { versions, leases }: Reference,
  state: { get(key: Uint8Array): Entry | null; leases(request: LeasesRequest): LeasesPage },
  id: number,
): void {
  for (const key of versions.keys()) {
    const held = heldBy(state, key);
    const expected = show(versions.get(key));
    if (held !== null && held !== expected)
      throw safety('model', `replica ${id} holds ${held} in the end, not ${expected}`);
  }
  const held = state.leases({ type: 'leases', timeoutMs: 0, consistency: 'stale', lease: 0, after: 0 });
  const ids = held.leases.map(({ lease }) => lease).join(', ');
  const expected = [...leases.keys()].sort((a, b) => a - b).join(', ');
  if (ids !== expected)
    throw safety('lease', `replica ${id} has the leases ${ids} in the end, not ${expected}`);
}

/** Null: the record is damaged, which its replica notices when somebody reads it, and nobody has. */
function heldBy(state: { get(key: Uint8Array): Entry | null }, key: string): string | null {
  try {
    return show(state.get(Buffer.from(key, 'latin1')));
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'damaged') return null;
    throw error;
  }
}

function show(entry: Entry | PlainEntry | null): string {
  if (entry === null) return 'nothing';
  const { key, value, createRevision, modRevision, version, lease } = entry;
  const of = (bytes: string | Uint8Array): string => (typeof bytes === 'string' ? bytes : text(bytes));
  return `${of(key)}=${of(value)} (${createRevision} ${modRevision} ${version} ${lease})`;
}

export function showEvent(revision: number, event: KvEvent): string {
  const after = event.type === 'put' ? show(event.entry) : `deleted ${text(event.key)}`;
  return `${revision}: ${show(event.previous)} -> ${after}`;
}

/** `withPrevious` false: as a watcher sees it that did not ask for that. */
export function showPlainEvent(
  revision: number,
  { key, before, after }: PlainEvent,
  withPrevious = true,
): string {
  const previous = withPrevious ? show(before) : 'nothing';
  return `${revision}: ${previous} -> ${after === null ? `deleted ${key}` : show(after)}`;
}

function showNote({
  session,
  sequence,
  idempotencyKey,
  principal,
  reason,
  wallMs,
}: RevisionEvents['note']): string {
  return `${session}/${sequence} ${text(idempotencyKey)} ${principal} ${reason} ${wallMs}`;
}

function showRevision({ revision, note, events }: RevisionEvents): string {
  return [showNote(note), ...events.map((event) => showEvent(revision, event))].join(', ');
}

function showPlainRevision({ revision, note, events }: PlainRevision): string {
  return [showNote(note), ...events.map((event) => showPlainEvent(revision, event))].join(', ');
}

/** Of errors only the code counts. */
export function sameResult(a: CommandResult, b: CommandResult): boolean {
  return showResult(a) === showResult(b);
}

export function showResult(result: CommandResult): string {
  switch (result.type) {
    case 'error':
      return result.code;
    case 'txn':
      return `txn ${result.revision} ${result.succeeded} ${result.results.map(showOperation).join(', ')}`;
    case 'outcome':
      return result.outcome.status === 'applied'
        ? `applied: ${showResult(result.outcome.result)}`
        : result.outcome.status;
    default:
      return JSON.stringify(result);
  }
}

function showOperation(result: Extract<CommandResult, { type: 'txn' }>['results'][number]): string {
  if (result.type === 'entry') return show(result.entry);
  return result.type === 'added' ? `added ${result.value}` : JSON.stringify(result);
}
