/** All checks on one history, and one verdict. Pure: the same history and limits, the same report. */
import { withFinalReads } from './final-reads.js';
import type { Finding, Findings } from './finding.js';
import { checkLinearizability, type CheckOptions, type Linearizability } from './linearizability.js';
import { checkLostWrites } from './lost-writes.js';
import { type History, HistoryError, missingField, OPERATIONS_MAX } from './operation.js';
import { checkRepeated } from './repeated.js';
import { checkRevisions } from './revisions.js';

export interface HistoryReport {
  /** violated: not linearizable, or a finding. undecided: neither shown right nor wrong within the limits. */
  readonly verdict: 'ok' | 'violated' | 'undecided';
  readonly operations: number;
  readonly acknowledged: number;
  readonly failed: number;
  readonly unknown: number;
  /** Of operations and final reads; see withFinalReads for the indices of those. */
  readonly linearizability: Linearizability;
  /** Acknowledged writes lost, by `finals` and by versions. `count` may exceed the list. */
  readonly lost: FindingList;
  /** Mutations applied more than once. */
  readonly repeated: FindingList;
  /** Revisions that do not fit. */
  readonly revisions: FindingList;
}

export interface FindingList {
  readonly count: number;
  readonly list: readonly Finding[];
}

/**
 * Check a history in every way there is.
 * @throws HistoryError when an operation lacks an answer that its outcome promises, or there are too many
 */
export function checkHistory(history: History, options: CheckOptions = {}): HistoryReport {
  validate(history);
  const counts = { ok: 0, fail: 0, unknown: 0 };
  for (const operation of history.operations) counts[operation.outcome]++;
  const lost = checkLostWrites(history);
  // What is said of a key there says it better than a search could.
  const linearizability = checkLinearizability(withFinalReads(history, lost.keys), options);
  const [repeated, revisions] = [checkRepeated(history), checkRevisions(history)];
  const findings = lost.count + repeated.count + revisions.count;
  return {
    verdict: verdictOf(linearizability, findings),
    operations: history.operations.length,
    acknowledged: counts.ok,
    failed: counts.fail,
    unknown: counts.unknown,
    linearizability,
    lost: listOf(lost),
    repeated: listOf(repeated),
    revisions: listOf(revisions),
  };
}

function verdictOf(linearizability: Linearizability, findings: number): HistoryReport['verdict'] {
  if (linearizability.verdict === 'violated' || findings > 0) return 'violated';
  return linearizability.verdict === 'undecided' ? 'undecided' : 'ok';
}

function listOf({ count, list }: Findings): FindingList {
  return { count, list };
}

function validate(history: History): void {
  if (history.operations.length > OPERATIONS_MAX) {
    throw new HistoryError('HISTORY_TOO_LARGE', `more than ${OPERATIONS_MAX} operations`);
  }
  history.operations.forEach((operation, index) => {
    const missing = missingField(operation);
    const { start, end } = operation;
    if (missing !== undefined) throw malformed(index, `is ok, but has no ${missing}`);
    if (!Number.isFinite(start) || (end !== null && !(Number.isFinite(end) && end >= start))) {
      throw malformed(index, 'ends before it starts, or its times are no numbers');
    }
  });
}

function malformed(index: number, what: string): HistoryError {
  return new HistoryError('HISTORY_MALFORMED', `operation ${index} ${what}`);
}
