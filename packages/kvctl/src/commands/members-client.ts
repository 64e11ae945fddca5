/**
 * Asks and changes the members over HTTP (/v1/members). Any replica passes it to the leader, so one that does not answer
 * is left for the next; and since a change says what is to be, it may be sent again whatever became of it.
 */
import { ERRORS, type ErrorCode, KvdError } from '@kvd/client';
import { type MembersQuery, type MembersReport, membersQueryJson, parseMembersReport } from '@kvd/protocol';
import { setTimeout as sleep } from 'node:timers/promises';
import { unavailable } from '../errors.js';
import { httpCall, parseObject } from '../http.js';

/** A replica that is paused takes a connection and never answers: the next one is not to wait for it for long. */
const ATTEMPT_MS_MIN = 1_000;
const ATTEMPTS_IN_TIME = 3;
const PAUSE_MS = 100;

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
        // What an attempt may have done, a later one that did nothing does not undo.
        if (!isUnknown(failure)) failure = error;
        if (error instanceof KvdError && !ERRORS[error.code].retry) break;
      }
      this.at = (this.at + 1) % this.addresses.length;
      tried += 1;
      if (tried % this.addresses.length === 0) await sleep(PAUSE_MS);
    } while (performance.now() < deadlineMs);
    throw failure;
  }

  private async attempt(query: MembersQuery | null, leftMs: number): Promise<MembersReport> {
    const address = this.addresses[this.at] ?? '';
    const patienceMs = Math.max(ATTEMPT_MS_MIN, this.timeoutMs / ATTEMPTS_IN_TIME);
    const attemptMs = Math.ceil(Math.max(1, Math.min(leftMs, patienceMs)));
    const [method, body] = query === null ? (['GET'] as const) : (['POST', membersQueryJson(query)] as const);
    const headers = { 'Kvd-Timeout-Ms': String(attemptMs) };
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
  const refused = error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED';
  if (refused || !isChange) return new KvdError('KVD_UNAVAILABLE', why);
  return new KvdError('KVD_OUTCOME_UNKNOWN', `${why}; the same command may be given again`);
}

function isUnknown(error: unknown): boolean {
  return error instanceof KvdError && error.outcome === 'unknown';
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
