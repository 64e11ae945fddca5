/**
 * Results kept under Idempotency-Keys (DESIGN 7), for IDEMPOTENCY_TTL_MS of cluster time after the request. Part of the
 * state, all of it in memory. An error is never kept: it changed nothing, so the key is free for another try.
 */
import {
  type ClusterMs,
  type CommandResult,
  decodeResult,
  encodeResult,
  IDEMPOTENCY_KEYS_MAX,
  IDEMPOTENCY_TTL_MS,
  MsgpackReader,
  MsgpackWriter,
  resultBytesHint,
  TXN_KEPT_RESULT_BYTES_MAX,
} from '@kvd/protocol';
import { createHash } from 'node:crypto';
import { keyBytes, keyText } from './bytes.js';
import { Hash64, recordHash } from './content-hash.js';
import { damaged } from './errors.js';
import type { StoreOp } from './ordered-store.js';
import { decodeBody, seal, unseal } from './sealed.js';
import { KIND_IDEMPOTENCY } from './state-records.js';

const DIGEST_BYTES = 16;
/** An encoded result: that of a transaction with its overhead. */
const KEPT_RESULT_BYTES_MAX = 2 * TXN_KEPT_RESULT_BYTES_MAX;
/** Of the results of transactions together; while there are more, another key is refused as overloaded. */
const LARGE_BYTES_MAX = 64 * 1024 * 1024;
/** Stands for the digest of every command. */
const ANY_COMMAND = '0'.repeat(2 * DIGEST_BYTES);

interface Kept {
  readonly createdMs: ClusterMs;
  readonly digest: string;
  readonly result: CommandResult;
}

const writer = new MsgpackWriter();

export class IdempotencyTable {
  /** The table's part of the content hash. */
  readonly hash = new Hash64();
  /** In the order of creation, which is that of expiry. Keys as text. */
  private readonly kept = new Map<string, Kept>();
  private readonly dirty = new Set<string>();
  private largeBytes = 0;

  get size(): number {
    return this.kept.size;
  }

  get dirtySize(): number {
    return this.dirty.size;
  }

  get isFull(): boolean {
    return this.kept.size >= IDEMPOTENCY_KEYS_MAX || this.largeBytes >= LARGE_BYTES_MAX;
  }

  /** The result of the same command under this key, `conflict` for another command, undefined for a new key. */
  find(key: Uint8Array, command: Uint8Array): CommandResult | 'conflict' | undefined {
    const kept = this.kept.get(keyText(key));
    if (kept === undefined) return undefined;
    return kept.digest === ANY_COMMAND || kept.digest === digestOf(command) ? kept.result : 'conflict';
  }

  /** The result under this key, whatever the command was. */
  resultOf(key: Uint8Array): CommandResult | undefined {
    return this.kept.get(keyText(key))?.result;
  }

  /** Keep `result` for every command that comes under this key. */
  fence(key: Uint8Array, result: CommandResult, now: ClusterMs): void {
    this.add(key, { createdMs: now, digest: ANY_COMMAND, result });
  }

  keep(key: Uint8Array, command: Uint8Array, result: CommandResult, now: ClusterMs): void {
    this.add(key, { createdMs: now, digest: digestOf(command), result });
  }

  private add(key: Uint8Array, kept: Kept): void {
    const text = keyText(key);
    const before = this.kept.get(text);
    if (before !== undefined) this.remove(text, before);
    this.kept.set(text, kept);
    this.largeBytes += resultBytesHint(kept.result);
    this.dirty.add(text);
    const hash = hashOf(text, kept);
    this.hash.add(hash.a, hash.b);
  }

  expire(now: ClusterMs): void {
    for (const [key, kept] of this.kept) {
      if (now - kept.createdMs < IDEMPOTENCY_TTL_MS) return;
      this.remove(key, kept);
    }
  }

  private remove(key: string, kept: Kept): void {
    this.kept.delete(key);
    this.largeBytes -= resultBytesHint(kept.result);
    this.dirty.add(key);
    const hash = hashOf(key, kept);
    this.hash.subtract(hash.a, hash.b);
  }

  /** What changed since the last call, as operations on logical keys, sealed with `flush`. */
  takeChanges(flush: number): StoreOp[] {
    const ops: StoreOp[] = [];
    for (const text of this.dirty) {
      const key = logicalKey(text);
      const kept = this.kept.get(text);
      ops.push({ key, value: kept === undefined ? null : seal(key, flush, encodeKept(kept)) });
    }
    this.dirty.clear();
    return ops;
  }

  /** One record, as read. @throws StoreError damaged */
  load(logical: Buffer, record: Buffer): void {
    const { body } = unseal(logical, record);
    // Not isFull: the last key taken may end above LARGE_BYTES_MAX, and its record may be read before others.
    if (this.kept.size >= IDEMPOTENCY_KEYS_MAX) throw damaged('too many idempotency keys');
    const kept = decodeBody(logical, body, decodeKept);
    const text = keyText(logical.subarray(1));
    this.kept.set(text, kept);
    this.largeBytes += resultBytesHint(kept.result);
    const hash = hashOf(text, kept);
    this.hash.add(hash.a, hash.b);
  }

  /** After the last record was loaded: puts them in the order in which they expire. */
  loaded(): void {
    const all = [...this.kept].sort(([a, x], [b, y]) => x.createdMs - y.createdMs || (a < b ? -1 : 1));
    this.kept.clear();
    for (const [key, kept] of all) this.kept.set(key, kept);
  }
}

function logicalKey(text: string): Buffer {
  return Buffer.concat([Buffer.of(KIND_IDEMPOTENCY), keyBytes(text)]);
}

function hashOf(text: string, kept: Kept): Hash64 {
  return recordHash(logicalKey(text), encodeKept(kept));
}

function encodeKept(kept: Kept): Uint8Array {
  writer.begin();
  writer.array(3);
  writer.uint(kept.createdMs);
  writer.bin(Buffer.from(kept.digest, 'hex'));
  writer.bin(encodeResult(kept.result));
  return writer.finish();
}

function decodeKept(bytes: Uint8Array): Kept {
  const reader = new MsgpackReader(bytes);
  reader.expectArray(3, 'idempotency record');
  const createdMs = reader.readUint('creation');
  const digest = Buffer.from(reader.readBin('digest', DIGEST_BYTES)).toString('hex');
  const result = decodeResult(reader.readBin('result', KEPT_RESULT_BYTES_MAX));
  reader.end('idempotency record');
  return { createdMs, digest, result };
}

function digestOf(command: Uint8Array): string {
  return createHash('sha256')
    .update(command)
    .digest('hex')
    .slice(0, 2 * DIGEST_BYTES);
}
