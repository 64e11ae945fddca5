/** /v1/leases: granted, kept alive, shown, listed and revoked. */
import {
  JsonObject,
  KvdError,
  type LeaseId,
  type LeasesPage,
  type LeasesRequest,
  leaseJson,
  NO_ORIGIN,
} from '@kvd/protocol';
import type { Requester } from '../requester.js';
import { type Call, readJson } from './call.js';
import { sendJsonLines } from './json-lines.js';
import { readMutation, repeatable } from './mutations.js';
import { leaseOf, Query, timeoutOf } from './query.js';
import { mustBe } from './reads.js';
import { type Answer, jsonAnswer } from './respond.js';

/** POST /v1/leases {"ttlMs":N}. */
export async function grantLease(requester: Requester, call: Call): Promise<Answer> {
  const mutate = readMutation(requester, call.request);
  const fields = new JsonObject(await readJson(call), 'the body', '');
  const ttlMs = fields.wholeNumber('ttlMs');
  fields.end('ttlMs');
  return mutate({ type: 'lease-grant', origin: NO_ORIGIN, ttlMs });
}

/** GET /v1/leases: a line each, without their keys. */
export async function listLeases(requester: Requester, call: Call, rawQuery: string): Promise<void> {
  const first = readLeases(call, rawQuery, 0);
  const page = mustBe(await requester.request(first), 'leases');
  const headers = { 'Kvd-Revision': String(page.revision) };
  await sendJsonLines(call.request, call.response, headers, linesOf(requester, first, page));
}

/** GET /v1/leases/ID: with its keys. */
export async function showLease(
  requester: Requester,
  call: Call,
  rawId: string,
  rawQuery: string,
): Promise<Answer> {
  const asked = readLeases(call, rawQuery, leaseOf(rawId));
  const { leases, more } = mustBe(await requester.request(asked), 'leases');
  const [lease] = leases;
  if (lease === undefined) {
    const message = `lease ${asked.lease} has expired, was revoked or never was`;
    throw new KvdError('KVD_LEASE_NOT_FOUND', message);
  }
  return jsonAnswer(200, { ...leaseJson(lease, true), ...(more ? { more } : {}) });
}

/** DELETE /v1/leases/ID: its keys are deleted with it. */
export function revokeLease(requester: Requester, call: Call, rawId: string): Promise<Answer> {
  const lease = leaseOf(rawId);
  return readMutation(requester, call.request)({ type: 'lease-revoke', origin: NO_ORIGIN, lease });
}

/** POST /v1/leases/ID/keep-alive. */
export function keepLeaseAlive(requester: Requester, call: Call, rawId: string): Promise<Answer> {
  return repeatable(requester, call.request, { type: 'lease-keep-alive', lease: leaseOf(rawId) });
}

function readLeases(call: Call, rawQuery: string, lease: LeaseId): LeasesRequest {
  const consistency = new Query(rawQuery, ['consistency']).consistency();
  return { type: 'leases', timeoutMs: timeoutOf(call.request), consistency, lease, after: 0 };
}

async function* linesOf(
  requester: Requester,
  first: LeasesRequest,
  firstPage: LeasesPage,
): AsyncGenerator<Iterable<object>> {
  let page = firstPage;
  for (;;) {
    yield page.leases.map((lease) => leaseJson(lease, false));
    const after = page.leases.at(-1)?.lease;
    if (!page.more || after === undefined) return;
    page = mustBe(await requester.request({ ...first, after }), 'leases');
  }
}
