/**
 * From method and path to a handler; the one place that lists the routes. Paths are taken as they came: no
 * normalising, so every key can be named.
 */
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
import type { Call } from './call.js';
import { history, postCompact } from './history-routes.js';
import { deleteKey, deletePrefix, getKey, type KeyCall, putKey } from './kv-routes.js';
import { grantLease, keepLeaseAlive, listLeases, revokeLease, showLease } from './lease-routes.js';
import { getMembers, postMembers } from './member-routes.js';
import { Query } from './query.js';
import { type Answer, errorAnswer, jsonAnswer, sendAnswer } from './respond.js';
import { scan } from './scan-routes.js';
import type { SnapshotStreams } from './snapshot-routes.js';
import { postOutcome, postTxn } from './txn-routes.js';
import type { WatchStreams } from './watch-routes.js';

/** What the routes act on. */
export interface HttpTargets {
  readonly replica: Pick<ReplicaApi, 'status'>;
  readonly requester: Requester;
  readonly watches: WatchStreams;
  readonly snapshots: SnapshotStreams;
  readonly chaos: Chaos;
  readonly metrics: { text(): Promise<string> };
  readonly facts: () => DaemonFacts;
}

const KEY_PATH = '/v1/kv/';
const LEASE_PATH = '/v1/leases/';
const KEEP_ALIVE = '/keep-alive';

/** Answers the call, or throws what answerTo() turns into an answer. */
export async function route(targets: HttpTargets, call: Call): Promise<void> {
  const { request, response } = call;
  const target = originForm(request.url ?? '');
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const rawQuery = mark < 0 ? '' : target.slice(mark + 1);
  const method = request.method === 'HEAD' ? 'GET' : (request.method ?? '');
  if (path === '/v1/watch' && request.method === 'GET') {
    targets.watches.serve(call, rawQuery);
    return;
  }
  if (path === '/v1/snapshot' && request.method === 'GET') {
    await targets.snapshots.serve(call, rawQuery);
    return;
  }
  if (method === 'GET' && (await routeStream(targets.requester, path, rawQuery, call))) return;
  sendAnswer(request, response, await routeOne(targets, method, path, rawQuery, call));
}

/** A proxy, and a client that takes us for one, names the whole address. (RFC 9112, 3.2.2) */
function originForm(target: string): string {
  return target.replace(/^https?:\/\/[^/?]*/i, '');
}

/** Answers of any length, which are sent as they come. False: it is none of them. */
async function routeStream(
  requester: Requester,
  path: string,
  rawQuery: string,
  call: Call,
): Promise<boolean> {
  switch (path) {
    case '/v1/kv':
      await scan(requester, call.request, call.response, rawQuery);
      return true;
    case '/v1/history':
      await history(requester, call, rawQuery);
      return true;
    case '/v1/leases':
      await listLeases(requester, call, rawQuery);
      return true;
    default:
      return false;
  }
}

async function routeOne(
  targets: HttpTargets,
  method: string,
  path: string,
  rawQuery: string,
  call: Call,
): Promise<Answer> {
  const { requester } = targets;
  if (path.startsWith(KEY_PATH)) {
    return routeKey(requester, method, { ...call, rawKey: path.slice(KEY_PATH.length), rawQuery });
  }
  if (path.startsWith(LEASE_PATH)) {
    return routeLease(requester, method, path.slice(LEASE_PATH.length), rawQuery, call);
  }
  return routeFixed(targets, method, path, rawQuery, call);
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

async function routeLease(
  requester: Requester,
  method: string,
  rest: string,
  rawQuery: string,
  call: Call,
): Promise<Answer> {
  if (rest.endsWith(KEEP_ALIVE)) {
    if (method !== 'POST') return notAllowed(method, 'POST');
    new Query(rawQuery, []);
    return keepLeaseAlive(requester, call, rest.slice(0, -KEEP_ALIVE.length));
  }
  switch (method) {
    case 'GET':
      return showLease(requester, call, rest, rawQuery);
    case 'DELETE':
      new Query(rawQuery, []);
      return revokeLease(requester, call, rest);
    default:
      return notAllowed(method, 'GET, HEAD, DELETE');
  }
}

/** What is posted: JSON to one path each. */
const POSTS: ReadonlyMap<string, (requester: Requester, call: Call) => Promise<Answer>> = new Map([
  ['/v1/txn', postTxn],
  ['/v1/leases', grantLease],
  ['/v1/outcome', postOutcome],
  ['/v1/compact', postCompact],
  ['/v1/members', postMembers],
]);

/** Of these, what a GET shows. */
const SHOWN_TOO: ReadonlySet<string> = new Set(['/v1/leases', '/v1/members']);

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
  if (path === '/v1/members' && method === 'GET') {
    new Query(rawQuery, []);
    return getMembers(requester, call);
  }
  const post = POSTS.get(path);
  if (post !== undefined) {
    if (method !== 'POST') return notAllowed(method, SHOWN_TOO.has(path) ? 'GET, HEAD, POST' : 'POST');
    new Query(rawQuery, []);
    return post(requester, call);
  }
  // Nothing is said of a watch, which has no end, or of a snapshot, which would have to be taken, to a HEAD.
  if (path === '/v1/watch' || path === '/v1/snapshot') return notAllowed(call.request.method ?? '', 'GET');
  if (path === '/v1/history') return notAllowed(method, 'GET, HEAD');
  if (path === '/v1/chaos' && method === 'PUT') {
    new Query(rawQuery, []);
    await setChaos(chaos, call);
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
  { replica, chaos, facts, metrics }: Omit<HttpTargets, 'requester' | 'watches' | 'snapshots'>,
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
