/**
 * The bytes of the history and of what watchers are told, nested in responses and frames (requests-codec.ts); numbers
 * are append only:
 *
 *     revision   [revision, note, [event, …]]
 *     note       [wallMs, session, sequence, idempotencyKey, principal, reason]
 *     event      [1, entry, previous or nil]                         put; entries as in entry-codec.ts
 *                [2, key, modRevision, previous or nil]              delete
 *     position   [revision, index]
 *     told       [1, revision]                                       created
 *                [2, previous, revision, more, [event, …]]           events
 *                [3, revision, behind]                               progress
 *                [4, code, message, resumeRevision]                  ended
 */
import {
  entryBytesHint,
  readEntry,
  readOptionalEntry,
  writeEntry,
  writeOptionalEntry,
} from './entry-codec.js';
import {
  IDEMPOTENCY_KEY_BYTES_MAX,
  KEY_BYTES_MAX,
  MESSAGE_TEXT_BYTES_MAX,
  PAGE_ENTRIES_MAX,
  PRINCIPAL_BYTES_MAX,
  REASON_BYTES_MAX,
} from './limits.js';
import type { MsgpackReader } from './msgpack-reader.js';
import type { MsgpackWriter } from './msgpack-writer.js';
import type {
  HistoryPage,
  HistoryPosition,
  KvEvent,
  RevisionEvents,
  RevisionNote,
  WatchMessage,
} from './requests.js';
import { readErrorCode, writeErrorCode } from './result-codec.js';

const PUT = 1;
const DELETE = 2;

const CREATED = 1;
const EVENTS = 2;
const PROGRESS = 3;
const ENDED = 4;

const OVERHEAD_BYTES = 64;

export function historyBytesHint(page: HistoryPage): number {
  let bytes = OVERHEAD_BYTES;
  for (const { note, events } of page.revisions) bytes += eventsBytesHint(events) + noteBytes(note);
  return bytes;
}

/** About how many bytes the events take. */
export function eventsBytesHint(events: readonly KvEvent[]): number {
  let bytes = 0;
  for (const event of events) bytes += eventBytes(event);
  return bytes;
}

export function noteBytes({ principal, reason, idempotencyKey }: RevisionNote): number {
  return 3 * (principal.length + reason.length) + idempotencyKey.length + 2 * OVERHEAD_BYTES;
}

export function eventBytes(event: KvEvent): number {
  const previous = event.previous === null ? 0 : entryBytesHint(event.previous);
  return previous + (event.type === 'put' ? entryBytesHint(event.entry) : event.key.length + OVERHEAD_BYTES);
}

export function watchMessageBytesHint(message: WatchMessage): number {
  return OVERHEAD_BYTES + (message.type === 'events' ? eventsBytesHint(message.events) : 0);
}

/** The fields of a history page that follow its type. */
export function writeHistory(out: MsgpackWriter, page: HistoryPage): void {
  out.array(page.revisions.length);
  for (const revision of page.revisions) writeRevision(out, revision);
  if (page.next === null) out.nil();
  else writePosition(out, page.next);
  out.uint(page.revision);
  out.uint(page.compactRevision);
}

export function readHistory(reader: MsgpackReader): HistoryPage {
  const count = reader.readArrayHeader(PAGE_ENTRIES_MAX, 'revisions');
  const revisions: RevisionEvents[] = [];
  for (let i = 0; i < count; i += 1) revisions.push(readRevision(reader));
  const next = reader.readNil() ? null : readPosition(reader);
  const revision = reader.readUint('revision');
  return { type: 'history', revisions, next, revision, compactRevision: reader.readUint('compact revision') };
}

export function writePosition(out: MsgpackWriter, { revision, index }: HistoryPosition): void {
  out.array(2);
  out.uint(revision);
  out.uint(index);
}

export function readPosition(reader: MsgpackReader): HistoryPosition {
  reader.expectArray(2, 'position');
  const revision = reader.readUint('revision');
  return { revision, index: reader.readUint('index') };
}

export function writeNote(out: MsgpackWriter, note: RevisionNote): void {
  out.array(6);
  out.uint(note.wallMs);
  out.uint(note.session);
  out.uint(note.sequence);
  out.bin(note.idempotencyKey);
  out.str(note.principal, PRINCIPAL_BYTES_MAX);
  out.str(note.reason, REASON_BYTES_MAX);
}

export function readNote(reader: MsgpackReader): RevisionNote {
  reader.expectArray(6, 'note');
  const wallMs = reader.readUint('wall-clock time');
  const session = reader.readUint('session');
  const sequence = reader.readUint('sequence');
  const idempotencyKey = reader.readBin('idempotency key', IDEMPOTENCY_KEY_BYTES_MAX);
  const principal = reader.readStr('principal', PRINCIPAL_BYTES_MAX);
  const reason = reader.readStr('reason', REASON_BYTES_MAX);
  return { wallMs, session, sequence, idempotencyKey, principal, reason };
}

export function writeWatchMessage(out: MsgpackWriter, message: WatchMessage): void {
  switch (message.type) {
    case 'created':
      out.array(2);
      out.uint(CREATED);
      out.uint(message.revision);
      return;
    case 'events':
      out.array(5);
      out.uint(EVENTS);
      out.uint(message.previous);
      out.uint(message.revision);
      out.bool(message.more);
      writeEvents(out, message.events);
      return;
    case 'progress':
      out.array(3);
      out.uint(PROGRESS);
      out.uint(message.revision);
      out.bool(message.behind);
      return;
    case 'ended':
      out.array(4);
      out.uint(ENDED);
      writeErrorCode(out, message.code);
      out.cutStr(message.message, MESSAGE_TEXT_BYTES_MAX);
      out.uint(message.resumeRevision);
      return;
  }
}

export function readWatchMessage(reader: MsgpackReader): WatchMessage {
  const length = reader.readArrayHeader(5, 'watch message');
  const type = reader.readUint('type of a watch message');
  if (type === CREATED && length === 2) return { type: 'created', revision: reader.readUint('revision') };
  if (type === EVENTS && length === 5) {
    const previous = reader.readUint('previous revision');
    const revision = reader.readUint('revision');
    const more = reader.readBool('more');
    return { type: 'events', previous, revision, more, events: readEvents(reader) };
  }
  if (type === PROGRESS && length === 3) {
    const revision = reader.readUint('revision');
    return { type: 'progress', revision, behind: reader.readBool('behind') };
  }
  if (type === ENDED && length === 4) {
    const code = readErrorCode(reader);
    const message = reader.readStr('message', MESSAGE_TEXT_BYTES_MAX);
    return { type: 'ended', code, message, resumeRevision: reader.readUint('revision to resume from') };
  }
  return reader.refuse(`no watch message has type ${type} and ${length} fields`);
}

function writeRevision(out: MsgpackWriter, { revision, note, events }: RevisionEvents): void {
  out.array(3);
  out.uint(revision);
  writeNote(out, note);
  writeEvents(out, events);
}

function readRevision(reader: MsgpackReader): RevisionEvents {
  reader.expectArray(3, 'revision');
  const revision = reader.readUint('revision');
  const note = readNote(reader);
  return { revision, note, events: readEvents(reader) };
}

function writeEvents(out: MsgpackWriter, events: readonly KvEvent[]): void {
  out.array(events.length);
  for (const event of events) writeEvent(out, event);
}

function readEvents(reader: MsgpackReader): KvEvent[] {
  const count = reader.readArrayHeader(PAGE_ENTRIES_MAX, 'events');
  const events: KvEvent[] = [];
  for (let i = 0; i < count; i += 1) events.push(readEvent(reader));
  return events;
}

function writeEvent(out: MsgpackWriter, event: KvEvent): void {
  if (event.type === 'put') {
    out.array(3);
    out.uint(PUT);
    writeEntry(out, event.entry);
  } else {
    out.array(4);
    out.uint(DELETE);
    out.bin(event.key);
    out.uint(event.modRevision);
  }
  writeOptionalEntry(out, event.previous);
}

function readEvent(reader: MsgpackReader): KvEvent {
  const length = reader.readArrayHeader(4, 'event');
  const type = reader.readUint('event type');
  if (type === PUT && length === 3) {
    const entry = readEntry(reader);
    return { type: 'put', entry, previous: readOptionalEntry(reader) };
  }
  if (type === DELETE && length === 4) {
    const key = reader.readBin('key', KEY_BYTES_MAX);
    const modRevision = reader.readUint('mod revision');
    return { type: 'delete', key, modRevision, previous: readOptionalEntry(reader) };
  }
  return reader.refuse(`no event has type ${type} and ${length} fields`);
}
