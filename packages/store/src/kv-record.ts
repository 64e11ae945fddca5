/**
 * The record of a key, in memory and on disk the same bytes:
 *
 *     version (1) | hash (8) | createRevision (8) | modRevision (8) | version (8) | lease (8) | value
 *
 * The hash covers key, numbers and value. It is this record's part of the content hash, and its checksum on disk: it is
 * made of CRC-32s, so every burst of flipped bits up to 32 in key or value is noticed.
 */
import type { Entry, LeaseId } from '@kvd/protocol';
import { crc32 } from 'node:zlib';
import { readU53, writeU53 } from './bytes.js';
import { mixA, mixB } from './content-hash.js';
import { damaged } from './errors.js';
import { nameOf } from './sealed.js';

const FORMAT = 1;
const HASH_A = 1;
const HASH_B = 5;
const CREATE = 9;
const MOD = 17;
const VERSION = 25;
const LEASE = 33;
const VALUE = 41;
const NO_VALUE = new Uint8Array(0);

/** A record's bytes. Never changed once made. */
export type KvRecord = Buffer;

/** The record after a put at `revision`; `before` is what the key had. */
export function putRecord(
  key: Uint8Array,
  value: Uint8Array,
  revision: number,
  before: KvRecord | null,
  lease: LeaseId = 0,
): KvRecord {
  const record = Buffer.allocUnsafe(VALUE + value.length);
  record.writeUInt8(FORMAT, 0);
  writeU53(record, before === null ? revision : readU53(before, CREATE), CREATE);
  writeU53(record, revision, MOD);
  writeU53(record, before === null ? 1 : readU53(before, VERSION) + 1, VERSION);
  writeU53(record, lease, LEASE);
  record.set(value, VALUE);
  writeHash(record, crc32(key), crc32(value));
  return record;
}

export const hashA = (record: KvRecord): number => record.readUInt32BE(HASH_A);
export const hashB = (record: KvRecord): number => record.readUInt32BE(HASH_B);

export function entryOf(key: Uint8Array, record: KvRecord, keysOnly = false): Entry {
  return {
    key,
    value: keysOnly ? NO_VALUE : record.subarray(VALUE),
    createRevision: readU53(record, CREATE),
    modRevision: readU53(record, MOD),
    version: readU53(record, VERSION),
    lease: readU53(record, LEASE),
  };
}

export const modRevisionOf = (record: KvRecord): number => readU53(record, MOD);
export const leaseOf = (record: KvRecord): LeaseId => readU53(record, LEASE);
export const valueOf = (record: KvRecord): Buffer => record.subarray(VALUE);

/**
 * The record as read from disk or a snapshot.
 * @throws StoreError damaged
 */
export function checkRecord(key: Uint8Array, record: Buffer): KvRecord {
  if (record.length < VALUE || record.readUInt8(0) !== FORMAT)
    throw damaged(`the record of ${nameOf(key)} is no record`);
  const a = hashA(record);
  const b = hashB(record);
  writeHash(scratch(record), crc32(key), crc32(record.subarray(VALUE)));
  if (hashA(SCRATCH) !== a || hashB(SCRATCH) !== b)
    throw damaged(`the record of ${nameOf(key)} fails its checksum`);
  return record;
}

const SCRATCH = Buffer.alloc(VALUE);

function scratch(record: Buffer): Buffer {
  record.copy(SCRATCH, 0, 0, VALUE);
  return SCRATCH;
}

/** Hashes the numbers in `record` with the checksums of key and value, and writes the result into it. */
function writeHash(record: Buffer, keyCrc: number, valueCrc: number): void {
  let a = mixA(keyCrc, valueCrc);
  let b = mixB(valueCrc, keyCrc);
  for (let offset = CREATE; offset < VALUE; offset += 4) {
    const word = record.readUInt32BE(offset);
    a = mixA(a, word);
    b = mixB(b, word);
  }
  record.writeUInt32BE(a >>> 0, HASH_A);
  record.writeUInt32BE(b >>> 0, HASH_B);
}
