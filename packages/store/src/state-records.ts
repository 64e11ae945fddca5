/**
 * Keys and records of the state's LevelDB. Everything a snapshot replaces lives under a generation, so that an install
 * can be written beside the present state (S10):
 *
 *     G + generation (4) + g + span + key' + revision
 *                                                 a version of a key that was superseded (history-records.ts)
 *     G + generation (4) + h + key' + revision    the same, as up to format 4
 *     G + generation (4) + i + idempotency key    result kept under an idempotency key
 *     G + generation (4) + j + lease + key        a key belongs to a lease
 *     G + generation (4) + k + key                a key's record (kv-record.ts)
 *     G + generation (4) + l + lease              a lease
 *     G + generation (4) + s + session            a session
 *     G + generation (4) + t + session + block    stored results of RESULTS_PER_BLOCK sequences of a session
 *     G + generation (4) + u + session + number   a stored result too large for a block
 *     G + generation (4) + w + revision + part    what a revision did (history-records.ts)
 *     H                                           the head: which generation, applied through which slot, hashes
 *     L                                           key of the value written last (state-store.ts); empty: it was removed
 *     M + number                                  marker of the flush with this number, of the last MARKERS_KEPT
 *     O + a value's key                           no record refers to that value any more; its size
 *     R                                           room that values take which are gone from their database
 *
 * and in a database of their own, up to format 5 among the records:
 *
 *     V + generation (4) + v + revision + key     a value that lies apart (kv-record.ts), of the record with this modRevision
 *
 * The part after the generation is a record's logical key. Values are in the order in which they are written: LevelDB then
 * only moves their tables down its levels. Nothing here does I/O.
 */
import type { ConfigurationAt, MarkerNumber, Slot } from '@kvd/paxos';
import {
  type ClusterMs,
  DEFAULT_KEEP_MS,
  DEFAULT_KEEP_REVISIONS,
  type LeaderBallot,
  MsgpackReader,
  MsgpackWriter,
  NO_LEADER,
  type Revision,
  readConfigurations,
  writeConfigurations,
} from '@kvd/protocol';
import { numberKey, readU53, U53_BYTES, writeU53 } from './bytes.js';
import { Hash64 } from './content-hash.js';
import type { KeyRange } from './ordered-store.js';
import { decodeBody, seal, unseal } from './sealed.js';

export const STATE_HEAD_KEY = Buffer.from('H');
export const LAST_VALUE_KEY = Buffer.from('L');
export const DEAD_BYTES_KEY = Buffer.from('R');
const RECORDS = 'G';
const VALUES = 'V';
const VALUES_BYTE = 0x56;
const OUTDATED = Buffer.from('O');
const OUTDATED_BYTE = 0x4f;
/** Of all generations. */
export const ALL_VALUES: KeyRange = { gte: Buffer.of(VALUES_BYTE), lt: Buffer.of(VALUES_BYTE + 1) };
export const OUTDATED_VALUES: KeyRange = { gte: OUTDATED, lt: Buffer.of(OUTDATED_BYTE + 1) };
export const FLUSHES_END = Buffer.from('N');
/** Flushes whose markers are kept: longer than a write-ahead file of LevelDB is likely to reach back. */
export const MARKERS_KEPT = 1024;

export const KIND_VERSION = 0x67;
export const KIND_OLD_VERSION = 0x68;
export const KIND_IDEMPOTENCY = 0x69;
export const KIND_LEASED = 0x6a;
export const KIND_KEY = 0x6b;
export const KIND_LEASE = 0x6c;
export const KIND_SESSION = 0x73;
export const KIND_RESULTS = 0x74;
export const KIND_RESULT = 0x75;
export const KIND_VALUE = 0x76;
export const KIND_REVISION = 0x77;

const GENERATION_BYTES = 4;
/** Length of what comes before the logical key. */
export const PREFIX_BYTES = 1 + GENERATION_BYTES;
export const GENERATION_MAX = 2 ** 32 - 1;
const LANE_MAX = 2 ** 32 - 1;
/** Without a leader, as in directories up to format 3, and with one. */
const HEAD_FIELDS = 17;
const HEAD_FIELDS_WITH_LEADER = 19;

/** The state's head: everything that is one value. */
export interface StateHead {
  readonly generation: number;
  readonly appliedThrough: Slot;
  readonly revision: Revision;
  readonly clusterMs: ClusterMs;
  readonly runningHash: Hash64;
  readonly contentHash: Hash64;
  /** Keys in the state. */
  readonly keys: number;
  readonly configurations: readonly ConfigurationAt[];
  /** Below it no read can be answered. */
  readonly compactRevision: Revision;
  readonly retention: Retention;
  readonly kept: KeptHistory;
  /** The highest ballot of the batches applied. */
  readonly leader: LeaderBallot;
}

/** How much history is to be kept; 0: no bound of that kind. */
export interface Retention {
  readonly keepRevisions: number;
  readonly keepMs: ClusterMs;
}

/**
 * What of the history is on this disk. Compaction removes it in the background, so this is not alike on all replicas at
 * the same slot, and no part of the content hash: it has a hash of its own.
 */
export interface KeptHistory {
  /** What was superseded at or below this revision was removed. */
  readonly compactedThrough: Revision;
  readonly records: number;
  readonly hash: Hash64;
}

export function emptyHead(generation: number): StateHead {
  return {
    generation,
    appliedThrough: 0,
    revision: 0,
    clusterMs: 0,
    runningHash: new Hash64(),
    contentHash: new Hash64(),
    keys: 0,
    configurations: [],
    compactRevision: 0,
    retention: { keepRevisions: DEFAULT_KEEP_REVISIONS, keepMs: DEFAULT_KEEP_MS },
    kept: { compactedThrough: 0, records: 0, hash: new Hash64() },
    leader: NO_LEADER,
  };
}

/** Of its records but for the values that lie apart. */
export function generationPrefix(generation: number): Buffer {
  return prefixOf(RECORDS, generation);
}

function prefixOf(letter: string, generation: number): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.write(letter, 0, 'latin1');
  prefix.writeUInt32BE(generation, 1);
  return prefix;
}

/** All records of generations from `from` to `through`, as ranges of the disk. */
export function generationRanges(from: number, through: number): KeyRange[] {
  return [RECORDS, VALUES].map((letter) => ({
    gte: prefixOf(letter, from),
    lt:
      through >= GENERATION_MAX
        ? Buffer.of(letter.charCodeAt(0) + 1)
        : prefixOf(letter, Math.max(from, through + 1)),
  }));
}

/**
 * All records of the state that `head` describes, and their values: what has a higher revision was left by a flush that did
 * not come to its end.
 */
export function rangesOf({ generation, revision }: StateHead): KeyRange[] {
  const [records, values] = generationRanges(generation, generation) as [KeyRange, KeyRange];
  return [records, { ...values, lt: firstValueOf(generation, revision + 1) }];
}

/** The values of its generation with a higher revision than the head's. */
export function valuesBeyond({ generation, revision }: StateHead): KeyRange {
  const [, values] = generationRanges(generation, generation) as [KeyRange, KeyRange];
  return { ...values, gte: firstValueOf(generation, revision + 1) };
}

function firstValueOf(generation: number, revision: Revision): Buffer {
  return stateKey(generation, valueKey(Buffer.alloc(0), revision));
}

/** Is it the disk key of a value that lies apart? */
export function isValueKey(key: Buffer): boolean {
  return key[0] === VALUES_BYTE;
}

/** Says of the value with this disk key that no record refers to it any more. */
export function outdatedKey(key: Buffer): Buffer {
  return Buffer.concat([OUTDATED, key]);
}

export function isOutdatedKey(key: Buffer): boolean {
  return key[0] === OUTDATED_BYTE;
}

/** The disk key of the value that such a record speaks of. @throws StoreError damaged */
export function valueOfOutdated(key: Buffer, record: Buffer): Buffer {
  unseal(key, record);
  return key.subarray(OUTDATED.length);
}

/** How large the value is; 0: not known. @throws StoreError damaged */
export function bytesOfOutdated(key: Buffer, record: Buffer): number {
  return readU53(unseal(key, record).body, 0);
}

export function generationOf(key: Buffer): number {
  return key.readUInt32BE(1);
}

/** The disk key of a logical key. */
export function stateKey(generation: number, logical: Buffer): Buffer {
  const key = Buffer.allocUnsafe(PREFIX_BYTES + logical.length);
  key.write(logical[0] === KIND_VALUE ? VALUES : RECORDS, 0, 'latin1');
  key.writeUInt32BE(generation, 1);
  logical.copy(key, PREFIX_BYTES);
  return key;
}

/** The disk key of a user's key that is given as text (bytes.ts keyText). */
export function kvKey(prefix: Buffer, key: string): Buffer {
  const bytes = Buffer.allocUnsafe(PREFIX_BYTES + 1 + key.length);
  prefix.copy(bytes);
  bytes.writeUInt8(KIND_KEY, PREFIX_BYTES);
  bytes.write(key, PREFIX_BYTES + 1, 'latin1');
  return bytes;
}

/** Is it a record of what is? Else of what was, or a value that lies apart. */
export function isPresent(logical: Buffer): boolean {
  const kind = logical[0] ?? 0;
  return kind >= KIND_IDEMPOTENCY && kind <= KIND_RESULT;
}

/** The records for which isPresent holds. */
export function presentRange(generation: number): KeyRange {
  const prefix = generationPrefix(generation);
  return {
    gte: Buffer.concat([prefix, Buffer.of(KIND_IDEMPOTENCY)]),
    lt: Buffer.concat([prefix, Buffer.of(KIND_RESULT + 1)]),
  };
}

/**
 * Of the value that the key's record with this modRevision left apart: by revision first, so in the order of writing.
 */
export function valueKey(key: Uint8Array, revision: Revision): Buffer {
  const logical = Buffer.allocUnsafe(1 + U53_BYTES + key.length);
  logical.writeUInt8(KIND_VALUE, 0);
  writeU53(logical, revision, 1);
  logical.set(key, 1 + U53_BYTES);
  return logical;
}

/** The user's key in a disk key of kind k. */
export function userKey(key: Buffer): Buffer {
  return key.subarray(PREFIX_BYTES + 1);
}

export function sessionKey(session: number): Buffer {
  return numberKey('s', session);
}

export function resultsKey(session: number, block: number): Buffer {
  const key = Buffer.allocUnsafe(1 + 2 * U53_BYTES);
  key.writeUInt8(KIND_RESULTS, 0);
  writeU53(key, session, 1);
  writeU53(key, block, 1 + U53_BYTES);
  return key;
}

export function resultKey(session: number, sequence: number): Buffer {
  const key = resultsKey(session, sequence);
  key.writeUInt8(KIND_RESULT, 0);
  return key;
}

export function sessionOf(logical: Buffer): number {
  return readU53(logical, 1);
}

export function blockOf(logical: Buffer): number {
  return readU53(logical, 1 + U53_BYTES);
}

export function flushKey(flush: number): Buffer {
  return numberKey('M', flush);
}

const writer = new MsgpackWriter();

export function writeHead(out: MsgpackWriter, head: StateHead): void {
  const hasLeader = head.leader.counter > 0;
  out.array(hasLeader ? HEAD_FIELDS_WITH_LEADER : HEAD_FIELDS);
  out.uint(head.generation);
  out.uint(head.appliedThrough);
  out.uint(head.revision);
  out.uint(head.clusterMs);
  out.uint(head.runningHash.a);
  out.uint(head.runningHash.b);
  out.uint(head.contentHash.a);
  out.uint(head.contentHash.b);
  out.uint(head.keys);
  writeConfigurations(out, head.configurations);
  out.uint(head.compactRevision);
  out.uint(head.retention.keepRevisions);
  out.uint(head.retention.keepMs);
  out.uint(head.kept.compactedThrough);
  out.uint(head.kept.records);
  out.uint(head.kept.hash.a);
  out.uint(head.kept.hash.b);
  if (!hasLeader) return;
  out.uint(head.leader.counter);
  out.uint(head.leader.replicaId);
}

export function readHead(reader: MsgpackReader): StateHead {
  const fields = reader.readArrayHeader(HEAD_FIELDS_WITH_LEADER, 'state head');
  if (fields !== HEAD_FIELDS && fields !== HEAD_FIELDS_WITH_LEADER)
    reader.refuse(`a state head of ${fields} fields`);
  const generation = reader.readUint('generation', GENERATION_MAX);
  const appliedThrough = reader.readUint('appliedThrough');
  const revision = reader.readUint('revision');
  const clusterMs = reader.readUint('cluster time');
  const runningHash = readHash(reader);
  const contentHash = readHash(reader);
  const keys = reader.readUint('keys');
  const configurations = readConfigurations(reader);
  const compactRevision = reader.readUint('compact revision');
  const keepRevisions = reader.readUint('revisions to keep');
  const retention = { keepRevisions, keepMs: reader.readUint('ms to keep') };
  const compactedThrough = reader.readUint('compacted through');
  const records = reader.readUint('history records');
  const hash = readHash(reader);
  const leader = fields === HEAD_FIELDS ? NO_LEADER : readLeader(reader);
  return {
    generation,
    appliedThrough,
    revision,
    clusterMs,
    runningHash,
    contentHash,
    keys,
    configurations,
    compactRevision,
    retention,
    kept: { compactedThrough, records, hash },
    leader,
  };
}

function readLeader(reader: MsgpackReader): LeaderBallot {
  const counter = reader.readUint('counter of the leader');
  return { counter, replicaId: reader.readUint('leader') };
}

function readHash(reader: MsgpackReader): Hash64 {
  const a = reader.readUint('hash', LANE_MAX);
  return new Hash64(a, reader.readUint('hash', LANE_MAX));
}

export function sealStateHead(flush: MarkerNumber, head: StateHead): Buffer {
  writer.begin();
  writeHead(writer, head);
  return seal(STATE_HEAD_KEY, flush, writer.finish());
}

export function unsealStateHead(record: Buffer): { readonly flush: MarkerNumber; readonly head: StateHead } {
  const { marker, body } = unseal(STATE_HEAD_KEY, record);
  const head = decodeBody(STATE_HEAD_KEY, body, (bytes) => {
    const reader = new MsgpackReader(bytes);
    const read = readHead(reader);
    reader.end('state head');
    return read;
  });
  return { flush: marker, head };
}

/** The marker of a flush: how far it applied, and how many records it wrote. */
export function sealFlush(flush: MarkerNumber, appliedThrough: Slot, records: number): Buffer {
  writer.begin();
  writer.array(2);
  writer.uint(appliedThrough);
  writer.uint(records);
  return seal(flushKey(flush), flush, writer.finish());
}
