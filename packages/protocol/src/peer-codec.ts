/**
 * The bytes between replicas. The first ws message either way is one peer-hello; every later one is a concatenation of
 * messages, each one MessagePack array that begins [type, marker, …], where marker is the sender's last durable one
 * (S5). Numbers are append only:
 *
 *      0  [0, protocolVersion, clusterId, replicaId, incarnation, address, founding]     peer-hello (no marker)
 *      1  attempt, ballot                                                 probe
 *      2  attempt, granted, promised                                      probe-answer
 *      3  ballot, fromSlot                                                prepare
 *      4  ballot, fromSlot, throughSlot or nil, [entry, …], chosenThrough promise
 *      5  ballot, slot, value, chosenThrough                              accept
 *      6  ballot, [slot, …]                                               accepted
 *      7  refused, promised                                               nack
 *      8  ballot, round, chosenThrough, digestSlot, digestHash            heartbeat
 *      9  ballot, round, chosenThrough, digestSlot, digestHash            heartbeat-answer
 *     10  fromSlot, throughSlot                                           fetch
 *     11  [[slot, value], …], chosenThrough                               chosen
 *     12  cutThrough                                                      cut
 *     13  ballot                                                          take-over
 *     14  heard, incarnation                                              rolled-back
 *     15  forwardId, request                                              forward
 *     16  forwardId, response                                             forward-reply
 *     17  snapshotId, sequence, headOnly                                  snapshot-fetch
 *     18  snapshotId, sequence, last, slot, [configuration at, …], records   snapshot-chunk
 *     19  snapshotId                                                      snapshot-gone
 *     20  durableThrough, heldThrough, heldSlot, slowMs, witness, [[replicaId, incarnation], …]   report
 *     21  slot, incarnation                                               dismissed
 *
 * Ballots, values, entries and configurations: configuration-codec.ts. Requests and responses: request-codec.ts,
 * response-codec.ts. What does not fit this table is refused with KVD_BAD_FRAME, and the link is closed.
 */
import type { Identity, Message } from '@kvd/paxos';
import { readConfigurations, REPLICA_ID_MAX, writeConfigurations } from './configuration-codec.js';
import { KvdError } from './errors.js';
import { encodeHandshake } from './handshake-encoder.js';
import {
  identifierBytes,
  optionalIdentifierBytes,
  readIdentifier,
  readOptionalIdentifier,
  writeIdentifier,
} from './identifier-codec.js';
import { ADDRESS_BYTES_MAX, FOUNDING_BYTES_MAX, MEMBERS_MAX, SNAPSHOT_RECORDS_BYTES_MAX } from './limits.js';
import { messageBytesHint, readMessageFields, writeMessageFields } from './message-codec.js';
import { MsgpackReader } from './msgpack-reader.js';
import { MsgpackWriter } from './msgpack-writer.js';
import type { PeerEnvelope, PeerHello, PeerMessage, Report } from './peer.js';
import { readRequest, requestBytesHint, writeRequest } from './request-codec.js';
import { readVersion } from './requests-codec.js';
import { readResponse, responseBytesHint, writeResponse } from './response-codec.js';

const HELLO = 0;
const HELLO_FIELDS = 7;
const FIELDS_MAX = 15;
const OVERHEAD_BYTES = 64;
/** Members, and as many strangers. */
const HEARS_MAX = 2 * MEMBERS_MAX;

/** By number: the type and how many fields its array has, number and marker included. */
const TYPES = [
  null,
  ['probe', 4],
  ['probe-answer', 5],
  ['prepare', 4],
  ['promise', 7],
  ['accept', 6],
  ['accepted', 4],
  ['nack', 4],
  ['heartbeat', 7],
  ['heartbeat-answer', 7],
  ['fetch', 4],
  ['chosen', 4],
  ['cut', 3],
  ['take-over', 3],
  ['rolled-back', 4],
  ['forward', 4],
  ['forward-reply', 4],
  ['snapshot-fetch', 5],
  ['snapshot-chunk', 8],
  ['snapshot-gone', 3],
  ['report', 8],
  ['dismissed', 4],
] as const satisfies (readonly [PeerMessage['type'], number] | null)[];

/** Below it stand the messages of the core. */
const FIRST_OF_REPLICA = 15;

const NUMBERS = new Map<PeerMessage['type'], readonly [number, number]>();
TYPES.forEach((entry, number) => {
  if (entry !== null) NUMBERS.set(entry[0], [number, entry[1]]);
});

const writer = new MsgpackWriter();

export function encodePeerHello(hello: PeerHello): Uint8Array {
  const { protocolVersion, clusterId, replicaId, incarnation, address, founding } = hello;
  return encodeHandshake([
    HELLO,
    protocolVersion,
    optionalIdentifierBytes(clusterId),
    replicaId,
    identifierBytes(incarnation),
    address,
    founding,
  ]);
}

/** @throws KvdError KVD_BAD_FRAME, KVD_PROTOCOL_VERSION */
export function decodePeerHello(bytes: Uint8Array): PeerHello {
  const reader = new MsgpackReader(bytes);
  const length = reader.readArrayHeader(FIELDS_MAX, 'peer-hello');
  const type = reader.readUint('type');
  if (type !== HELLO) reader.refuse(`a peer-hello expected, not a message of type ${type}`);
  const protocolVersion = readVersion(reader);
  if (length !== HELLO_FIELDS) reader.refuse(`peer-hello: ${HELLO_FIELDS} fields expected, not ${length}`);
  const clusterId = readOptionalIdentifier(reader, 'cluster id');
  const replicaId = reader.readUint('replica id', REPLICA_ID_MAX);
  const incarnation = readIdentifier(reader, 'incarnation');
  const address = reader.readStr('address', ADDRESS_BYTES_MAX);
  const founding = reader.readStr('founding list', FOUNDING_BYTES_MAX);
  reader.end('peer-hello');
  if (replicaId === 0) reader.refuse('a replica id is at least 1');
  return { type: 'peer-hello', protocolVersion, clusterId, replicaId, incarnation, address, founding };
}

/** One message. Messages are sent one after the other in a frame by joining their bytes. */
export function encodePeerMessage(marker: number, message: PeerMessage): Uint8Array {
  const [number, fields] = NUMBERS.get(message.type) ?? [0, 0];
  writer.begin(bytesHint(message));
  writer.array(fields);
  writer.uint(number);
  writer.uint(marker);
  writeFields(writer, message);
  return writer.finish();
}

/**
 * Read a frame message by message, in order. Byte arrays in the messages are views on the frame.
 * @throws KvdError KVD_BAD_FRAME: the link is to be closed; messages before were handed over
 */
export function decodePeerFrame(bytes: Uint8Array, onEnvelope: (envelope: PeerEnvelope) => void): void {
  const reader = new MsgpackReader(bytes);
  while (reader.remaining > 0) {
    const length = reader.readArrayHeader(FIELDS_MAX, 'message');
    const number = reader.readUint('message type');
    const entry = TYPES[number] ?? reader.refuse(`no message has type ${number}`);
    if (entry[1] !== length) reader.refuse(`${entry[0]}: ${entry[1]} fields expected, not ${length}`);
    const marker = reader.readUint('marker');
    onEnvelope({ marker, message: readFields(reader, entry[0]) });
  }
}

function isCoreType(type: PeerMessage['type']): type is Message['type'] {
  return (NUMBERS.get(type)?.[0] ?? FIRST_OF_REPLICA) < FIRST_OF_REPLICA;
}

function isCoreMessage(message: PeerMessage): message is Message {
  return isCoreType(message.type);
}

function writeFields(out: MsgpackWriter, message: PeerMessage): void {
  if (isCoreMessage(message)) {
    writeMessageFields(out, message);
    return;
  }
  switch (message.type) {
    case 'forward':
      out.uint(message.forwardId);
      writeRequest(out, message.request);
      return;
    case 'forward-reply':
      out.uint(message.forwardId);
      writeResponse(out, message.response);
      return;
    case 'snapshot-fetch':
      out.uint(message.snapshotId);
      out.uint(message.sequence);
      out.bool(message.headOnly);
      return;
    case 'snapshot-chunk':
      out.uint(message.snapshotId);
      out.uint(message.sequence);
      out.bool(message.last);
      out.uint(message.slot);
      writeConfigurations(out, message.configurations);
      out.bin(message.records);
      return;
    case 'snapshot-gone':
      out.uint(message.snapshotId);
      return;
    case 'report':
      writeReport(out, message);
      return;
    case 'dismissed':
      out.uint(message.slot);
      writeIdentifier(out, message.incarnation);
      return;
  }
}

function writeReport(
  out: MsgpackWriter,
  { durableThrough, heldThrough, heldSlot, slowMs, witness, hears }: Report,
): void {
  out.uint(durableThrough);
  out.uint(heldThrough);
  out.uint(heldSlot);
  out.uint(slowMs);
  out.bool(witness);
  // More than ever belong to one cluster: what is beyond is somebody else's.
  out.array(Math.min(hears.length, HEARS_MAX));
  for (const { replicaId, incarnation } of hears.slice(0, HEARS_MAX)) {
    out.array(2);
    out.uint(replicaId);
    writeIdentifier(out, incarnation);
  }
}

function readReport(reader: MsgpackReader): Report {
  const durableThrough = reader.readUint('durable through');
  const heldThrough = reader.readUint('held through');
  const heldSlot = reader.readUint('held slot');
  const slowMs = reader.readUint('slow ms');
  const witness = reader.readBool('witness');
  const length = reader.readArrayHeader(HEARS_MAX, 'replicas heard');
  const hears: Identity[] = [];
  for (let i = 0; i < length; i += 1) {
    reader.expectArray(2, 'identity');
    const replicaId = reader.readUint('replica id', REPLICA_ID_MAX);
    hears.push({ replicaId, incarnation: readIdentifier(reader, 'incarnation') });
  }
  return { type: 'report', durableThrough, heldThrough, heldSlot, slowMs, witness, hears };
}

function readFields(reader: MsgpackReader, type: PeerMessage['type']): PeerMessage {
  if (isCoreType(type)) return readMessageFields(reader, type);
  switch (type) {
    case 'forward':
      return readForward(reader);
    case 'forward-reply':
      return { type, forwardId: reader.readUint('forward id'), response: readResponse(reader) };
    case 'snapshot-fetch': {
      const snapshotId = reader.readUint('snapshot id');
      const sequence = reader.readUint('sequence');
      return { type, snapshotId, sequence, headOnly: reader.readBool('head only') };
    }
    case 'snapshot-chunk': {
      const snapshotId = reader.readUint('snapshot id');
      const sequence = reader.readUint('sequence');
      const last = reader.readBool('last');
      const slot = reader.readUint('slot');
      const configurations = readConfigurations(reader);
      const records = reader.readBin('records', SNAPSHOT_RECORDS_BYTES_MAX);
      return { type, snapshotId, sequence, last, slot, configurations, records };
    }
    case 'snapshot-gone':
      return { type, snapshotId: reader.readUint('snapshot id') };
    case 'report':
      return readReport(reader);
    case 'dismissed': {
      const slot = reader.readUint('slot');
      return { type, slot, incarnation: readIdentifier(reader, 'incarnation') };
    }
  }
}

/** The replica that passes a request on has checked it: a bad one is the peer's fault, not the client's. */
function readForward(reader: MsgpackReader): PeerMessage {
  const forwardId = reader.readUint('forward id');
  try {
    return { type: 'forward', forwardId, request: readRequest(reader) };
  } catch (error) {
    if (error instanceof KvdError && error.code !== 'KVD_BAD_FRAME')
      return reader.refuse(`forward: ${error.message}`);
    throw error;
  }
}

function bytesHint(message: PeerMessage): number {
  if (isCoreMessage(message)) return messageBytesHint(message);
  switch (message.type) {
    case 'forward':
      return OVERHEAD_BYTES + requestBytesHint(message.request);
    case 'forward-reply':
      return OVERHEAD_BYTES + responseBytesHint(message.response);
    case 'snapshot-chunk':
      return OVERHEAD_BYTES + message.records.length + message.configurations.length * ADDRESS_BYTES_MAX;
    case 'report':
      return OVERHEAD_BYTES + message.hears.length * OVERHEAD_BYTES;
    case 'snapshot-fetch':
    case 'snapshot-gone':
    case 'dismissed':
      return OVERHEAD_BYTES;
  }
}
