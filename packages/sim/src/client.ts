/**
 * A client of the workload: takes its operations in order, numbers its mutations in a session, and does what a user's
 * program does when no answer comes: asks another replica, again and again, until its deadline. Owns what it believes;
 * the history it writes is what is judged. Its requests and answers pass through the real codec.
 */
import type { ReplicaId } from '@kvd/paxos';
import type { Command, Origin, Request, Response } from '@kvd/protocol';
import { decodeServerFrame, encodeCommand, encodeRequest, ERRORS, NO_ORIGIN } from '@kvd/protocol';
import type { VirtualClock } from './clock.js';
import type { History, Recorded } from './history.js';
import type { ClientPlan, Operation } from './plan.js';
import type { Random } from './random.js';
import { safety, type Violation } from './violation.js';

/** The way from a client to the replicas and back. */
export interface ClientNetwork {
  readonly replicaIds: readonly ReplicaId[];
  /** False: nobody listens there, and the client knows at once. */
  send(client: SimClient, to: ReplicaId, frame: Uint8Array): boolean;
}

interface Attempt {
  readonly call: Call;
  readonly to: ReplicaId;
}

interface OpenSession {
  readonly id: number;
  nextSequence: number;
  readonly unanswered: Set<number>;
}

/** An operation under way, or the opening of a session. */
interface Call {
  readonly request: Request;
  /** May be sent again while the fate of an earlier attempt is open. */
  readonly retrySafe: boolean;
  readonly deadlineMs: number;
  /** An attempt may have had an effect. */
  entered: boolean;
  over: boolean;
  attempts: number;
  end(outcome: 'ok' | 'failed' | 'unknown', response: Response | null): void;
}

const SESSION_DEADLINE_MS = 600_000;

export class SimClient {
  private session: OpenSession | null = null;
  private opening = false;
  private readonly attempts = new Map<number, Attempt>();
  private nextRequestId = 1;
  private under = 0;
  private favourite: ReplicaId;
  private waitsForSession: (() => void)[] = [];

  constructor(
    readonly id: number,
    private readonly plan: ClientPlan,
    private readonly queue: { readonly index: number; readonly operation: Operation }[],
    private readonly network: ClientNetwork,
    private readonly history: History,
    private readonly clock: VirtualClock,
    private readonly random: Random,
  ) {
    this.favourite = random.pick(network.replicaIds);
  }

  start(): void {
    for (let i = 0; i < this.plan.concurrency; i++) this.next();
  }

  /** Begin nothing new; what is under way goes on to its end. */
  retire(): void {
    this.queue.length = 0;
    this.waitsForSession = [];
  }

  /** Nothing is under way and nothing is left to do. */
  get isDone(): boolean {
    return this.under === 0 && this.queue.length === 0;
  }

  get slowMs(): number {
    return this.plan.slowMs;
  }

  onFrame(frame: Uint8Array): void {
    decodeServerFrame(frame, {
      onWelcome: () => undefined,
      onWatchMessage: () => undefined,
      onResponse: (requestId, response) => {
        const attempt = this.attempts.get(requestId);
        if (attempt === undefined) return;
        this.attempts.delete(requestId);
        if (!attempt.call.over) this.onResponse(attempt, response);
      },
    });
  }

  /** The connection to a replica broke. */
  onConnectionLost(to: ReplicaId): void {
    for (const [requestId, attempt] of this.attempts) {
      if (attempt.to !== to) continue;
      this.attempts.delete(requestId);
      this.onNoAnswer(attempt.call);
    }
  }

  private next(): void {
    const item = this.queue.shift();
    if (item === undefined) return;
    this.clock.at(item.operation.atMs, () =>
      this.whenInSession(() => this.begin(item.index, item.operation)),
    );
  }

  private whenInSession(run: () => void): void {
    if (!this.plan.session || this.session !== null) {
      run();
      return;
    }
    this.waitsForSession.push(run);
    if (this.opening) return;
    this.opening = true;
    this.call({ type: 'open-session' }, true, SESSION_DEADLINE_MS, (outcome, response) => {
      this.opening = false;
      if (outcome !== 'ok' || response?.type !== 'result' || response.result.type !== 'session') return;
      this.session = { id: response.result.session, nextSequence: 1, unanswered: new Set() };
      const waiting = this.waitsForSession;
      this.waitsForSession = [];
      for (const go of waiting) go();
    });
  }

  private begin(index: number, operation: Operation): void {
    this.under += 1;
    const { kind } = operation;
    const keys = keysOf(operation);
    const put = kind === 'put' || kind === 'keyed-put';
    const value = put ? `${this.id}.${index}${'.'.repeat(operation.valueBytes)}` : null;
    const recorded = this.history.call(index, this.id, kind, keys, value);
    const session = numbered(kind) ? this.session : null;
    const sequence = session === null ? 0 : session.nextSequence++;
    session?.unanswered.add(sequence);
    const end = (outcome: 'ok' | 'failed' | 'unknown', response: Response | null): void => {
      session?.unanswered.delete(sequence);
      if (response !== null && outcome === 'ok') take(recorded, response);
      this.history.end(recorded, outcome);
      this.under -= 1;
      this.next();
    };
    if (kind === 'get' || kind === 'scan') this.read(operation, keys, end);
    else this.mutate(operation, recorded, originOf(session, sequence), end);
  }

  private read(operation: Operation, keys: readonly string[], end: Call['end']): void {
    const { attemptMs: timeoutMs } = this.plan;
    const from = Buffer.from(keys[0] ?? '');
    const request: Request =
      operation.kind === 'get'
        ? { type: 'get', timeoutMs, consistency: 'linearizable', key: from, revision: 0 }
        : {
            type: 'scan',
            timeoutMs,
            consistency: 'linearizable',
            from,
            to: Buffer.from(keyAt(operation.key + operation.span)),
            limit: 0,
            keysOnly: false,
            countOnly: false,
            revision: 0,
            reverse: false,
          };
    this.begun({
      request,
      retrySafe: true,
      deadlineMs: this.deadline(),
      entered: false,
      over: false,
      attempts: 0,
      end,
    });
  }

  private mutate(operation: Operation, recorded: Recorded, origin: Origin, end: Call['end']): void {
    const retrySafe = origin.session > 0;
    const key = Buffer.from(recorded.keys[0] ?? '');
    const value = Buffer.from(recorded.value ?? '');
    switch (operation.kind) {
      case 'keyed-put': {
        const command = encodeCommand({ type: 'put', origin: NO_ORIGIN, key, value });
        const idempotencyKey = Buffer.from(`once-${recorded.index}`);
        this.call({ type: 'keyed', idempotencyKey, command }, true, this.plan.deadlineMs, end);
        return;
      }
      case 'delete':
        this.call({ type: 'delete', origin, key }, retrySafe, this.plan.deadlineMs, end);
        return;
      case 'delete-range': {
        const to = Buffer.from(keyAt(operation.key + operation.span));
        this.call({ type: 'delete-range', origin, from: key, to }, retrySafe, this.plan.deadlineMs, end);
        return;
      }
      default:
        this.call({ type: 'put', origin, key, value }, retrySafe, this.plan.deadlineMs, end);
    }
  }

  private call(command: Command, retrySafe: boolean, forMs: number, end: Call['end']): void {
    const request: Request = {
      type: 'mutate',
      timeoutMs: this.plan.attemptMs,
      command: encodeCommand(command),
    };
    const deadlineMs = this.clock.nowMs + forMs;
    this.begun({ request, retrySafe, deadlineMs, entered: false, over: false, attempts: 0, end });
  }

  private begun(call: Call): void {
    this.attempt(call);
    if (call.retrySafe && this.random.chance(this.plan.hedging)) this.attempt(call);
    this.clock.at(call.deadlineMs, () => this.giveUp(call));
  }

  private deadline(): number {
    return this.clock.nowMs + this.plan.deadlineMs;
  }

  private attempt(call: Call): void {
    if (call.over) return;
    const { replicaIds } = this.network;
    const restless = call.attempts > 0 ? 1 - this.plan.loyalty : 0.03;
    if (this.random.chance(restless)) this.favourite = this.random.pick(replicaIds);
    const to = this.favourite;
    const requestId = this.nextRequestId++;
    call.attempts += 1;
    if (!this.network.send(this, to, encodeRequest(requestId, call.request))) {
      this.retryLater(call);
      return;
    }
    this.attempts.set(requestId, { call, to });
    this.clock.after(this.plan.attemptMs * this.random.between(0.7, 1.5), () => {
      if (this.attempts.delete(requestId)) this.onNoAnswer(call);
    });
  }

  private onNoAnswer(call: Call): void {
    if (call.over) return;
    if (call.request.type === 'mutate') call.entered = true;
    if (call.entered && !call.retrySafe) this.finish(call, 'unknown', null);
    else this.retryLater(call);
  }

  private onResponse({ call }: Attempt, response: Response): void {
    const error =
      response.type === 'error'
        ? response
        : response.type === 'result' && response.result.type === 'error'
          ? response.result
          : null;
    if (error === null) {
      this.finish(call, 'ok', response);
      return;
    }
    const { outcome, retry } = ERRORS[error.code];
    if (error.code === 'KVD_SESSION_EXPIRED') {
      this.session = null;
      this.finish(call, 'unknown', null);
      return;
    }
    if (!retry) throw safety('answers', `client ${this.id} was answered ${error.code}: ${error.message}`);
    if (call.request.type === 'mutate' && outcome === 'unknown') call.entered = true;
    if (call.entered && !call.retrySafe) this.finish(call, 'unknown', null);
    else this.retryLater(call);
  }

  private retryLater(call: Call): void {
    this.clock.after(this.random.exponential(this.plan.backoffMs), () => this.attempt(call));
  }

  private giveUp(call: Call): void {
    if (call.over) return;
    const underWay = [...this.attempts.values()].some((attempt) => attempt.call === call);
    const maybe = call.request.type === 'mutate' && (call.entered || underWay);
    this.finish(call, maybe ? 'unknown' : 'failed', null);
  }

  private finish(call: Call, outcome: 'ok' | 'failed' | 'unknown', response: Response | null): void {
    call.over = true;
    call.end(outcome, response);
  }
}

/** Does a session number such an operation? Keys have their own way to be done once. */
function numbered(kind: Operation['kind']): boolean {
  return kind === 'put' || kind === 'delete' || kind === 'delete-range';
}

function originOf(session: OpenSession | null, sequence: number): Origin {
  if (session === null) return NO_ORIGIN;
  return { session: session.id, sequence, lowestUnanswered: Math.min(...session.unanswered) };
}

/** Copies what an answer says into the record. @throws Violation: it answers another question */
function take(recorded: Recorded, response: Response): void {
  const { kind } = recorded;
  const wrong = (): Violation =>
    safety('answers', `operation #${recorded.index}, a ${kind}, was answered ${JSON.stringify(response)}`);
  if (response.type === 'result') {
    const { result } = response;
    if (result.type === 'put' && (kind === 'put' || kind === 'keyed-put'))
      recorded.revision = result.revision;
    else if (result.type === 'deleted' && (kind === 'delete' || kind === 'delete-range')) {
      recorded.revision = result.revision;
      recorded.deleted = result.deleted;
    } else throw wrong();
    return;
  }
  if (response.type === 'error') throw wrong();
  if (response.type !== (kind === 'get' ? 'entry' : kind === 'scan' ? 'page' : 'none')) throw wrong();
  recorded.revision = response.revision;
  const entries = response.type === 'entry' ? [response.entry] : response.entries;
  const found = new Map(entries.flatMap((entry) => (entry === null ? [] : [[textOf(entry.key), entry]])));
  recorded.seen = recorded.keys.map((key) => {
    const entry = found.get(key);
    const { modRevision = 0, version = 0 } = entry ?? {};
    return { key, value: entry ? textOf(entry.value) : null, modRevision, version };
  });
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

export function keyAt(index: number): string {
  return `k${String(index).padStart(4, '0')}`;
}

function keysOf({ kind, key, span }: Operation): string[] {
  const count = kind === 'scan' || kind === 'delete-range' ? span : 1;
  return Array.from({ length: count }, (_, i) => keyAt(key + i));
}
