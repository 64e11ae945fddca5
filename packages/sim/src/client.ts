/**
 * A client of the workload: takes its operations in order, numbers its mutations in a session, and does what a user's
 * program does when no answer comes: asks another replica, again and again, until its deadline. Owns what it believes;
 * what it records is what is judged. Its requests and answers pass through the real codec. What the operations are is
 * in workload/.
 */
import type { ReplicaId } from '@kvd/paxos';
import type { Command, ErrorCode, Origin, Request, Response } from '@kvd/protocol';
import { decodeServerFrame, encodeCommand, encodeRequest, ERRORS, NO_ORIGIN } from '@kvd/protocol';
import type { VirtualClock } from './clock.js';
import type { History } from './history.js';
import type { Ledger } from './oracle/ledger.js';
import type { ClientPlan, Operation } from './plan.js';
import type { Random } from './random.js';
import { safety } from './violation.js';
import type { Caller, End, Numbered } from './workload/caller.js';
import { perform } from './workload/perform.js';

/** The way from a client to the replicas and back. */
export interface ClientNetwork {
  readonly replicaIds: readonly ReplicaId[];
  /** False: nobody listens there, and the client knows at once. */
  send(client: SimClient, to: ReplicaId, frame: Uint8Array): boolean;
}

interface Attempt {
  readonly call: Call;
  readonly to: ReplicaId;
  readonly sentMs: number;
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
  /** Errors that are an answer, and not the end of the world. */
  readonly accepts: readonly ErrorCode[];
  /** What was known to somebody when it began. */
  readonly floor: number;
  /** An attempt may have had an effect. */
  entered: boolean;
  over: boolean;
  attempts: number;
  readonly end: End;
}

const SESSION_DEADLINE_MS = 600_000;

export class SimClient implements Caller {
  isRetired = false;
  private session: OpenSession | null = null;
  private opening = false;
  private readonly attempts = new Map<number, Attempt>();
  private nextRequestId = 1;
  private under = 0;
  private favourite: ReplicaId;
  private waitsForSession: (() => void)[] = [];

  constructor(
    readonly id: number,
    readonly plan: ClientPlan,
    private readonly queue: { readonly index: number; readonly operation: Operation }[],
    private readonly network: ClientNetwork,
    readonly history: History,
    readonly ledger: Ledger,
    readonly clock: VirtualClock,
    private readonly random: Random,
  ) {
    this.favourite = random.pick(network.replicaIds);
  }

  start(): void {
    for (let i = 0; i < this.plan.concurrency; i++) this.next();
  }

  /** Begin nothing new; what is under way goes on to its end. */
  retire(): void {
    this.isRetired = true;
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
      this.whenInSession(() => {
        this.under += 1;
        perform(this, item.index, item.operation, () => {
          this.under -= 1;
          this.next();
        });
      }),
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
    const opening = { retrySafe: true, forMs: SESSION_DEADLINE_MS };
    this.mutate({ type: 'open-session' }, opening, (outcome, response) => {
      this.opening = false;
      if (outcome !== 'ok' || response?.type !== 'result' || response.result.type !== 'session') return;
      this.session = { id: response.result.session, nextSequence: 1, unanswered: new Set() };
      const waiting = this.waitsForSession;
      this.waitsForSession = [];
      for (const go of waiting) go();
    });
  }

  /** A place in the session for a mutation; without one it is sent bare. */
  number(): Numbered {
    const { session } = this;
    if (session === null) return { origin: NO_ORIGIN, settle: () => undefined };
    const sequence = session.nextSequence++;
    session.unanswered.add(sequence);
    const origin: Origin = {
      session: session.id,
      sequence,
      lowestUnanswered: Math.min(...session.unanswered),
    };
    return { origin, settle: () => void session.unanswered.delete(sequence) };
  }

  read(request: Exclude<Request, { type: 'mutate' }>, end: End, accepts: readonly ErrorCode[] = []): void {
    const { floor } = this.ledger;
    const deadlineMs = this.clock.nowMs + this.plan.deadlineMs;
    this.begun({ request, retrySafe: true, deadlineMs, ...NEW_CALL, accepts, floor, end });
  }

  mutate(
    command: Command,
    { retrySafe, forMs = this.plan.deadlineMs, accepts = [] }: Parameters<Caller['mutate']>[1],
    end: End,
  ): void {
    const request: Request = {
      type: 'mutate',
      timeoutMs: this.plan.attemptMs,
      command: encodeCommand(command),
    };
    const { floor } = this.ledger;
    const deadlineMs = this.clock.nowMs + forMs;
    this.begun({ request, retrySafe, deadlineMs, ...NEW_CALL, accepts, floor, end });
  }

  private begun(call: Call): void {
    this.attempt(call);
    if (call.retrySafe && this.random.chance(this.plan.hedging)) this.attempt(call);
    this.clock.at(call.deadlineMs, () => this.giveUp(call));
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
    this.attempts.set(requestId, { call, to, sentMs: this.clock.nowMs });
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

  private onResponse({ call, sentMs }: Attempt, response: Response): void {
    const { request } = call;
    if (request.type === 'mutate') this.ledger.judgeResult(request.command, response);
    else if (request.type !== 'members') this.ledger.judgeRead(request, response, call.floor);
    const error = errorOf(response);
    if (error === null) {
      this.finish(call, 'ok', response, sentMs);
      return;
    }
    const { outcome, retry } = ERRORS[error.code];
    if (error.code === 'KVD_SESSION_EXPIRED') {
      this.session = null;
      this.finish(call, 'unknown', null);
      return;
    }
    if (call.accepts.includes(error.code)) {
      this.finish(call, 'refused', response, sentMs);
      return;
    }
    if (!retry) throw safety('answers', `client ${this.id} was answered ${error.code}: ${error.message}`);
    if (request.type === 'mutate' && outcome === 'unknown') call.entered = true;
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

  private finish(call: Call, outcome: Parameters<End>[0], response: Response | null, sentMs = 0): void {
    call.over = true;
    call.end(outcome, response, sentMs);
  }
}

const NEW_CALL = { entered: false, over: false, attempts: 0 };

function errorOf(response: Response): { readonly code: ErrorCode; readonly message: string } | null {
  if (response.type === 'error') return response;
  return response.type === 'result' && response.result.type === 'error' ? response.result : null;
}
