/**
 * GET /v1/history: what was done to the keys of a range, by whom and why, as JSON lines in the order of the revisions.
 * POST /v1/compact: how much of that the cluster keeps.
 */
import {
  type Command,
  type HistoryPage,
  type HistoryRequest,
  JsonObject,
  NO_ORIGIN,
  type RevisionEvents,
  revisionJson,
} from '@kvd/protocol';
import type { Requester } from '../requester.js';
import { type Call, readJson } from './call.js';
import { sendJsonLines } from './json-lines.js';
import { readMutation, repeatable } from './mutations.js';
import { Query, timeoutOf } from './query.js';
import { mustBe } from './reads.js';
import { type Answer, jsonAnswer } from './respond.js';

const KNOWN = ['key', 'prefix', 'from', 'to', 'from_revision', 'limit', 'consistency'];

export async function history(requester: Requester, call: Call, rawQuery: string): Promise<void> {
  const first = readHistory(call, rawQuery);
  const page = mustBe(await requester.request(first), 'history');
  const headers = {
    'Kvd-Revision': String(page.revision),
    'Kvd-Compact-Revision': String(page.compactRevision),
  };
  await sendJsonLines(call.request, call.response, headers, linesOf(requester, first, page));
}

function readHistory(call: Call, rawQuery: string): HistoryRequest {
  const query = new Query(rawQuery, KNOWN);
  const revision = query.wholeNumber('from_revision', 1, Number.MAX_SAFE_INTEGER) ?? 0;
  return {
    type: 'history',
    timeoutMs: timeoutOf(call.request),
    consistency: query.consistency(),
    ...query.keyOrRange(),
    start: { revision, index: 0 },
    limit: query.limit(),
  };
}

/**
 * A revision with many events is on several pages, and then several lines have its number: gathering it could take any
 * amount of memory. It counts once against the limit, and comes whole.
 */
async function* linesOf(
  requester: Requester,
  first: HistoryRequest,
  firstPage: HistoryPage,
): AsyncGenerator<Iterable<object>> {
  let page = firstPage;
  let left = first.limit === 0 ? Number.POSITIVE_INFINITY : first.limit;
  let last = 0;
  for (;;) {
    const lines: RevisionEvents[] = [];
    for (const line of page.revisions) {
      if (line.revision !== last) {
        if (left === 0) break;
        left -= 1;
        last = line.revision;
      }
      lines.push(line);
    }
    yield lines.map(revisionJson);
    const { next } = page;
    if (next === null || (left === 0 && next.revision !== last)) return;
    const limit = first.limit === 0 ? 0 : left + 1;
    page = mustBe(await requester.request({ ...first, start: next, limit }), 'history');
  }
}

/** {"revision":N}: forget now what was superseded at or below it. {"keepRevisions":N,"keepMs":M}: from now on. */
export async function postCompact(requester: Requester, call: Call): Promise<Answer> {
  const mutate = readMutation(requester, call.request);
  const command = readCompact(await readJson(call));
  const tell = (): Answer => jsonAnswer(200, { status: 'ok' });
  return command.type === 'compact'
    ? repeatable(requester, call.request, command, tell)
    : mutate(command, tell);
}

function readCompact(json: unknown): Command {
  const known = 'revision, or keepRevisions and keepMs';
  const fields = new JsonObject(json, 'the body', '');
  if (!fields.has('keepRevisions') && !fields.has('keepMs')) {
    const revision = fields.wholeNumber('revision');
    fields.end(known);
    return { type: 'compact', revision };
  }
  const bound = (name: string): number => (fields.has(name) ? fields.wholeNumber(name) : 0);
  const [keepRevisions = 0, keepMs = 0] = ['keepRevisions', 'keepMs'].map(bound);
  fields.end(known);
  return { type: 'set-retention', origin: NO_ORIGIN, keepRevisions, keepMs };
}
