/**
 * Leases on cluster time, and which keys belong to which. Part of the state: everything here depends on the log alone.
 * All of it is in memory; flushes write what changed. Nothing ends by itself: the leader proposes the end of what is
 * due, and apply looks again, so that no replica's own idea of the time decides.
 */
import {
  type ClusterMs,
  LEASE_PAGE_MAX,
  type LeaseId,
  LEASES_MAX,
  type LeasesPage,
  MsgpackReader,
  MsgpackWriter,
  PAGE_BYTES_MAX,
  type Revision,
} from '@kvd/protocol';
import { keyBytes, keyText, numberKey, readU53, U53_BYTES } from './bytes.js';
import { Hash64, recordHash } from './content-hash.js';
import { damaged } from './errors.js';
import type { StoreOp } from './ordered-store.js';
import { decodeBody, seal, unseal } from './sealed.js';
import { KIND_LEASE, KIND_LEASED } from './state-records.js';

export interface LeaseState {
  readonly id: LeaseId;
  readonly ttlMs: number;
  readonly expiresMs: ClusterMs;
  /** As text. */
  readonly keys: Set<string>;
}

const LEASE_PREFIX = String.fromCharCode(KIND_LEASE);
const LEASED_PREFIX = String.fromCharCode(KIND_LEASED);
const EMPTY = new Uint8Array(0);

const writer = new MsgpackWriter();

export class LeaseTable {
  /** The table's part of the content hash. */
  readonly hash = new Hash64();
  /** By id, ascending. */
  private readonly leases = new Map<LeaseId, LeaseState>();
  /** Logical keys to write, or (null) to delete. */
  private readonly dirty = new Map<string, Uint8Array | null>();
  /** No lease is due before. */
  private nextDueMs: ClusterMs = 0;

  get size(): number {
    return this.leases.size;
  }

  get dirtySize(): number {
    return this.dirty.size;
  }

  get isFull(): boolean {
    return this.leases.size >= LEASES_MAX;
  }

  get(id: LeaseId): LeaseState | undefined {
    return this.leases.get(id);
  }

  grant(id: LeaseId, ttlMs: number, now: ClusterMs): void {
    this.put({ id, ttlMs, expiresMs: now + ttlMs, keys: new Set() });
  }

  keepAlive(lease: LeaseState, now: ClusterMs): void {
    this.forget(lease);
    this.put({ ...lease, expiresMs: now + lease.ttlMs });
  }

  /** Its keys are detached or deleted before. */
  remove(lease: LeaseState): void {
    this.forget(lease);
    this.leases.delete(lease.id);
  }

  attach(id: LeaseId, key: string): void {
    const lease = this.leases.get(id);
    if (lease === undefined || lease.keys.has(key)) return;
    lease.keys.add(key);
    const logical = leasedKey(id, key);
    this.dirty.set(logical.toString('latin1'), EMPTY);
    const hash = recordHash(logical, EMPTY);
    this.hash.add(hash.a, hash.b);
  }

  detach(id: LeaseId, key: string): void {
    if (!this.leases.get(id)?.keys.delete(key)) return;
    const logical = leasedKey(id, key);
    this.dirty.set(logical.toString('latin1'), null);
    const hash = recordHash(logical, EMPTY);
    this.hash.subtract(hash.a, hash.b);
  }

  /** Those that have ended by `now`, the first to end first. */
  due(now: ClusterMs, max: number): LeaseId[] {
    if (now < this.nextDueMs) return [];
    const due: LeaseState[] = [];
    this.nextDueMs = Number.POSITIVE_INFINITY;
    for (const lease of this.leases.values()) {
      if (lease.expiresMs <= now) due.push(lease);
      this.nextDueMs = Math.min(this.nextDueMs, lease.expiresMs);
    }
    due.sort((a, b) => a.expiresMs - b.expiresMs || a.id - b.id);
    return due.slice(0, max).map(({ id }) => id);
  }

  page(lease: LeaseId, after: LeaseId, now: ClusterMs, revision: Revision): LeasesPage {
    const found: LeaseState[] = [];
    let more = false;
    if (lease === 0) {
      for (const each of this.leases.values()) {
        if (each.id <= after) continue;
        more = found.length === LEASE_PAGE_MAX;
        if (more) break;
        found.push(each);
      }
    } else {
      const one = this.leases.get(lease);
      if (one !== undefined) found.push(one);
    }
    const keys: Uint8Array[] = [];
    if (lease !== 0) {
      let bytes = 0;
      for (const key of [...(found[0]?.keys ?? [])].sort()) {
        bytes += key.length;
        more = bytes > PAGE_BYTES_MAX;
        if (more) break;
        keys.push(keyBytes(key));
      }
    }
    const leases = found.map(({ id, ttlMs, expiresMs }) => ({
      lease: id,
      ttlMs,
      remainingMs: Math.max(0, expiresMs - now),
      keys,
    }));
    return { type: 'leases', leases, more, revision };
  }

  /** What changed since the last call, as operations on logical keys, sealed with `flush`. */
  takeChanges(flush: number): StoreOp[] {
    const ops: StoreOp[] = [];
    for (const [text, body] of this.dirty) {
      const key = keyBytes(text);
      ops.push({ key, value: body === null ? null : seal(key, flush, body) });
    }
    this.dirty.clear();
    return ops;
  }

  /** A lease, as read; its keys may have come before. @throws StoreError damaged */
  loadLease(logical: Buffer, record: Buffer): void {
    const { body } = unseal(logical, record);
    const [ttlMs, expiresMs] = decodeBody(logical, body, decodeLease);
    const id = readU53(logical, 1);
    const before = this.leases.get(id);
    if (before !== undefined && before.ttlMs !== 0) throw damaged(`lease ${id} is there twice`);
    const lease = { id, ttlMs, expiresMs, keys: before?.keys ?? new Set<string>() };
    this.leases.set(id, lease);
    this.addHash(lease);
  }

  /** @throws StoreError damaged */
  loadKey(logical: Buffer, record: Buffer): void {
    unseal(logical, record);
    const id = readU53(logical, 1);
    const lease = this.leases.get(id) ?? { id, ttlMs: 0, expiresMs: 0, keys: new Set<string>() };
    this.leases.set(id, lease);
    lease.keys.add(keyText(logical.subarray(1 + U53_BYTES)));
    const hash = recordHash(logical, EMPTY);
    this.hash.add(hash.a, hash.b);
  }

  /** After the last record was loaded. @throws StoreError damaged */
  loaded(): void {
    const leases = [...this.leases.values()].sort((a, b) => a.id - b.id);
    this.leases.clear();
    for (const lease of leases) {
      if (lease.ttlMs === 0) throw damaged(`keys of lease ${lease.id}, which is not there`);
      this.leases.set(lease.id, lease);
    }
  }

  private put(lease: LeaseState): void {
    this.leases.set(lease.id, lease);
    this.dirty.set(leaseKey(lease.id).toString('latin1'), encodeLease(lease));
    this.addHash(lease);
    this.nextDueMs = Math.min(this.nextDueMs, lease.expiresMs);
  }

  private forget(lease: LeaseState): void {
    this.dirty.set(leaseKey(lease.id).toString('latin1'), null);
    const hash = hashOf(lease);
    this.hash.subtract(hash.a, hash.b);
  }

  private addHash(lease: LeaseState): void {
    const hash = hashOf(lease);
    this.hash.add(hash.a, hash.b);
  }
}

const leaseKey = (id: LeaseId): Buffer => numberKey(LEASE_PREFIX, id);

function leasedKey(id: LeaseId, key: string): Buffer {
  return Buffer.concat([numberKey(LEASED_PREFIX, id), keyBytes(key)]);
}

function hashOf(lease: LeaseState): Hash64 {
  return recordHash(leaseKey(lease.id), encodeLease(lease));
}

function encodeLease({ ttlMs, expiresMs }: LeaseState): Uint8Array {
  writer.begin();
  writer.array(2);
  writer.uint(ttlMs);
  writer.uint(expiresMs);
  return writer.finish();
}

function decodeLease(bytes: Uint8Array): [ttlMs: number, expiresMs: number] {
  const reader = new MsgpackReader(bytes);
  reader.expectArray(2, 'lease');
  const numbers: [number, number] = [reader.readUint('time to live'), reader.readUint('end')];
  reader.end('lease');
  return numbers;
}
