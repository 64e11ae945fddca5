/**
 * The record of a key. A small value is in it:
 *
 *     1 | hash (8) | createRevision (8) | modRevision (8) | version (8) | lease (8) | value
 *
 * A large one lies apart on disk, under a key of its own (state-records.ts), so that it is written once, however often the
 * record is: as the key's present record, and then as a version of the past. What it leaves behind is a **stub**. In
 * memory stub and value are one behind the other, the same bytes:
 *
 *     2 | hash .. lease, as above | length of the value (4) |  1 | check of the value (4)   | value
 *     `------------------------------ stub ------------------------------------------------'
 *                                                              `-------- the value's record ----'
 *
 * The check is the value's CRC-32, mixed with its length. The hash covers key, numbers and value. It is this record's part of the content hash, the same whichever way the value
 * is kept, and its checksum on disk: it is made of CRC-32s, so every burst of flipped bits up to 32 in key or value is
 * noticed.
 */
import type { Entry, LeaseId } from '@kvd/protocol';
import { crc32 } from 'node:zlib';
import { readU53, writeU53 } from './bytes.js';
import { mixA, mixB } from './content-hash.js';
import { damaged } from './errors.js';
import { nameOf } from './sealed.js';

const INLINE = 1;
const APART = 2;
const HASH_A = 1;
const HASH_B = 5;
const CREATE = 9;
const MOD = 17;
const VERSION = 25;
const LEASE = 33;
const VALUE = 41;
const LENGTH = 41;
/** In a record whose value lies apart: where the value's own record begins, and the value. */
const VALUE_RECORD = 45;
const VALUE_FORMAT = 1;
const CHECK = 46;
const STUB_BYTES = 50;
const NO_VALUE = new Uint8Array(0);

/**
 * Values of so many bytes or more lie apart. Below, a look-up more for each read from disk would cost more than the copy.
 */
export const DEFAULT_APART_BYTES = 512;

/** A record's bytes. Never changed once made. */
export type KvRecord = Buffer;

export interface PutNumbers {
  readonly revision: number;
  readonly lease: LeaseId;
  /** As DEFAULT_APART_BYTES; at least 1. */
  readonly apartBytes: number;
}

/** The record after a put; `before` is what the key had. */
export function putRecord(
  key: Uint8Array,
  value: Uint8Array,
  before: KvRecord | null,
  { revision, lease, apartBytes }: PutNumbers,
): KvRecord {
  const isApart = value.length >= apartBytes;
  const start = isApart ? STUB_BYTES : VALUE;
  const record = Buffer.allocUnsafe(start + value.length);
  record.writeUInt8(isApart ? APART : INLINE, 0);
  writeU53(record, before === null ? revision : readU53(before, CREATE), CREATE);
  writeU53(record, revision, MOD);
  writeU53(record, before === null ? 1 : readU53(before, VERSION) + 1, VERSION);
  writeU53(record, lease, LEASE);
  record.set(value, start);
  const crc = crc32(value);
  if (isApart) {
    record.writeUInt32BE(value.length, LENGTH);
    record.writeUInt8(VALUE_FORMAT, VALUE_RECORD);
    record.writeUInt32BE(mixed(crc, value.length), CHECK);
  }
  writeHash(record, crc32(key), crc);
  return record;
}

export const hashA = (record: KvRecord): number => record.readUInt32BE(HASH_A);
export const hashB = (record: KvRecord): number => record.readUInt32BE(HASH_B);

/** `record` with its value, unless `keysOnly`. */
export function entryOf(key: Uint8Array, record: KvRecord, keysOnly = false): Entry {
  return {
    key,
    value: keysOnly ? NO_VALUE : valueOf(record),
    createRevision: readU53(record, CREATE),
    modRevision: readU53(record, MOD),
    version: readU53(record, VERSION),
    lease: readU53(record, LEASE),
  };
}

export const modRevisionOf = (record: KvRecord): number => readU53(record, MOD);
export const leaseOf = (record: KvRecord): LeaseId => readU53(record, LEASE);
/** Not of a stub. */
export const valueOf = (record: KvRecord): Buffer => record.subarray(isApart(record) ? STUB_BYTES : VALUE);

/** Of record and value, wherever the value lies: the same on all replicas. */
export function sizeOf(record: KvRecord): number {
  return isApart(record) ? VALUE + record.readUInt32BE(LENGTH) : record.length;
}

/** Has it a value that lies apart on disk? */
export const isApart = (record: KvRecord): boolean => record[0] === APART;

/** Is the value missing, to be read from where it lies? */
export const isStub = (record: KvRecord): boolean => isApart(record) && record.length === STUB_BYTES;

/** What of the record is written where the record is. The bytes are shared. */
export const storedOf = (record: KvRecord): KvRecord =>
  isApart(record) ? record.subarray(0, STUB_BYTES) : record;

/** Of a record whose value lies apart: the value's own record. The bytes are shared. */
export const valueRecordOf = (record: KvRecord): Buffer => record.subarray(VALUE_RECORD);

/** The check in a value's record, or in the stub that belongs to it. */
export const checkOfValueRecord = (record: Buffer): number => record.readUInt32BE(CHECK - VALUE_RECORD);
export const checkOfStub = (stub: KvRecord): number => stub.readUInt32BE(CHECK);

/** A check of a CRC-32 and a length; of a check and a length, the CRC-32. */
const mixed = (crcOrCheck: number, length: number): number =>
  (crcOrCheck ^ Math.imul(length, 0x9e3779b1)) >>> 0;

/** Is this the record of a value, whole? @throws StoreError damaged */
export function checkValueRecord(name: Uint8Array, record: Buffer): void {
  const start = STUB_BYTES - VALUE_RECORD;
  const isOne = record.length >= start && record.readUInt8(0) === VALUE_FORMAT;
  const value = record.subarray(start);
  if (!isOne || mixed(crc32(value), value.length) !== checkOfValueRecord(record))
    throw damaged(`the value ${nameOf(name)} fails its checksum`);
}

/** Stub and value together. @throws StoreError damaged: the value is not the stub's */
export function joinRecord(key: Uint8Array, stub: KvRecord, valueRecord: Buffer): KvRecord {
  checkValueRecord(key, valueRecord);
  if (checkOfValueRecord(valueRecord) !== checkOfStub(stub))
    throw damaged(`the value of ${nameOf(key)} is another one's`);
  return Buffer.concat([stub.subarray(0, VALUE_RECORD), valueRecord]);
}

/** The same record with its value in it. */
export function inlineRecord(record: KvRecord): KvRecord {
  if (!isApart(record)) return record;
  const inline = Buffer.concat([record.subarray(0, VALUE), valueOf(record)]);
  inline.writeUInt8(INLINE, 0);
  return inline;
}

/**
 * The record as read from disk or a snapshot: with its value, or a stub.
 * @throws StoreError damaged
 */
export function checkRecord(key: Uint8Array, record: Buffer): KvRecord {
  const isRecord = record.length >= VALUE && (record.readUInt8(0) === INLINE || isStub(record));
  if (!isRecord) throw damaged(`the record of ${nameOf(key)} is no record`);
  const a = hashA(record);
  const b = hashB(record);
  const valueCrc = isStub(record)
    ? mixed(checkOfStub(record), record.readUInt32BE(LENGTH))
    : crc32(record.subarray(VALUE));
  writeHash(scratch(record), crc32(key), valueCrc);
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
