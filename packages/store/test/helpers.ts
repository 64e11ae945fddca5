/** Builders and small tools for the tests of this package. No test in here. */
import type { Ballot, LogEntry, Persist, Value } from '@kvd/paxos';
import {
  type Batch,
  type Command,
  type CommandResult,
  encodeBatch,
  encodeCommand,
  type Entry,
  type ScanPage,
  type ScanRequest,
} from '@kvd/protocol';
import type { Done, SnapshotReader, StateMachine } from '@kvd/replica';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { KvState, type OpenedDirectory } from '../src/index.js';

export const INCARNATION = 'ab'.repeat(16);
export const IDENTITY = { replicaId: 1, incarnation: INCARNATION };
export const BALLOT: Ballot = { counter: 3, ...IDENTITY };
export const FOUNDING = '1=127.0.0.1:1,2=127.0.0.1:2,3=127.0.0.1:3';

export function call<T>(start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, result) => (error === null ? resolve(result) : reject(error)));
  });
}

/** Of a directory that is no witness's. */
export function kept(state: OpenedDirectory['state']): KvState {
  if (state instanceof KvState) return state;
  throw new Error('a witness keeps no state');
}

/** A folder of its own, gone when the test ends. */
export function scratch(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'kvd-store-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let h = Math.imul(state ^ (state >>> 15), 1 | state);
    h = (h + Math.imul(h ^ (h >>> 7), 61 | h)) ^ h;
    return ((h ^ (h >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const bytes = (text: string): Uint8Array => Buffer.from(text);
export const text = (value: Uint8Array): string => Buffer.from(value).toString();

export function entry(slot: number, content: string, chosen = false): LogEntry {
  return { slot, ballot: BALLOT, value: { type: 'batch', bytes: bytes(content) }, chosen };
}

export function persist(entries: readonly LogEntry[], more: Partial<Persist> = {}): Persist {
  return { entries, ...more };
}

const NO_ORIGIN = { session: 0, sequence: 0, lowestUnanswered: 0 };

export function put(key: string, value: string, origin = NO_ORIGIN): Command {
  return { type: 'put', origin, key: bytes(key), value: bytes(value) };
}

export function del(key: string, origin = NO_ORIGIN): Command {
  return { type: 'delete', origin, key: bytes(key) };
}

export function delRange(from: string, to: string, origin = NO_ORIGIN): Command {
  return { type: 'delete-range', origin, from: bytes(from), to: bytes(to) };
}

export function keyed(key: string, command: Command): Command {
  return { type: 'keyed', idempotencyKey: bytes(key), command: encodeCommand(command) };
}

export function batch(commands: readonly Command[], clusterMs = 0): Value {
  const encoded: Batch = {
    ballot: { counter: 1, replicaId: 1 },
    clusterMs,
    wallMs: 0,
    commands: commands.map((command) => encodeCommand(command)),
  };
  return { type: 'batch', bytes: encodeBatch(encoded) };
}

/** Applies the value in the next slot. */
export async function apply(state: StateMachine, value: Value): Promise<readonly CommandResult[]> {
  await new Promise<void>((resolve, reject) => {
    const ready = state.prepare(value, (error) => (error === null ? resolve() : reject(error)));
    if (ready) resolve();
  });
  return state.apply(state.appliedThrough + 1, value);
}

export function run(
  state: StateMachine,
  commands: readonly Command[],
  clusterMs = 0,
): Promise<readonly CommandResult[]> {
  return apply(state, batch(commands, clusterMs));
}

export async function flush(state: StateMachine): Promise<void> {
  state.freeze();
  await call<void>((done) => state.writeFrozen(done));
}

export function scanRequest(more: Partial<ScanRequest> = {}): ScanRequest {
  return {
    type: 'scan',
    timeoutMs: 1000,
    consistency: 'stale',
    from: bytes(''),
    to: bytes(''),
    limit: 0,
    keysOnly: false,
    countOnly: false,
    revision: 0,
    reverse: false,
    ...more,
  };
}

export function scanPage(state: StateMachine, more: Partial<ScanRequest> = {}): Promise<ScanPage> {
  return call<ScanPage>((done) => state.scan(scanRequest(more), done));
}

/** All pages of a scan. */
export async function scanAll(state: StateMachine, more: Partial<ScanRequest> = {}): Promise<Entry[]> {
  const entries: Entry[] = [];
  let from: Uint8Array | null = more.from ?? bytes('');
  while (from !== null) {
    const page: ScanPage = await scanPage(state, { ...more, from });
    entries.push(...page.entries);
    from = page.next;
  }
  return entries;
}

export async function readSnapshot(reader: SnapshotReader, bytesMax = 1000): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for (;;) {
    const chunk = await call<Uint8Array | null>((done) => reader.next(bytesMax, done));
    if (chunk === null) return chunks;
    chunks.push(chunk);
  }
}

export async function install(
  state: StateMachine,
  chunks: readonly Uint8Array[],
  slot: number,
): Promise<void> {
  const installer = state.createInstaller();
  for (const chunk of chunks) await call<void>((done) => installer.write(chunk, done));
  await call<void>((done) => installer.finish(slot, done));
}
