/**
 * The model of the data model: the chosen log, replayed as plainly as it can be said, on maps that nothing is ever removed
 * from to save room. It shares no code with the product but the codec. Every result that a replica gives, every revision
 * and every answer about the past is compared with what this says.
 */
import {
  type Batch,
  type Command,
  type CommandResult,
  decodeCommand,
  type ErrorCode,
  IDEMPOTENCY_TTL_MS,
  type OperationOutcome,
  type RevisionNote,
  SESSION_TTL_MS,
  type Origin,
} from '@kvd/protocol';
import { plainTxn, putEntry, rangeOf, text } from './plain-txn.js';
import { type PlainEvent, Versions } from './versions.js';

/** Signs of life of a session are noted when the last one noted is so old. */
const ACTIVITY_GRAIN_MS = 10_000;
const RANGES_PER_BATCH_MAX = 16;
const POSITIONS_PER_SLOT = 2 ** 16;
const DONE: CommandResult = { type: 'done' };

type Mutation = Extract<Command, { readonly origin: Origin }>;
type Plain = Exclude<Command, { type: 'keyed' | 'noted' }>;

interface PlainSession {
  activeMs: number;
  lowest: number;
  readonly principal: string;
  readonly results: Map<number, CommandResult>;
}

export interface PlainLease {
  readonly ttlMs: number;
  readonly expiresMs: number;
}

/** Who asks, from where. */
interface Caller {
  readonly position: number;
  readonly wallMs: number;
  readonly key: Uint8Array;
  readonly principal: string;
  readonly reason: string;
}

export class Reference {
  readonly versions = new Versions();
  readonly leases = new Map<number, PlainLease>();
  clusterMs = 0;
  compactRevision = 0;
  private readonly sessions = new Map<number, PlainSession>();
  private readonly kept = new Map<
    string,
    { readonly createdMs: number; readonly command: string | null; readonly result: CommandResult }
  >();
  private ranges = 0;

  /** `onExpired`: a lease was ended because it was due. */
  constructor(private readonly onExpired: (lease: number) => void = () => undefined) {}

  get revision(): number {
    return this.versions.revision;
  }

  /** The results of the next slot's commands; of errors only the code counts. */
  apply(slot: number, { clusterMs, wallMs, commands }: Batch): CommandResult[] {
    this.advanceClock(clusterMs);
    this.ranges = 0;
    return commands.map((bytes, index) =>
      this.run(decodeCommand(bytes), {
        position: slot * POSITIONS_PER_SLOT + index,
        wallMs,
        key: new Uint8Array(0),
        principal: '',
        reason: '',
      }),
    );
  }

  private advanceClock(clusterMs: number): void {
    if (clusterMs <= this.clusterMs) return;
    this.clusterMs = clusterMs;
    for (const [id, { activeMs }] of this.sessions)
      if (clusterMs - activeMs >= SESSION_TTL_MS + ACTIVITY_GRAIN_MS) this.sessions.delete(id);
    for (const [key, { createdMs }] of this.kept)
      if (clusterMs - createdMs >= IDEMPOTENCY_TTL_MS) this.kept.delete(key);
  }

  private run(command: Command, caller: Caller): CommandResult {
    if (command.type === 'keyed') return this.runKeyed(command, caller);
    if (command.type === 'noted') {
      const { principal, reason } = command;
      return this.run(decodeCommand(command.command), { ...caller, principal, reason });
    }
    const before = this.ranges;
    this.ranges += rangesIn(command);
    if (this.ranges > RANGES_PER_BATCH_MAX && this.ranges > before) return error('KVD_OVERLOADED');
    return this.runPlain(command, caller);
  }

  private runKeyed(command: Extract<Command, { type: 'keyed' }>, caller: Caller): CommandResult {
    const key = text(command.idempotencyKey);
    const inner = text(command.command);
    const kept = this.kept.get(key);
    if (kept !== undefined)
      return kept.command === null || kept.command === inner
        ? kept.result
        : error('KVD_IDEMPOTENCY_CONFLICT');
    const result = this.run(decodeCommand(command.command), { ...caller, key: command.idempotencyKey });
    if (result.type !== 'error') this.kept.set(key, { createdMs: this.clusterMs, command: inner, result });
    return result;
  }

  private runPlain(command: Plain, caller: Caller): CommandResult {
    switch (command.type) {
      case 'open-session': {
        const { principal = '' } = command;
        const results = new Map<number, CommandResult>();
        this.sessions.set(caller.position, { activeMs: this.clusterMs, lowest: 1, principal, results });
        return { type: 'session', session: caller.position };
      }
      case 'keep-alive': {
        const session = this.sessions.get(command.session);
        if (session === undefined) return error('KVD_SESSION_EXPIRED');
        this.touch(session);
        return DONE;
      }
      case 'close-session':
        this.sessions.delete(command.session);
        return DONE;
      case 'lease-keep-alive': {
        const lease = this.leases.get(command.lease);
        if (lease === undefined) return error('KVD_LEASE_NOT_FOUND');
        return this.renew(command.lease, lease.ttlMs);
      }
      case 'expire-leases':
        for (const lease of command.leases) this.expire(lease, caller);
        return DONE;
      case 'compact':
        if (command.revision > this.revision) return error('KVD_FUTURE_REVISION');
        this.compactRevision = Math.max(this.compactRevision, command.revision);
        return DONE;
      case 'outcome':
        return this.outcome(command.session, command.sequence);
      case 'keyed-outcome':
        return this.keyedOutcome(text(command.idempotencyKey));
      default:
        return this.runMutation(command, caller);
    }
  }

  private runMutation(command: Mutation, caller: Caller): CommandResult {
    const { session: id, sequence, lowestUnanswered } = command.origin;
    if (id === 0) return this.mutate(command, caller, '');
    const session = this.sessions.get(id);
    if (session === undefined) return error('KVD_SESSION_EXPIRED');
    this.touch(session);
    if (sequence < session.lowest) return error('KVD_SEQUENCE_FORGOTTEN');
    session.lowest = Math.max(session.lowest, lowestUnanswered);
    for (const known of session.results.keys()) if (known < session.lowest) session.results.delete(known);
    const known = session.results.get(sequence);
    if (known !== undefined) return known;
    const result = this.mutate(command, caller, session.principal);
    if (result.type !== 'error' && changes(command)) session.results.set(sequence, result);
    return result;
  }

  private mutate(command: Mutation, caller: Caller, principal: string): CommandResult {
    const { versions } = this;
    const note = noteOf(caller, command.origin, principal);
    switch (command.type) {
      case 'put': {
        const key = text(command.key);
        const after = putEntry(versions, key, text(command.value));
        return { type: 'put', revision: versions.commit([{ key, before: versions.get(key), after }], note) };
      }
      case 'delete': {
        const key = text(command.key);
        return this.delete(versions.get(key) === null ? [] : [key], note);
      }
      case 'delete-range':
        return this.delete(versions.keysIn(rangeOf(command)), note);
      case 'txn': {
        const done = plainTxn(versions, command, (lease) => this.leases.has(lease));
        if (typeof done === 'string') return error(done);
        const { succeeded, events, results } = done;
        const revision = this.commit(events, note);
        return { type: 'txn', revision, succeeded, results };
      }
      case 'lease-grant':
        return this.renew(caller.position, command.ttlMs);
      case 'lease-revoke':
        if (!this.leases.has(command.lease)) return error('KVD_LEASE_NOT_FOUND');
        return this.end(command.lease, note);
      case 'set-retention':
        return DONE;
    }
  }

  private touch(session: PlainSession): void {
    if (this.clusterMs - session.activeMs >= ACTIVITY_GRAIN_MS) session.activeMs = this.clusterMs;
  }

  private commit(events: readonly PlainEvent[], note: RevisionNote): number {
    return events.length === 0 ? this.revision : this.versions.commit(events, note);
  }

  private delete(keys: readonly string[], note: RevisionNote): CommandResult {
    const events = keys.map((key) => ({ key, before: this.versions.get(key), after: null }));
    return { type: 'deleted', revision: this.commit(events, note), deleted: keys.length };
  }

  private renew(lease: number, ttlMs: number): CommandResult {
    this.leases.set(lease, { ttlMs, expiresMs: this.clusterMs + ttlMs });
    return { type: 'lease', lease, ttlMs };
  }

  /** Only what is due: the leader that proposed it may have been behind. */
  private expire(lease: number, caller: Caller): void {
    const { expiresMs } = this.leases.get(lease) ?? {};
    if (expiresMs === undefined || expiresMs > this.clusterMs) return;
    this.end(lease, noteOf({ ...caller, principal: '', reason: `lease ${lease} expired` }, null, ''));
    this.onExpired(lease);
  }

  private end(lease: number, note: RevisionNote): CommandResult {
    const keys = this.versions
      .keysIn({ from: '', to: '' })
      .filter((key) => this.versions.get(key)?.lease === lease);
    this.leases.delete(lease);
    return this.delete(keys, note);
  }

  private outcome(id: number, sequence: number): CommandResult {
    const session = this.sessions.get(id);
    if (session === undefined) return became({ status: 'forgotten' });
    const known = session.results.get(sequence);
    if (known !== undefined) return whatBecame(known);
    if (sequence < session.lowest) return became({ status: 'answered' });
    session.results.set(sequence, error('KVD_FENCED'));
    return became({ status: 'never' });
  }

  private keyedOutcome(key: string): CommandResult {
    const kept = this.kept.get(key);
    if (kept !== undefined) return whatBecame(kept.result);
    this.kept.set(key, { createdMs: this.clusterMs, command: null, result: error('KVD_FENCED') });
    return became({ status: 'never' });
  }
}

function rangesIn(command: Plain): number {
  if (command.type === 'delete-range') return 1;
  if (command.type !== 'txn') return 0;
  return [...command.success, ...command.failure].filter(({ type }) => type === 'delete-range').length;
}

/** A transaction that only reads is answered anew each time. */
function changes(command: Mutation): boolean {
  return (
    command.type !== 'txn' || [...command.success, ...command.failure].some(({ type }) => type !== 'get')
  );
}

function noteOf(caller: Caller, origin: Origin | null, principal: string): RevisionNote {
  return {
    wallMs: caller.wallMs,
    session: origin?.session ?? 0,
    sequence: origin?.sequence ?? 0,
    idempotencyKey: caller.key,
    principal: caller.principal === '' ? principal : caller.principal,
    reason: caller.reason,
  };
}

function error(code: ErrorCode): CommandResult {
  return { type: 'error', code, message: '' };
}

function became(outcome: OperationOutcome): CommandResult {
  return { type: 'outcome', outcome };
}

function whatBecame(result: CommandResult): CommandResult {
  const fenced = result.type === 'error' && result.code === 'KVD_FENCED';
  return became(fenced ? { status: 'never' } : { status: 'applied', result });
}
