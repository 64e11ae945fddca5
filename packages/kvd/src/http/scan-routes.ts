/**
 * GET /v1/kv: a range as JSON lines, a page at a time, no faster than the client reads. All pages are of the revision of
 * the first one (Kvd-Revision): one state, however long the client takes, unless that revision is compacted meanwhile.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { entryJson, type Response, type ScanPage, type ScanRequest } from '@kvd/protocol';
import type { Requester } from '../requester.js';
import { sendJsonLines } from './json-lines.js';
import { Query, timeoutOf } from './query.js';
import { mustBe } from './reads.js';
import { jsonAnswer, sendAnswer } from './respond.js';

const KNOWN = [
  'prefix',
  'from',
  'to',
  'limit',
  'reverse',
  'keys_only',
  'count_only',
  'consistency',
  'revision',
];

export async function scan(
  requester: Requester,
  request: IncomingMessage,
  response: ServerResponse,
  rawQuery: string,
): Promise<void> {
  const first = readScan(request, rawQuery);
  const page = asPage(await requester.request(first));
  const pages = followPages(requester, first, page);
  const headers = { 'Kvd-Revision': String(page.revision) };
  if (first.countOnly) {
    let count = 0;
    for await (const each of pages) count += each.count;
    sendAnswer(request, response, jsonAnswer(200, { count }, headers));
    return;
  }
  await sendJsonLines(request, response, headers, linesOf(pages, first.keysOnly));
}

function readScan(request: IncomingMessage, rawQuery: string): ScanRequest {
  const query = new Query(rawQuery, KNOWN);
  return {
    type: 'scan',
    timeoutMs: timeoutOf(request),
    consistency: query.consistency(),
    ...query.range(),
    limit: query.limit(),
    keysOnly: query.flag('keys_only'),
    countOnly: query.flag('count_only'),
    revision: query.revision(),
    reverse: query.flag('reverse'),
  };
}

const asPage = (response: Response): ScanPage => mustBe(response, 'page');

/** The first page and those after it, until the end or the limit. */
async function* followPages(
  requester: Requester,
  first: ScanRequest,
  firstPage: ScanPage,
): AsyncGenerator<ScanPage, void, undefined> {
  let page = firstPage;
  let left = first.limit;
  for (;;) {
    yield page;
    if (page.next === null) return;
    if (first.limit > 0) {
      left -= first.countOnly ? page.count : page.entries.length;
      if (left <= 0) return;
    }
    const rest = first.reverse ? { to: page.next } : { from: page.next };
    page = asPage(await requester.request({ ...first, ...rest, limit: left, revision: page.revision }));
  }
}

async function* linesOf(pages: AsyncIterable<ScanPage>, keysOnly: boolean): AsyncGenerator<Iterable<object>> {
  for await (const { entries } of pages) yield jsonOf(entries, keysOnly);
}

/** One at a time: a page of small entries is many times as large as JSON. */
function* jsonOf(entries: ScanPage['entries'], keysOnly: boolean): Generator<object> {
  for (const entry of entries) yield entryJson(entry, keysOnly);
}
