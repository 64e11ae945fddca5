/** What came of a drill, as its reports show it: everything that was measured and checked, and the verdict on it. */
import type { History, HistoryReport } from '@kvd/checker';
import type { DataReport } from './model/report.js';
import type { Check, Injection } from './stage.js';

export interface DrillSetting {
  readonly name: string;
  readonly about: string;
  readonly replicas: number;
  readonly clients: number;
  readonly seed: number;
  readonly durationMs: number;
}

export interface SkippedDrill extends DrillSetting {
  readonly verdict: 'skipped';
  readonly reason: string;
}

export interface FinishedDrill extends DrillSetting {
  readonly verdict: 'passed' | 'failed';
  /** Of the load, until all clients were served again. */
  readonly tookMs: number;
  readonly injections: readonly Injection[];
  /** The longest time without a success of any client, and when it began. */
  readonly longestGap: { readonly ms: number; readonly atMs: number };
  readonly checks: readonly Check[];
  readonly history: History;
  readonly report: HistoryReport;
  /** On transactions, counter, watchers and the cluster's own history. */
  readonly data: DataReport;
  /** What clients that were refused were told, by code. */
  readonly errors: ReadonlyMap<string, number>;
  /** The hash of every replica's state in the end; null where they differ, or were not all there. */
  readonly stateHash: string | null;
  /** Kept for whoever wants to look; null after a drill that passed. */
  readonly scratch: string | null;
}

export type DrillResult = SkippedDrill | FinishedDrill;

/** For programs: one line of JSON. Stable. */
export function resultLine(result: DrillResult): Record<string, unknown> {
  const { name, verdict, replicas, clients, seed, durationMs } = result;
  const setting = { drill: name, verdict, replicas, clients, seed, durationMs };
  if (result.verdict === 'skipped') return { ...setting, reason: result.reason };
  const { report, data, longestGap } = result;
  const { linearizability } = report;
  return {
    ...setting,
    tookMs: Math.round(result.tookMs),
    operations: report.operations,
    acknowledged: report.acknowledged,
    refused: report.failed,
    unknown: report.unknown,
    errors: Object.fromEntries(result.errors),
    longestGapMs: Math.round(longestGap.ms),
    longestGapAtMs: Math.round(longestGap.atMs),
    injected: result.injections.map(({ atMs, what }) => ({ atMs: Math.round(atMs), what })),
    linearizable: linearizability.verdict === 'undecided' ? null : linearizability.verdict === 'linearizable',
    violations: linearizability.violations.map(({ key, explanation, operations }) => ({
      key,
      explanation,
      operations: operations.map((index) => result.history.operations[index]),
    })),
    lost: report.lost.count,
    repeated: report.repeated.count + data.repeated,
    revisionsWrong: report.revisions.count,
    revisions: data.revision,
    bank: { ok: isFine(data, 'bank'), ...data.bank },
    counter: { ok: isFine(data, 'counter'), ...data.counter },
    watchers: { ok: isFine(data, 'watchers'), list: data.watchers },
    findings: findingsOf(result),
    stateHash: result.stateHash,
    hashesEqual: result.stateHash !== null,
    checks: result.checks,
    scratch: result.scratch,
  };
}

/** Everything that is wrong besides what cannot be ordered, for people. */
export function findingsOf({ report, data }: FinishedDrill): string[] {
  const { lost, repeated, revisions } = report;
  return [
    ...[...lost.list, ...repeated.list, ...revisions.list].map(({ explanation }) => explanation),
    ...data.findings.map(({ about, text }) => `${about}: ${text}`),
  ];
}

/** null: it could not be judged. */
function isFine(data: DataReport, about: DataReport['findings'][number]['about']): boolean | null {
  return data.isJudged ? data.findings.every((finding) => finding.about !== about) : null;
}
