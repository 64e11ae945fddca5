/**
 * The bytes of a response, nested in a client's frame and in a forward-reply between replicas. The table is in
 * requests-codec.ts. All refusals are by the reader's purpose; byte arrays are views on the input.
 */
import type { Outcome } from './errors.js';
import { KEY_BYTES_MAX, MESSAGE_TEXT_BYTES_MAX, PAGE_ENTRIES_MAX, VALUE_BYTES_MAX } from './limits.js';
import type { MsgpackReader } from './msgpack-reader.js';
import type { MsgpackWriter } from './msgpack-writer.js';
import type { Entry, Response, ScanPage } from './requests.js';
import { readErrorCode, readResult, writeErrorCode, writeResult } from './result-codec.js';

const RESULT = 1;
const ENTRY = 2;
const PAGE = 3;
const ERROR = 4;

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
      if (response.entry === null) out.nil();
      else writeEntry(out, response.entry);
      out.uint(response.revision);
      return;
    case 'page':
      writePage(out, response);
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
    const entry = reader.readNil() ? null : readEntry(reader);
    return { type: 'entry', entry, revision: reader.readUint('revision') };
  }
  if (type === PAGE && length === 5) return readPage(reader);
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
  if (response.type === 'entry' && response.entry !== null)
    return entryBytesHint(response.entry) + OVERHEAD_BYTES;
  if (response.type !== 'page') return OVERHEAD_BYTES;
  let bytes = KEY_BYTES_MAX + OVERHEAD_BYTES;
  for (const entry of response.entries) bytes += entryBytesHint(entry);
  return bytes;
}

function entryBytesHint(entry: Entry): number {
  return entry.key.length + entry.value.length + OVERHEAD_BYTES;
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

function writeEntry(out: MsgpackWriter, entry: Entry): void {
  out.array(5);
  out.bin(entry.key);
  out.bin(entry.value);
  out.uint(entry.createRevision);
  out.uint(entry.modRevision);
  out.uint(entry.version);
}

function readEntry(reader: MsgpackReader): Entry {
  reader.expectArray(5, 'entry');
  const key = reader.readBin('key', KEY_BYTES_MAX);
  const value = reader.readBin('value', VALUE_BYTES_MAX);
  const createRevision = reader.readUint('create revision');
  const modRevision = reader.readUint('mod revision');
  return { key, value, createRevision, modRevision, version: reader.readUint('version') };
}
