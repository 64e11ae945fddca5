/**
 * GET /v1/members: who the members are and how they do. POST /v1/members: change that, or say what a change would mean
 * (members-json.ts). The leader answers; a change says what is to be, so whoever got no answer may ask again.
 */
import { MEMBERS_JSON_BYTES_MAX, type MembersQuery, readMembersQuery } from '@kvd/protocol';
import type { Requester } from '../requester.js';
import { type Call, readJson } from './call.js';
import { errorOf } from './mutations.js';
import { timeoutOf } from './query.js';
import { mustBe } from './reads.js';
import { type Answer, jsonAnswer } from './respond.js';

export function getMembers(requester: Requester, call: Call): Promise<Answer> {
  return ask(requester, timeoutOf(call.request), { change: null, plan: false, force: false });
}

export async function postMembers(requester: Requester, call: Call): Promise<Answer> {
  const timeoutMs = timeoutOf(call.request);
  return ask(requester, timeoutMs, readMembersQuery(await readJson(call, MEMBERS_JSON_BYTES_MAX)));
}

async function ask(requester: Requester, timeoutMs: number, query: MembersQuery): Promise<Answer> {
  const response = await requester.request({ type: 'members', timeoutMs, ...query });
  const changes = query.change !== null && !query.plan;
  if (changes && response.type === 'error') return errorOf(response);
  return jsonAnswer(200, mustBe(response, 'members').report);
}
