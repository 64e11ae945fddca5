/**
 * The key-value state as a pure function of the log (DESIGN 6 and 7): what each command does, exactly once, with
 * revisions, sessions, idempotency keys, leases, configurations and hashes. Reads nothing but itself and its disk's cold
 * keys; never writes to disk, knows no clock but the cluster's.
 */
import type { ConfigurationAt, Slot, Value } from '@kvd/paxos';
import {
  type ClusterMs,
  type Command,
  type CommandResult,
  compareLeaders,
  type LeaderBallot,
  type LeaseId,
  type Origin,
  type Revision,
  type RevisionNote,
  type TxnCommand,
  TXN_KEPT_RESULT_BYTES_MAX,
  TXN_RESULT_BYTES_MAX,
} from '@kvd/protocol';
import {
  type Decoded,
  type DecodedBatch,
  errorResult,
  NO_BATCH,
  type PlainCommand,
  rangesIn,
} from './batches.js';
import { keyText } from './bytes.js';
import { addConfiguration, trimConfigurations } from './configurations.js';
import type { Hash64 } from './content-hash.js';
import { liveIn, type PreparedRanges, textRange } from './delete-ranges.js';
import type { IdempotencyTable } from './idempotency.js';
import { type Change, KeySpace } from './key-space.js';
import type { KvStateOptions } from './kv-state-options.js';
import type { LeaseTable } from './leases.js';
import type { OrderedStore } from './ordered-store.js';
import type { Session, SessionTable } from './sessions.js';
import type { LoadedState } from './state-loader.js';
import type { KeptHistory, Retention, StateHead } from './state-records.js';
import { isFailure, type LiveIn, noLease, runTxn } from './txn.js';
import { VersionSpans } from './version-spans.js';

/** A slot holds fewer commands than this, so slot * this + index names a command for good. */
const COMMANDS_PER_SLOT = 2 ** 16;
const DONE: CommandResult = { type: 'done' };
const NO_KEY = new Uint8Array(0);
/** Under which the fence of an operation is kept: nobody's command has this error as its own. */
const FENCED = errorResult(
  'KVD_FENCED',
  'it was asked what became of this, when nothing had: now nothing will',
);

type Mutation = Extract<Command, { readonly origin: Origin }>;

/** Where and for whom a command is run. */
interface Call {
  /** Slot and place in the batch, as one number. */
  readonly position: number;
  readonly wallMs: number;
  readonly ranges: PreparedRanges;
  readonly idempotencyKey: Uint8Array;
  readonly principal: string;
  readonly reason: string;
}

export class StateModel {
  readonly generation: number;
  readonly space: KeySpace;
  /** Where the versions of the past lie. */
  readonly spans: VersionSpans;
  readonly sessions: SessionTable;
  readonly idempotency: IdempotencyTable;
  readonly leases: LeaseTable;
  appliedThrough: Slot;
  clusterMs: ClusterMs;
  compactRevision: Revision;
  retention: Retention;
  configurations: readonly ConfigurationAt[];
  /** The highest ballot of the batches applied. */
  leader: LeaderBallot;
  readonly runningHash: Hash64;

  constructor(store: OrderedStore, loaded: LoadedState, options: KvStateOptions) {
    const { head, sessions, idempotency, leases } = loaded;
    this.generation = head.generation;
    this.sessions = sessions;
    this.idempotency = idempotency;
    this.leases = leases;
    this.space = new KeySpace(store, head, leases, options);
    this.spans = new VersionSpans(options.spanRevisions, options.versions);
    for (const { hash } of [sessions, idempotency, leases]) this.space.hash.subtract(hash.a, hash.b);
    this.appliedThrough = head.appliedThrough;
    this.clusterMs = head.clusterMs;
    this.compactRevision = head.compactRevision;
    this.retention = head.retention;
    this.configurations = head.configurations;
    this.leader = head.leader;
    this.runningHash = head.runningHash.clone();
  }

  get revision(): Revision {
    return this.space.revision;
  }

  contentHash(): Hash64 {
    const sum = this.space.hash.clone();
    for (const { hash } of [this.sessions, this.idempotency, this.leases]) sum.add(hash.a, hash.b);
    return sum;
  }

  /** Everything that is one value, as of now; `kept` is the disk's. */
  head(kept: KeptHistory): StateHead {
    const { generation, appliedThrough, revision, clusterMs, configurations, compactRevision, retention } =
      this;
    return {
      generation,
      appliedThrough,
      revision,
      clusterMs,
      runningHash: this.runningHash.clone(),
      contentHash: this.contentHash(),
      keys: this.space.keys,
      configurations,
      compactRevision,
      retention,
      kept,
      leader: this.leader,
    };
  }

  /** S6: the caller makes sure that slots come in order. `batch` is what the value holds, if it holds one. */
  apply(slot: Slot, value: Value, decoded: DecodedBatch, ranges: PreparedRanges): readonly CommandResult[] {
    if (value.type === 'configuration') {
      this.configurations = addConfiguration(this.configurations, slot, value.configuration);
    }
    const batch = this.isOvertaken(decoded.ballot) ? NO_BATCH : decoded;
    if (batch.ballot.counter > 0) this.leader = batch.ballot;
    this.advanceClock(batch.clusterMs);
    const { wallMs } = batch;
    const results = batch.commands.map((command, index) => {
      const position = slot * COMMANDS_PER_SLOT + index;
      return this.run(command, {
        position,
        wallMs,
        ranges,
        idempotencyKey: NO_KEY,
        principal: '',
        reason: '',
      });
    });
    this.appliedThrough = slot;
    this.configurations = trimConfigurations(this.configurations, slot);
    this.chain(slot);
    return results;
  }

  /**
   * Rule: a batch of a lower ballot than one applied before does nothing: neither its commands nor its time count.
   * Why: its leader was overtaken while it lay in the slot, accepted by too few; and the next leader had to propose what it found
   *   there. By then its clients have sent their requests again, maybe long ago; what remembered them may be forgotten, and
   *   leases have been granted since by a time that its own is far ahead of.
   * Why safe: nobody was told of it. Its leader answers when it applies the slot, and then it does nothing there either.
   */
  private isOvertaken(ballot: LeaderBallot): boolean {
    return ballot.counter > 0 && compareLeaders(ballot, this.leader) < 0;
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
    const { keepRevisions, keepMs } = this.retention;
    const { revision, clusterMs, compactRevision } = this;
    for (const value of [slot, revision, clusterMs, content.a, content.b, latest])
      this.runningHash.mix(value);
    for (const value of [compactRevision, keepRevisions, keepMs]) this.runningHash.mix(value);
  }

  private run(decoded: Decoded, call: Call): CommandResult {
    switch (decoded.type) {
      case 'error':
        return decoded.result;
      case 'keyed':
        return this.runKeyed(decoded, call);
      case 'plain': {
        const { principal, reason } = decoded;
        return this.runPlain(
          decoded.command,
          principal + reason === '' ? call : { ...call, principal, reason },
        );
      }
    }
  }

  private runKeyed(
    { idempotencyKey, bytes, inner }: Extract<Decoded, { type: 'keyed' }>,
    call: Call,
  ): CommandResult {
    // An answer about an answer: asked under a key it would be kept as one, and asked about again, without end.
    if (inner.type === 'plain' && ASKS.has(inner.command.type))
      return errorResult('KVD_BAD_REQUEST', 'what became of a request is not asked under an Idempotency-Key');
    const known = this.idempotency.find(idempotencyKey, bytes);
    if (known === 'conflict') {
      return errorResult('KVD_IDEMPOTENCY_CONFLICT', 'this Idempotency-Key was used for another request');
    }
    if (known !== undefined) return known;
    if (this.idempotency.isFull) return errorResult('KVD_OVERLOADED', 'too many Idempotency-Keys are in use');
    const result = this.run(inner, { ...call, idempotencyKey });
    if (result.type !== 'error') this.idempotency.keep(idempotencyKey, bytes, result, this.clusterMs);
    return result;
  }

  private runPlain(command: PlainCommand, call: Call): CommandResult {
    switch (command.type) {
      case 'open-session':
        return this.openSession(call.position, command.principal ?? '');
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
      case 'lease-keep-alive':
        return this.keepLeaseAlive(command.lease);
      case 'expire-leases':
        for (const lease of command.leases) this.expireLease(lease, call);
        return DONE;
      case 'compact':
        return this.compact(command.revision);
      case 'outcome':
        return this.outcome(command.session, command.sequence);
      case 'keyed-outcome':
        return this.keyedOutcome(command.idempotencyKey);
      default:
        return command.origin.session === 0
          ? this.mutate(command, call, null)
          : this.mutateOnce(command, call);
    }
  }

  private openSession(session: number, principal: string): CommandResult {
    if (this.sessions.isFull) return errorResult('KVD_OVERLOADED', 'too many sessions are open');
    this.sessions.open(session, this.clusterMs, principal);
    return { type: 'session', session };
  }

  /**
   * S8: what (session, sequence) did before is answered with the stored result. An error is not stored: it changed
   * nothing, so another try may do what this one could not.
   */
  private mutateOnce(command: Mutation, call: Call): CommandResult {
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
    if (!this.sessions.hasRoom(session)) return noRoom(id);
    const result = this.mutate(command, call, session);
    if (result.type !== 'error' && mayChange(command)) this.sessions.store(session, sequence, result);
    return result;
  }

  private mutate(command: Mutation, call: Call, session: Session | null): CommandResult {
    // Only here: what was done before has its answer already, whatever comes along with its retry.
    if (rangesIn(command).some((range) => call.ranges.refused.has(range)))
      return errorResult('KVD_OVERLOADED', 'too many range deletions at once');
    switch (command.type) {
      case 'put':
        return this.put(command.key, command.value, this.note(command.origin, call, session));
      case 'delete':
        return this.delete(command.key, this.note(command.origin, call, session));
      case 'delete-range': {
        const live = this.live(call.ranges)(command);
        if (isFailure(live)) return live;
        return this.deleteAll(
          live.map(({ key, record }) => ({ key, before: record ?? this.space.before(key), after: null })),
          this.note(command.origin, call, session),
        );
      }
      case 'txn':
        return this.txn(command, call, session);
      case 'lease-grant':
        if (this.leases.isFull) return errorResult('KVD_OVERLOADED', 'too many leases are held');
        this.leases.grant(call.position, command.ttlMs, this.clusterMs);
        return { type: 'lease', lease: call.position, ttlMs: command.ttlMs };
      case 'lease-revoke':
        return this.endLease(command.lease, this.note(command.origin, call, session));
      case 'set-retention':
        this.retention = { keepRevisions: command.keepRevisions, keepMs: command.keepMs };
        return DONE;
    }
  }

  private put(key: Uint8Array, value: Uint8Array, note: RevisionNote): CommandResult {
    const text = keyText(key);
    const before = this.space.lend(text);
    const after = this.space.recordOfPut(key, value, before);
    return { type: 'put', revision: this.space.commit([{ key: text, before, after }], note) };
  }

  private delete(key: Uint8Array, note: RevisionNote): CommandResult {
    const text = keyText(key);
    const before = this.space.lend(text);
    return this.deleteAll(before === null ? [] : [{ key: text, before, after: null }], note);
  }

  private deleteAll(changes: readonly Change[], note: RevisionNote): CommandResult {
    const revision = changes.length === 0 ? this.revision : this.space.commit(changes, note);
    return { type: 'deleted', revision, deleted: changes.length };
  }

  private txn(command: TxnCommand, call: Call, session: Session | null): CommandResult {
    const isKept = mayChange(command) || call.idempotencyKey.length > 0;
    const bytesMax = isKept ? TXN_KEPT_RESULT_BYTES_MAX : TXN_RESULT_BYTES_MAX;
    const done = runTxn(this.space, command, this.live(call.ranges), bytesMax);
    if (isFailure(done)) return done;
    const { succeeded, changes, results } = done;
    const result = { type: 'txn', revision: this.revision, succeeded, results } as const;
    if (changes.length === 0) return result;
    return { ...result, revision: this.space.commit(changes, this.note(command.origin, call, session)) };
  }

  private live(ranges: PreparedRanges): LiveIn {
    return (range) => {
      const disk = ranges.disk.get(range);
      if (disk === undefined) throw new Error('S6: a range deletion was applied that was not prepared');
      return liveIn(textRange(range), [...this.space.writeBack.layers(), ...ranges.layers], disk);
    };
  }

  private keepLeaseAlive(id: LeaseId): CommandResult {
    const lease = this.leases.get(id);
    if (lease === undefined) return noLease(id);
    this.leases.keepAlive(lease, this.clusterMs);
    return { type: 'lease', lease: id, ttlMs: lease.ttlMs };
  }

  /** The leader thought it was due: it is, or it was kept alive meanwhile. */
  private expireLease(id: LeaseId, call: Call): void {
    const lease = this.leases.get(id);
    if (lease === undefined || lease.expiresMs > this.clusterMs) return;
    this.endLease(id, { ...NO_NOTE, wallMs: call.wallMs, reason: `lease ${id} expired` });
  }

  private endLease(id: LeaseId, note: RevisionNote): CommandResult {
    const lease = this.leases.get(id);
    if (lease === undefined) return noLease(id);
    const result = this.deleteAll(this.space.endOf(id), note);
    this.leases.remove(lease);
    return result;
  }

  private compact(revision: Revision): CommandResult {
    if (revision > this.revision) {
      return errorResult('KVD_FUTURE_REVISION', `the cluster is at revision ${this.revision}`);
    }
    this.compactRevision = Math.max(this.compactRevision, revision);
    return DONE;
  }

  /** What became of it; if nothing did, a result is stored in its place, and nothing will. */
  private outcome(id: number, sequence: number): CommandResult {
    const session = this.sessions.get(id);
    if (session === undefined) return outcomeOf({ status: 'forgotten' });
    const stored = session.results.get(sequence);
    if (stored !== undefined) return became(stored);
    if (sequence < session.lowest) return outcomeOf({ status: 'answered' });
    if (!this.sessions.hasRoom(session)) return noRoom(id);
    this.sessions.store(session, sequence, FENCED);
    return outcomeOf({ status: 'never' });
  }

  private keyedOutcome(key: Uint8Array): CommandResult {
    const kept = this.idempotency.resultOf(key);
    if (kept !== undefined) return became(kept);
    if (this.idempotency.isFull) return errorResult('KVD_OVERLOADED', 'too many Idempotency-Keys are in use');
    this.idempotency.fence(key, FENCED, this.clusterMs);
    return outcomeOf({ status: 'never' });
  }

  private note(origin: Origin, call: Call, session: Session | null): RevisionNote {
    return {
      wallMs: call.wallMs,
      session: origin.session,
      sequence: origin.sequence,
      idempotencyKey: call.idempotencyKey,
      principal: call.principal === '' && session !== null ? session.principal : call.principal,
      reason: call.reason,
    };
  }
}

const NO_NOTE: RevisionNote = {
  wallMs: 0,
  session: 0,
  sequence: 0,
  idempotencyKey: NO_KEY,
  principal: '',
  reason: '',
};

const ASKS: ReadonlySet<Command['type']> = new Set(['outcome', 'keyed-outcome']);

/** Could it change anything, whatever the state is? Then its result is kept, and a retry gets the same one. */
function mayChange(command: Mutation): boolean {
  if (command.type !== 'txn') return true;
  return [...command.success, ...command.failure].some((operation) => operation.type !== 'get');
}

type Outcome = Extract<CommandResult, { type: 'outcome' }>['outcome'];

function outcomeOf(outcome: Outcome): CommandResult {
  return { type: 'outcome', outcome };
}

function became(stored: CommandResult): CommandResult {
  const fenced = stored.type === 'error' && stored.code === 'KVD_FENCED';
  return outcomeOf(fenced ? { status: 'never' } : { status: 'applied', result: stored });
}

function noRoom(session: number): CommandResult {
  return errorResult('KVD_OVERLOADED', `session ${session} has too many results that it did not acknowledge`);
}

function expired(session: number): CommandResult {
  return errorResult('KVD_SESSION_EXPIRED', `session ${session} is not open, or expired`);
}
