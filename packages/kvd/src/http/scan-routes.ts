/**
 * GET /v1/kv: a range as JSON lines, a page at a time, no faster than the client reads. Each page is read on its own:
 * a scan of more than one page is no snapshot (Kvd-Revision says when the first was read).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { KvdError, type ScanPage, type ScanRequest } from '@kvd/protocol';
import type { Requester } from '../requester.js';
import { entryLine, prefixEnd } from './bytes.js';
import { readErrorAnswer } from './kv-routes.js';
import { Query, timeoutOf } from './query.js';
import { jsonAnswer, STALLED_ANSWER_MS, sendAnswer } from './respond.js';

const WRITE_BYTES = 64 * 1024;

export async function scan(
  requester: Requester,
  request: IncomingMessage,
  response: ServerResponse,
  rawQuery: string,
): Promise<void> {
  const first = readScan(request, rawQuery);
  const answer = await requester.request(first);
  if (answer.type === 'error') {
    sendAnswer(request, response, readErrorAnswer(answer));
    return;
  }
  if (answer.type !== 'page') throw new Error(`a scan was answered with "${answer.type}"`);
  const pages = followPages(requester, first, answer);
  if (first.countOnly) {
    let count = 0;
    for await (const page of pages) count += page.count;
    sendAnswer(request, response, jsonAnswer(200, { count }, { 'Kvd-Revision': String(answer.revision) }));
    return;
  }
  response.writeHead(200, {
    'Content-Type': 'application/x-ndjson',
    'X-Content-Type-Options': 'nosniff',
    'Kvd-Revision': String(answer.revision),
  });
  if (request.method !== 'HEAD') await writePages(response, pages, first.keysOnly);
  response.end();
}

function readScan(request: IncomingMessage, rawQuery: string): ScanRequest {
  const known = ['prefix', 'from', 'to', 'limit', 'keys_only', 'count_only', 'consistency'];
  const query = new Query(rawQuery, known);
  const prefix = query.bytes('prefix') ?? new Uint8Array(0);
  return {
    type: 'scan',
    timeoutMs: timeoutOf(request),
    consistency: query.consistency(),
    from: higher(prefix, query.bytes('from')),
    to: lowerBound(prefixEnd(prefix), query.bytes('to')),
    limit: query.limit(),
    keysOnly: query.flag('keys_only'),
    countOnly: query.flag('count_only'),
  };
}

function higher(a: Uint8Array, b: Uint8Array | undefined): Uint8Array {
  return b !== undefined && Buffer.compare(a, b) < 0 ? b : a;
}

/** Of two upper bounds the one that excludes more; empty means none. */
function lowerBound(a: Uint8Array, b: Uint8Array | undefined): Uint8Array {
  if (b === undefined || b.length === 0) return a;
  if (a.length === 0) return b;
  return Buffer.compare(a, b) < 0 ? a : b;
}

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
    const answer = await requester.request({ ...first, from: page.next, limit: left });
    if (answer.type === 'error') throw new KvdError(answer.code, answer.message, answer.outcome);
    if (answer.type !== 'page') throw new Error(`a scan was answered with "${answer.type}"`);
    page = answer;
  }
}

async function writePages(
  response: ServerResponse,
  pages: AsyncIterable<ScanPage>,
  keysOnly: boolean,
): Promise<void> {
  for await (const page of pages) {
    let text = '';
    for (const entry of page.entries) {
      text += entryLine(entry, keysOnly);
      if (text.length >= WRITE_BYTES) {
        if (!response.write(text)) await drained(response);
        text = '';
      }
      if (response.destroyed) return;
    }
    if (text !== '' && !response.write(text)) await drained(response);
  }
}

/** Until the client has read what waits, is gone, or has read nothing for too long and loses its connection. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      clearTimeout(timer);
      response.off('drain', settle).off('close', settle);
      resolve();
    };
    const timer = setTimeout(() => response.destroy(), STALLED_ANSWER_MS);
    response.on('drain', settle).on('close', settle);
    if (response.destroyed) settle();
  });
}
