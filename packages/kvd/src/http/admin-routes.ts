/** What operators and drills ask of one replica: status, health, metrics, chaos. Nothing here goes through the log. */
import { KvdError } from '@kvd/protocol';
import type { ReplicaStatus } from '@kvd/replica';
import * as v from 'valibot';
import type { Chaos } from '../chaos.js';
import { CHAOS_MS_MAX, PAXOS_ROLES } from '../option-table.js';
import { type Call, readJson } from './call.js';
import { type Answer, errorAnswer, jsonAnswer } from './respond.js';

/** What the daemon knows of itself beside its replica. */
export interface DaemonFacts {
  readonly version: string;
  readonly uptimeMs: number;
  /** Why the process should be restarted, or empty. */
  readonly failure: string;
  readonly stopping: boolean;
}

const milliseconds = (min: number) =>
  v.pipe(v.number(), v.integer(), v.minValue(min), v.maxValue(CHAOS_MS_MAX));

const CHAOS_SCHEMA = v.strictObject({
  failRate: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1))),
  intervalMs: v.optional(milliseconds(10)),
  downMs: v.optional(milliseconds(1)),
  roles: v.optional(
    v.pipe(v.array(v.picklist(PAXOS_ROLES)), v.minLength(1), v.maxLength(PAXOS_ROLES.length)),
  ),
});

/** `reachable` is for whoever asks many replicas and adds lines for those that did not answer. */
export function statusAnswer(status: ReplicaStatus, facts: DaemonFacts): Answer {
  return jsonAnswer(200, { ...status, reachable: true, version: facts.version, uptimeMs: facts.uptimeMs });
}

/** Alive: the process answers and its disk has not failed for good. */
export function liveAnswer(facts: DaemonFacts): Answer {
  if (facts.failure !== '') return errorAnswer('KVD_STORAGE', facts.failure);
  return jsonAnswer(200, { status: 'ok' });
}

/** Ready: linearizable requests can be answered, here or by passing them to the leader. */
export function readyAnswer(status: ReplicaStatus, facts: DaemonFacts): Answer {
  if (facts.stopping) return errorAnswer('KVD_UNAVAILABLE', 'this replica is stopping');
  if (status.ready) return jsonAnswer(200, { status: 'ok' });
  const why =
    status.leader === 0 ? 'no leader is known' : `the leader, replica ${status.leader}, does not answer`;
  return errorAnswer('KVD_UNAVAILABLE', status.reason === '' ? why : status.reason);
}

export function chaosAnswer(chaos: Chaos, status: ReplicaStatus): Answer {
  return jsonAnswer(200, { ...chaos.settings, down: status.down });
}

/** PUT /v1/chaos: members left out stay as they are. */
export async function setChaos(chaos: Chaos, call: Call): Promise<void> {
  const parsed = v.safeParse(CHAOS_SCHEMA, await readJson(call));
  if (!parsed.success) {
    const issue = parsed.issues[0];
    const path = v.getDotPath(issue) ?? 'the body';
    const names = Object.keys(CHAOS_SCHEMA.entries).join(', ');
    throw new KvdError('KVD_BAD_REQUEST', `${path}: ${issue.message} (what can be set: ${names})`);
  }
  const { failRate, intervalMs, downMs, roles } = parsed.output;
  chaos.configure({
    failRate: failRate ?? chaos.settings.failRate,
    intervalMs: intervalMs ?? chaos.settings.intervalMs,
    downMs: downMs ?? chaos.settings.downMs,
    roles: roles === undefined ? chaos.settings.roles : [...new Set(roles)],
  });
}
