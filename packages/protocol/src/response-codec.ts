/**
 * The bytes of a response, nested in a client's frame and in a forward-reply between replicas; numbers are append only:
 *
 *     response   [1, result]                                                               result (result-codec.ts)
 *                [2, entry or nil, revision]                                               entry
 *                [3, [entry, …], count, next or nil, revision]                             page
 *                [4, code, message, outcome]           outcome: 0 not-done, 1 unknown      error
 *                [5, [[lease, ttlMs, remainingMs, [key, …]], …], more, revision]           leases
 *                [6, [revision, …], position or nil, revision, compactRevision]            history (history-codec.ts)
 *                [7, JSON]                                                                 members (members-json.ts)
 *
 * Entries: entry-codec.ts. All refusals are by the reader's purpose; byte arrays are views on the input.
 */
import {
  entryBytesHint,
  readEntry,
  readOptionalEntry,
  writeEntry,
  writeOptionalEntry,
} from './entry-codec.js';
import type { Outcome } from './errors.js';
import { historyBytesHint, readHistory, writeHistory } from './history-codec.js';
import {
  KEY_BYTES_MAX,
  LEASE_KEYS_MAX,
  LEASE_PAGE_MAX,
  MEMBERS_JSON_BYTES_MAX,
  MESSAGE_TEXT_BYTES_MAX,
  PAGE_ENTRIES_MAX,
} from './limits.js';
import { parseMembersReport } from './members-json.js';
import type { MsgpackReader } from './msgpack-reader.js';
import type { MsgpackWriter } from './msgpack-writer.js';
import type { Entry } from './commands.js';
import type { Lease, LeasesPage, Response, ScanPage } from './requests.js';
import { readErrorCode, readResult, resultBytesHint, writeErrorCode, writeResult } from './result-codec.js';

const RESULT = 1;
const ENTRY = 2;
const PAGE = 3;
const ERROR = 4;
const LEASES = 5;
const HISTORY = 6;
const MEMBERS = 7;

const OVERHEAD_BYTES = 64;

export function writeResponse(out: MsgpackWriter, response: Response): void {
  switch (response.type) {
    case 'result':
      out.array(2);
      out.uint(RESULT);
      writeResult(out, response.result);
      return;
    case 'entry':
      out.array(3);
      out.uint(ENTRY);
      writeOptionalEntry(out, response.entry);
      out.uint(response.revision);
      return;
    case 'page':
      writePage(out, response);
      return;
    case 'leases':
      writeLeases(out, response);
      return;
    case 'history':
      out.array(5);
      out.uint(HISTORY);
      writeHistory(out, response);
      return;
    case 'members':
      out.array(2);
      out.uint(MEMBERS);
      out.str(JSON.stringify(response.report), MEMBERS_JSON_BYTES_MAX);
      return;
    case 'error':
      out.array(4);
      out.uint(ERROR);
      writeErrorCode(out, response.code);
      out.cutStr(response.message, MESSAGE_TEXT_BYTES_MAX);
      out.uint(response.outcome === 'not-done' ? 0 : 1);
      return;
  }
}

export function readResponse(reader: MsgpackReader): Response {
  const length = reader.readArrayHeader(5, 'response');
  const type = reader.readUint('response type');
  if (type === RESULT && length === 2) return { type: 'result', result: readResult(reader) };
  if (type === ENTRY && length === 3) {
    const entry = readOptionalEntry(reader);
    return { type: 'entry', entry, revision: reader.readUint('revision') };
  }
  if (type === PAGE && length === 5) return readPage(reader);
  if (type === LEASES && length === 4) return readLeases(reader);
  if (type === HISTORY && length === 5) return readHistory(reader);
  if (type === MEMBERS && length === 2) {
    const text = reader.readStr('members report', MEMBERS_JSON_BYTES_MAX);
    return { type: 'members', report: parseMembersReport(text) };
  }
  if (type === ERROR && length === 4) {
    const code = readErrorCode(reader);
    const message = reader.readStr('message', MESSAGE_TEXT_BYTES_MAX);
    const outcome: Outcome = reader.readUint('outcome', 1) === 0 ? 'not-done' : 'unknown';
    return { type: 'error', code, message, outcome };
  }
  return reader.refuse(`no response has type ${type} and ${length} fields`);
}

/** About how many bytes the response takes, so that large ones are written in one go. */
export function responseBytesHint(response: Response): number {
  switch (response.type) {
    case 'result':
      return resultBytesHint(response.result) + OVERHEAD_BYTES;
    case 'entry':
      return (response.entry === null ? 0 : entryBytesHint(response.entry)) + OVERHEAD_BYTES;
    case 'page': {
      let bytes = KEY_BYTES_MAX + OVERHEAD_BYTES;
      for (const entry of response.entries) bytes += entryBytesHint(entry);
      return bytes;
    }
    case 'leases': {
      let bytes = OVERHEAD_BYTES;
      for (const { keys } of response.leases) for (const key of keys) bytes += key.length + OVERHEAD_BYTES;
      return bytes;
    }
    case 'history':
      return historyBytesHint(response);
    case 'members':
      return MEMBERS_JSON_BYTES_MAX;
    case 'error':
      return OVERHEAD_BYTES;
  }
}

function writePage(out: MsgpackWriter, page: ScanPage): void {
  out.array(5);
  out.uint(PAGE);
  out.array(page.entries.length);
  for (const entry of page.entries) writeEntry(out, entry);
  out.uint(page.count);
  if (page.next === null) out.nil();
  else out.bin(page.next);
  out.uint(page.revision);
}

function readPage(reader: MsgpackReader): ScanPage {
  const length = reader.readArrayHeader(PAGE_ENTRIES_MAX, 'entries');
  const entries: Entry[] = [];
  for (let i = 0; i < length; i += 1) entries.push(readEntry(reader));
  const count = reader.readUint('count');
  const next = reader.readNil() ? null : reader.readBin('next', KEY_BYTES_MAX + 1);
  return { type: 'page', entries, count, next, revision: reader.readUint('revision') };
}

function writeLeases(out: MsgpackWriter, { leases, more, revision }: LeasesPage): void {
  out.array(4);
  out.uint(LEASES);
  out.array(leases.length);
  for (const { lease, ttlMs, remainingMs, keys } of leases) {
    out.array(4);
    out.uint(lease);
    out.uint(ttlMs);
    out.uint(remainingMs);
    out.array(keys.length);
    for (const key of keys) out.bin(key);
  }
  out.bool(more);
  out.uint(revision);
}

function readLeases(reader: MsgpackReader): LeasesPage {
  const count = reader.readArrayHeader(LEASE_PAGE_MAX, 'leases');
  const leases: Lease[] = [];
  for (let i = 0; i < count; i += 1) {
    reader.expectArray(4, 'lease');
    const lease = reader.readUint('lease');
    const ttlMs = reader.readUint('time to live');
    const remainingMs = reader.readUint('time left');
    const keyCount = reader.readArrayHeader(LEASE_KEYS_MAX, 'keys');
    const keys: Uint8Array[] = [];
    for (let k = 0; k < keyCount; k += 1) keys.push(reader.readBin('key', KEY_BYTES_MAX));
    leases.push({ lease, ttlMs, remainingMs, keys });
  }
  const more = reader.readBool('more');
  return { type: 'leases', leases, more, revision: reader.readUint('revision') };
}
