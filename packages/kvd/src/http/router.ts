/**
 * From method and path to a handler; the one place that lists the routes. Paths are taken as they came: no
 * normalising, so every key can be named.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { KvdError } from '@kvd/protocol';
import type { ReplicaApi } from '@kvd/replica';
import type { Chaos } from '../chaos.js';
import type { Requester } from '../requester.js';
import {
  chaosAnswer,
  type DaemonFacts,
  liveAnswer,
  readyAnswer,
  setChaos,
  statusAnswer,
} from './admin-routes.js';
import { deleteKey, deletePrefix, getKey, type KeyCall, putKey } from './kv-routes.js';
import { Query } from './query.js';
import { type Answer, errorAnswer, jsonAnswer, sendAnswer } from './respond.js';
import { scan } from './scan-routes.js';

/** What the routes act on. */
export interface HttpTargets {
  readonly replica: Pick<ReplicaApi, 'status'>;
  readonly requester: Requester;
  readonly chaos: Chaos;
  readonly metrics: { text(): Promise<string> };
  readonly facts: () => DaemonFacts;
}

const KEY_PATH = '/v1/kv/';

export interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The client sent "Expect: 100-continue". */
  readonly expectsContinue: boolean;
}

/** Answers the call, or throws what answerTo() turns into an answer. */
export async function route(targets: HttpTargets, call: Call): Promise<void> {
  const { request, response } = call;
  const target = request.url ?? '';
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const rawQuery = mark < 0 ? '' : target.slice(mark + 1);
  const method = request.method === 'HEAD' ? 'GET' : (request.method ?? '');
  if (path === '/v1/kv' && method === 'GET') {
    await scan(targets.requester, request, response, rawQuery);
    return;
  }
  const answer = path.startsWith(KEY_PATH)
    ? await routeKey(targets.requester, method, { ...call, rawKey: path.slice(KEY_PATH.length), rawQuery })
    : await routeFixed(targets, method, path, rawQuery, call);
  sendAnswer(request, response, answer);
}

async function routeKey(requester: Requester, method: string, call: KeyCall): Promise<Answer> {
  switch (method) {
    case 'GET':
      return getKey(requester, call);
    case 'PUT':
      return putKey(requester, call);
    case 'DELETE':
      return deleteKey(requester, call);
    default:
      return notAllowed(method, 'GET, HEAD, PUT, DELETE');
  }
}

async function routeFixed(
  targets: HttpTargets,
  method: string,
  path: string,
  rawQuery: string,
  call: Call,
): Promise<Answer> {
  const { replica, chaos, facts, metrics, requester } = targets;
  if (path === '/v1/kv') {
    return method === 'DELETE'
      ? deletePrefix(requester, call.request, rawQuery)
      : notAllowed(method, 'GET, HEAD, DELETE');
  }
  if (path === '/v1/chaos' && method === 'PUT') {
    new Query(rawQuery, []);
    await setChaos(chaos, call.request, call.response, call.expectsContinue);
    return chaosAnswer(chaos, replica.status());
  }
  if (path === '/v1/chaos/campaign') {
    if (method !== 'POST') return notAllowed(method, 'POST');
    chaos.campaign();
    return jsonAnswer(200, { status: 'ok' });
  }
  const shown = await showing(path, { replica, chaos, facts, metrics });
  if (shown === null) {
    throw new KvdError('KVD_NOT_FOUND', 'there is no such path; keys are at /v1/kv/KEY');
  }
  if (method !== 'GET') return notAllowed(method, path === '/v1/chaos' ? 'GET, HEAD, PUT' : 'GET, HEAD');
  // Probes and scrapers add parameters of their own: nothing here is decided by one.
  return shown;
}

/** The pages that only show something. */
async function showing(
  path: string,
  { replica, chaos, facts, metrics }: Omit<HttpTargets, 'requester'>,
): Promise<Answer | null> {
  switch (path) {
    case '/v1/status':
      return statusAnswer(replica.status(), facts());
    case '/livez':
      return liveAnswer(facts());
    case '/readyz':
      return readyAnswer(replica.status(), facts());
    case '/metrics':
      return {
        status: 200,
        headers: { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' },
        body: await metrics.text(),
      };
    case '/v1/chaos':
      return chaosAnswer(chaos, replica.status());
    default:
      return null;
  }
}

function notAllowed(method: string, allow: string): Answer {
  return errorAnswer('KVD_METHOD_NOT_ALLOWED', `${method} is not possible here; ${allow} are`, {
    Allow: allow,
  });
}
