/**
 * One operation of a user, from its call until its promise settles: what is asked, until when, and how far it got.
 *
 * It decides one thing, what may be said of it when it ends: "nothing was done" only if no attempt of it can have been
 * (or can yet be) carried out; else the outcome is unknown, whatever later attempts say.
 */
import {
  type Consistency,
  encodeCommand,
  ERRORS,
  type ErrorCode,
  KvdError,
  type Origin,
  type Request,
  type Response,
  type SessionId,
} from '@kvd/protocol';
import { copyBytes } from './bytes.js';

/** What is asked of the cluster, without what differs from attempt to attempt. */
export type Task =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'delete'; readonly key: Uint8Array }
  | { readonly type: 'delete-range'; readonly from: Uint8Array; readonly to: Uint8Array }
  | { readonly type: 'open-session' }
  | { readonly type: 'keep-alive'; readonly session: SessionId }
  | { readonly type: 'close-session'; readonly session: SessionId }
  | { readonly type: 'get'; readonly consistency: Consistency; readonly key: Uint8Array }
  | {
      readonly type: 'scan';
      readonly consistency: Consistency;
      readonly from: Uint8Array;
      readonly to: Uint8Array;
      readonly limit: number;
      readonly keysOnly: boolean;
      readonly countOnly: boolean;
    };

/** Share of the remaining time that the replica does not get, so that its answer is here before we give up. */
const ANSWER_SHARE = 0.1;
/** A replica looks at its deadlines every 100 ms; half of what is left at the most. */
const ANSWER_MS_MIN = 250;
const ANSWER_MS_MAX = 500;
/** What an operation counts besides its key and value. */
const OVERHEAD_BYTES = 128;

export class Operation {
  /** Its number on every connection it is sent on; 0 until it is admitted. */
  requestId = 0;
  session: SessionId = 0;
  sequence = 0;
  /** Attempts that were written and neither answered nor lost. */
  outstanding = 0;
  /** An attempt was lost or answered "unknown": it may have been carried out. */
  uncertain = false;
  settled = false;
  /** When to send it again, 0: not waiting for that. */
  retryAtMs = 0;
  refusals = 0;
  lastError: KvdError | null = null;
  /** Called once, after it settled. */
  onSettled: (() => void) | null = null;
  /** What it counts for the bounds in bytes. */
  readonly bytes: number;
  private command: Uint8Array | null = null;

  constructor(
    public task: Task,
    readonly timeoutMs: number,
    readonly deadlineMs: number,
    private readonly onAnswer: (response: Response) => void,
    private readonly onError: (error: KvdError) => void,
  ) {
    const key = task.type === 'put' || task.type === 'delete' || task.type === 'get' ? task.key.length : 0;
    this.bytes = OVERHEAD_BYTES + key + (task.type === 'put' ? task.value.length : 0);
  }

  /** Does it change the state, so that it must not happen twice? */
  get isMutation(): boolean {
    return this.task.type === 'put' || this.task.type === 'delete' || this.task.type === 'delete-range';
  }

  /** Copy what belongs to the caller, who may reuse it before it is sent. */
  ownBytes(): void {
    const task = this.task;
    if (task.type === 'put') this.task = { ...task, key: copyBytes(task.key), value: copyBytes(task.value) };
    else if (task.type === 'delete') this.task = { ...task, key: copyBytes(task.key) };
  }

  /** Encode the command once, with its place in the session; every attempt sends these bytes. */
  assign(origin: Origin): void {
    const task = this.task;
    if (task.type !== 'put' && task.type !== 'delete' && task.type !== 'delete-range') return;
    this.session = origin.session;
    this.sequence = origin.sequence;
    this.command = encodeCommand({ ...task, origin });
  }

  /** The request of an attempt made now. */
  request(nowMs: number): Request {
    const leftMs = Math.max(1, this.deadlineMs - nowMs);
    const marginMs = Math.min(Math.max(leftMs * ANSWER_SHARE, ANSWER_MS_MIN), ANSWER_MS_MAX, leftMs / 2);
    const timeoutMs = Math.max(1, Math.floor(leftMs - marginMs));
    const task = this.task;
    if (task.type === 'get' || task.type === 'scan') return { ...task, timeoutMs };
    this.command ??= encodeCommand(
      task as Extract<Task, { type: 'open-session' | 'keep-alive' | 'close-session' }>,
    );
    return { type: 'mutate', timeoutMs, command: this.command };
  }

  succeed(response: Response): void {
    if (this.settled) return;
    this.settled = true;
    this.onAnswer(response);
  }

  fail(error: KvdError): void {
    if (this.settled) return;
    this.settled = true;
    this.onError(error);
  }

  /** May it have been carried out, or be yet? Asked when no answer that says otherwise is in. */
  get mayHaveHappened(): boolean {
    return this.isMutation && (this.uncertain || this.outstanding > 0);
  }

  /** The error to end with when the last word on it was `error`. */
  verdict(error: KvdError): KvdError {
    if (!this.mayHaveHappened || error.outcome === 'unknown') return error;
    const code: ErrorCode = ERRORS[error.code].retry ? 'KVD_OUTCOME_UNKNOWN' : error.code;
    return withCause(
      new KvdError(code, `an earlier attempt may have been carried out; ${error.message}`, 'unknown'),
      error,
    );
  }

  /** The error to end with when its time is over. */
  timeoutError(why: string): KvdError {
    const last = this.lastError;
    const after = `after ${this.timeoutMs} ms${last === null ? '' : ` (last: ${last.code} ${last.message})`}`;
    if (this.requestId === 0) return new KvdError('KVD_UNAVAILABLE', `never sent, given up ${after}: ${why}`);
    if (this.mayHaveHappened) return new KvdError('KVD_OUTCOME_UNKNOWN', `sent, but not answered ${after}`);
    if (last !== null && this.outstanding === 0) return last;
    if (this.isMutation) return new KvdError('KVD_UNAVAILABLE', `nothing was done, given up ${after}`);
    return new KvdError('KVD_TIMEOUT', `not answered ${after}`);
  }
}

/** The error, with what led to it. */
export function withCause(error: KvdError, cause: unknown): KvdError {
  error.cause = cause;
  return error;
}

/** The error that an answer is, if it is one. */
export function errorOf(response: Response): KvdError | null {
  if (response.type === 'error') return new KvdError(response.code, response.message, response.outcome);
  if (response.type === 'result' && response.result.type === 'error') {
    return new KvdError(response.result.code, response.result.message);
  }
  return null;
}
