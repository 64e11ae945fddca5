/**
 * The exactly-once table (S8): sessions, and the results of what each did and its client may still ask for. Part of the
 * state: everything here depends on the log alone. All of it is in memory; flushes write what changed.
 *
 * Results lie on disk in blocks of RESULTS_PER_BLOCK sequences. Most results are forgotten before a flush ever sees
 * them; a block is written again only when a result was added to it. What a block holds below the session's lowest
 * unanswered sequence does not count.
 */
import {
  type ClusterMs,
  type CommandResult,
  decodeResult,
  encodeResult,
  MsgpackReader,
  MsgpackWriter,
  PRINCIPAL_BYTES_MAX,
  SESSION_IN_FLIGHT_MAX,
  SESSION_TTL_MS,
  SESSIONS_MAX,
  type SessionId,
} from '@kvd/protocol';
import { crc32 } from 'node:zlib';
import { Hash64 } from './content-hash.js';
import { damaged } from './errors.js';
import type { StoreOp } from './ordered-store.js';
import { decodeBody, seal, unseal } from './sealed.js';
import { blockOf, resultKey, resultsKey, sessionKey, sessionOf } from './state-records.js';

export const RESULTS_PER_BLOCK = 256;
/** Stored results of all sessions together; one more is refused as overloaded. */
export const RESULTS_MAX = 2_000_000;
/**
 * Activity is noted to this granularity of cluster time, so that not every command changes its session's record. A
 * session lives SESSION_TTL_MS after its last noted activity, and this much longer, so it never ends early.
 */
export const ACTIVITY_GRAIN_MS = 10_000;

export interface Session {
  readonly id: SessionId;
  /** Who its mutations are by, as the client said; may be empty. */
  readonly principal: string;
  activeMs: ClusterMs;
  /** Results below are forgotten. */
  lowest: number;
  readonly results: Map<number, CommandResult>;
  /** Blocks with results that no flush has written. */
  readonly dirtyBlocks: Set<number>;
  /** Blocks that are on disk. */
  readonly diskBlocks: Set<number>;
  /** Sequences of results that have a record of their own, for they are too large for a block. */
  readonly large: Map<number, { readonly bytes: number; onDisk: boolean }>;
  onDisk: boolean;
}

/** An encoded result in a block: an error with its text at most. Larger ones, of transactions, have their own record. */
export const RESULT_BYTES_MAX = 2048;
/** Of results with their own record, in all sessions together; while there are more, another is refused as overloaded. */
export const LARGE_RESULTS_BYTES_MAX = 64 * 1024 * 1024;

const writer = new MsgpackWriter();

export class SessionTable {
  /** The table's part of the content hash. */
  readonly hash = new Hash64();
  /** By noted activity, ascending: the first one expires first. */
  private readonly sessions = new Map<SessionId, Session>();
  private readonly dirty = new Set<Session>();
  private readonly removed = new Map<SessionId, Session>();
  /** Records of large results that a flush has to delete. */
  private readonly largeGone: Buffer[] = [];
  private results = 0;
  private largeBytes = 0;

  get size(): number {
    return this.sessions.size;
  }

  /** Sessions that a flush has to write or delete. */
  get dirtySize(): number {
    return this.dirty.size + this.removed.size;
  }

  get isFull(): boolean {
    return this.sessions.size >= SESSIONS_MAX;
  }

  get(id: SessionId): Session | undefined {
    return this.sessions.get(id);
  }

  open(id: SessionId, now: ClusterMs, principal = ''): void {
    this.insert(newSession(id, now, 1, principal));
    const session = this.sessions.get(id);
    if (session !== undefined) this.dirty.add(session);
  }

  /** Notes that the session did something. */
  touch(session: Session, now: ClusterMs): void {
    if (now - session.activeMs < ACTIVITY_GRAIN_MS) return;
    this.changeMeta(session, now, session.lowest);
    this.sessions.delete(session.id);
    this.sessions.set(session.id, session);
  }

  /** Forgets the results below `lowest`. */
  advance(session: Session, lowest: number): void {
    const before = session.lowest;
    if (lowest <= before) return;
    this.changeMeta(session, session.activeMs, lowest);
    if (lowest - before <= session.results.size) {
      for (let sequence = before; sequence < lowest; sequence += 1) this.forget(session, sequence);
    } else {
      for (const sequence of session.results.keys()) if (sequence < lowest) this.forget(session, sequence);
    }
  }

  /** Is there room for one more result? */
  hasRoom(session: Session): boolean {
    if (this.largeBytes >= LARGE_RESULTS_BYTES_MAX) return false;
    return session.results.size < SESSION_IN_FLIGHT_MAX && this.results < RESULTS_MAX;
  }

  store(session: Session, sequence: number, result: CommandResult): void {
    session.results.set(sequence, result);
    const bytes = result.type === 'txn' ? encodeResult(result).length : 0;
    if (bytes > RESULT_BYTES_MAX) this.addLarge(session, sequence, bytes, false);
    else session.dirtyBlocks.add(Math.floor(sequence / RESULTS_PER_BLOCK));
    this.results += 1;
    this.dirty.add(session);
    const hash = resultHash(session.id, sequence, result);
    this.hash.add(hash.a, hash.b);
  }

  remove(session: Session): void {
    for (const sequence of session.results.keys()) this.forget(session, sequence);
    const hash = metaHash(session);
    this.hash.subtract(hash.a, hash.b);
    this.sessions.delete(session.id);
    this.dirty.delete(session);
    if (session.onDisk) this.removed.set(session.id, session);
  }

  /** Removes what did nothing for the time to live. */
  expire(now: ClusterMs): void {
    for (const session of this.sessions.values()) {
      if (now - session.activeMs < SESSION_TTL_MS + ACTIVITY_GRAIN_MS) return;
      this.remove(session);
    }
  }

  /** What changed since the last call, as operations on logical keys, sealed with `flush`. */
  takeChanges(flush: number): StoreOp[] {
    const ops: StoreOp[] = [];
    for (const session of this.removed.values()) {
      ops.push({ key: sessionKey(session.id), value: null });
      for (const block of session.diskBlocks) ops.push({ key: resultsKey(session.id, block), value: null });
    }
    for (const key of this.largeGone) ops.push({ key, value: null });
    this.largeGone.length = 0;
    for (const session of this.dirty) sealSession(session, flush, ops);
    this.removed.clear();
    this.dirty.clear();
    return ops;
  }

  /**
   * One record of a session, as read. Sessions come before results, in key order.
   * @throws StoreError damaged
   */
  loadSession(logical: Buffer, record: Buffer): void {
    const { body } = unseal(logical, record);
    const { activeMs, lowest, principal } = decodeBody(logical, body, (bytes) => {
      const reader = new MsgpackReader(bytes);
      reader.expectArray(3, 'session');
      const activeMs = reader.readUint('activity');
      const lowest = reader.readUint('lowest unanswered');
      const principal = reader.readStr('principal', PRINCIPAL_BYTES_MAX);
      reader.end('session');
      return { activeMs, lowest, principal };
    });
    const id = sessionOf(logical);
    if (this.sessions.has(id) || this.isFull) throw damaged(`session ${id} is one too many`);
    const session = newSession(id, activeMs, lowest, principal);
    session.onDisk = true;
    this.insert(session);
  }

  /** @throws StoreError damaged */
  loadResults(logical: Buffer, record: Buffer): void {
    const { body } = unseal(logical, record);
    const session = this.sessions.get(sessionOf(logical));
    if (session === undefined) throw damaged(`results of session ${sessionOf(logical)}, which is not there`);
    const block = blockOf(logical);
    session.diskBlocks.add(block);
    decodeBody(logical, body, (bytes) => {
      const reader = new MsgpackReader(bytes);
      const length = reader.readArrayHeader(2 * RESULTS_PER_BLOCK, 'results');
      for (let i = 0; i < length; i += 2) {
        const sequence = block * RESULTS_PER_BLOCK + reader.readUint('sequence', RESULTS_PER_BLOCK - 1);
        const result = decodeResult(reader.readBin('result', RESULT_BYTES_MAX));
        if (sequence < session.lowest || !this.hasRoom(session)) continue;
        session.results.set(sequence, result);
        this.results += 1;
        const hash = resultHash(session.id, sequence, result);
        this.hash.add(hash.a, hash.b);
      }
      reader.end('results');
    });
  }

  /** A result with a record of its own. @throws StoreError damaged */
  loadResult(logical: Buffer, record: Buffer): void {
    const { body } = unseal(logical, record);
    const session = this.sessions.get(sessionOf(logical));
    const sequence = blockOf(logical);
    if (session === undefined) throw damaged(`a result of session ${sessionOf(logical)}, which is not there`);
    if (sequence < session.lowest || session.results.has(sequence))
      throw damaged(`result ${sequence} of session ${session.id} is one too many`);
    const result = decodeBody(logical, body, decodeResult);
    session.results.set(sequence, result);
    this.addLarge(session, sequence, body.length, true);
    this.results += 1;
    const hash = resultHash(session.id, sequence, result);
    this.hash.add(hash.a, hash.b);
  }

  /** After the last record was loaded: puts the sessions in the order in which they expire. */
  loaded(): void {
    const sessions = [...this.sessions.values()].sort((a, b) => a.activeMs - b.activeMs || a.id - b.id);
    this.sessions.clear();
    for (const session of sessions) this.sessions.set(session.id, session);
  }

  private insert(session: Session): void {
    this.sessions.set(session.id, session);
    const hash = metaHash(session);
    this.hash.add(hash.a, hash.b);
  }

  private changeMeta(session: Session, activeMs: ClusterMs, lowest: number): void {
    const before = metaHash(session);
    this.hash.subtract(before.a, before.b);
    session.activeMs = activeMs;
    session.lowest = lowest;
    const after = metaHash(session);
    this.hash.add(after.a, after.b);
    this.dirty.add(session);
  }

  private addLarge(session: Session, sequence: number, bytes: number, onDisk: boolean): void {
    session.large.set(sequence, { bytes, onDisk });
    this.largeBytes += bytes;
  }

  private forgetLarge(session: Session, sequence: number): void {
    const large = session.large.get(sequence);
    if (large === undefined) return;
    session.large.delete(sequence);
    this.largeBytes -= large.bytes;
    if (large.onDisk) this.largeGone.push(resultKey(session.id, sequence));
  }

  private forget(session: Session, sequence: number): void {
    const result = session.results.get(sequence);
    if (result === undefined) return;
    session.results.delete(sequence);
    this.forgetLarge(session, sequence);
    this.results -= 1;
    const hash = resultHash(session.id, sequence, result);
    this.hash.subtract(hash.a, hash.b);
  }
}

function newSession(id: SessionId, activeMs: ClusterMs, lowest: number, principal: string): Session {
  return {
    id,
    principal,
    activeMs,
    lowest,
    results: new Map(),
    dirtyBlocks: new Set(),
    diskBlocks: new Set(),
    large: new Map(),
    onDisk: false,
  };
}

function sealSession(session: Session, flush: number, ops: StoreOp[]): void {
  const key = sessionKey(session.id);
  writer.begin();
  writer.array(3);
  writer.uint(session.activeMs);
  writer.uint(session.lowest);
  writer.str(session.principal, PRINCIPAL_BYTES_MAX);
  ops.push({ key, value: seal(key, flush, writer.finish()) });
  session.onDisk = true;
  const firstBlock = Math.floor(session.lowest / RESULTS_PER_BLOCK);
  for (const block of session.diskBlocks) {
    if (block >= firstBlock) continue;
    ops.push({ key: resultsKey(session.id, block), value: null });
    session.diskBlocks.delete(block);
  }
  for (const block of session.dirtyBlocks) {
    if (block < firstBlock) continue;
    const blockKey = resultsKey(session.id, block);
    ops.push({ key: blockKey, value: seal(blockKey, flush, encodeBlock(session, block)) });
    session.diskBlocks.add(block);
  }
  session.dirtyBlocks.clear();
  for (const [sequence, large] of session.large) {
    const result = session.results.get(sequence);
    if (large.onDisk || result === undefined) continue;
    const largeKey = resultKey(session.id, sequence);
    ops.push({ key: largeKey, value: seal(largeKey, flush, encodeResult(result)) });
    large.onDisk = true;
  }
}

function encodeBlock(session: Session, block: number): Uint8Array {
  const first = block * RESULTS_PER_BLOCK;
  const found: [number, CommandResult][] = [];
  for (let i = 0; i < RESULTS_PER_BLOCK; i += 1) {
    const result = session.results.get(first + i);
    if (result !== undefined && !session.large.has(first + i)) found.push([i, result]);
  }
  writer.begin();
  writer.array(2 * found.length);
  for (const [i, result] of found) {
    writer.uint(i);
    writer.bin(encodeResult(result));
  }
  return writer.finish();
}

// Reused: these run several times for every command.
const scratch = new Hash64();

function metaHash(session: Session): Hash64 {
  scratch.a = 1;
  scratch.b = 1;
  scratch.mix(session.id);
  scratch.mix(session.activeMs);
  scratch.mix(session.lowest);
  scratch.mix(session.principal === '' ? 0 : crc32(session.principal));
  return scratch;
}

function resultHash(session: SessionId, sequence: number, result: CommandResult): Hash64 {
  scratch.a = 2;
  scratch.b = 2;
  scratch.mix(session);
  scratch.mix(sequence);
  if (result.type === 'put') scratch.mix(result.revision);
  else scratch.mix(crc32(encodeResult(result)) + 2 ** 52);
  return scratch;
}
