/**
 * The key-value state as a pure function of the log (DESIGN 6 and 7): what each command does, exactly once, with
 * revisions, sessions, idempotency keys, configurations and hashes. Reads nothing but itself and its disk's cold keys;
 * never writes to disk, knows no clock but the cluster's.
 */
import type { ConfigurationAt, Slot, Value } from '@kvd/paxos';
import type { ClusterMs, Command, CommandResult, Origin, Revision } from '@kvd/protocol';
import { type Decoded, type DecodedBatch, type DeleteRange, errorResult } from './batches.js';
import { keyText } from './bytes.js';
import { addConfiguration, trimConfigurations } from './configurations.js';
import type { Hash64 } from './content-hash.js';
import {
  DELETE_RANGE_KEYS_MAX,
  DELETE_RANGES_PER_BATCH_MAX,
  liveIn,
  type PreparedRanges,
  textRange,
} from './delete-ranges.js';
import type { IdempotencyTable } from './idempotency.js';
import { checkRecord, hashA, hashB, type KvRecord, putRecord } from './kv-record.js';
import type { OrderedStore } from './ordered-store.js';
import type { SessionTable } from './sessions.js';
import type { LoadedState } from './state-loader.js';
import { generationPrefix, kvKey, type StateHead, userKey } from './state-records.js';
import { WriteBack } from './write-back.js';

/** A slot holds fewer commands than this, so slot * this + index names a command for good. */
const COMMANDS_PER_SLOT = 2 ** 16;
const DONE: CommandResult = { type: 'done' };

type Mutation = Extract<Command, { readonly origin: Origin }>;

export class StateModel {
  readonly generation: number;
  readonly writeBack: WriteBack;
  readonly sessions: SessionTable;
  readonly idempotency: IdempotencyTable;
  appliedThrough: Slot;
  revision: Revision;
  clusterMs: ClusterMs;
  configurations: readonly ConfigurationAt[];
  readonly runningHash: Hash64;
  /** The key-value records' part of the content hash. */
  private readonly kvHash: Hash64;
  private keys: number;
  private readonly store: OrderedStore;
  private readonly prefix: Buffer;
  private rangesInSlot = 0;

  constructor(store: OrderedStore, loaded: LoadedState, cacheBytes: number) {
    const { head, sessions, idempotency } = loaded;
    this.store = store;
    this.generation = head.generation;
    this.prefix = generationPrefix(head.generation);
    this.writeBack = new WriteBack(cacheBytes);
    this.sessions = sessions;
    this.idempotency = idempotency;
    this.appliedThrough = head.appliedThrough;
    this.revision = head.revision;
    this.clusterMs = head.clusterMs;
    this.configurations = head.configurations;
    this.runningHash = head.runningHash.clone();
    this.keys = head.keys;
    this.kvHash = head.contentHash.clone();
    this.kvHash.subtract(sessions.hash.a, sessions.hash.b);
    this.kvHash.subtract(idempotency.hash.a, idempotency.hash.b);
  }

  contentHash(): Hash64 {
    const hash = this.kvHash.clone();
    hash.add(this.sessions.hash.a, this.sessions.hash.b);
    hash.add(this.idempotency.hash.a, this.idempotency.hash.b);
    return hash;
  }

  /** Everything that is one value, as of now. */
  head(): StateHead {
    const { generation, appliedThrough, revision, clusterMs, keys, configurations } = this;
    const runningHash = this.runningHash.clone();
    const contentHash = this.contentHash();
    return {
      generation,
      appliedThrough,
      revision,
      clusterMs,
      runningHash,
      contentHash,
      keys,
      configurations,
    };
  }

  /** The record of a key; null: absent. @throws StoreError damaged */
  lookup(key: string): KvRecord | null {
    const known = this.writeBack.get(key);
    if (known !== undefined) return known;
    const diskKey = kvKey(this.prefix, key);
    const stored = this.store.get(diskKey);
    const record = stored === undefined ? null : checkRecord(userKey(diskKey), stored);
    this.writeBack.remember(key, record);
    return record;
  }

  /** S6: the caller makes sure that slots come in order. `batch` is what the value holds, if it holds one. */
  apply(slot: Slot, value: Value, batch: DecodedBatch, ranges: PreparedRanges): readonly CommandResult[] {
    this.rangesInSlot = 0;
    if (value.type === 'configuration') {
      this.configurations = addConfiguration(this.configurations, slot, value.configuration);
    }
    this.advanceClock(batch.clusterMs);
    const results = batch.commands.map((command, index) => this.run(command, slot, index, ranges));
    this.appliedThrough = slot;
    this.configurations = trimConfigurations(this.configurations, slot);
    this.chain(slot);
    return results;
  }

  /** Cluster time never goes back; what expires by it expires before the slot's commands. */
  private advanceClock(clusterMs: ClusterMs): void {
    if (clusterMs <= this.clusterMs) return;
    this.clusterMs = clusterMs;
    this.sessions.expire(clusterMs);
    this.idempotency.expire(clusterMs);
  }

  /** S12: the running hash covers every effect of the slot, for the content hash does. */
  private chain(slot: Slot): void {
    const content = this.contentHash();
    const latest = this.configurations.at(-1)?.slot ?? 0;
    for (const value of [slot, this.revision, this.clusterMs, content.a, content.b, latest])
      this.runningHash.mix(value);
  }

  private run(decoded: Decoded, slot: Slot, index: number, ranges: PreparedRanges): CommandResult {
    switch (decoded.type) {
      case 'error':
        return decoded.result;
      case 'keyed':
        return this.runKeyed(decoded, slot, index, ranges);
      case 'plain':
        return this.runPlain(decoded.command, slot, index, ranges);
    }
  }

  private runKeyed(
    { idempotencyKey, bytes, inner }: Extract<Decoded, { type: 'keyed' }>,
    slot: Slot,
    index: number,
    ranges: PreparedRanges,
  ): CommandResult {
    const known = this.idempotency.find(idempotencyKey, bytes);
    if (known === 'conflict') {
      return errorResult('KVD_IDEMPOTENCY_CONFLICT', 'this Idempotency-Key was used for another request');
    }
    if (known !== undefined) return known;
    if (this.idempotency.isFull) return errorResult('KVD_OVERLOADED', 'too many Idempotency-Keys are in use');
    const result = this.run(inner, slot, index, ranges);
    if (result.type !== 'error') this.idempotency.keep(idempotencyKey, bytes, result, this.clusterMs);
    return result;
  }

  private runPlain(
    command: Exclude<Command, { type: 'keyed' }>,
    slot: Slot,
    index: number,
    ranges: PreparedRanges,
  ): CommandResult {
    switch (command.type) {
      case 'open-session':
        return this.openSession(slot, index);
      case 'keep-alive': {
        const session = this.sessions.get(command.session);
        if (session === undefined) return expired(command.session);
        this.sessions.touch(session, this.clusterMs);
        return DONE;
      }
      case 'close-session': {
        const session = this.sessions.get(command.session);
        if (session !== undefined) this.sessions.remove(session);
        return DONE;
      }
      case 'put':
      case 'delete':
      case 'delete-range':
        return command.origin.session === 0 ? this.mutate(command, ranges) : this.mutateOnce(command, ranges);
    }
  }

  private openSession(slot: Slot, index: number): CommandResult {
    if (this.sessions.isFull) return errorResult('KVD_OVERLOADED', 'too many sessions are open');
    const session = slot * COMMANDS_PER_SLOT + index;
    this.sessions.open(session, this.clusterMs);
    return { type: 'session', session };
  }

  /**
   * S8: what (session, sequence) did before is answered with the stored result. An error is not stored: it changed
   * nothing, so another try may do what this one could not.
   */
  private mutateOnce(command: Mutation, ranges: PreparedRanges): CommandResult {
    const { session: id, sequence, lowestUnanswered } = command.origin;
    const session = this.sessions.get(id);
    if (session === undefined) return expired(id);
    this.sessions.touch(session, this.clusterMs);
    if (sequence < session.lowest) {
      const message = `session ${id} no longer waits for ${sequence}, its lowest unanswered is ${session.lowest}`;
      return errorResult('KVD_SEQUENCE_FORGOTTEN', message);
    }
    this.sessions.advance(session, lowestUnanswered);
    const stored = session.results.get(sequence);
    if (stored !== undefined) return stored;
    if (!this.sessions.hasRoom(session)) {
      return errorResult('KVD_OVERLOADED', `session ${id} has too many results that it did not acknowledge`);
    }
    const result = this.mutate(command, ranges);
    if (result.type !== 'error') this.sessions.store(session, sequence, result);
    return result;
  }

  private mutate(command: Mutation, ranges: PreparedRanges): CommandResult {
    switch (command.type) {
      case 'put':
        return this.put(command.key, command.value);
      case 'delete':
        return this.delete(command.key);
      case 'delete-range':
        return this.deleteRange(command, ranges);
    }
  }

  private put(key: Uint8Array, value: Uint8Array): CommandResult {
    const text = keyText(key);
    const before = this.lookup(text);
    this.revision += 1;
    const record = putRecord(key, value, this.revision, before);
    if (before === null) this.keys += 1;
    else this.kvHash.subtract(hashA(before), hashB(before));
    this.kvHash.add(hashA(record), hashB(record));
    this.writeBack.set(text, record);
    return { type: 'put', revision: this.revision };
  }

  private delete(key: Uint8Array): CommandResult {
    const text = keyText(key);
    const before = this.lookup(text);
    if (before === null) return { type: 'deleted', revision: this.revision, deleted: 0 };
    this.revision += 1;
    this.erase(text, hashA(before), hashB(before));
    return { type: 'deleted', revision: this.revision, deleted: 1 };
  }

  private deleteRange(command: DeleteRange, ranges: PreparedRanges): CommandResult {
    this.rangesInSlot += 1;
    if (this.rangesInSlot > DELETE_RANGES_PER_BATCH_MAX) {
      return errorResult('KVD_OVERLOADED', 'too many range deletions at once');
    }
    const disk = ranges.disk.get(command);
    if (disk === undefined) throw new Error('S6: a range deletion was applied that was not prepared');
    const live = liveIn(textRange(command), [...this.writeBack.layers(), ...ranges.layers], disk);
    if (live.length > DELETE_RANGE_KEYS_MAX) {
      const message = `the range has more than ${DELETE_RANGE_KEYS_MAX} keys: delete it in parts`;
      return errorResult('KVD_TOO_LARGE', message);
    }
    if (live.length > 0) this.revision += 1;
    for (const victim of live) this.erase(victim.key, victim.hashA, victim.hashB);
    return { type: 'deleted', revision: this.revision, deleted: live.length };
  }

  private erase(key: string, a: number, b: number): void {
    this.kvHash.subtract(a, b);
    this.keys -= 1;
    this.writeBack.set(key, null);
  }
}

function expired(session: number): CommandResult {
  return errorResult('KVD_SESSION_EXPIRED', `session ${session} is not open, or expired`);
}
