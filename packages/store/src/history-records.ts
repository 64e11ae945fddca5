/**
 * The records of the history: superseded versions of keys, and what each revision did. Sealed (sealed.ts); nothing here
 * does I/O.
 *
 *     g + span (5) + key' + revision (8)
 *                                  body: revision that superseded it (8) | the record as it was (kv-record.ts)
 *     h + key' + revision (8)      the same, as it was written up to format 4
 *     w + revision (8) + index (4) body: [part, …], a part [revision, note, index, more, [kind, key, before, …]]
 *
 * Which span a version lies in, and why, is in version-spans.ts. key' is the key with 00 written as 00 FF, and 00 00 at its
 * end: so in a span the versions of a key stand together, in order, and keys are in the order of their bytes. A version is
 * valid from its revision until the one that superseded it, and is of use until that one is compacted; `before` names the
 * revision of the version that an event superseded, 0: none. Small revisions share a record, a large one is cut into parts
 * over many; `index` is the place of a part's first event in the revision, and a record's key names its first part. Only the
 * last part of a record may have `more` to come.
 */
import {
  KEY_BYTES_MAX,
  MsgpackReader,
  MsgpackWriter,
  readNote,
  type RevisionNote,
  writeNote,
} from '@kvd/protocol';
import { keyBytes, keyText, readU53, U53_BYTES, writeU53 } from './bytes.js';
import { checkRecord, type KvRecord, storedOf } from './kv-record.js';
import { decodeBody, sealNumbered } from './sealed.js';
import { KIND_OLD_VERSION, KIND_REVISION, KIND_VERSION } from './state-records.js';

export interface Version {
  /** Its own revision. */
  readonly revision: number;
  /** Of the change that superseded it. */
  readonly superseded: number;
  /** Where its value lies apart on disk, it may be a stub (kv-record.ts). */
  readonly record: KvRecord;
}

/** A change of one key. */
export interface StoredEvent {
  readonly kind: 'put' | 'delete';
  /** As text. */
  readonly key: string;
  /** The revision of the version it superseded; 0: the key was absent. */
  readonly before: number;
}

/** What a revision did. */
export interface RevisionDone {
  readonly revision: number;
  readonly note: RevisionNote;
  readonly events: readonly StoredEvent[];
}

/** A part of it. */
export interface RevisionPart {
  readonly revision: number;
  readonly note: RevisionNote;
  /** Place of the first event in the revision. */
  readonly index: number;
  /** Does another part follow? */
  readonly more: boolean;
  readonly events: readonly StoredEvent[];
}

const PUT = 1;
const DELETE = 2;
/** A record is closed by the event that reaches one of these. */
export const RECORD_EVENTS_MAX = 128;
export const RECORD_BYTES_MAX = 16 * 1024;
const PART_FIELDS = 5;
const EVENT_FIELDS = 3;
/** An event takes about as many besides its key. */
export const EVENT_BYTES = 16;

const SPAN_BYTES = 5;

const writer = new MsgpackWriter();

/** A span, or where there are none: all versions in one order, as up to format 4. */
export type Span = number | null;

/** Where a span begins. */
function spanKey(span: Span): Buffer {
  if (span === null) return Buffer.of(KIND_OLD_VERSION);
  const logical = Buffer.allocUnsafe(1 + SPAN_BYTES);
  logical.writeUInt8(KIND_VERSION, 0);
  logical.writeUIntBE(span, 1, SPAN_BYTES);
  return logical;
}

/** Where the span after it begins. */
export function spanEnd(span: Span): Buffer {
  return span === null ? Buffer.of(KIND_OLD_VERSION + 1) : spanKey(span + 1);
}

/** Where the versions of keys from `key` on begin in a span. */
export function versionsFrom(span: Span, key: string): Buffer {
  return Buffer.concat([spanKey(span), keyBytes(escape(key))]);
}

export function versionKey(span: Span, key: string, revision: number): Buffer {
  const escaped = escape(key);
  const start = span === null ? 1 : 1 + SPAN_BYTES;
  const end = start + escaped.length;
  const logical = Buffer.allocUnsafe(end + 2 + U53_BYTES);
  logical.writeUInt8(span === null ? KIND_OLD_VERSION : KIND_VERSION, 0);
  if (span !== null) logical.writeUIntBE(span, 1, SPAN_BYTES);
  logical.write(escaped, start, 'latin1');
  logical.writeUInt16BE(0, end);
  writeU53(logical, revision, end + 2);
  return logical;
}

/** Where in the key of a version what it is in order by begins: its key and revision. */
export const orderOffset = (logical: Buffer): number => (logical[0] === KIND_VERSION ? 1 + SPAN_BYTES : 1);

export function keyOfVersion(logical: Buffer): string {
  const escaped = logical.toString('latin1', orderOffset(logical), logical.length - 2 - U53_BYTES);
  return escaped.includes('\0') ? escaped.replaceAll('\0\xff', '\0') : escaped;
}

function escape(key: string): string {
  return key.includes('\0') ? key.replaceAll('\0', '\0\xff') : key;
}

/** The version as it lies on disk, under its versionKey. */
export function sealVersion(logical: Buffer, flush: number, { superseded, record }: Version): Buffer {
  return sealNumbered(logical, flush, superseded, storedOf(record));
}

export const revisionOfVersion = (logical: Buffer): number => readU53(logical, logical.length - U53_BYTES);

/** Of an unsealed version: the revision that superseded it. */
export const supersededBy = (body: Buffer): number => readU53(body, 0);

/** @throws StoreError damaged */
export function decodeVersion(logical: Buffer, body: Buffer): Version {
  const superseded = decodeBody(logical, body, (bytes) => readU53(bytes as Buffer, 0));
  const record = checkRecord(keyBytes(keyOfVersion(logical)), body.subarray(U53_BYTES));
  return { revision: revisionOfVersion(logical), superseded, record };
}

/** Of the record that begins with this part. */
export function revisionKey(revision: number, index = 0): Buffer {
  const key = Buffer.allocUnsafe(1 + U53_BYTES + 4);
  key.writeUInt8(KIND_REVISION, 0);
  writeU53(key, revision, 1);
  key.writeUInt32BE(index, 1 + U53_BYTES);
  return key;
}

export function encodePart({ revision, note, index, more, events }: RevisionPart): Uint8Array {
  writer.begin();
  writer.array(PART_FIELDS);
  writer.uint(revision);
  writeNote(writer, note);
  writer.uint(index);
  writer.bool(more);
  writer.array(EVENT_FIELDS * events.length);
  for (const { kind, key, before } of events) {
    writer.uint(kind === 'put' ? PUT : DELETE);
    writer.bin(keyBytes(key));
    writer.uint(before);
  }
  return writer.finish();
}

/** The body of a record, of so many encoded parts one behind the other. */
export function recordBody(parts: number, encoded: Uint8Array): Buffer {
  writer.begin();
  writer.array(parts);
  return Buffer.concat([writer.finish(), encoded]);
}

/** The parts in a record, at least one. @throws StoreError damaged */
export function decodeRevisions(logical: Buffer, body: Buffer): RevisionPart[] {
  return decodeBody(logical, body, (bytes) => {
    const reader = new MsgpackReader(bytes);
    const count = reader.readArrayHeader(RECORD_EVENTS_MAX, 'parts');
    if (count === 0) reader.refuse('a record of no revision');
    const parts: RevisionPart[] = [];
    for (let i = 0; i < count; i += 1) parts.push(readPart(reader));
    reader.end('revisions');
    return parts;
  });
}

function readPart(reader: MsgpackReader): RevisionPart {
  reader.expectArray(PART_FIELDS, 'part of a revision');
  const revision = reader.readUint('revision');
  const note = readNote(reader);
  const index = reader.readUint('index');
  const more = reader.readBool('more');
  const length = reader.readArrayHeader(EVENT_FIELDS * RECORD_EVENTS_MAX, 'events');
  const events: StoredEvent[] = [];
  for (let i = 0; i < length; i += EVENT_FIELDS) {
    const kind = reader.readUint('kind of an event') === PUT ? 'put' : 'delete';
    const key = keyText(reader.readBin('key', KEY_BYTES_MAX));
    events.push({ kind, key, before: reader.readUint('version before') });
  }
  return { revision, note, index, more, events };
}
