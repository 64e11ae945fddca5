/**
 * The bytes of a request, nested in a client's frame and in a forward between replicas; numbers are append only:
 *
 *     request    [1, timeoutMs, command]                                                   mutate
 *                [2, timeoutMs, consistency, key, revision]                                get
 *                [3, timeoutMs, consistency, from, to, limit, keysOnly, countOnly, revision, reverse]   scan
 *                [4, timeoutMs, consistency, lease, after]                                 leases
 *                [5, timeoutMs, consistency, from, to, position, limit]                    history
 *                [6, timeoutMs, JSON]                                                      members (members-json.ts)
 *     consistency: 0 linearizable, 1 stale
 *
 * All refusals are by the reader's purpose; byte arrays are views on the input.
 */
import { decodeCommand } from './command-codec.js';
import { readPosition, writePosition } from './history-codec.js';
import {
  KEY_BYTES_MAX,
  MEMBERS_JSON_BYTES_MAX,
  RANGE_END_BYTES_MAX,
  REQUEST_BYTES_MAX,
  TIMEOUT_MS_MAX,
} from './limits.js';
import { membersQueryJson, parseMembersQuery } from './members-json.js';
import type { MsgpackReader } from './msgpack-reader.js';
import type { MsgpackWriter } from './msgpack-writer.js';
import type { Consistency, Request } from './requests.js';

const MUTATE = 1;
const GET = 2;
const SCAN = 3;
const LEASES = 4;
const HISTORY = 5;
const MEMBERS = 6;
const FIELDS_MAX = 10;

const OVERHEAD_BYTES = 64;

export function writeRequest(out: MsgpackWriter, request: Request): void {
  switch (request.type) {
    case 'mutate':
      out.array(3);
      out.uint(MUTATE);
      out.uint(request.timeoutMs);
      out.bin(request.command);
      return;
    case 'get':
      out.array(5);
      out.uint(GET);
      out.uint(request.timeoutMs);
      writeConsistency(out, request.consistency);
      out.bin(request.key);
      out.uint(request.revision);
      return;
    case 'scan':
      out.array(10);
      out.uint(SCAN);
      out.uint(request.timeoutMs);
      writeConsistency(out, request.consistency);
      out.bin(request.from);
      out.bin(request.to);
      out.uint(request.limit);
      out.bool(request.keysOnly);
      out.bool(request.countOnly);
      out.uint(request.revision);
      out.bool(request.reverse);
      return;
    case 'leases':
      out.array(5);
      out.uint(LEASES);
      out.uint(request.timeoutMs);
      writeConsistency(out, request.consistency);
      out.uint(request.lease);
      out.uint(request.after);
      return;
    case 'history':
      out.array(7);
      out.uint(HISTORY);
      out.uint(request.timeoutMs);
      writeConsistency(out, request.consistency);
      out.bin(request.from);
      out.bin(request.to);
      writePosition(out, request.start);
      out.uint(request.limit);
      return;
    case 'members':
      out.array(3);
      out.uint(MEMBERS);
      out.uint(request.timeoutMs);
      out.str(JSON.stringify(membersQueryJson(request)), MEMBERS_JSON_BYTES_MAX);
      return;
  }
}

/** @throws KvdError KVD_BAD_REQUEST or KVD_TOO_LARGE where the command is at fault, else as the reader's purpose says */
export function readRequest(reader: MsgpackReader): Request {
  const length = reader.readArrayHeader(FIELDS_MAX, 'request');
  const type = reader.readUint('request type');
  if (type === MUTATE && length === 3) {
    const timeoutMs = readTimeout(reader);
    const command = reader.readBin('command', REQUEST_BYTES_MAX);
    decodeCommand(command);
    return { type: 'mutate', timeoutMs, command };
  }
  if (type === GET && length === 5) {
    const timeoutMs = readTimeout(reader);
    const consistency = readConsistency(reader);
    const key = reader.readBin('key', KEY_BYTES_MAX);
    if (key.length === 0) reader.refuse('a key has at least one byte');
    return { type: 'get', timeoutMs, consistency, key, revision: reader.readUint('revision') };
  }
  if (type === SCAN && length === 10) return readScan(reader);
  if (type === LEASES && length === 5) {
    const timeoutMs = readTimeout(reader);
    const consistency = readConsistency(reader);
    const lease = reader.readUint('lease');
    return { type: 'leases', timeoutMs, consistency, lease, after: reader.readUint('after') };
  }
  if (type === HISTORY && length === 7) {
    const timeoutMs = readTimeout(reader);
    const consistency = readConsistency(reader);
    const from = reader.readBin('from', KEY_BYTES_MAX);
    const to = reader.readBin('to', RANGE_END_BYTES_MAX);
    const start = readPosition(reader);
    return { type: 'history', timeoutMs, consistency, from, to, start, limit: reader.readUint('limit') };
  }
  if (type === MEMBERS && length === 3) {
    const timeoutMs = readTimeout(reader);
    const text = reader.readStr('members request', MEMBERS_JSON_BYTES_MAX);
    return { type: 'members', timeoutMs, ...parseMembersQuery(text) };
  }
  return reader.refuse(`no request has type ${type} and ${length} fields`);
}

/** About how many bytes the request takes, so that large ones are written in one go. */
export function requestBytesHint(request: Request): number {
  return (request.type === 'mutate' ? request.command.length : 0) + OVERHEAD_BYTES;
}

function readScan(reader: MsgpackReader): Request {
  const timeoutMs = readTimeout(reader);
  const consistency = readConsistency(reader);
  const from = reader.readBin('from', KEY_BYTES_MAX + 1);
  const to = reader.readBin('to', KEY_BYTES_MAX + 1);
  const limit = reader.readUint('limit');
  const keysOnly = reader.readBool('keys only');
  const countOnly = reader.readBool('count only');
  const revision = reader.readUint('revision');
  const reverse = reader.readBool('reverse');
  return {
    type: 'scan',
    timeoutMs,
    consistency,
    from,
    to,
    limit,
    keysOnly,
    countOnly,
    revision,
    reverse,
  };
}

function readTimeout(reader: MsgpackReader): number {
  return reader.readUint('timeout in ms', TIMEOUT_MS_MAX);
}

function writeConsistency(out: MsgpackWriter, consistency: Consistency): void {
  out.uint(consistency === 'linearizable' ? 0 : 1);
}

function readConsistency(reader: MsgpackReader): Consistency {
  return reader.readUint('consistency', 1) === 0 ? 'linearizable' : 'stale';
}
