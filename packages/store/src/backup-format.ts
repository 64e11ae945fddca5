/**
 * The bytes of a backup file (docs/BACKUP.md), format 1:
 *
 *     magic (11): "kvd backup\n"
 *     block, block, …:
 *         kind (1) | length of the body (4) | CRC-32 of kind, length and body (4) | body
 *
 *     kind 1, first        header, MessagePack: [1, cluster id, replica id, wall ms, compact revision, state head]
 *     kind 2, any number   records: a part of the stream of a snapshot (snapshot.ts), between two of its items
 *     kind 3, last         trailer: records (8) | keys (8) | SHA-256 of everything before this block (32)
 *
 * Numbers are big-endian. The state's records are as on disk, so each carries a checksum of its own; the history is left
 * out, so that the head in the header says that nothing below its revision can be read. A block's CRC makes damage known
 * before its length or its body is believed, the trailer's hash makes known a block that is missing, doubled or of
 * another file; and the content hash in the head is compared with that of the records.
 */
import type { ClusterId, ReplicaId } from '@kvd/paxos';
import { MsgpackReader, MsgpackWriter, type Revision } from '@kvd/protocol';
import { crc32 } from 'node:zlib';
import { asBuffer, readU53, U53_BYTES, writeU53 } from './bytes.js';
import { BackupError } from './backup-errors.js';
import { readHead, type StateHead, writeHead } from './state-records.js';

export const BACKUP_MAGIC = Buffer.from('kvd backup\n');
export const BACKUP_FORMAT = 1;

export const BLOCK_HEADER_BYTES = 9;
/** Records are cut into blocks of about a page; a single record is smaller than this by far. */
export const BLOCK_BYTES_MAX = 16 * 1024 * 1024;
export const SHA256_BYTES = 32;
const TRAILER_BYTES = 2 * U53_BYTES + SHA256_BYTES;
const CRC_OFFSET = 5;
const HEADER_FIELDS = 6;
const ID_BYTES = 16;

export type BlockKind = 'header' | 'records' | 'trailer';
const KINDS: readonly BlockKind[] = ['header', 'records', 'trailer'];

/** Who took it, when, of what. */
export interface BackupHeader {
  readonly clusterId: ClusterId;
  /** The replica that it was taken from. */
  readonly replicaId: ReplicaId;
  /** The wall clock of that replica's machine. */
  readonly wallMs: number;
  /** What the cluster could still read when it was taken; the backup itself has no history. */
  readonly compactRevision: Revision;
  /** Slot, revision, hashes, keys, configurations and retention, without the history. */
  readonly head: StateHead;
}

export interface BackupTrailer {
  readonly records: number;
  readonly keys: number;
  /** Of every byte before the trailer. */
  readonly sha256: Buffer;
}

export interface Block {
  readonly kind: BlockKind;
  readonly body: Buffer;
}

const writer = new MsgpackWriter();

export function encodeBlock(kind: BlockKind, body: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(BLOCK_HEADER_BYTES + body.length);
  bytes.writeUInt8(KINDS.indexOf(kind) + 1, 0);
  bytes.writeUInt32BE(body.length, 1);
  bytes.set(body, BLOCK_HEADER_BYTES);
  bytes.writeUInt32BE(blockCrc(bytes, body), CRC_OFFSET);
  return bytes;
}

/**
 * The length of the block that begins here, if its header is whole; null: more bytes are needed.
 * @throws BackupError damaged
 */
export function blockLength(bytes: Buffer): number | null {
  if (bytes.length < BLOCK_HEADER_BYTES) return null;
  const length = bytes.readUInt32BE(1);
  if (length > BLOCK_BYTES_MAX) throw damagedBackup(`a block of ${length} bytes`);
  return BLOCK_HEADER_BYTES + length;
}

/** @throws BackupError damaged */
export function decodeBlock(block: Buffer): Block {
  const body = block.subarray(BLOCK_HEADER_BYTES);
  if (block.readUInt32BE(CRC_OFFSET) !== blockCrc(block, body))
    throw damagedBackup('a block fails its checksum');
  const kind = KINDS[block.readUInt8(0) - 1];
  if (kind === undefined) throw damagedBackup('a block of no known kind');
  return { kind, body };
}

export function encodeBackupHeader(header: BackupHeader): Uint8Array {
  writer.begin();
  writer.array(HEADER_FIELDS);
  writer.uint(BACKUP_FORMAT);
  writer.bin(Buffer.from(header.clusterId, 'hex'));
  writer.uint(header.replicaId);
  writer.uint(header.wallMs);
  writer.uint(header.compactRevision);
  writeHead(writer, header.head);
  return writer.finish();
}

/** @throws BackupError damaged, newer-format */
export function decodeBackupHeader(body: Buffer): BackupHeader {
  const reader = new MsgpackReader(body);
  try {
    const fields = reader.readArrayHeader(HEADER_FIELDS * 4, 'backup header');
    const format = reader.readUint('format');
    // The block's checksum was right: this is not damage.
    if (format !== BACKUP_FORMAT || fields !== HEADER_FIELDS) {
      const message = `the backup has format ${format}, this program reads format ${BACKUP_FORMAT}`;
      throw new BackupError('newer-format', message);
    }
    const clusterId = asBuffer(reader.readBin('cluster id', ID_BYTES)).toString('hex');
    const replicaId = reader.readUint('replica id');
    const wallMs = reader.readUint('wall time');
    const compactRevision = reader.readUint('compact revision');
    const head = readHead(reader);
    reader.end('backup header');
    return { clusterId, replicaId, wallMs, compactRevision, head };
  } catch (error) {
    if (error instanceof BackupError) throw error;
    throw damagedBackup(error instanceof Error ? error.message : String(error));
  }
}

export function encodeTrailer({ records, keys, sha256 }: BackupTrailer): Buffer {
  const body = Buffer.alloc(TRAILER_BYTES);
  writeU53(body, records, 0);
  writeU53(body, keys, U53_BYTES);
  sha256.copy(body, 2 * U53_BYTES);
  return body;
}

/** @throws BackupError damaged */
export function decodeTrailer(body: Buffer): BackupTrailer {
  if (body.length !== TRAILER_BYTES) throw damagedBackup('the trailer has another length');
  return {
    records: readU53(body, 0),
    keys: readU53(body, U53_BYTES),
    sha256: body.subarray(2 * U53_BYTES),
  };
}

export function damagedBackup(message: string): BackupError {
  return new BackupError('damaged', `the backup is damaged: ${message}`);
}

function blockCrc(block: Buffer, body: Uint8Array): number {
  return crc32(body, crc32(block.subarray(0, CRC_OFFSET)));
}
