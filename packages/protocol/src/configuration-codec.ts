/**
 * The bytes of the core's own data (ballots, configurations, values, log entries), alike on the wire and on the disk.
 * MessagePack arrays; roles and value types are append only:
 *
 *     ballot              [counter, replicaId, incarnation]
 *     member              [replicaId, incarnation, role, address]          role: 0 voter, 1 learner, 2 witness
 *                         [replicaId, incarnation, 1, address, role to be promoted to, replaced id or 0]
 *     configuration       [clusterId, alpha, replaces, [member, …], acceptQuorum]
 *     configuration at    [slot, configuration]
 *     value               [1] no-op   [2, bytes] batch   [3, configuration] configuration
 *     log entry           [slot, ballot, value, chosen]
 *
 * Identifiers are bin of 16 bytes. All refusals are KVD_BAD_FRAME; byte arrays are views on the input.
 */
import type { Ballot, Configuration, ConfigurationAt, LogEntry, Member, MemberRole, Value } from '@kvd/paxos';
import { BATCH_ENCODED_BYTES_MAX } from './batch-codec.js';
import { readIdentifier, writeIdentifier } from './identifier-codec.js';
import { ADDRESS_BYTES_MAX, ALPHA_MAX, MEMBERS_MAX } from './limits.js';
import { MsgpackReader } from './msgpack-reader.js';
import { MsgpackWriter } from './msgpack-writer.js';

const NOOP = 1;
const BATCH = 2;
const CONFIGURATION = 3;

const ROLES: readonly MemberRole[] = ['voter', 'learner', 'witness'];
export const REPLICA_ID_MAX = 2 ** 31 - 1;
/** Configurations chosen within alpha slots, and the one before them. */
export const CONFIGURATIONS_MAX = ALPHA_MAX + 1;

const ENTRY_OVERHEAD_BYTES = 128;

const writer = new MsgpackWriter();
const NOOP_VALUE: Value = { type: 'noop' };
let lastBallot: Ballot = { counter: 0, replicaId: 0, incarnation: '0'.repeat(32) };

export function encodeBallot(ballot: Ballot): Uint8Array {
  writer.begin();
  writeBallot(writer, ballot);
  return writer.finish();
}

export function decodeBallot(bytes: Uint8Array): Ballot {
  return whole(bytes, 'ballot', readBallot);
}

export function encodeConfiguration(configuration: Configuration): Uint8Array {
  writer.begin();
  writeConfiguration(writer, configuration);
  return writer.finish();
}

export function decodeConfiguration(bytes: Uint8Array): Configuration {
  return whole(bytes, 'configuration', readConfiguration);
}

export function encodeConfigurations(configurations: readonly ConfigurationAt[]): Uint8Array {
  writer.begin();
  writeConfigurations(writer, configurations);
  return writer.finish();
}

/** Ascending by slot, at most CONFIGURATIONS_MAX. */
export function decodeConfigurations(bytes: Uint8Array): ConfigurationAt[] {
  return whole(bytes, 'configurations', readConfigurations);
}

export function encodeValue(value: Value): Uint8Array {
  writer.begin(valueBytesHint(value));
  writeValue(writer, value);
  return writer.finish();
}

export function decodeValue(bytes: Uint8Array): Value {
  return whole(bytes, 'value', readValue);
}

export function encodeLogEntry(entry: LogEntry): Uint8Array {
  writer.begin(valueBytesHint(entry.value));
  writeLogEntry(writer, entry);
  return writer.finish();
}

export function decodeLogEntry(bytes: Uint8Array): LogEntry {
  return whole(bytes, 'log entry', readLogEntry);
}

export function writeBallot(out: MsgpackWriter, ballot: Ballot): void {
  out.array(3);
  out.uint(ballot.counter);
  out.uint(ballot.replicaId);
  writeIdentifier(out, ballot.incarnation);
}

export function readBallot(reader: MsgpackReader): Ballot {
  reader.expectArray(3, 'ballot');
  const counter = reader.readUint('ballot counter');
  const replicaId = reader.readUint('replica id', REPLICA_ID_MAX);
  const incarnation = readIdentifier(reader, 'incarnation');
  // One ballot in nearly all messages: handing out the same object makes comparing it cheap.
  if (
    lastBallot.counter !== counter ||
    lastBallot.replicaId !== replicaId ||
    lastBallot.incarnation !== incarnation
  ) {
    lastBallot = { counter, replicaId, incarnation };
  }
  return lastBallot;
}

export function writeConfiguration(out: MsgpackWriter, configuration: Configuration): void {
  const { clusterId, alpha, replaces, members, acceptQuorum } = configuration;
  out.array(5);
  writeIdentifier(out, clusterId);
  out.uint(alpha);
  out.uint(replaces);
  out.array(members.length);
  for (const member of members) writeMember(out, member);
  out.uint(acceptQuorum);
}

function writeMember(out: MsgpackWriter, member: Member): void {
  const { promoteTo } = member;
  out.array(promoteTo === undefined ? 4 : 6);
  out.uint(member.replicaId);
  writeIdentifier(out, member.incarnation);
  out.uint(ROLES.indexOf(member.role));
  out.str(member.address, ADDRESS_BYTES_MAX);
  if (promoteTo === undefined) return;
  out.uint(ROLES.indexOf(promoteTo));
  out.uint(member.replaces ?? 0);
}

export function readConfiguration(reader: MsgpackReader): Configuration {
  reader.expectArray(5, 'configuration');
  const clusterId = readIdentifier(reader, 'cluster id');
  const alpha = reader.readUint('alpha', ALPHA_MAX);
  const replaces = reader.readUint('replaced slot');
  const members = readMembers(reader);
  const acceptQuorum = reader.readUint('accept quorum', members.length);
  if (alpha === 0) reader.refuse('alpha is at least 1');
  return { clusterId, alpha, replaces, members, acceptQuorum };
}

function readMembers(reader: MsgpackReader): Member[] {
  const length = reader.readArrayHeader(MEMBERS_MAX, 'members');
  const members: Member[] = [];
  let last = 0;
  for (let i = 0; i < length; i += 1) {
    const member = readMember(reader);
    const { replicaId } = member;
    if (replicaId <= last) reader.refuse(`members: ${replicaId} after ${last}, not ascending`);
    last = replicaId;
    members.push(member);
  }
  if (members.length === 0) reader.refuse('a configuration has at least one member');
  return members;
}

function readMember(reader: MsgpackReader): Member {
  const fields = reader.readArrayHeader(6, 'member');
  if (fields !== 4 && fields !== 6) reader.refuse(`a member has 4 or 6 fields, not ${fields}`);
  const replicaId = reader.readUint('replica id', REPLICA_ID_MAX);
  const incarnation = readIdentifier(reader, 'incarnation');
  const role = ROLES[reader.readUint('role')] ?? reader.refuse('no such role');
  const member: Member = {
    replicaId,
    incarnation,
    role,
    address: reader.readStr('address', ADDRESS_BYTES_MAX),
  };
  if (fields === 4) return member;
  const promoteTo = ROLES[reader.readUint('role to be promoted to')];
  if (role !== 'learner' || promoteTo === undefined || promoteTo === 'learner')
    return reader.refuse('a learner is promoted to voter or witness, and nobody else is');
  const replaces = reader.readUint('replaced id', REPLICA_ID_MAX);
  return { ...member, promoteTo, ...(replaces > 0 && { replaces }) };
}

export function writeConfigurations(out: MsgpackWriter, configurations: readonly ConfigurationAt[]): void {
  out.array(configurations.length);
  for (const { slot, configuration } of configurations) {
    out.array(2);
    out.uint(slot);
    writeConfiguration(out, configuration);
  }
}

export function readConfigurations(reader: MsgpackReader): ConfigurationAt[] {
  const length = reader.readArrayHeader(CONFIGURATIONS_MAX, 'configurations');
  const configurations: ConfigurationAt[] = [];
  let last = 0;
  for (let i = 0; i < length; i += 1) {
    reader.expectArray(2, 'configuration at a slot');
    const slot = reader.readUint('slot');
    if (slot <= last) reader.refuse(`configurations: slot ${slot} after ${last}, not ascending`);
    last = slot;
    configurations.push({ slot, configuration: readConfiguration(reader) });
  }
  return configurations;
}

export function writeValue(out: MsgpackWriter, value: Value): void {
  switch (value.type) {
    case 'noop':
      out.array(1);
      out.uint(NOOP);
      return;
    case 'batch':
      out.array(2);
      out.uint(BATCH);
      out.bin(value.bytes);
      return;
    case 'configuration':
      out.array(2);
      out.uint(CONFIGURATION);
      writeConfiguration(out, value.configuration);
      return;
  }
}

export function readValue(reader: MsgpackReader): Value {
  const length = reader.readArrayHeader(2, 'value');
  const type = reader.readUint('value type');
  if (type === NOOP && length === 1) return NOOP_VALUE;
  if (type === BATCH && length === 2) {
    return { type: 'batch', bytes: reader.readBin('batch', BATCH_ENCODED_BYTES_MAX) };
  }
  if (type === CONFIGURATION && length === 2) {
    return { type: 'configuration', configuration: readConfiguration(reader) };
  }
  return reader.refuse(`no value has type ${type} and ${length} fields`);
}

export function writeLogEntry(out: MsgpackWriter, entry: LogEntry): void {
  out.array(4);
  out.uint(entry.slot);
  writeBallot(out, entry.ballot);
  writeValue(out, entry.value);
  out.bool(entry.chosen);
}

export function readLogEntry(reader: MsgpackReader): LogEntry {
  reader.expectArray(4, 'log entry');
  const slot = reader.readUint('slot');
  const ballot = readBallot(reader);
  const value = readValue(reader);
  return { slot, ballot, value, chosen: reader.readBool('chosen') };
}

/** About how many bytes a message with this value takes, so that large ones are written in one go. */
export function valueBytesHint(value: Value): number {
  return (value.type === 'batch' ? value.bytes.length : 0) + ENTRY_OVERHEAD_BYTES;
}

function whole<T>(bytes: Uint8Array, what: string, read: (reader: MsgpackReader) => T): T {
  const reader = new MsgpackReader(bytes);
  const result = read(reader);
  reader.end(what);
  return result;
}
