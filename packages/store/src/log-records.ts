/**
 * Keys and records of the log's LevelDB:
 *
 *     c          configurations
 *     e + slot   what was accepted in the slot
 *     h          the head: promised ballot, chosenThrough, cutThrough; rewritten with every batch
 *     i          identity
 *     m + number marker of the synced write with this number
 *
 * Each is sealed (sealed.ts) with the number of the marker that names it. Nothing here does I/O.
 */
import type { Ballot, ConfigurationAt, Identity, LogEntry, MarkerNumber, Slot } from '@kvd/paxos';
import {
  decodeConfigurations,
  decodeLogEntry,
  encodeConfigurations,
  encodeLogEntry,
  MsgpackReader,
  MsgpackWriter,
  readBallot,
  writeBallot,
} from '@kvd/protocol';
import { numberKey, readU53 } from './bytes.js';
import { damaged } from './errors.js';
import { decodeBody, nameOf, seal, unseal } from './sealed.js';

export const CONFIGURATIONS_KEY = Buffer.from('c');
export const HEAD_KEY = Buffer.from('h');
export const IDENTITY_KEY = Buffer.from('i');
const ENTRY_PREFIX = 'e';
const MARKER_PREFIX = 'm';

export const entryKey = (slot: Slot): Buffer => numberKey(ENTRY_PREFIX, slot);
export const markerKey = (marker: MarkerNumber): Buffer => numberKey(MARKER_PREFIX, marker);
/** Behind the last marker there can be. */
export const MARKERS_END = Buffer.from('n');
/** The slot, or marker number, of a key. */
export const keyNumber = (key: Buffer): number => readU53(key, 1);

/** More slots than a batch can write; a marker that names more is damaged. */
const NAMED_MAX = 1_000_000;
/** Its hex digits. */
const INCARNATION_BYTES = 32;

export interface Head {
  readonly promised: Ballot;
  readonly chosenThrough: Slot;
  readonly cutThrough: Slot;
  /** The last cut that was a snapshot's; 0: none was. */
  readonly installedThrough: Slot;
  /** No entry is above it. */
  readonly lastSlot: Slot;
  /** The marker that the series begins with. */
  readonly oldestMarker: MarkerNumber;
}

/** What one synced write wrote besides the head and the marker itself. */
export interface Marker {
  readonly promised: Ballot;
  readonly oldestMarker: MarkerNumber;
  readonly slots: readonly Slot[];
  readonly identity: boolean;
  readonly configurations: boolean;
  /** Sum of the CRCs of the entries named, modulo 2^32. */
  readonly checksum: number;
}

const writer = new MsgpackWriter();

export function sealHead(marker: MarkerNumber, head: Head): Buffer {
  writer.begin();
  writer.array(6);
  writeBallot(writer, head.promised);
  writer.uint(head.chosenThrough);
  writer.uint(head.cutThrough);
  writer.uint(head.lastSlot);
  writer.uint(head.oldestMarker);
  writer.uint(head.installedThrough);
  return seal(HEAD_KEY, marker, writer.finish());
}

export function unsealHead(record: Buffer): { readonly marker: MarkerNumber; readonly head: Head } {
  const { marker, body } = unseal(HEAD_KEY, record);
  const head = decodeBody(HEAD_KEY, body, (bytes) => {
    const reader = new MsgpackReader(bytes);
    const fields = reader.readArrayHeader(6, 'head');
    if (fields < 5) reader.refuse(`a head of ${fields} fields`);
    const promised = readBallot(reader);
    const chosenThrough = reader.readUint('chosenThrough');
    const cutThrough = reader.readUint('cutThrough');
    const lastSlot = reader.readUint('last slot');
    const oldestMarker = reader.readUint('oldest marker');
    // Directories of before there were witnesses do not say.
    const installedThrough = fields > 5 ? reader.readUint('installed through') : cutThrough;
    reader.end('head');
    return { promised, chosenThrough, cutThrough, lastSlot, oldestMarker, installedThrough };
  });
  return { marker, head };
}

export function sealMarker(number: MarkerNumber, marker: Marker): Buffer {
  writer.begin();
  writer.array(6);
  writeBallot(writer, marker.promised);
  writer.uint(marker.oldestMarker);
  writer.bool(marker.identity);
  writer.bool(marker.configurations);
  writer.uint(marker.checksum);
  writer.array(marker.slots.length);
  for (const slot of marker.slots) writer.uint(slot);
  return seal(markerKey(number), number, writer.finish());
}

export function unsealMarker(key: Buffer, record: Buffer): Marker {
  const { marker, body } = unseal(key, record);
  if (marker !== keyNumber(key)) throw damaged(`marker ${nameOf(key)} carries the number ${marker}`);
  return decodeBody(key, body, (bytes) => {
    const reader = new MsgpackReader(bytes);
    reader.expectArray(6, 'marker');
    const promised = readBallot(reader);
    const oldestMarker = reader.readUint('oldest marker');
    const identity = reader.readBool('identity');
    const configurations = reader.readBool('configurations');
    const checksum = reader.readUint('checksum');
    const slots: Slot[] = [];
    const length = reader.readArrayHeader(NAMED_MAX, 'slots');
    for (let i = 0; i < length; i += 1) slots.push(reader.readUint('slot'));
    reader.end('marker');
    return { promised, oldestMarker, identity, configurations, checksum, slots };
  });
}

export function sealEntry(marker: MarkerNumber, key: Buffer, entry: LogEntry): Buffer {
  return seal(key, marker, encodeLogEntry(entry));
}

export function unsealEntry(
  key: Buffer,
  record: Buffer,
): { readonly marker: MarkerNumber; readonly entry: LogEntry } {
  const { marker, body } = unseal(key, record);
  const entry = decodeBody(key, body, decodeLogEntry);
  if (entry.slot !== keyNumber(key))
    throw damaged(`entry ${nameOf(key)} says that it is of slot ${entry.slot}`);
  return { marker, entry };
}

export function sealIdentity(marker: MarkerNumber, identity: Identity): Buffer {
  writer.begin();
  writer.array(2);
  writer.uint(identity.replicaId);
  writer.str(identity.incarnation, INCARNATION_BYTES);
  return seal(IDENTITY_KEY, marker, writer.finish());
}

export function unsealIdentity(record: Buffer): {
  readonly marker: MarkerNumber;
  readonly identity: Identity;
} {
  const { marker, body } = unseal(IDENTITY_KEY, record);
  const identity = decodeBody(IDENTITY_KEY, body, (bytes) => {
    const reader = new MsgpackReader(bytes);
    reader.expectArray(2, 'identity');
    const replicaId = reader.readUint('replica id');
    return { replicaId, incarnation: reader.readStr('incarnation', INCARNATION_BYTES) };
  });
  return { marker, identity };
}

export function sealConfigurations(marker: MarkerNumber, configurations: readonly ConfigurationAt[]): Buffer {
  return seal(CONFIGURATIONS_KEY, marker, encodeConfigurations(configurations));
}

export function unsealConfigurations(record: Buffer): {
  readonly marker: MarkerNumber;
  readonly configurations: readonly ConfigurationAt[];
} {
  const { marker, body } = unseal(CONFIGURATIONS_KEY, record);
  return { marker, configurations: decodeBody(CONFIGURATIONS_KEY, body, decodeConfigurations) };
}
