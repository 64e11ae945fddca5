/**
 * The envelope of every record of the log, and of all records of the state but the key-value ones (those carry their
 * content hash instead, kv-record.ts):
 *
 *     version (1 byte) | CRC-32 (4) | number of the marker it was written with (8) | body
 *
 * The CRC covers the key, the marker's number and the body, so that a record in another's place is noticed too.
 */
import { crc32 } from 'node:zlib';
import { asBuffer, readU53, U53_BYTES, writeU53 } from './bytes.js';
import { damaged } from './errors.js';

const VERSION = 1;
const CRC_OFFSET = 1;
const MARKER_OFFSET = 5;
const BODY_OFFSET = MARKER_OFFSET + U53_BYTES;

const SLAB_BYTES = 256 * 1024;

let slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
let slabUsed = 0;

export interface Sealed {
  readonly marker: number;
  readonly body: Buffer;
  readonly crc: number;
}

/** The record's bytes; `body` is copied. */
export function seal(key: Buffer, marker: number, body: Uint8Array): Buffer {
  const record = allocate(BODY_OFFSET + body.length);
  record.writeUInt8(VERSION, 0);
  writeU53(record, marker, MARKER_OFFSET);
  record.set(body, BODY_OFFSET);
  record.writeUInt32BE(checksum(key, record), CRC_OFFSET);
  return record;
}

/** As seal, of a body that is a number before `body`. */
export function sealNumbered(key: Buffer, marker: number, number: number, body: Uint8Array): Buffer {
  const record = allocate(BODY_OFFSET + U53_BYTES + body.length);
  record.writeUInt8(VERSION, 0);
  writeU53(record, marker, MARKER_OFFSET);
  writeU53(record, number, BODY_OFFSET);
  record.set(body, BODY_OFFSET + U53_BYTES);
  record.writeUInt32BE(checksum(key, record), CRC_OFFSET);
  return record;
}

/** @throws StoreError damaged */
export function unseal(key: Buffer, record: Buffer): Sealed {
  if (record.length < BODY_OFFSET) throw damaged(`record ${nameOf(key)} is cut short`);
  const crc = sealedCrc(record);
  if (crc !== checksum(key, record)) throw damaged(`record ${nameOf(key)} fails its checksum`);
  const version = record.readUInt8(0);
  if (version !== VERSION) throw damaged(`record ${nameOf(key)} has format ${version}`);
  return { marker: readU53(record, MARKER_OFFSET), body: record.subarray(BODY_OFFSET), crc };
}

/** The CRC that a sealed record carries. */
export function sealedCrc(record: Buffer): number {
  return record.readUInt32BE(CRC_OFFSET);
}

/** Decodes a body; whatever the decoder refuses is damage. */
export function decodeBody<T>(key: Buffer, body: Uint8Array, decode: (bytes: Uint8Array) => T): T {
  try {
    return decode(body);
  } catch (error) {
    throw damaged(
      `record ${nameOf(key)} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** A key for people: its printable start, or hex. */
export function nameOf(key: Uint8Array): string {
  const buffer = asBuffer(key);
  const text = buffer.toString('latin1', 0, Math.min(buffer.length, 40));
  return /^[\x20-\x7e]+$/.test(text)
    ? `'${text}'`
    : `0x${buffer.toString('hex', 0, Math.min(buffer.length, 40))}`;
}

/** Records are on their way to the disk and soon gone: many share one allocation. What was handed out is not reused. */
function allocate(bytes: number): Buffer {
  if (bytes > SLAB_BYTES / 8) return Buffer.allocUnsafe(bytes);
  if (slabUsed + bytes > SLAB_BYTES) {
    slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    slabUsed = 0;
  }
  slabUsed += bytes;
  return slab.subarray(slabUsed - bytes, slabUsed);
}

function checksum(key: Buffer, record: Buffer): number {
  return crc32(record.subarray(MARKER_OFFSET), crc32(key));
}
