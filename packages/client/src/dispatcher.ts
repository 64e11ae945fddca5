/**
 * Every operation between its call and its answer: queues what is above the bounds, gives mutations their place in the
 * session, sends, sends again what was lost or refused for the moment, and ends what is out of time.
 *
 * One timer for all operations. It never answers "not done" for what may have been done (operation.ts).
 */
import { ERRORS, type ErrorCode, KvdError, type Outcome, type Response } from '@kvd/protocol';
import { Connector, type ConnectorOptions } from './connector.js';
import { Fifo } from './fifo.js';
import type { Link } from './link.js';
import { errorOf, Operation, type Task, withCause } from './operation.js';
import { KEEP_ALIVE_MS, Session } from './session.js';

export interface DispatcherOptions extends ConnectorOptions {
  readonly inFlightMax: number;
  readonly inFlightBytesMax: number;
  readonly queueMax: number;
  readonly queueBytesMax: number;
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
  private readonly session = new Session();
  /** Sent, or waiting to be sent again. In the order they were admitted. */
  private readonly admitted = new Map<number, Operation>();
  private admittedBytes = 0;
  private readonly mutations = new Fifo<Operation>();
  private readonly reads = new Fifo<Operation>();
  private queuedBytes = 0;
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
    private readonly now: () => number = () => performance.now(),
  ) {
    this.connector = new Connector(
      options,
      {
        linkReady: (link, overtake) => this.onLinkReady(link, overtake),
        linkLost: (link) => this.onLinkLost(link),
        answered: (link, requestId, response) => this.onAnswer(link, requestId, response),
        nextRequestId: () => ++this.lastRequestId,
      },
      now,
    );
    this.keeper = setInterval(() => this.keepAlive(), KEEP_ALIVE_MS / 4).unref();
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
      if (signal !== undefined) this.abortOn(operation, signal);
      this.enqueue(operation);
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
        const errors = this.connector.roster.errors();
        const codes = [...errors.values()].map((e) => (e instanceof KvdError ? e.code : undefined));
        const refusal = codes.find((code) => code === 'KVD_WRONG_CLUSTER' || code === 'KVD_PROTOCOL_VERSION');
        const hopeless = refusal !== undefined && codes.every((code) => code === refusal);
        if (!hopeless && this.now() < deadlineMs) {
          await new Promise((resolve) => setTimeout(resolve, SWEEP_MS / 5));
          continue;
        }
        const details = [...errors].map(([address, error]) => `${address}: ${error?.message ?? 'no answer'}`);
        const text = hopeless ? 'refused by every endpoint' : `no endpoint answered within ${timeoutMs} ms`;
        throw new KvdError(
          hopeless ? refusal : 'KVD_UNAVAILABLE',
          `${text} (${details.join('; ')})`,
          'not-done',
        );
      }
    } finally {
      this.connecting = false;
    }
  }

  /** Reject what is under way, end the session as far as that is quick, leave no socket and no timer. */
  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async shutDown(): Promise<void> {
    this.closed = true;
    clearInterval(this.keeper);
    for (const operation of [...this.admitted.values(), ...this.mutations, ...this.reads]) {
      const outcome: Outcome = operation.mayHaveHappened ? 'unknown' : 'not-done';
      this.finish(operation, () =>
        operation.fail(new KvdError('KVD_CLOSED', 'the client was closed', outcome)),
      );
    }
    const { state } = this.session;
    if (state.phase === 'open' && this.connector.current !== null) {
      await new Promise<void>((resolve) => {
        const task: Task = { type: 'close-session', session: state.id };
        this.admit(
          this.operation(
            task,
            GOODBYE_MS,
            () => resolve(),
            () => resolve(),
          ),
        );
        this.startSweeper();
      });
    }
    this.connector.close();
    this.stopSweeper();
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
    const onAbort = () => {
      const error = operation.mayHaveHappened
        ? new KvdError('KVD_OUTCOME_UNKNOWN', 'aborted after it was sent')
        : new KvdError('KVD_CLOSED', 'aborted');
      this.finish(operation, () => operation.fail(withCause(error, signal.reason)));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    operation.onSettled = () => signal.removeEventListener('abort', onAbort);
  }

  // Admission

  private enqueue(operation: Operation): void {
    const queue = operation.isMutation ? this.mutations : this.reads;
    if (queue.length === 0 && this.mayAdmit(operation)) {
      this.admit(operation);
      this.startSweeper();
      return;
    }
    const { queueMax, queueBytesMax } = this.options;
    const waiting = this.mutations.length + this.reads.length;
    if (waiting >= queueMax || (waiting > 0 && this.queuedBytes + operation.bytes > queueBytesMax)) {
      const text = `${waiting} operations wait already: await some before starting more`;
      throw new KvdError('KVD_OVERLOADED', text);
    }
    operation.ownBytes();
    queue.push(operation);
    this.queuedBytes += operation.bytes;
    this.nextWakeMs = Math.min(this.nextWakeMs, operation.deadlineMs);
    this.pump();
    this.startSweeper();
  }

  private mayAdmit(operation: Operation): boolean {
    if (this.connector.current === null || this.admitted.size >= this.options.inFlightMax) return false;
    if (this.admitted.size > 0 && this.admittedBytes + operation.bytes > this.options.inFlightBytesMax)
      return false;
    if (!operation.isMutation) return true;
    this.session.dropWhenStale(Date.now());
    return this.session.hasRoom;
  }

  /** Send from now on; encodes what must not change between attempts. */
  private admit(operation: Operation): void {
    if (operation.isMutation) operation.assign(this.session.admit(operation, Date.now()));
    operation.requestId = ++this.lastRequestId;
    this.admitted.set(operation.requestId, operation);
    this.admittedBytes += operation.bytes;
    this.nextWakeMs = Math.min(this.nextWakeMs, operation.deadlineMs);
    if (this.connector.current !== null) this.send(operation, this.connector.current);
  }

  /** Admit from the queues what the bounds allow. */
  private pump(): void {
    if (this.closed) return;
    for (const queue of [this.mutations, this.reads]) {
      for (let next = queue.peek(); next !== undefined; next = queue.peek()) {
        if (!next.settled) {
          if (!this.mayAdmit(next)) break;
          this.admit(next);
        }
        queue.shift();
        this.queuedBytes -= next.bytes;
      }
    }
    if (this.mutations.length > 0 && this.connector.current !== null) this.openSession();
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
    if (this.mutations.length > 0 || this.reads.length > 0) this.pump();
  }

  private onRefusal(operation: Operation, link: Link, error: KvdError): void {
    if (error.outcome === 'unknown') operation.uncertain = true;
    operation.lastError = error;
    if (error.code === 'KVD_SESSION_EXPIRED') this.onSessionExpired(operation);
    if (error.code === 'KVD_STORAGE' || error.code === 'KVD_STATE_DIVERGED')
      this.connector.refused(link, true);
    else if (error.code === 'KVD_UNAVAILABLE') this.connector.refused(link, false);
    else this.connector.useful(link);
    if (!ERRORS[error.code].retry) {
      this.finish(operation, () => operation.fail(operation.verdict(error)));
      this.pump();
    } else if (operation.outstanding === 0) this.retryLater(operation, error);
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
  }

  private onLinkLost(link: Link): void {
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

  private openSession(): void {
    if (this.session.state.phase !== 'none') return;
    this.session.opening();
    const onAnswer = (response: Response) => {
      if (response.type === 'result' && response.result.type === 'session') {
        this.session.opened(response.result.session, Date.now());
        this.pump();
      } else onError(new KvdError('KVD_INTERNAL', 'the replica did not answer with a session', 'not-done'));
    };
    const onError = (error: KvdError) => {
      this.session.lost();
      for (const waiting of this.mutations) {
        waiting.lastError = error;
        if (!ERRORS[error.code].retry) this.finish(waiting, () => waiting.fail(notBegun(error)));
      }
      this.pump();
    };
    this.admit(this.operation({ type: 'open-session' }, CONTROL_TIMEOUT_MS, onAnswer, onError));
  }

  private onSessionExpired(operation: Operation): void {
    const { state } = this.session;
    if (state.phase === 'open' && state.id === sessionOf(operation)) this.session.lost();
  }

  private keepAlive(): void {
    const { state } = this.session;
    const idleMs = this.session.idleMs(Date.now());
    if (state.phase !== 'open' || idleMs < KEEP_ALIVE_MS || this.closed) return;
    const task: Task = { type: 'keep-alive', session: state.id };
    // Without an answer nothing is lost but perhaps the session, and then the next mutation opens another.
    this.admit(
      this.operation(
        task,
        CONTROL_TIMEOUT_MS,
        () => this.session.used(Date.now()),
        () => undefined,
      ),
    );
    this.startSweeper();
  }

  // Time

  private startSweeper(): void {
    if (this.sweeper !== null) return;
    this.sweeper = setInterval(() => this.sweep(), SWEEP_MS);
    if (this.connector.current === null) this.connector.tick(true);
  }

  private stopSweeper(): void {
    if (this.sweeper !== null) clearInterval(this.sweeper);
    this.sweeper = null;
  }

  private sweep(): void {
    const nowMs = this.now();
    if (nowMs >= this.nextWakeMs) this.wake(nowMs);
    const pending = this.admitted.size > 0 || this.mutations.length > 0 || this.reads.length > 0;
    const wanted = pending || this.connecting;
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
    for (const queue of [this.mutations, this.reads]) {
      for (const operation of queue) {
        if (operation.deadlineMs <= nowMs) this.expire(operation, why);
        if (!operation.settled) this.wakeFor(operation);
        else this.queuedBytes -= operation.bytes;
      }
      queue.filter((operation) => !operation.settled);
    }
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
