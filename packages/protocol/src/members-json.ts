/**
 * Requests about members as JSON, over HTTP (POST /v1/members) and inside a `members` request:
 *
 *     {"change": {"type":"add","id":6,"promote":true,"replaces":3}, "plan": true, "force": false}
 *
 * `change` is one of
 *
 *     {"type":"add","id":N}              promote (true), replaces (0)
 *     {"type":"remove"|"promote"|"demote"|"readmit","id":N}
 *     {"type":"move-leader"}             id (0: whoever is fit best)
 *     {"type":"accept-quorum","size":N}  0: a majority
 *
 * What is unknown, missing or of another type is refused with its place, as KVD_BAD_REQUEST. The answer is MembersReport as it is.
 */
import { REPLICA_ID_MAX } from './configuration-codec.js';
import { JsonObject, refuseAt } from './json-object.js';
import { MEMBERS_MAX } from './limits.js';
import type { MemberChange, MembersQuery, MembersReport } from './members.js';

const CHANGES = 'add, remove, promote, demote, readmit, move-leader, accept-quorum';

/** @throws KvdError KVD_BAD_REQUEST */
export function readMembersQuery(json: unknown): MembersQuery {
  const query = new JsonObject(json, 'request', '');
  const change = query.has('change') ? readChange(query.take('change')) : null;
  const plan = readFlag(query, 'plan', false);
  const force = readFlag(query, 'force', false);
  query.end('change, plan, force');
  return { change, plan, force };
}

/** @throws KvdError KVD_BAD_REQUEST */
export function parseMembersQuery(text: string): MembersQuery {
  return readMembersQuery(parseJson(text));
}

export function membersQueryJson({ change, plan, force }: MembersQuery): unknown {
  return { ...(change !== null && { change: changeJson(change) }), plan, force };
}

/** The answer of a replica, which is believed to be one. @throws KvdError KVD_BAD_REQUEST */
export function parseMembersReport(text: string): MembersReport {
  const report = parseJson(text);
  if (typeof report !== 'object' || report === null || !Array.isArray(Reflect.get(report, 'members')))
    return refuseAt('members report', 'is none');
  return report as MembersReport;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return refuseAt('request', 'is no JSON');
  }
}

function changeJson(change: MemberChange): unknown {
  if (change.type === 'accept-quorum') return change;
  const { replicaId, ...rest } = change;
  return { ...rest, id: replicaId };
}

function readChange(json: unknown): MemberChange {
  const change = new JsonObject(json, 'change');
  const type = change.take('type');
  switch (type) {
    case 'add': {
      const replicaId = readId(change);
      const promote = readFlag(change, 'promote', true);
      const replaces = change.has('replaces') ? readId(change, 'replaces', 0) : 0;
      change.end('type, id, promote, replaces');
      return { type, replicaId, promote, replaces };
    }
    case 'remove':
    case 'promote':
    case 'demote':
    case 'readmit': {
      const replicaId = readId(change);
      change.end('type, id');
      return { type, replicaId };
    }
    case 'move-leader': {
      const replicaId = change.has('id') ? readId(change, 'id', 0) : 0;
      change.end('type, id');
      return { type, replicaId };
    }
    case 'accept-quorum': {
      const size = change.wholeNumber('size');
      if (size > MEMBERS_MAX) refuseAt(change.at('size'), `is at most ${MEMBERS_MAX}`);
      change.end('type, size');
      return { type, size };
    }
    default:
      return refuseAt(change.at('type'), `must be one of ${CHANGES}`);
  }
}

function readId(object: JsonObject, name = 'id', lowest = 1): number {
  const id = object.wholeNumber(name);
  if (id < lowest || id > REPLICA_ID_MAX)
    refuseAt(object.at(name), `a replica's number is from ${lowest} to ${REPLICA_ID_MAX}`);
  return id;
}

function readFlag(object: JsonObject, name: string, byDefault: boolean): boolean {
  if (!object.has(name)) return byDefault;
  const value = object.take(name);
  return typeof value === 'boolean' ? value : refuseAt(object.at(name), 'must be true or false');
}
