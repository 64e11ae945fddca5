/**
 * Two kinds of clients, so that both ways in are tried: one is @kvd/client, which looks for the leader and sends again
 * by itself; the other speaks HTTP to one replica and stays with it, whatever becomes of it, which shows what a replica
 * answers that was paused, cut off or left behind. Neither ever calls an outcome certain that is not.
 */
import type { Completion } from '@kvd/checker';
import { connect, type KvdClient, KvdError, type OperationName } from '@kvd/client';
import { parseTxnJson } from '@kvd/protocol';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseObject } from '../http.js';
import { type HttpCall, type HttpReply, HttpSession, NoReply } from './http-session.js';
import { type DrillTxn, txnText } from './model/calls.js';
import type { TxnCompletion } from './model/ledger.js';
import type { DrillCall } from './workload.js';

/** What one operation may take, retries included. */
const OPERATION_MS = 4_000;
/** What one attempt over HTTP may take. Short, so that a replica that stood still gets young requests when it goes on. */
const ATTEMPT_MS = 700;
const RETRY_PAUSE_MS = 40;
const CONNECT_MS = 20_000;

/** Nothing here throws: an error is an outcome. */
export interface DrillClient {
  perform(call: DrillCall): Promise<Completion>;
  transact(txn: DrillTxn): Promise<TxnCompletion>;
  /** As it was after a revision; 0: as it is. */
  scanAt(prefix: string, revision: number): Promise<Completion>;
  close(): Promise<void>;
}

/** @throws KvdError when no replica answers */
export async function openRoamingClient(endpoints: readonly string[], name: string): Promise<DrillClient> {
  const timeouts = { timeoutMs: OPERATION_MS, connectTimeoutMs: CONNECT_MS };
  return new RoamingClient(await connect({ endpoints, name, ...timeouts }));
}

class RoamingClient implements DrillClient {
  constructor(private readonly kv: KvdClient) {}

  async perform(call: DrillCall): Promise<Completion> {
    try {
      return await this.performOrThrow(call);
    } catch (error) {
      return failureOf(error);
    }
  }

  async transact(txn: DrillTxn): Promise<TxnCompletion> {
    try {
      const { revision, succeeded, results } = await this.kv.transact(parseTxnJson(txnText(txn)));
      const sums = results.flatMap((done) => (done.type === 'added' ? [done.value.toString()] : []));
      return { outcome: 'ok', revision, succeeded, sums };
    } catch (error) {
      return failureOf(error);
    }
  }

  async scanAt(prefix: string, revision: number): Promise<Completion> {
    try {
      return await this.scan(prefix, revision);
    } catch (error) {
      return failureOf(error);
    }
  }

  close(): Promise<void> {
    return this.kv.close();
  }

  private async performOrThrow(call: DrillCall): Promise<Completion> {
    const { kv } = this;
    switch (call.op) {
      case 'get': {
        const entry = await kv.get(call.key);
        if (entry === undefined) return { outcome: 'ok', value: null };
        const { modRevision, version } = entry;
        return { outcome: 'ok', value: entry.text(), modRevision, version };
      }
      case 'put': {
        const { revision } = await kv.put(call.key, call.value);
        return { outcome: 'ok', revision };
      }
      case 'delete': {
        const { revision, deleted } = await kv.delete(call.key);
        return { outcome: 'ok', revision, deleted };
      }
      case 'scan':
        return this.scan(call.prefix, 0);
    }
  }

  private async scan(prefix: string, revision: number): Promise<Completion> {
    const entries = [];
    for await (const entry of this.kv.scan({ prefix, revision })) {
      const { key, modRevision, version } = entry;
      entries.push({ key, value: entry.text(), modRevision, version });
    }
    return { outcome: 'ok', entries };
  }
}

interface Failure {
  readonly outcome: 'fail' | 'unknown';
  readonly error: string;
  readonly name?: OperationName;
}

function failureOf(error: unknown): Failure {
  if (!(error instanceof KvdError)) throw error;
  const { code, message, operationId } = error;
  const failure = {
    outcome: error.outcome === 'unknown' ? 'unknown' : 'fail',
    error: `${code} ${message}`,
  } as const;
  return operationId === undefined ? failure : { ...failure, name: operationId };
}

/** A client of the replica at one address alone. `name` must be its own: its idempotency keys begin with it. */
export class FaithfulClient implements DrillClient {
  private readonly session: HttpSession;
  private mutations = 0;

  constructor(
    addressOf: () => string,
    private readonly name: string,
  ) {
    this.session = new HttpSession(addressOf);
  }

  async perform(call: DrillCall): Promise<Completion> {
    switch (call.op) {
      case 'get':
        return this.read({ method: 'GET', path: pathOf(call.key) }, entryOf);
      case 'scan':
        return this.scanAt(call.prefix, 0);
      case 'put':
        return this.mutate({ method: 'PUT', path: pathOf(call.key), body: call.value }, mutationOf);
      case 'delete':
        return this.mutate({ method: 'DELETE', path: pathOf(call.key) }, mutationOf);
    }
  }

  transact(txn: DrillTxn): Promise<TxnCompletion> {
    return this.mutate({ method: 'POST', path: '/v1/txn', body: txnText(txn) }, txnOf);
  }

  scanAt(prefix: string, revision: number): Promise<Completion> {
    const at = revision === 0 ? '' : `&revision=${revision}`;
    return this.read({ method: 'GET', path: `/v1/kv?prefix=${encodeURIComponent(prefix)}${at}` }, entriesOf);
  }

  async close(): Promise<void> {
    this.session.close();
  }

  private async read(call: HttpCall, understand: (reply: HttpReply) => Completion): Promise<Completion> {
    try {
      return understand(await this.attempt(call, {}));
    } catch (error) {
      if (!(error instanceof NoReply)) throw error;
      return { outcome: 'fail', error: error.message };
    }
  }

  /** Sent again, under the same key, as long as an earlier attempt may have been carried out. */
  private async mutate<Done>(
    call: HttpCall,
    understand: (reply: HttpReply) => Done,
  ): Promise<Done | Failure> {
    const idempotencyKey = `${this.name}-${++this.mutations}`;
    const headers = { 'Idempotency-Key': idempotencyKey };
    const deadlineMs = performance.now() + OPERATION_MS;
    let uncertain = false;
    for (;;) {
      const [reply, error, mayHaveBeenDone] = await this.tryToMutate(call, headers);
      if (reply !== null) return understand(reply);
      uncertain ||= mayHaveBeenDone;
      const isOver = performance.now() + RETRY_PAUSE_MS > deadlineMs;
      if (!uncertain) return { outcome: 'fail', error };
      if (isOver) return { outcome: 'unknown', error, name: { idempotencyKey } };
      await sleep(RETRY_PAUSE_MS);
    }
  }

  /** The reply of an attempt that succeeded; else why not, and whether it may have been carried out all the same. */
  private async tryToMutate(
    call: HttpCall,
    headers: Readonly<Record<string, string>>,
  ): Promise<[HttpReply | null, string, boolean]> {
    try {
      const reply = await this.attempt(call, headers);
      if (reply.status === 200) return [reply, '', false];
      // Only these say that this attempt did nothing.
      const did = reply.status !== 503 && reply.status !== 429;
      return [null, errorOf(reply), did];
    } catch (error) {
      if (!(error instanceof NoReply)) throw error;
      return [null, error.message, error.sent];
    }
  }

  private attempt(call: HttpCall, more: Readonly<Record<string, string>>): Promise<HttpReply> {
    const headers = { ...more, 'Kvd-Timeout-Ms': String(ATTEMPT_MS) };
    return this.session.call({ ...call, headers }, ATTEMPT_MS + 100);
  }
}

/** What one replica holds under a prefix, as it is: no quorum is asked. @throws Error when it does not answer */
export async function staleScan(address: string, prefix: string): Promise<Completion> {
  const session = new HttpSession(() => address);
  try {
    const path = `/v1/kv?prefix=${encodeURIComponent(prefix)}&consistency=stale`;
    return entriesOf(await session.call({ method: 'GET', path }, OPERATION_MS));
  } finally {
    session.close();
  }
}

function pathOf(key: string): string {
  return `/v1/kv/${encodeURIComponent(key)}`;
}

function errorOf(reply: HttpReply): string {
  return `HTTP ${reply.status} ${reply.body.trim()}`;
}

function entryOf(reply: HttpReply): Completion {
  const { status, headers, body } = reply;
  if (status === 404) return { outcome: 'ok', value: null };
  if (status !== 200) return { outcome: 'fail', error: errorOf(reply) };
  const modRevision = Number(headers['kvd-mod-revision']);
  return { outcome: 'ok', value: body, modRevision, version: Number(headers['kvd-version']) };
}

function entriesOf(reply: HttpReply): Completion {
  if (reply.status !== 200) return { outcome: 'fail', error: errorOf(reply) };
  const lines = reply.body.split('\n').filter((line) => line !== '');
  const entries = lines.map((line) => {
    const { key, value, modRevision, version } = parseObject(line);
    return {
      key: String(key),
      value: String(value),
      modRevision: Number(modRevision),
      version: Number(version),
    };
  });
  return { outcome: 'ok', entries };
}

function txnOf(reply: HttpReply): TxnCompletion {
  const { revision, succeeded, results } = parseObject(reply.body);
  const done: readonly Record<string, unknown>[] = Array.isArray(results) ? results : [];
  const sums = done.flatMap(({ add }) => (typeof add === 'string' ? [add] : []));
  return { outcome: 'ok', revision: Number(revision), succeeded: succeeded === true, sums };
}

function mutationOf(reply: HttpReply): Completion {
  const { revision, deleted } = parseObject(reply.body);
  const answer = { outcome: 'ok', revision: Number(revision) } as const;
  return deleted === undefined ? answer : { ...answer, deleted: Number(deleted) };
}
