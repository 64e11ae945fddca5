/**
 * Every operation between its call and its answer: queues what is above the bounds, gives mutations their place in the
 * session, sends, sends again what was lost or refused for the moment, and ends what is out of time. Watches, which have
 * no end, are watch-manager.ts's; they share the links and the timer.
 *
 * One timer for all operations. It never answers "not done" for what may have been done (operation.ts).
 */
import {
  encodeCommand,
  ERRORS,
  type ErrorCode,
  KvdError,
  type Outcome,
  type Response,
  type SessionId,
} from '@kvd/protocol';
import { onAbort } from './abort.js';
import { Backlog, type BacklogBounds } from './backlog.js';
import { Connector, type ConnectorOptions } from './connector.js';
import type { Link } from './link.js';
import { errorOf, Operation, type Task, withCause } from './operation.js';
import { KEEP_ALIVE_MS, Session } from './session.js';
import { WatchManager } from './watch-manager.js';

export interface DispatcherOptions extends ConnectorOptions, BacklogBounds {
  readonly principal: string;
  readonly inFlightMax: number;
  readonly inFlightBytesMax: number;
}

const SWEEP_MS = 25;
const RETRY_MS_MIN = 20;
const RETRY_MS_MAX = 1_000;
/**
 * An attempt with less time left than this is not made again: its answer would come too late, and turn a certain "not
 * done" into an unknown outcome.
 */
const ATTEMPT_MS_MIN = 200;
/**
 * What an attempt to open or keep a session may take. Short: a replica does not send it again when the leader is lost,
 * and to try anew costs nothing but perhaps a session that nobody uses.
 */
const CONTROL_TIMEOUT_MS = 1_500;
/** How long close() waits for the session's end, which only tidies up. */
const GOODBYE_MS = 250;

export class Dispatcher {
  readonly connector: Connector;
  readonly watches: WatchManager;
  private readonly session: Session;
  /** Sent, or waiting to be sent again. In the order they were admitted. */
  private readonly admitted = new Map<number, Operation>();
  private admittedBytes = 0;
  private readonly backlog: Backlog;
  private lastRequestId = 0;
  /** No deadline and no re-send is due before. */
  private nextWakeMs = Number.POSITIVE_INFINITY;
  private sweeper: NodeJS.Timeout | null = null;
  private readonly keeper: NodeJS.Timeout;
  private closed = false;
  private closing: Promise<void> | null = null;
  private connecting = false;

  constructor(
    private readonly options: DispatcherOptions,
    readonly now: () => number = () => performance.now(),
  ) {
    this.backlog = new Backlog(options);
    this.connector = new Connector(
      options,
      {
        linkReady: (link, overtake) => this.onLinkReady(link, overtake),
        linkLost: (link) => this.onLinkLost(link),
        answered: (link, requestId, response) => this.onAnswer(link, requestId, response),
        watchTold: (link, watchId, message) => this.watches.onMessage(link, watchId, message),
        nextRequestId: () => ++this.lastRequestId,
      },
      now,
    );
    this.watches = new WatchManager(
      {
        currentLink: () => this.connector.current,
        wake: () => this.startSweeper(false),
        refused: (link, error) => this.leaveLink(link, error.code),
      },
      now,
      options.random,
    );
    this.session = new Session(
      {
        control: (task, onAnswer, onError) => this.control(task, CONTROL_TIMEOUT_MS, onAnswer, onError),
        sessionOpened: () => this.pump(),
        sessionRefused: (error) => this.onSessionRefused(error),
      },
      options.principal,
    );
    this.keeper = setInterval(() => this.session.keepAlive(), KEEP_ALIVE_MS / 4).unref();
  }

  /** Do `task` within `timeoutMs`; resolves with what `interpret` makes of the answer. */
  submit<T>(
    task: Task,
    interpret: (response: Response) => T,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.closed) throw new KvdError('KVD_CLOSED', 'the client is closed');
      if (signal?.aborted)
        throw withCause(new KvdError('KVD_CLOSED', 'aborted before it was sent'), signal.reason);
      const onAnswer = (response: Response) => {
        try {
          resolve(interpret(response));
        } catch (error) {
          reject(error);
        }
      };
      const operation = this.operation(task, timeoutMs, onAnswer, reject);
      this.enqueue(operation);
      if (signal !== undefined && !operation.settled) this.abortOn(operation, signal);
    });
  }

  /** Resolves once a replica has welcomed us; rejects when none has within `timeoutMs`. */
  async connect(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const deadlineMs = this.now() + timeoutMs;
    this.connecting = true;
    this.startSweeper();
    try {
      while (this.connector.current === null) {
        if (signal?.aborted)
          throw withCause(new KvdError('KVD_CLOSED', 'aborted while connecting'), signal.reason);
        const failure = this.connector.connectFailure(this.now() >= deadlineMs, timeoutMs);
        if (failure !== null) throw failure;
        await new Promise((resolve) => setTimeout(resolve, SWEEP_MS / 5));
      }
    } finally {
      this.connecting = false;
    }
  }

  /** What became of a mutation was asked, and answered. */
  resolved(session: SessionId, sequence: number): void {
    this.session.resolved(session, sequence);
  }

  /**
   * Reject what is under way, leave no socket and no timer. Ends the session as far as that is quick, unless something in
   * it has an outcome that is unknown: somebody may yet ask for it.
   */
  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async shutDown(): Promise<void> {
    this.closed = true;
    clearInterval(this.keeper);
    this.watches.close(new KvdError('KVD_CLOSED', 'the client was closed'));
    for (const operation of [...this.admitted.values(), ...this.backlog]) {
      const outcome: Outcome = operation.mayHaveHappened ? 'unknown' : 'not-done';
      this.finish(operation, () =>
        operation.fail(new KvdError('KVD_CLOSED', 'the client was closed', outcome)),
      );
    }
    if (this.session.mayBeClosed && this.connector.current !== null) {
      const task: Task = { type: 'close-session', session: this.session.id };
      await new Promise<void>((resolve) => {
        this.control(
          task,
          GOODBYE_MS,
          () => resolve(),
          () => resolve(),
        );
      });
    }
    this.connector.close();
    this.stopSweeper();
  }

  /** What the client itself needs done: beside the queues and their bounds. */
  private control(
    task: Task,
    timeoutMs: number,
    onAnswer: (response: Response) => void,
    onError: (error: KvdError) => void,
  ): void {
    this.admit(this.operation(task, timeoutMs, onAnswer, onError));
    this.startSweeper();
  }

  private operation(
    task: Task,
    timeoutMs: number,
    onAnswer: (response: Response) => void,
    onError: (error: KvdError) => void,
  ): Operation {
    return new Operation(task, timeoutMs, this.now() + timeoutMs, onAnswer, onError);
  }

  private abortOn(operation: Operation, signal: AbortSignal): void {
    operation.onSettled = onAbort(signal, () => {
      const error = operation.mayHaveHappened
        ? new KvdError('KVD_OUTCOME_UNKNOWN', 'aborted after it was sent')
        : new KvdError('KVD_CLOSED', 'aborted');
      this.finish(operation, () => operation.fail(withCause(error, signal.reason)));
    });
  }

  // Admission

  private enqueue(operation: Operation): void {
    if (!this.backlog.isBehind(operation) && this.mayAdmit(operation)) {
      this.admit(operation);
      this.startSweeper();
      return;
    }
    this.backlog.push(operation);
    this.nextWakeMs = Math.min(this.nextWakeMs, operation.deadlineMs);
    this.pump();
    this.startSweeper();
  }

  private mayAdmit(operation: Operation): boolean {
    if (this.connector.current === null || this.admitted.size >= this.options.inFlightMax) return false;
    if (this.admitted.size > 0 && this.admittedBytes + operation.bytes > this.options.inFlightBytesMax)
      return false;
    return !operation.isMutation || this.session.makeRoom();
  }

  /** Send from now on; encodes what must not change between attempts. */
  private admit(operation: Operation): void {
    if (operation.isMutation && !this.assign(operation)) return;
    operation.requestId = ++this.lastRequestId;
    this.admitted.set(operation.requestId, operation);
    this.admittedBytes += operation.bytes;
    this.nextWakeMs = Math.min(this.nextWakeMs, operation.deadlineMs);
    if (this.connector.current !== null) this.send(operation, this.connector.current);
  }

  /** False: with its number it is too large, and has ended. */
  private assign(operation: Operation): boolean {
    try {
      operation.assign(this.session.admit(operation));
      return true;
    } catch (error) {
      if (!(error instanceof KvdError)) throw error;
      this.finish(operation, () => operation.fail(error));
      return false;
    }
  }

  /** Admit from the queues what the bounds allow. */
  private pump(): void {
    if (this.closed) return;
    this.backlog.drain((operation) => {
      const may = this.mayAdmit(operation);
      if (may) this.admit(operation);
      return may;
    });
    if (this.backlog.mutations.length > 0 && this.connector.current !== null) this.session.open();
  }

  private send(operation: Operation, link: Link): void {
    operation.retryAtMs = 0;
    try {
      link.send(operation, this.now());
    } catch (error) {
      link.forget(operation);
      const refusal =
        error instanceof KvdError ? error : new KvdError('KVD_INTERNAL', String(error), 'not-done');
      this.finish(operation, () => operation.fail(operation.verdict(refusal)));
    }
  }

  // Answers

  private onAnswer(link: Link, requestId: number, response: Response): void {
    const operation = link.take(requestId, this.now());
    if (operation === undefined) return;
    const error = errorOf(response);
    if (error !== null) {
      this.onRefusal(operation, link, error);
      return;
    }
    this.connector.useful(link);
    this.finish(operation, () => operation.succeed(response));
    if (this.backlog.length > 0) this.pump();
  }

  private onRefusal(operation: Operation, link: Link, error: KvdError): void {
    if (error.outcome === 'unknown') operation.uncertain = true;
    if (operation.asked) return;
    operation.lastError = error;
    if (error.code === 'KVD_SESSION_EXPIRED') this.session.expired(sessionOf(operation));
    if (!this.leaveLink(link, error.code)) this.connector.useful(link);
    if (!ERRORS[error.code].retry) {
      if (operation.canBeAskedAbout(error)) return this.askAbout(operation, error);
      this.finish(operation, () => operation.fail(operation.verdict(error)));
      this.pump();
    } else if (operation.outstanding === 0) this.retryLater(operation, error);
  }

  /**
   * It is refused, but an attempt before may have been carried out, or be yet. The cluster can say which, and that it will not
   * be any more: so a refusal is certain where it can be.
   */
  private askAbout(operation: Operation, refusal: KvdError): void {
    const { session, sequence } = operation;
    const end = (settle: () => void): void => {
      this.finish(operation, settle);
      this.pump();
    };
    const unknown = (): void => end(() => operation.fail(operation.verdict(refusal)));
    const onAnswer = (response: Response): void => {
      const outcome =
        response.type === 'result' && response.result.type === 'outcome' ? response.result.outcome : null;
      if (outcome?.status === 'never') end(() => operation.fail(refusal));
      else if (outcome?.status === 'applied')
        end(() => operation.succeed({ type: 'result', result: outcome.result }));
      else unknown();
    };
    operation.asked = true;
    // It is not sent again meanwhile.
    operation.retryAtMs = Number.POSITIVE_INFINITY;
    const command = encodeCommand({ type: 'outcome', session, sequence });
    this.control({ type: 'repeatable', command }, operation.deadlineMs - this.now(), onAnswer, unknown);
  }

  /** Is it an answer of a replica that cannot help just now? Then go on at another. */
  private leaveLink(link: Link, code: ErrorCode): boolean {
    const ownFault = code === 'KVD_STORAGE' || code === 'KVD_STATE_DIVERGED';
    if (!ownFault && code !== 'KVD_UNAVAILABLE') return false;
    this.connector.refused(link, ownFault);
    return true;
  }

  private retryLater(operation: Operation, error: KvdError): void {
    const nowMs = this.now();
    const backOffMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** operation.refusals++);
    operation.retryAtMs = nowMs + backOffMs * (0.5 + this.options.random() / 2);
    if (operation.retryAtMs + ATTEMPT_MS_MIN > operation.deadlineMs) {
      this.finish(operation, () => operation.fail(operation.verdict(error)));
      this.pump();
      return;
    }
    this.nextWakeMs = Math.min(this.nextWakeMs, operation.retryAtMs);
  }

  /** Take it off all lists, then settle it. */
  private finish(operation: Operation, settle: () => void): void {
    if (operation.settled) return;
    settle();
    operation.onSettled?.();
    if (!this.admitted.delete(operation.requestId)) return;
    this.admittedBytes -= operation.bytes;
    if (operation.outstanding > 0) this.connector.forEachLink((link) => link.forget(operation));
  }

  // Links

  private onLinkReady(link: Link, overtake: boolean): void {
    for (const operation of this.admitted.values()) {
      const elsewhere = operation.outstanding > 0 && !overtake;
      if (elsewhere || operation.retryAtMs > 0 || link.outstanding.has(operation.requestId)) continue;
      this.send(operation, link);
    }
    this.pump();
    this.watches.linkReady(link);
  }

  private onLinkLost(link: Link): void {
    this.watches.linkLost(link);
    const lost = [...link.outstanding.values()];
    link.outstanding.clear();
    for (const operation of lost) {
      operation.outstanding--;
      operation.uncertain = true;
    }
    const { current } = this.connector;
    if (current === null) return;
    for (const operation of lost)
      if (!operation.settled && operation.outstanding === 0) this.send(operation, current);
  }

  // Session

  private onSessionRefused(error: KvdError): void {
    for (const waiting of this.backlog.mutations) {
      waiting.lastError = error;
      if (!ERRORS[error.code].retry) this.finish(waiting, () => waiting.fail(notBegun(error)));
    }
    this.pump();
  }

  // Time

  /** `dial`: not only at the next sweep. */
  private startSweeper(dial = true): void {
    if (this.sweeper !== null) return;
    this.sweeper = setInterval(() => this.sweep(), SWEEP_MS);
    this.connector.startTicking();
    if (dial && this.connector.current === null) this.connector.tick(true);
  }

  private stopSweeper(): void {
    if (this.sweeper !== null) clearInterval(this.sweeper);
    this.sweeper = null;
  }

  private sweep(): void {
    const nowMs = this.now();
    if (nowMs >= this.nextWakeMs) this.wake(nowMs);
    this.watches.tick();
    const pending = this.admitted.size > 0 || this.backlog.length > 0;
    const wanted = pending || this.connecting || this.watches.isWaiting;
    if (wanted || !this.connector.settled) this.connector.tick(wanted);
    else this.stopSweeper();
  }

  /** End what is out of time, send again what is due. */
  private wake(nowMs: number): void {
    this.nextWakeMs = Number.POSITIVE_INFINITY;
    const { current } = this.connector;
    for (const operation of this.admitted.values()) {
      if (operation.deadlineMs <= nowMs) this.expire(operation, '');
      else if (operation.retryAtMs > 0 && operation.retryAtMs <= nowMs && current !== null)
        this.send(operation, current);
      if (!operation.settled) this.wakeFor(operation);
    }
    const why = current === null ? 'not connected' : 'too much was in flight, or no session could be opened';
    this.backlog.sift((operation) => {
      if (operation.deadlineMs <= nowMs) this.expire(operation, why);
      if (!operation.settled) this.wakeFor(operation);
    });
    this.pump();
  }

  private wakeFor(operation: Operation): void {
    const atMs =
      operation.retryAtMs > 0 ? Math.min(operation.retryAtMs, operation.deadlineMs) : operation.deadlineMs;
    this.nextWakeMs = Math.min(this.nextWakeMs, atMs);
  }

  private expire(operation: Operation, why: string): void {
    this.finish(operation, () => operation.fail(operation.timeoutError(why)));
  }
}

function notBegun(error: KvdError): KvdError {
  const code: ErrorCode = error.outcome === 'unknown' ? 'KVD_UNAVAILABLE' : error.code;
  return withCause(new KvdError(code, `no session could be opened: ${error.message}`, 'not-done'), error);
}

function sessionOf(operation: Operation): number {
  return operation.task.type === 'keep-alive' ? operation.task.session : operation.session;
}
