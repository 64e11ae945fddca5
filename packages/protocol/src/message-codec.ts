/**
 * The bytes of the core's messages (@kvd/paxos Message). What stands before the fields, [type, marker, …], is written
 * and read by peer-codec.ts; the table of all types is there. Refusals are KVD_BAD_FRAME; byte arrays are views.
 */
import type { ChosenEntry, Digest, LogEntry, Message } from '@kvd/paxos';
import {
  readBallot,
  readLogEntry,
  readValue,
  valueBytesHint,
  writeBallot,
  writeLogEntry,
  writeValue,
} from './configuration-codec.js';
import { readIdentifier, writeIdentifier } from './identifier-codec.js';
import { ALPHA_MAX, PAGE_ENTRIES_MAX } from './limits.js';
import type { MsgpackReader } from './msgpack-reader.js';
import type { MsgpackWriter } from './msgpack-writer.js';

const DIGEST_HASH_BYTES_MAX = 64;
const OVERHEAD_BYTES = 160;

/** The fields of a message, without type and marker. */
export function writeMessageFields(out: MsgpackWriter, message: Message): void {
  switch (message.type) {
    case 'probe':
      out.uint(message.attempt);
      writeBallot(out, message.ballot);
      return;
    case 'probe-answer':
      out.uint(message.attempt);
      out.bool(message.granted);
      writeBallot(out, message.promised);
      return;
    case 'prepare':
      writeBallot(out, message.ballot);
      out.uint(message.fromSlot);
      return;
    case 'promise':
      writeBallot(out, message.ballot);
      out.uint(message.fromSlot);
      if (message.throughSlot === null) out.nil();
      else out.uint(message.throughSlot);
      out.array(message.accepted.length);
      for (const entry of message.accepted) writeLogEntry(out, entry);
      out.uint(message.chosenThrough);
      return;
    case 'accept':
      writeBallot(out, message.ballot);
      out.uint(message.slot);
      writeValue(out, message.value);
      out.uint(message.chosenThrough);
      return;
    case 'accepted':
      writeBallot(out, message.ballot);
      out.array(message.slots.length);
      for (const slot of message.slots) out.uint(slot);
      return;
    case 'nack':
      writeBallot(out, message.refused);
      writeBallot(out, message.promised);
      return;
    case 'heartbeat':
    case 'heartbeat-answer':
      writeBallot(out, message.ballot);
      out.uint(message.round);
      out.uint(message.chosenThrough);
      out.uint(message.digest.slot);
      out.str(message.digest.hash, DIGEST_HASH_BYTES_MAX);
      return;
    case 'fetch':
      out.uint(message.fromSlot);
      out.uint(message.throughSlot);
      return;
    case 'chosen':
      out.array(message.entries.length);
      for (const entry of message.entries) {
        out.array(2);
        out.uint(entry.slot);
        writeValue(out, entry.value);
      }
      out.uint(message.chosenThrough);
      return;
    case 'cut':
      out.uint(message.cutThrough);
      return;
    case 'take-over':
      writeBallot(out, message.ballot);
      return;
    case 'rolled-back':
      out.uint(message.heard);
      writeIdentifier(out, message.incarnation);
      return;
  }
}

/** The message of that type, whose fields come next. */
export function readMessageFields(reader: MsgpackReader, type: Message['type']): Message {
  switch (type) {
    case 'probe':
      return { type, attempt: reader.readUint('attempt'), ballot: readBallot(reader) };
    case 'probe-answer': {
      const attempt = reader.readUint('attempt');
      const granted = reader.readBool('granted');
      return { type, attempt, granted, promised: readBallot(reader) };
    }
    case 'prepare': {
      const ballot = readBallot(reader);
      return { type, ballot, fromSlot: reader.readUint('slot') };
    }
    case 'promise':
      return readPromise(reader);
    case 'accept': {
      const ballot = readBallot(reader);
      const slot = reader.readUint('slot');
      const value = readValue(reader);
      return { type, ballot, slot, value, chosenThrough: reader.readUint('chosen through') };
    }
    case 'accepted':
      return { type, ballot: readBallot(reader), slots: readSlots(reader) };
    case 'nack': {
      const refused = readBallot(reader);
      return { type, refused, promised: readBallot(reader) };
    }
    case 'heartbeat':
    case 'heartbeat-answer': {
      const ballot = readBallot(reader);
      const round = reader.readUint('round');
      const chosenThrough = reader.readUint('chosen through');
      return { type, ballot, round, chosenThrough, digest: readDigest(reader) };
    }
    case 'fetch': {
      const fromSlot = reader.readUint('slot');
      return { type, fromSlot, throughSlot: reader.readUint('slot') };
    }
    case 'chosen': {
      const entries = readChosenEntries(reader);
      return { type, entries, chosenThrough: reader.readUint('chosen through') };
    }
    case 'cut':
      return { type, cutThrough: reader.readUint('cut through') };
    case 'take-over':
      return { type, ballot: readBallot(reader) };
    case 'rolled-back': {
      const heard = reader.readUint('marker');
      return { type, heard, incarnation: readIdentifier(reader, 'incarnation') };
    }
  }
}

/** About how many bytes the message takes, so that large ones are written in one go. */
export function messageBytesHint(message: Message): number {
  if (message.type === 'accept') return OVERHEAD_BYTES + valueBytesHint(message.value);
  if (message.type === 'promise') return entriesBytesHint(message.accepted);
  if (message.type === 'chosen') return entriesBytesHint(message.entries);
  return OVERHEAD_BYTES;
}

function entriesBytesHint(entries: readonly ChosenEntry[]): number {
  let bytes = OVERHEAD_BYTES;
  for (const entry of entries) bytes += valueBytesHint(entry.value);
  return bytes;
}

function readPromise(reader: MsgpackReader): Message {
  const ballot = readBallot(reader);
  const fromSlot = reader.readUint('slot');
  const throughSlot = reader.readNil() ? null : reader.readUint('slot');
  const length = reader.readArrayHeader(PAGE_ENTRIES_MAX, 'accepted entries');
  const accepted: LogEntry[] = [];
  for (let i = 0; i < length; i += 1) accepted.push(readLogEntry(reader));
  const chosenThrough = reader.readUint('chosen through');
  return { type: 'promise', ballot, fromSlot, throughSlot, accepted, chosenThrough };
}

function readChosenEntries(reader: MsgpackReader): ChosenEntry[] {
  const length = reader.readArrayHeader(PAGE_ENTRIES_MAX, 'chosen entries');
  const entries: ChosenEntry[] = [];
  for (let i = 0; i < length; i += 1) {
    reader.expectArray(2, 'chosen entry');
    const slot = reader.readUint('slot');
    entries.push({ slot, value: readValue(reader) });
  }
  return entries;
}

function readSlots(reader: MsgpackReader): number[] {
  const length = reader.readArrayHeader(ALPHA_MAX, 'slots');
  const slots: number[] = [];
  for (let i = 0; i < length; i += 1) slots.push(reader.readUint('slot'));
  return slots;
}

function readDigest(reader: MsgpackReader): Digest {
  const slot = reader.readUint('digest slot');
  return { slot, hash: reader.readStr('digest', DIGEST_HASH_BYTES_MAX) };
}
