/**
 * The judge of what the clients saw, which knows nothing of revisions' order or of replicas: @kvd/checker, the same that
 * judges the histories of real clusters. A scan is a read of each key, a range deletion a deletion of each.
 */
import { checkHistory, type FinalRead, type HistoryReport, type Operation } from '@kvd/checker';
import type { History, Recorded, Seen } from '../history.js';
import { safety } from '../violation.js';

/** A search that takes longer leaves a key undecided; the rule of revisions has judged it already. */
const STEPS_MAX = 200_000;

/**
 * `finals`: of each replica, what it holds in the end; none where they did not catch up. `isWhole`: nothing else was done
 * than the history says, so that revisions can be counted.
 */
export function judgeHistory(history: History, finals: readonly (readonly Seen[])[], isWhole = true): void {
  const report = checkHistory(
    {
      operations: history.operations.flatMap(operationsOf),
      finals: finals.flatMap((seen, replica) => seen.map((entry) => finalOf(replica + 1, entry))),
      ...(isWhole && { baseRevision: 0 }),
    },
    { stepLimit: STEPS_MAX, violationsMax: 1 },
  );
  if (report.verdict === 'violated') throw safety(...complaint(report));
}

function complaint({ linearizability, lost, repeated, revisions }: HistoryReport): [string, string] {
  const [violation] = linearizability.violations;
  if (violation !== undefined) return ['linearizability', violation.explanation];
  const [finding] = [...lost.list, ...repeated.list, ...revisions.list];
  return [finding?.kind ?? 'linearizability', finding?.explanation ?? 'no order explains the history'];
}

function operationsOf(recorded: Recorded): Operation[] {
  const { kind, keys, outcome } = recorded;
  const common = {
    client: String(recorded.client),
    start: recorded.calledAt,
    end: Number.isFinite(recorded.returnedAt) ? recorded.returnedAt : null,
    outcome: outcome === 'failed' ? ('fail' as const) : outcome === 'ok' ? outcome : ('unknown' as const),
  };
  const done = outcome === 'ok';
  switch (kind) {
    case 'get':
    case 'scan':
      return keys.map((key, i) => {
        const seen = recorded.seen[i];
        if (!done || seen === undefined) return { ...common, op: 'get', key };
        return { ...common, op: 'get', key, value: seen.value, ...versionsOf(seen) };
      });
    case 'put':
    case 'keyed-put':
      return keys.map((key) => ({
        ...common,
        op: 'put',
        key,
        value: recorded.value ?? '',
        ...(done && { revision: recorded.revision }),
      }));
    case 'delete':
      return keys.map((key) => ({
        ...common,
        op: 'delete',
        key,
        ...(done && { deleted: recorded.deleted, revision: recorded.revision }),
      }));
    case 'delete-range':
      return keys.map((key) => ({ ...common, op: 'delete', key }));
    default:
      // Transactions have keys of their own, and the reference as their judge.
      return [];
  }
}

function finalOf(replica: number, seen: Seen): FinalRead {
  return { replica: String(replica), key: seen.key, value: seen.value, ...versionsOf(seen) };
}

function versionsOf({ value, modRevision, version }: Seen): { modRevision?: number; version?: number } {
  return value === null ? {} : { modRevision, version };
}
