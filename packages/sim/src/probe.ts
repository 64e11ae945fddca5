/** The probe at the end: a client per member, with keys and numbers of its own. */
import type { ReplicaId } from '@kvd/paxos';
import type { ClientPlan, Operation, OperationKind, Plan } from './plan.js';

export const PROBE_CLIENT = 1000;
const PROBE_KEY = 9000;
const PROBE_INDEX = 1_000_000;

export function probeClient({ electionTimeoutMs, endMs }: Plan): ClientPlan {
  return {
    // A write whose slot comes with a snapshot is answered as unknown; in a session it is sent again.
    session: true,
    concurrency: 1,
    // Where a slot holds one command, and one is under way at a time, those who ask again and again fill the queue for a while.
    attemptMs: 4000 + electionTimeoutMs,
    deadlineMs: endMs,
    backoffMs: 40,
    hedging: 0,
    slowMs: 0,
    loyalty: 1,
  };
}

/**
 * A write and a read; and its share of all keys, for every replica then has to read what it holds of them. What a replica
 * holds itself is not asked of a witness.
 */
export function probeOf(
  plan: Plan,
  id: ReplicaId,
  share: { readonly place: number; readonly of: number },
  atMs: number,
): { readonly index: number; readonly operation: Operation }[] {
  const ask = (kind: OperationKind, key: number): Operation => ({
    atMs,
    client: PROBE_CLIENT + id,
    kind,
    key,
    span: 1,
    valueBytes: 0,
  });
  const keys = Array.from({ length: plan.keys }, (_, key) => key);
  const operations = [
    ask('put', PROBE_KEY + id),
    ask('get', PROBE_KEY + id),
    ...keys.filter((key) => key % share.of === share.place).map((key) => ask('put', key)),
    ...(plan.witnesses.includes(id) ? [] : [ask('audit', 0)]),
  ];
  return operations.map((operation, i) => ({ index: PROBE_INDEX + 100 * id + i, operation }));
}
