/**
 * Values that lie apart (kv-record.ts): how they are written, found and counted.
 *
 * A value is written by the flush that first writes its record, present or already of the past, and removed with that
 * record's version by the compaction. So on disk every stub has its value, every value one stub, and a flush knows by the
 * revision alone whether a value is there already: everything at or below the revision that was flushed last is.
 */
import type { Revision } from '@kvd/protocol';
import type { Done } from '@kvd/replica';
import { crc32 } from 'node:zlib';
import { keyBytes } from './bytes.js';
import { Hash64, mixA, mixB } from './content-hash.js';
import { asStoreError, damaged } from './errors.js';
import {
  checkOfStub,
  checkOfValueRecord,
  checkValueRecord,
  isApart,
  isStub,
  joinRecord,
  type KvRecord,
  modRevisionOf,
  sizeOf,
  valueRecordOf,
} from './kv-record.js';
import { RANGE_PAGE_BYTES, type RangeReader, type StoreOp } from './ordered-store.js';
import { nameOf } from './sealed.js';
import { stateKey, valueKey } from './state-records.js';

/**
 * Has the record a value that lies apart, and that no flush has written? `flushed`: the revision that is on disk. A stub has
 * not: its value was left on disk.
 */
export const hasNewValue = (record: KvRecord, flushed: Revision): boolean =>
  isApart(record) && modRevisionOf(record) > flushed;

/** Writes the value of a record that lies apart; on a logical key. `key` as text. */
export function valueOp(key: string, record: KvRecord): StoreOp {
  return { key: valueKey(keyBytes(key), modRevisionOf(record)), value: valueRecordOf(record) };
}

/** The record with its value. `read`: by logical key. @throws StoreError damaged: it is not there, or not whole */
export function completed(
  key: Uint8Array,
  record: KvRecord,
  read: (logical: Buffer) => Buffer | undefined,
): KvRecord {
  if (!isStub(record)) return record;
  const valueRecord = read(valueKey(key, modRevisionOf(record)));
  if (valueRecord === undefined) throw damaged(`the value of ${nameOf(key)} is missing`);
  return joinRecord(key, record, valueRecord);
}

/**
 * The same records with their values, as the reader sees them: read in pages of bounded size, each in a turn of its own.
 * Calls back at once where none lies apart. Errors: StoreError damaged, or what the disk says.
 */
export function completeAll(
  reader: RangeReader,
  generation: number,
  records: readonly (readonly [key: Uint8Array, record: KvRecord])[],
  done: Done<readonly KvRecord[]>,
): void {
  const whole = records.map(([, record]) => record);
  const readFrom = (start: number): void => {
    const page: number[] = [];
    let bytes = 0;
    let next = start;
    for (; next < whole.length && bytes < RANGE_PAGE_BYTES; next += 1) {
      const record = whole[next] as KvRecord;
      if (!isStub(record)) continue;
      page.push(next);
      bytes += sizeOf(record);
    }
    if (page.length === 0) return done(null, whole);
    const keyOf = (i: number): Uint8Array => records[i]?.[0] as Uint8Array;
    const diskKeys = page.map((i) =>
      stateKey(generation, valueKey(keyOf(i), modRevisionOf(whole[i] as KvRecord))),
    );
    reader.getMany(diskKeys, (error, found) => {
      let failure = error;
      try {
        if (failure === null)
          for (const [at, i] of page.entries())
            whole[i] = completed(keyOf(i), whole[i] as KvRecord, () => found[at]);
      } catch (thrown) {
        failure = asStoreError(thrown);
      }
      if (failure !== null) done(failure, []);
      else readFrom(next);
    });
  };
  readFrom(0);
}

/**
 * Do values and stubs belong together? Each stub adds to a sum what its value takes away again, in whatever order they
 * come.
 */
export class ValueBalance {
  private readonly sum = new Hash64();
  private stubs = 0;
  private values = 0;

  addRecord(key: Uint8Array, record: KvRecord): void {
    if (!isStub(record)) return;
    this.stubs += 1;
    const { a, b } = ofValue(valueKey(key, modRevisionOf(record)), checkOfStub(record));
    this.sum.add(a, b);
  }

  /** @throws StoreError damaged */
  addValue(logical: Buffer, record: Buffer): void {
    checkValueRecord(logical, record);
    this.values += 1;
    const { a, b } = ofValue(logical, checkOfValueRecord(record));
    this.sum.subtract(a, b);
  }

  /** @throws StoreError damaged */
  check(): void {
    if (this.stubs !== this.values || !this.sum.equals(new Hash64()))
      throw damaged(`${this.stubs} records have their values apart, ${this.values} values are there`);
  }
}

function ofValue(logical: Buffer, crc: number): Hash64 {
  const name = crc32(logical);
  return new Hash64(mixA(name, crc) >>> 0, mixB(crc, name) >>> 0);
}
