/**
 * Snapshots: the state after a slot as a stream of chunks, and its way back onto a disk (S10). A stream is
 *
 *     1 | length (4) | head                                          first
 *     2 | key length (2) | record length (4) | key | record          each record, by logical key, values that lie apart last
 *     3 | number of records (8)                                      last
 *
 * and chunks are cut between these. Records are as on disk, so their checksums travel with them; the head has the
 * content hash of the whole.
 *
 * A stream of the **present** alone, for a backup, has no history, and all values in their records.
 */
import type { ConfigurationAt, Slot } from '@kvd/paxos';
import { MsgpackReader, MsgpackWriter, PAGE_BYTES_MAX } from '@kvd/protocol';
import type { Done, SnapshotReader } from '@kvd/replica';
import { asBuffer, readU53, U53_BYTES, writeU53 } from './bytes.js';
import { asStoreError, damaged } from './errors.js';
import { inlineRecord, isStub, type KvRecord, sizeOf } from './kv-record.js';
import type { KeyRange, OrderedStore, Pair, RangeReader } from './ordered-store.js';
import { consistentRange, StateRecords } from './state-loader.js';
import {
  KIND_KEY,
  PREFIX_BYTES,
  presentRange,
  readHead,
  type StateHead,
  writeHead,
} from './state-records.js';
import { completeAll } from './values-apart.js';

const HEAD = 1;
const RECORD = 2;
const END = 3;
const RECORD_HEADER_BYTES = 7;
const READ_AHEAD_PAIRS = 512;

export type SnapshotItem =
  | { readonly type: 'head'; readonly head: StateHead }
  | { readonly type: 'record'; readonly key: Buffer; readonly record: Buffer }
  | { readonly type: 'end'; readonly records: number };

/** What a snapshot is to have of the state. */
export type SnapshotExtent = 'all' | 'present';

const writer = new MsgpackWriter();

/**
 * Reads what the disk holds now; later flushes do not show in it. Every record is checked, and the whole before its end
 * is said: damage is to be noticed here, by whoever can be rebuilt from others, and not only where it arrives.
 */
export class StateSnapshot implements SnapshotReader {
  readonly slot: Slot;
  readonly configurations: readonly ConfigurationAt[];
  private readonly store: OrderedStore;
  private readonly reader: RangeReader;
  readonly head: StateHead;
  private pending: readonly Pair[] = [];
  private position = 0;
  private readonly records = new StateRecords();
  private count = 0;
  private stage: 'head' | 'records' | 'through' = 'head';

  constructor(
    store: OrderedStore,
    private readonly extent: SnapshotExtent,
  ) {
    const present = ({ generation }: StateHead): KeyRange[] => [presentRange(generation)];
    const { head, reader } = consistentRange(store, extent === 'present' ? present : undefined);
    this.store = store;
    this.head = head;
    this.reader = reader;
    this.slot = head.appliedThrough;
    this.configurations = head.configurations;
  }

  next(bytesMax: number, done: Done<Uint8Array | null>): void {
    if (this.stage === 'through') {
      this.store.defer(() => done(null, null));
      return;
    }
    const parts: Buffer[] = [];
    if (this.stage === 'head') {
      parts.push(encodeHead(this.head));
      this.stage = 'records';
    }
    this.fill(parts, Math.min(bytesMax, PAGE_BYTES_MAX), 0, done);
  }

  close(): void {
    this.stage = 'through';
    this.reader.close();
  }

  /** As the store does it: never before the call returned. */
  defer(task: () => void): void {
    this.store.defer(task);
  }

  private fill(parts: Buffer[], bytesMax: number, bytes: number, done: Done<Uint8Array | null>): void {
    const taken: Pair[] = [];
    let size = bytes;
    for (; this.position < this.pending.length && size < bytesMax; this.position += 1) {
      const [diskKey, record] = this.pending[this.position] as Pair;
      const logical = diskKey.subarray(PREFIX_BYTES);
      try {
        this.records.add(logical, record);
      } catch (error) {
        return this.fail(error, done);
      }
      size += RECORD_HEADER_BYTES + logical.length + this.bytesSent(logical, record);
      taken.push([logical, record]);
    }
    this.count += taken.length;
    this.encode(taken, (error, encoded) => {
      if (error !== null) return this.fail(error, done);
      parts.push(...encoded);
      if (size >= bytesMax) this.store.defer(() => done(null, Buffer.concat(parts)));
      else this.readOn(parts, bytesMax, size, done);
    });
  }

  private readOn(parts: Buffer[], bytesMax: number, bytes: number, done: Done<Uint8Array | null>): void {
    this.reader.next(READ_AHEAD_PAIRS, (error, pairs) => {
      if (error !== null) return done(error, null);
      this.pending = pairs;
      this.position = 0;
      if (pairs.length > 0) return this.fill(parts, bytesMax, bytes, done);
      try {
        if (this.extent === 'all') this.records.check(this.head);
        else this.records.checkPresent(this.head);
      } catch (thrown) {
        return this.fail(thrown, done);
      }
      this.close();
      parts.push(encodeEnd(this.count));
      done(null, Buffer.concat(parts));
    });
  }

  private bytesSent(logical: Buffer, record: Buffer): number {
    return this.extent === 'present' && logical[0] === KIND_KEY ? sizeOf(record) : record.length;
  }

  /** As they are sent; of the present with all values in their records. */
  private encode(taken: readonly Pair[], done: Done<readonly Buffer[]>): void {
    const isApart = ([logical, record]: Pair): boolean =>
      this.extent === 'present' && logical[0] === KIND_KEY && isStub(record);
    const stubs = taken.filter(isApart).map(([logical, record]) => [logical.subarray(1), record] as const);
    completeAll(this.reader, this.head.generation, stubs, (error, whole) => {
      if (error !== null) return done(error, []);
      const rest = whole.values();
      const sent = (pair: Pair): Buffer =>
        isApart(pair) ? inlineRecord(rest.next().value as KvRecord) : pair[1];
      done(
        null,
        taken.map((pair) => encodeRecord(pair[0], sent(pair))),
      );
    });
  }

  private fail(error: unknown, done: Done<Uint8Array | null>): void {
    this.close();
    this.store.defer(() => done(asStoreError(error), null));
  }
}

/** The items of a chunk. @throws StoreError damaged, or KvdError on a head that cannot be read */
export function decodeChunk(chunk: Uint8Array): SnapshotItem[] {
  const bytes = asBuffer(chunk);
  const items: SnapshotItem[] = [];
  let at = 0;
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw damaged('a snapshot chunk is cut short');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    switch (take(1).readUInt8(0)) {
      case HEAD: {
        const reader = new MsgpackReader(take(take(4).readUInt32BE()));
        const head = readHead(reader);
        reader.end('snapshot head');
        items.push({ type: 'head', head });
        break;
      }
      case RECORD: {
        const keyLength = take(2).readUInt16BE();
        const recordLength = take(4).readUInt32BE();
        items.push({ type: 'record', key: take(keyLength), record: take(recordLength) });
        break;
      }
      case END:
        items.push({ type: 'end', records: readU53(take(U53_BYTES), 0) });
        break;
      default:
        throw damaged('a snapshot chunk has an item of no known type');
    }
  }
  return items;
}

/** The bytes of an item, as decodeChunk reads them. */
export function encodeItem(item: SnapshotItem): Buffer {
  switch (item.type) {
    case 'head':
      return encodeHead(item.head);
    case 'record':
      return encodeRecord(item.key, item.record);
    case 'end':
      return encodeEnd(item.records);
  }
}

function encodeHead(head: StateHead): Buffer {
  writer.begin();
  writeHead(writer, head);
  const body = writer.finish();
  const bytes = Buffer.alloc(5);
  bytes.writeUInt8(HEAD, 0);
  bytes.writeUInt32BE(body.length, 1);
  return Buffer.concat([bytes, body]);
}

function encodeRecord(logical: Buffer, record: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(RECORD_HEADER_BYTES + logical.length + record.length);
  bytes.writeUInt8(RECORD, 0);
  bytes.writeUInt16BE(logical.length, 1);
  bytes.writeUInt32BE(record.length, 3);
  logical.copy(bytes, RECORD_HEADER_BYTES);
  record.copy(bytes, RECORD_HEADER_BYTES + logical.length);
  return bytes;
}

function encodeEnd(records: number): Buffer {
  const bytes = Buffer.alloc(1 + U53_BYTES);
  bytes.writeUInt8(END, 0);
  writeU53(bytes, records, 1);
  return bytes;
}
