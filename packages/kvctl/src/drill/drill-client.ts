/**
 * Two kinds of clients, so that both ways in are tried: one is @kvd/client, which looks for the leader and sends again
 * by itself; the other speaks HTTP to one replica and stays with it, whatever becomes of it, which shows what a replica
 * answers that was paused, cut off or left behind. Neither ever calls an outcome certain that is not.
 */
import type { Completion } from '@kvd/checker';
import { connect, type KvdClient, KvdError } from '@kvd/client';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseObject } from '../http.js';
import { type HttpCall, type HttpReply, HttpSession, NoReply } from './http-session.js';
import type { DrillCall } from './workload.js';

/** What one operation may take, retries included. */
const OPERATION_MS = 4_000;
/** What one attempt over HTTP may take. Short, so that a replica that stood still gets young requests when it goes on. */
const ATTEMPT_MS = 700;
const RETRY_PAUSE_MS = 40;
const CONNECT_MS = 20_000;

export interface DrillClient {
  /** Never throws: an error is an outcome. */
  perform(call: DrillCall): Promise<Completion>;
  close(): Promise<void>;
}

/** @throws KvdError when no replica answers */
export async function openRoamingClient(endpoints: readonly string[], name: string): Promise<DrillClient> {
  const kv = await connect({ endpoints, name, timeoutMs: OPERATION_MS, connectTimeoutMs: CONNECT_MS });
  return { perform: (call) => roam(kv, call), close: () => kv.close() };
}

async function roam(kv: KvdClient, call: DrillCall): Promise<Completion> {
  try {
    return await roamOrThrow(kv, call);
  } catch (error) {
    if (!(error instanceof KvdError)) throw error;
    return {
      outcome: error.outcome === 'unknown' ? 'unknown' : 'fail',
      error: `${error.code} ${error.message}`,
    };
  }
}

async function roamOrThrow(kv: KvdClient, call: DrillCall): Promise<Completion> {
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
    case 'scan': {
      const entries = [];
      for await (const entry of kv.scan({ prefix: call.prefix })) {
        const { key, modRevision, version } = entry;
        entries.push({ key, value: entry.text(), modRevision, version });
      }
      return { outcome: 'ok', entries };
    }
  }
}

/** A client of the replica at `address` alone. `name` must be its own: its idempotency keys begin with it. */
export class FaithfulClient implements DrillClient {
  private readonly session: HttpSession;
  private mutations = 0;

  constructor(
    address: string,
    private readonly name: string,
  ) {
    this.session = new HttpSession(address);
  }

  async perform(call: DrillCall): Promise<Completion> {
    switch (call.op) {
      case 'get':
        return this.read({ method: 'GET', path: pathOf(call.key) }, entryOf);
      case 'scan':
        return this.read(
          { method: 'GET', path: `/v1/kv?prefix=${encodeURIComponent(call.prefix)}` },
          entriesOf,
        );
      case 'put':
        return this.mutate({ method: 'PUT', path: pathOf(call.key), body: call.value });
      case 'delete':
        return this.mutate({ method: 'DELETE', path: pathOf(call.key) });
    }
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
  private async mutate(call: HttpCall): Promise<Completion> {
    const headers = { 'Idempotency-Key': `${this.name}-${++this.mutations}` };
    const deadlineMs = performance.now() + OPERATION_MS;
    let uncertain = false;
    for (;;) {
      const [completion, mayHaveBeenDone] = await this.tryToMutate(call, headers);
      uncertain ||= mayHaveBeenDone;
      if (completion.outcome === 'ok') return completion;
      const isOver = performance.now() + RETRY_PAUSE_MS > deadlineMs;
      if (!uncertain || isOver) return { ...completion, outcome: uncertain ? 'unknown' : 'fail' };
      await sleep(RETRY_PAUSE_MS);
    }
  }

  private async tryToMutate(
    call: HttpCall,
    headers: Readonly<Record<string, string>>,
  ): Promise<[Completion, boolean]> {
    try {
      const reply = await this.attempt(call, headers);
      if (reply.status === 200) return [mutationOf(reply), false];
      // Only these say that this attempt did nothing.
      const did = reply.status !== 503 && reply.status !== 429;
      return [{ outcome: 'fail', error: errorOf(reply) }, did];
    } catch (error) {
      if (!(error instanceof NoReply)) throw error;
      return [{ outcome: 'fail', error: error.message }, error.sent];
    }
  }

  private attempt(call: HttpCall, more: Readonly<Record<string, string>>): Promise<HttpReply> {
    const headers = { ...more, 'Kvd-Timeout-Ms': String(ATTEMPT_MS) };
    return this.session.call({ ...call, headers }, ATTEMPT_MS + 100);
  }
}

/** What one replica holds under a prefix, as it is: no quorum is asked. @throws Error when it does not answer */
export async function staleScan(address: string, prefix: string): Promise<Completion> {
  const session = new HttpSession(address);
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

function mutationOf(reply: HttpReply): Completion {
  const { revision, deleted } = parseObject(reply.body);
  const answer = { outcome: 'ok', revision: Number(revision) } as const;
  return deleted === undefined ? answer : { ...answer, deleted: Number(deleted) };
}
