/**
 * A request on its way, and the rule about its end: "nothing was done" may be said only if no attempt ever entered a
 * slot or was lost on the way; otherwise the outcome of a mutation is unknown, whatever later attempts say. (DESIGN,
 * section 7)
 *
 * An error of the state machine is such a saying too: it speaks of its own attempt, and is not kept. An earlier one may
 * yet be chosen, in a state that does not refuse it.
 */
import type { CommandResult, ErrorCode, Request, Response } from '@kvd/protocol';
import { ERRORS, isRetrySafe, peekCommand } from '@kvd/protocol';
import type { ReplySink } from './api.js';

/** What the state machine keeps, so that it holds for all attempts, whichever comes first. */
const FOR_EVERY_ATTEMPT: ReadonlySet<ErrorCode> = new Set(['KVD_FENCED', 'KVD_IDEMPOTENCY_CONFLICT']);

/** Shared by the requests of a replica: how many are unanswered. */
export interface Outstanding {
  count: number;
}

export class Pending {
  /** An attempt may have had an effect that is not known. */
  entered = false;
  /** An attempt before the present one may have, or may yet. */
  private earlierEntered = false;
  answered = false;
  /** What has to come about before it can be done; empty: nothing that is known. */
  waitsFor = '';
  /** Passed on to the leader under this number; 0: it is not. */
  forwardId = 0;
  sentTick = 0;

  constructor(
    readonly sink: ReplySink,
    readonly requestId: number,
    readonly request: Request,
    readonly deadlineTick: number,
    /** Came from another replica: not passed on again. */
    readonly forwarded: boolean,
    private readonly outstanding: Outstanding,
    /** By the wall clock, which goes on while a process is suspended. */
    readonly bornMs: number,
  ) {
    outstanding.count += 1;
  }

  /** May it be sent again after an attempt whose end is not known? */
  get retrySafe(): boolean {
    const { request } = this;
    if (request.type === 'mutate') return isRetrySafe(request.command);
    // Whoever leads then would hand over once more.
    return !(this.changes && request.type === 'members' && request.change?.type === 'move-leader');
  }

  /** Does an Idempotency-Key protect it? Only until that is forgotten, by the time of the cluster. */
  get isKeyed(): boolean {
    const { request } = this;
    // What is no command is never held: the state machine says so.
    return (
      request.type === 'mutate' &&
      isRetrySafe(request.command) &&
      peekCommand(request.command).type === 'keyed'
    );
  }

  /** Did an attempt before the present one end in the dark? */
  get isRepeated(): boolean {
    return this.earlierEntered;
  }

  /** Another attempt follows the present one. */
  repeat(): void {
    this.earlierEntered ||= this.entered && this.changes;
  }

  /** May it leave something behind? */
  private get changes(): boolean {
    const { request } = this;
    return (
      request.type === 'mutate' || (request.type === 'members' && request.change !== null && !request.plan)
    );
  }

  reply(response: Response): void {
    if (this.answered) return;
    if (response.type === 'result' && this.isInTheDark(response.result)) {
      const { code, message } = response.result as Extract<CommandResult, { type: 'error' }>;
      this.reply(
        errorResponse('KVD_OUTCOME_UNKNOWN', `${code}: ${message}; an earlier attempt may have been done`),
      );
      return;
    }
    this.forget();
    this.sink.reply(this.requestId, response);
  }

  /** Nobody waits for it any more. */
  forget(): void {
    if (this.answered) return;
    this.answered = true;
    this.outstanding.count -= 1;
  }

  /** An error that is not the state machine's own answer. */
  fail(code: ErrorCode, message: string): void {
    if (this.changes && this.entered && ERRORS[code].outcome === 'not-done') {
      this.reply(errorResponse('KVD_OUTCOME_UNKNOWN', `${message}; an earlier attempt may have been done`));
    } else {
      this.reply(errorResponse(code, message));
    }
  }

  /** Refused now, but an earlier attempt need not be. */
  private isInTheDark(result: CommandResult): boolean {
    if (result.type !== 'error' || !this.changes || !this.earlierEntered) return false;
    return !FOR_EVERY_ATTEMPT.has(result.code) && ERRORS[result.code].outcome === 'not-done';
  }

  /** Time is up. */
  expire(): void {
    if (!this.changes) this.fail('KVD_TIMEOUT', 'no quorum answered the read in time');
    else if (this.entered)
      this.fail('KVD_OUTCOME_UNKNOWN', 'not answered in time; it may have been done, or may yet');
    else {
      const reason = this.waitsFor || 'no leader took the request in time';
      this.fail('KVD_UNAVAILABLE', `${reason}; nothing was done`);
    }
  }
}

export function errorResponse(code: ErrorCode, message: string): Response {
  return { type: 'error', code, message, outcome: ERRORS[code].outcome };
}
