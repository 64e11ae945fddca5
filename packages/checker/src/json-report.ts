/** A report as an object for one line of JSON, for programs. Bounded, whatever the history. */
import type { HistoryReport } from './check.js';
import { withFinalReads } from './final-reads.js';
import { encoded } from './json-lines.js';
import type { History } from './operation.js';

/** Of one violation; the latest. */
const OPERATIONS_MAX = 200;

/**
 * `{ verdict, linearizable, operations, acknowledged, failed, unknown, keys, keysViolated, keysUndecided, lost, repeated,
 * revisions, violations, findings }`. `linearizable` is null when that is undecided. Operations have the fields of the JSON
 * lines, and `culprit`, `open`, `effectOnly` where true; keys that are no UTF-8 are `keyBase64`. A violation of several keys, which transactions
 * connect, has `keys` as well.
 */
export function jsonReport(history: History, report: HistoryReport): object {
  const { linearizability, lost, repeated, revisions } = report;
  const { violatedKeys, undecidedKeys } = linearizability;
  const { operations } = withFinalReads(history);
  return {
    verdict: report.verdict,
    linearizable: linearizability.verdict === 'undecided' ? null : linearizability.verdict === 'linearizable',
    operations: report.operations,
    acknowledged: report.acknowledged,
    failed: report.failed,
    unknown: report.unknown,
    keys: linearizability.keys,
    keysViolated: violatedKeys.length,
    keysUndecided: undecidedKeys.length,
    lost: lost.count,
    repeated: repeated.count,
    revisions: revisions.count,
    violations: linearizability.violations.map(({ key, keys, explanation, minimal, ...violation }) => ({
      ...encoded({ key }),
      ...(keys.length > 1 ? { keys: keys.map((each) => encoded({ key: each })) } : {}),
      explanation,
      minimal,
      size: violation.operations.length,
      operations: violation.operations.slice(-OPERATIONS_MAX).map((index) => ({
        ...encoded(operations[index] ?? {}),
        ...(index === violation.culprit ? { culprit: true } : {}),
        ...(violation.open.includes(index) ? { open: true } : {}),
        ...(violation.effectOnly.includes(index) ? { effectOnly: true } : {}),
      })),
    })),
    findings: [...lost.list, ...repeated.list, ...revisions.list].map(({ kind, key, explanation }) => ({
      kind,
      ...encoded({ key }),
      explanation,
    })),
  };
}
