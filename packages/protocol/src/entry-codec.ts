/**
 * The bytes of an entry: `[key, value, createRevision, modRevision, version, lease]`, nested in results, responses and
 * watch messages. Byte arrays that are read are views on the input.
 */
import type { Entry } from './commands.js';
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from './limits.js';
import type { MsgpackReader } from './msgpack-reader.js';
import type { MsgpackWriter } from './msgpack-writer.js';

const OVERHEAD_BYTES = 64;

export function entryBytesHint(entry: Entry): number {
  return entry.key.length + entry.value.length + OVERHEAD_BYTES;
}

export function writeEntry(out: MsgpackWriter, entry: Entry): void {
  out.array(6);
  out.bin(entry.key);
  out.bin(entry.value);
  out.uint(entry.createRevision);
  out.uint(entry.modRevision);
  out.uint(entry.version);
  out.uint(entry.lease);
}

export function readEntry(reader: MsgpackReader): Entry {
  reader.expectArray(6, 'entry');
  const key = reader.readBin('key', KEY_BYTES_MAX);
  const value = reader.readBin('value', VALUE_BYTES_MAX);
  const createRevision = reader.readUint('create revision');
  const modRevision = reader.readUint('mod revision');
  const version = reader.readUint('version');
  return { key, value, createRevision, modRevision, version, lease: reader.readUint('lease') };
}

export function writeOptionalEntry(out: MsgpackWriter, entry: Entry | null): void {
  if (entry === null) out.nil();
  else writeEntry(out, entry);
}

export function readOptionalEntry(reader: MsgpackReader): Entry | null {
  return reader.readNil() ? null : readEntry(reader);
}
