/**
 * Which way a request goes: answered here, proposed here, passed on to the leader over one hop, or held until there is
 * a leader. Sends again only what is safe to (a read, or a mutation that carries a session or a key). Every request
 * ends: by an answer or at its deadline.
 */
import type { Identity, ReplicaId } from '@kvd/paxos';
import type { Request, Response } from '@kvd/protocol';
import { ERRORS, IDEMPOTENCY_TTL_MS, TIMEOUT_MS_MAX } from '@kvd/protocol';
import type { ReplySink } from './api.js';
import type { Outstanding } from './pending.js';
import { errorResponse, Pending } from './pending.js';

export interface Refusal {
  readonly code: 'KVD_STATE_DIVERGED' | 'KVD_UNAVAILABLE';
  readonly message: string;
}

export interface RouterHandler {
  isLeading(): boolean;
  /** 0: none known. */
  leader(): ReplicaId;
  /** Not null: this replica serves nothing, and says why. */
  refusal(): Refusal | null;
  /** Take a mutation or a linearizable read as the leader. */
  lead(pending: Pending): void;
  /** Answer a stale read. */
  readStale(pending: Pending): void;
  /** False: certainly not sent. */
  forward(to: ReplicaId, forwardId: number, request: Request): boolean;
}

const SWEEP_TICKS = 5;
/**
 * What may have been done is sent again for so long, and no longer: what an Idempotency-Key protects would be done twice
 * once the key is forgotten.
 */
const REPEAT_MS_MAX = IDEMPOTENCY_TTL_MS / 2;
/** Requests of clients that may be unanswered at once. */
const OUTSTANDING_MAX = 100_000;

export class Router {
  readonly outstanding: Outstanding = { count: 0 };
  private live: Pending[] = [];
  private held: Pending[] = [];
  private readonly forwards = new Map<number, { readonly pending: Pending; readonly to: ReplicaId }>();
  private nowTick = 0;
  /** As of the last tick; before the first, not known. */
  private wallMs = Number.NaN;

  constructor(
    private readonly self: Identity,
    private readonly tickMs: number,
    private readonly resendTicks: number,
    private readonly handler: RouterHandler,
    /**
     * Random, drawn once a life: a leader may yet answer what our last life passed on, over the connection of this one,
     * and such an answer must not be taken for one to a request of ours.
     */
    private nextForwardId: number,
  ) {}

  request(sink: ReplySink, requestId: number, request: Request, forwarded: boolean): void {
    if (this.outstanding.count >= OUTSTANDING_MAX) {
      sink.reply(
        requestId,
        errorResponse('KVD_OVERLOADED', `${OUTSTANDING_MAX} requests wait already; try again`),
      );
      return;
    }
    const timeoutMs = Math.min(request.timeoutMs, TIMEOUT_MS_MAX);
    const deadline = this.nowTick + Math.max(1, Math.ceil(timeoutMs / this.tickMs));
    const { outstanding, wallMs } = this;
    const pending = new Pending(sink, requestId, request, deadline, forwarded, outstanding, wallMs);
    this.live.push(pending);
    this.route(pending);
  }

  route(pending: Pending): void {
    const { handler } = this;
    if (pending.answered) return;
    if (this.isTooLate(pending)) {
      pending.expire();
      return;
    }
    const refusal = handler.refusal();
    if (refusal) {
      pending.fail(refusal.code, refusal.message);
      return;
    }
    const { request } = pending;
    if ('consistency' in request && request.consistency === 'stale') handler.readStale(pending);
    else if (handler.isLeading()) handler.lead(pending);
    else if (pending.forwarded)
      pending.fail('KVD_UNAVAILABLE', `replica ${this.self.replicaId} does not lead`);
    else this.passOn(pending, handler.leader());
  }

  /** An attempt ended without an answer that could be believed. */
  retry(pending: Pending, why: string): void {
    if (pending.answered) return;
    if (pending.entered && !pending.retrySafe) pending.fail('KVD_OUTCOME_UNKNOWN', why);
    else if (pending.forwarded)
      pending.fail(pending.entered ? 'KVD_OUTCOME_UNKNOWN' : 'KVD_UNAVAILABLE', why);
    else {
      pending.repeat();
      this.held.push(pending);
    }
  }

  onForwardReply(from: ReplicaId, forwardId: number, response: Response): void {
    const forward = this.forwards.get(forwardId);
    if (!forward || forward.to !== from) return;
    this.forwards.delete(forwardId);
    const { pending } = forward;
    pending.forwardId = 0;
    if (response.type !== 'error') {
      pending.reply(response);
    } else if (response.code === 'KVD_UNAVAILABLE' || response.code === 'KVD_TIMEOUT') {
      // The leader is sure that this attempt did nothing: another one may be made until the deadline.
      this.held.push(pending);
    } else if (response.code === 'KVD_OUTCOME_UNKNOWN') {
      pending.entered = true;
      this.retry(pending, response.message);
    } else if (pending.entered && ERRORS[response.code].outcome === 'not-done') {
      pending.fail(response.code, response.message);
    } else {
      pending.reply(response);
    }
  }

  /** The leader changed or its connection ended: what was passed on to it may be lost. */
  onForwardsLost(to: ReplicaId, why: string): void {
    for (const [id, forward] of this.forwards) {
      if (forward.to !== to) continue;
      const { pending } = forward;
      // What must not be sent twice keeps waiting for an answer until its deadline.
      if (!pending.retrySafe) continue;
      this.forwards.delete(id);
      pending.forwardId = 0;
      pending.entered = true;
      this.retry(pending, why);
    }
  }

  tick(wallMs: number): void {
    this.nowTick += 1;
    this.wallMs = wallMs;
    this.routeAll(this.takeHeld());
    if (this.nowTick % SWEEP_TICKS === 0) this.sweep();
  }

  /**
   * There is a leader: try again what had to wait for one. What is sent again, or remembered for a time only, waits for the
   * tick, which knows the time: the process may have slept.
   */
  onLeader(): void {
    const held = this.takeHeld();
    const waits = ({ isRepeated, isKeyed }: Pending): boolean => isRepeated || isKeyed;
    this.held = held.filter(waits);
    this.routeAll(held.filter((pending) => !waits(pending)));
  }

  private takeHeld(): readonly Pending[] {
    const { held } = this;
    if (held.length > 0) this.held = [];
    return held;
  }

  private routeAll(held: readonly Pending[]): void {
    for (const pending of held) this.route(pending);
  }

  /** Nobody waits for it any more, by the wall clock: what slept with the process is not sent after it. */
  private isTooLate(pending: Pending): boolean {
    if (pending.isRepeated) return this.repeatMsLeft(pending) <= 0;
    return this.wallMs - pending.bornMs > Math.min(pending.request.timeoutMs, TIMEOUT_MS_MAX);
  }

  /** How long it may yet be sent again, by ticks and by the wall clock. */
  private repeatMsLeft({ request, deadlineTick, bornMs }: Pending): number {
    const leftMs = (deadlineTick - this.nowTick) * this.tickMs;
    const timeoutMs = Math.min(request.timeoutMs, TIMEOUT_MS_MAX);
    const ageMs = Math.max(timeoutMs - leftMs, Number.isNaN(bornMs) ? 0 : this.wallMs - bornMs);
    return Math.min(timeoutMs, REPEAT_MS_MAX) - ageMs;
  }

  forgetSink(sink: ReplySink): void {
    for (const pending of this.live) if (pending.sink === sink) pending.forget();
  }

  failAll(code: 'KVD_UNAVAILABLE', message: string): void {
    for (const pending of this.live) {
      this.noteOnItsWay(pending);
      pending.fail(code, message);
    }
    this.live = [];
    this.held = [];
    this.forwards.clear();
  }

  private passOn(pending: Pending, to: ReplicaId): void {
    const forwardId = this.nextForwardId++;
    const known = to !== 0 && to !== this.self.replicaId;
    if (!known || !this.handler.forward(to, forwardId, this.attemptOf(pending))) {
      this.held.push(pending);
      return;
    }
    pending.forwardId = forwardId;
    pending.sentTick = this.nowTick;
    this.forwards.set(forwardId, { pending, to });
  }

  /** What is sent again is not to wait at the leader for longer than it may be sent. */
  private attemptOf(pending: Pending): Request {
    const { request } = pending;
    if (!pending.isRepeated) return request;
    return { ...request, timeoutMs: Math.max(1, Math.ceil(this.repeatMsLeft(pending))) };
  }

  private sweep(): void {
    const live: Pending[] = [];
    for (const pending of this.live) {
      if (!pending.answered && pending.deadlineTick <= this.nowTick) this.expire(pending);
      if (pending.answered) {
        if (pending.forwardId > 0) this.forwards.delete(pending.forwardId);
        continue;
      }
      live.push(pending);
      this.resendIfOld(pending);
    }
    this.live = live;
    this.held = this.held.filter((pending) => !pending.answered);
  }

  private expire(pending: Pending): void {
    this.noteOnItsWay(pending);
    pending.expire();
  }

  /** On its way to a leader: it may have arrived. */
  private noteOnItsWay(pending: Pending): void {
    if (pending.forwardId > 0) pending.entered = true;
  }

  private resendIfOld(pending: Pending): void {
    if (pending.forwardId === 0 || !pending.retrySafe) return;
    if (this.nowTick - pending.sentTick < this.resendTicks) return;
    this.forwards.delete(pending.forwardId);
    pending.forwardId = 0;
    pending.entered = true;
    this.retry(pending, 'the leader did not answer');
  }
}
