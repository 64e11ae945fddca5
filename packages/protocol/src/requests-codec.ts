/**
 * The bytes between a client and a replica. A ws message is a concatenation of items, each one MessagePack array; many
 * requests, or many answers, share a message. All numbers are append only.
 *
 * Client to replica:
 *
 *     [1, protocolVersion, clusterId, name]        client-hello, once, first; clusterId is bin of 16 or 0 (any) bytes
 *     [2, requestId, request]                      requestId: 1 to 2^53 - 1, the client's choice; request-codec.ts
 *     [3, watchId, from, to, fromRevision, previous]                watch; ids as of requests, but of their own
 *     [4, watchId]                                 unwatch
 *
 * Replica to client:
 *
 *     [1, protocolVersion, clusterId, replicaId, leaderId, [[id, address], …]]             welcome
 *     [2, requestId, response]                     response-codec.ts; requestId 0: about the connection, which then closes
 *     [3, watchId, told]                           to a watcher (history-codec.ts)
 *
 * A request that is framed well but no good is handed over as invalid, and the rest of the message is read. What cannot
 * be framed ends the connection (KVD_BAD_FRAME). Another version is told from the first two fields of the first item,
 * which stay as they are in every version (KVD_PROTOCOL_VERSION).
 */
import { KvdError } from './errors.js';
import { cutText, encodeHandshake } from './handshake-encoder.js';
import { readWatchMessage, watchMessageBytesHint, writeWatchMessage } from './history-codec.js';
import { optionalIdentifierBytes, readOptionalIdentifier } from './identifier-codec.js';
import {
  ADDRESS_BYTES_MAX,
  CLIENT_NAME_BYTES_MAX,
  INVALID_REQUESTS_PER_FRAME_MAX,
  KEY_BYTES_MAX,
  MEMBERS_MAX,
  PROTOCOL_VERSION,
  RANGE_END_BYTES_MAX,
} from './limits.js';
import { MsgpackReader } from './msgpack-reader.js';
import { MsgpackWriter } from './msgpack-writer.js';
import { readRequest, requestBytesHint, writeRequest } from './request-codec.js';
import type { ClientHello, Request, Response, WatchMessage, WatchRequest, Welcome } from './requests.js';
import { readResponse, responseBytesHint, writeResponse } from './response-codec.js';

const HELLO = 1;
const REQUEST = 2;
const WELCOME = 1;
const RESPONSE = 2;

/** Either way. */
const WATCH = 3;
const UNWATCH = 4;

/** What a later version may grow its hello to. */
const HELLO_FIELDS_MAX = 15;
const OVERHEAD_BYTES = 64;

/** Where the items of a client's message go. */
export interface ClientFrameHandler {
  onHello(hello: ClientHello): void;
  /** The byte arrays are views on the message. The command of a mutate request has been checked. */
  onRequest(requestId: number, request: Request): void;
  /** To be answered with this error; KVD_BAD_REQUEST or KVD_TOO_LARGE. */
  onInvalidRequest(requestId: number, error: KvdError): void;
  onWatch(watchId: number, request: WatchRequest): void;
  /** To be ended with this error; KVD_BAD_REQUEST or KVD_TOO_LARGE. */
  onInvalidWatch(watchId: number, error: KvdError): void;
  onUnwatch(watchId: number): void;
}

/** Where the items of a replica's message go. */
export interface ServerFrameHandler {
  onWelcome(welcome: Welcome): void;
  /** `requestId` 0: about the connection, which then closes. The byte arrays are views on the message. */
  onResponse(requestId: number, response: Response): void;
  /** The byte arrays are views on the message. */
  onWatchMessage(watchId: number, message: WatchMessage): void;
}

const writer = new MsgpackWriter();

export function encodeClientHello(hello: ClientHello): Uint8Array {
  const { protocolVersion, clusterId, name } = hello;
  const clusterBytes = optionalIdentifierBytes(clusterId);
  return encodeHandshake([HELLO, protocolVersion, clusterBytes, cutText(name, CLIENT_NAME_BYTES_MAX)]);
}

export function encodeRequest(requestId: number, request: Request): Uint8Array {
  writer.begin(requestBytesHint(request));
  writer.array(3);
  writer.uint(REQUEST);
  writer.uint(requestId);
  writeRequest(writer, request);
  return writer.finish();
}

export function encodeWatch(watchId: number, request: WatchRequest): Uint8Array {
  writer.begin(request.from.length + request.to.length + OVERHEAD_BYTES);
  writer.array(6);
  writer.uint(WATCH);
  writer.uint(watchId);
  writer.bin(request.from);
  writer.bin(request.to);
  writer.uint(request.fromRevision);
  writer.bool(request.previous);
  return writer.finish();
}

export function encodeUnwatch(watchId: number): Uint8Array {
  writer.begin();
  writer.array(2);
  writer.uint(UNWATCH);
  writer.uint(watchId);
  return writer.finish();
}

export function encodeWatchMessage(watchId: number, message: WatchMessage): Uint8Array {
  writer.begin(watchMessageBytesHint(message));
  writer.array(3);
  writer.uint(WATCH);
  writer.uint(watchId);
  writeWatchMessage(writer, message);
  return writer.finish();
}

export function encodeWelcome(welcome: Welcome): Uint8Array {
  const { protocolVersion, clusterId, replicaId, leaderId } = welcome;
  const members = welcome.members.map(({ id, address }) => [id, cutText(address, ADDRESS_BYTES_MAX)]);
  return encodeHandshake([
    WELCOME,
    protocolVersion,
    optionalIdentifierBytes(clusterId),
    replicaId,
    leaderId,
    members,
  ]);
}

/** `requestId` 0 for an error about the connection as a whole. */
export function encodeResponse(requestId: number, response: Response): Uint8Array {
  writer.begin(responseBytesHint(response));
  writer.array(3);
  writer.uint(RESPONSE);
  writer.uint(requestId);
  writeResponse(writer, response);
  return writer.finish();
}

/**
 * Read a client's message item by item, in order.
 * @throws KvdError KVD_BAD_FRAME, KVD_PROTOCOL_VERSION: the connection is to be closed; items before were handed over
 */
export function decodeClientFrame(bytes: Uint8Array, handler: ClientFrameHandler): void {
  const reader = new MsgpackReader(bytes);
  let invalid = 0;
  while (reader.remaining > 0) {
    const length = reader.readArrayHeader(HELLO_FIELDS_MAX, 'item');
    const type = reader.readUint('item type');
    if (type === REQUEST && length === 3) {
      if (readRequestItem(reader, handler)) continue;
      invalid += 1;
      if (invalid > INVALID_REQUESTS_PER_FRAME_MAX) reader.refuse('too many invalid requests in one message');
    } else if (type === WATCH && length === 6) {
      if (readWatchItem(reader, handler)) continue;
      invalid += 1;
      if (invalid > INVALID_REQUESTS_PER_FRAME_MAX) reader.refuse('too many invalid watches in one message');
    } else if (type === UNWATCH && length === 2) handler.onUnwatch(readWatchId(reader));
    else if (type === HELLO) handler.onHello(readHello(reader, length));
    else reader.refuse(`a client sends no item of type ${type} with ${length} fields`);
  }
}

/**
 * Read a replica's message item by item, in order.
 * @throws KvdError KVD_BAD_FRAME, KVD_PROTOCOL_VERSION: the connection is to be closed; items before were handed over
 */
export function decodeServerFrame(bytes: Uint8Array, handler: ServerFrameHandler): void {
  const reader = new MsgpackReader(bytes);
  while (reader.remaining > 0) {
    const length = reader.readArrayHeader(HELLO_FIELDS_MAX, 'item');
    const type = reader.readUint('item type');
    if (type === RESPONSE && length === 3) {
      const requestId = reader.readUint('request id');
      handler.onResponse(requestId, readResponse(reader));
    } else if (type === WATCH && length === 3) {
      const watchId = readWatchId(reader);
      handler.onWatchMessage(watchId, readWatchMessage(reader));
    } else if (type === WELCOME) handler.onWelcome(readWelcome(reader, length));
    else reader.refuse(`a replica sends no item of type ${type} with ${length} fields`);
  }
}

/** The first item of a connection must be of our version; its first two fields are the same in all of them. */
export function readVersion(reader: MsgpackReader): number {
  const version = reader.readUint('protocol version');
  if (version === PROTOCOL_VERSION) return version;
  const message = `protocol version ${version} is spoken there, ${PROTOCOL_VERSION} here`;
  throw new KvdError('KVD_PROTOCOL_VERSION', message);
}

/** False when the request was invalid; the reader then stands behind it all the same. */
function readRequestItem(reader: MsgpackReader, handler: ClientFrameHandler): boolean {
  const requestId = reader.readUint('request id');
  if (requestId === 0) reader.refuse('a request id is at least 1');
  const request = readOrSkip(reader, readRequest, ['request']);
  if (request instanceof KvdError) handler.onInvalidRequest(requestId, request);
  else handler.onRequest(requestId, request);
  return !(request instanceof KvdError);
}

/** As readRequestItem. */
function readWatchItem(reader: MsgpackReader, handler: ClientFrameHandler): boolean {
  const watchId = readWatchId(reader);
  const request = readOrSkip(reader, readWatch, ['from', 'to', 'from revision', 'previous']);
  if (request instanceof KvdError) handler.onInvalidWatch(watchId, request);
  else handler.onWatch(watchId, request);
  return !(request instanceof KvdError);
}

/** What `read` reads of these values, or why it is invalid; the reader then stands behind them all the same. */
function readOrSkip<T>(
  reader: MsgpackReader,
  read: (reader: MsgpackReader) => T,
  values: readonly string[],
): T | KvdError {
  const start = reader.offset;
  try {
    reader.purpose = 'request';
    return read(reader);
  } catch (error) {
    if (!(error instanceof KvdError)) throw error;
    reader.purpose = 'frame';
    reader.rewind(start);
    for (const value of values) reader.skipValue(value);
    return error;
  } finally {
    reader.purpose = 'frame';
  }
}

function readWatchId(reader: MsgpackReader): number {
  const watchId = reader.readUint('watch id');
  if (watchId === 0) reader.refuse('a watch id is at least 1');
  return watchId;
}

function readWatch(reader: MsgpackReader): WatchRequest {
  const from = reader.readBin('from', KEY_BYTES_MAX);
  const to = reader.readBin('to', RANGE_END_BYTES_MAX);
  const fromRevision = reader.readUint('from revision');
  return { from, to, fromRevision, previous: reader.readBool('previous') };
}

function readHello(reader: MsgpackReader, length: number): ClientHello {
  const protocolVersion = readVersion(reader);
  if (length !== 4) reader.refuse(`client-hello: 4 fields expected, not ${length}`);
  const clusterId = readOptionalIdentifier(reader, 'cluster id');
  const name = reader.readStr('name', CLIENT_NAME_BYTES_MAX);
  return { type: 'client-hello', protocolVersion, clusterId, name };
}

function readWelcome(reader: MsgpackReader, length: number): Welcome {
  const protocolVersion = readVersion(reader);
  if (length !== 6) reader.refuse(`welcome: 6 fields expected, not ${length}`);
  const clusterId = readOptionalIdentifier(reader, 'cluster id');
  const replicaId = reader.readUint('replica id');
  const leaderId = reader.readUint('leader id');
  const members: { id: number; address: string }[] = [];
  const count = reader.readArrayHeader(MEMBERS_MAX, 'members');
  for (let i = 0; i < count; i += 1) {
    reader.expectArray(2, 'member');
    const id = reader.readUint('member id');
    members.push({ id, address: reader.readStr('address', ADDRESS_BYTES_MAX) });
  }
  return { type: 'welcome', protocolVersion, clusterId, replicaId, leaderId, members };
}
