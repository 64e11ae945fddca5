/**
 * Asks and changes the members over HTTP (/v1/members). Any replica passes it to the leader, so one that does not answer
 * is left for the next; and since a change says what is to be, it may be sent again whatever became of it.
 */
import { ERRORS, type ErrorCode, KvdError } from '@kvd/client';
import { type MembersQuery, type MembersReport, membersQueryJson, parseMembersReport } from '@kvd/protocol';
import { setTimeout as sleep } from 'node:timers/promises';
import { unavailable } from '../errors.js';
import { HttpError, httpCall, parseObject } from '../http.js';

/** A replica that is paused takes a connection and never answers: the next one is not to wait for it for long. */
const ATTEMPT_MS_MIN = 1_000;
const ATTEMPTS_IN_TIME = 3;
const PAUSE_MS = 100;
/** Too little for one more attempt: it would only hide what an earlier one was told. */
const ATTEMPT_MS_LEAST = 300;
/** Of an attempt's time, kept for the answer to come back in: the replica is to give up first, and say why. */
const ANSWER_SHARE = 1 / 3;
const ANSWER_MS_MAX = 500;

/** Nobody answered, which says less than what a replica answered. */
class Unanswered extends KvdError {}

export class MembersClient {
  private readonly addresses: string[];
  private at = 0;

  /** `timeoutMs`: for each request, all its attempts included. */
  constructor(
    endpoints: readonly string[],
    private readonly timeoutMs: number,
  ) {
    this.addresses = [...endpoints];
  }

  /** How it stands. @throws KvdError, or CliError unavailable */
  ask(): Promise<MembersReport> {
    return this.exchange(null);
  }

  /** Do it, or with `plan` say what it would mean. @throws KvdError, or CliError unavailable */
  request(query: MembersQuery): Promise<MembersReport> {
    return this.exchange(query);
  }

  private async exchange(query: MembersQuery | null): Promise<MembersReport> {
    const deadlineMs = performance.now() + this.timeoutMs;
    let failure: unknown = unavailable('no replica was asked');
    let tried = 0;
    do {
      try {
        const report = await this.attempt(query, deadlineMs - performance.now());
        this.learn(report);
        return report;
      } catch (error) {
        if (weightOf(error) >= weightOf(failure)) failure = error;
        if (error instanceof KvdError && !ERRORS[error.code].retry) break;
      }
      this.at = (this.at + 1) % this.addresses.length;
      tried += 1;
      if (tried % this.addresses.length === 0) await sleep(PAUSE_MS);
    } while (deadlineMs - performance.now() > Math.min(ATTEMPT_MS_LEAST, this.timeoutMs / 2));
    throw failure;
  }

  private async attempt(query: MembersQuery | null, leftMs: number): Promise<MembersReport> {
    const address = this.addresses[this.at] ?? '';
    const patienceMs = Math.max(ATTEMPT_MS_MIN, this.timeoutMs / ATTEMPTS_IN_TIME);
    const attemptMs = Math.ceil(Math.max(1, Math.min(leftMs, patienceMs)));
    const [method, body] = query === null ? (['GET'] as const) : (['POST', membersQueryJson(query)] as const);
    const answerMs = Math.min(ANSWER_MS_MAX, attemptMs * ANSWER_SHARE);
    const headers = { 'Kvd-Timeout-Ms': String(Math.max(1, Math.floor(attemptMs - answerMs))) };
    const answer = await httpCall(method, address, '/v1/members', attemptMs, body, headers).catch(
      (error: unknown) => {
        throw lostConnection(error, address, query !== null && !query.plan);
      },
    );
    if (answer.status === 200) return parseMembersReport(answer.body);
    throw errorOf(answer.status, answer.body, address);
  }

  /** Whoever was given as an endpoint may leave, and who came may be asked. */
  private learn(report: MembersReport): void {
    for (const { address } of report.members)
      if (!this.addresses.includes(address)) this.addresses.push(address);
  }
}

/** Only a connection that never came about is certain to have changed nothing. */
function lostConnection(error: unknown, address: string, isChange: boolean): KvdError {
  const why = `${address}: ${error instanceof Error ? error.message : String(error)}`;
  const isRefused = error instanceof HttpError && error.isRefused;
  if (isRefused || !isChange) return new Unanswered('KVD_UNAVAILABLE', why);
  return new Unanswered('KVD_OUTCOME_UNKNOWN', `${why}; the same command may be given again`);
}

/** Of several failures the heaviest is told: what an attempt may have done, a later one that did nothing does not undo. */
function weightOf(error: unknown): number {
  if (!(error instanceof KvdError)) return 0;
  if (error.outcome === 'unknown') return 3;
  return error instanceof Unanswered ? 1 : 2;
}

function errorOf(status: number, body: string, address: string): KvdError {
  try {
    const { code, message } = parseObject(body);
    if (typeof code === 'string' && code in ERRORS) return new KvdError(code as ErrorCode, String(message));
  } catch {
    // Told below: it is no answer of a kvd.
  }
  return new KvdError('KVD_INTERNAL', `${address}: HTTP ${status} ${body.slice(0, 200)}`);
}
