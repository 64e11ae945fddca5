/**
 * One operation of a user, from its call until its promise settles: what is asked, until when, and how far it got.
 *
 * It decides one thing, what may be said of it when it ends: "nothing was done" only if no attempt of it can have been
 * (or can yet be) carried out; else the outcome is unknown, whatever later attempts say.
 */
import {
  encodeCommand,
  ERRORS,
  type ErrorCode,
  KvdError,
  type MutateRequest,
  type Origin,
  type Request,
  type Response,
  type SessionId,
  withOrigin,
} from '@kvd/protocol';
import { copyBytes } from './bytes.js';

/** What the history is to say of a mutation: who did it (empty: the session's principal) and why. */
export interface Note {
  readonly principal: string;
  readonly reason: string;
}

/** Changes the state and has a number in the session, so that it happens once. */
type Numbered =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array; readonly note: Note | null }
  | { readonly type: 'delete'; readonly key: Uint8Array; readonly note: Note | null }
  | {
      readonly type: 'delete-range';
      readonly from: Uint8Array;
      readonly to: Uint8Array;
      readonly note: Note | null;
    }
  /** Any other, encoded without an origin. */
  | { readonly type: 'numbered'; readonly command: Uint8Array; readonly note: Note | null };

/** Changes the state, but is as good twice as once. */
type Repeatable =
  | { readonly type: 'open-session'; readonly principal: string }
  | { readonly type: 'keep-alive'; readonly session: SessionId }
  | { readonly type: 'close-session'; readonly session: SessionId }
  /** Any other, encoded. */
  | { readonly type: 'repeatable'; readonly command: Uint8Array };

type WithoutTimeout<R> = R extends unknown ? Omit<R, 'timeoutMs'> : never;

export type ReadTask = WithoutTimeout<Exclude<Request, MutateRequest>>;

/** What is asked of the cluster, without what differs from attempt to attempt. */
export type Task = Numbered | Repeatable | ReadTask;

/** Share of the remaining time that the replica does not get, so that its answer is here before we give up. */
const ANSWER_SHARE = 0.1;
/** A replica looks at its deadlines every 100 ms; half of what is left at the most. */
const ANSWER_MS_MIN = 250;
const ANSWER_MS_MAX = 500;
/** What an operation counts besides its key and value. */
const OVERHEAD_BYTES = 128;
/** In place of a task that nobody will send again. */
const NOTHING: Task = { type: 'keep-alive', session: 0 };

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
  /** Does it have a number in the session, because it must not happen twice? */
  readonly isMutation: boolean;
  /** The cluster is being asked what became of it. */
  asked = false;
  /** It ended and nobody knows how: its number is kept, so that the cluster can be asked. */
  unresolved = false;
  private command: Uint8Array | null = null;

  constructor(
    public task: Task,
    readonly timeoutMs: number,
    readonly deadlineMs: number,
    private readonly onAnswer: (response: Response) => void,
    private readonly onError: (error: KvdError) => void,
  ) {
    this.bytes = OVERHEAD_BYTES + payloadBytes(task);
    this.isMutation =
      task.type === 'put' ||
      task.type === 'delete' ||
      task.type === 'delete-range' ||
      task.type === 'numbered';
  }

  /** Copy what belongs to the caller, who may reuse it before it is sent. */
  ownBytes(): void {
    const task = this.task;
    if (task.type === 'put') this.task = { ...task, key: copyBytes(task.key), value: copyBytes(task.value) };
    else if (task.type === 'delete') this.task = { ...task, key: copyBytes(task.key) };
  }

  /**
   * Encode the command once, with its place in the session; every attempt sends these bytes.
   * @throws KvdError KVD_TOO_LARGE
   */
  assign(origin: Origin): void {
    const task = this.task;
    switch (task.type) {
      case 'put':
        // Field by field, not as a spread of the task: this is the hottest path there is.
        this.command = encodeCommand({ type: 'put', origin, key: task.key, value: task.value });
        break;
      case 'delete':
      case 'delete-range':
        this.command = encodeCommand({ ...task, origin });
        break;
      case 'numbered':
        this.command = withOrigin(task.command, origin);
        break;
      default:
        return;
    }
    if (task.note !== null)
      this.command = encodeCommand({ type: 'noted', ...task.note, command: this.command });
    this.session = origin.session;
    this.sequence = origin.sequence;
  }

  /** The request of an attempt made now. */
  request(nowMs: number): Request {
    const leftMs = Math.max(1, this.deadlineMs - nowMs);
    const marginMs = Math.min(Math.max(leftMs * ANSWER_SHARE, ANSWER_MS_MIN), ANSWER_MS_MAX, leftMs / 2);
    const timeoutMs = Math.max(1, Math.floor(leftMs - marginMs));
    const task = this.task;
    if (this.command !== null) return { type: 'mutate', timeoutMs, command: this.command };
    if (task.type === 'get') {
      const { consistency, key, revision } = task;
      return { type: 'get', timeoutMs, consistency, key, revision };
    }
    if (isRead(task)) return { ...task, timeoutMs };
    this.command = commandOf(task);
    return { type: 'mutate', timeoutMs, command: this.command };
  }

  succeed(response: Response): void {
    if (this.settled) return;
    this.settled = true;
    this.drop();
    this.onAnswer(response);
  }

  fail(error: KvdError): void {
    if (this.settled) return;
    this.settled = true;
    if (error.outcome === 'unknown' && this.sequence > 0) {
      error.operationId = `${this.session}.${this.sequence}`;
      this.unresolved = true;
    }
    this.drop();
    this.onError(error);
  }

  /** It may be kept for a while yet, for its number only. */
  private drop(): void {
    this.task = NOTHING;
    this.command = null;
  }

  /** May it have been carried out, or be yet? Asked when no answer that says otherwise is in. */
  get mayHaveHappened(): boolean {
    return (this.isMutation || this.task.type === 'repeatable') && (this.uncertain || this.outstanding > 0);
  }

  /**
   * The error to end with when the last word on it was `error`. An error is an answer to one attempt: the cluster keeps
   * none, so another attempt may do what this one could not. Only a fence is for good.
   */
  verdict(error: KvdError): KvdError {
    if (!this.mayHaveHappened || error.outcome === 'unknown' || error.code === 'KVD_FENCED') return error;
    const code: ErrorCode = ERRORS[error.code].retry ? 'KVD_OUTCOME_UNKNOWN' : error.code;
    return withCause(
      new KvdError(code, `an earlier attempt may have been carried out; ${error.message}`, 'unknown'),
      error,
    );
  }

  /** Is it open what became of it, after this refusal, and can the cluster tell? */
  canBeAskedAbout(refusal: KvdError): boolean {
    if (this.sequence === 0 || refusal.code === 'KVD_SESSION_EXPIRED') return false;
    return this.verdict(refusal) !== refusal;
  }

  /** The error to end with when its time is over. */
  timeoutError(why: string): KvdError {
    const last = this.lastError;
    const after = `after ${this.timeoutMs} ms${last === null ? '' : ` (last: ${last.code} ${last.message})`}`;
    if (this.requestId === 0) return new KvdError('KVD_UNAVAILABLE', `never sent, given up ${after}: ${why}`);
    if (this.mayHaveHappened) return new KvdError('KVD_OUTCOME_UNKNOWN', `sent, but not answered ${after}`);
    if (last !== null && this.outstanding === 0) return last;
    if (this.isMutation || this.task.type === 'repeatable')
      return new KvdError('KVD_UNAVAILABLE', `nothing was done, given up ${after}`);
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

function payloadBytes(task: Task): number {
  switch (task.type) {
    case 'put':
      return task.key.length + task.value.length;
    case 'delete':
    case 'get':
      return task.key.length;
    case 'numbered':
    case 'repeatable':
      return task.command.length;
    default:
      return 0;
  }
}

function isRead(task: Task): task is ReadTask {
  return task.type === 'get' || task.type === 'scan' || task.type === 'leases' || task.type === 'history';
}

/** The bytes of what has no number. */
function commandOf(task: Numbered | Repeatable): Uint8Array {
  switch (task.type) {
    case 'repeatable':
      return task.command;
    case 'open-session':
    case 'keep-alive':
    case 'close-session':
      return encodeCommand(task);
    case 'put':
    case 'delete':
    case 'delete-range':
    case 'numbered':
      throw new Error('a mutation is sent that has no number');
  }
}
