/** `kvctl status`: a line per replica, and how far each is behind. */
import Table from 'cli-table3';
import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../errors.js';
import { askReplicas, numberOf, type ReplicaReport, textOf } from '../replicas.js';

/** In the order of INTERFACE; what an unreachable replica cannot say is null. */
const FIELDS = [
  'role',
  'ballot',
  'chosenThrough',
  'appliedThrough',
  'revision',
  'stateHash',
  'incarnation',
  'compactRevision',
  'watches',
  'leader',
  'ready',
  'reason',
  'down',
] as const;

/** Exit 0 when a leader answers. */
export async function status(context: Context): Promise<ExitCode> {
  const reports = await askReplicas(context.endpoints, context.timeoutMs);
  if (context.out.format === 'text') await context.out.write(`${statusTable(reports)}\n`);
  else for (const report of reports) await context.out.result(statusLine(report, reports));
  if (reports.some((report) => report.status.role === 'leader')) return EXIT.done;
  context.out.note('kvctl: no leader can be reached');
  return EXIT.unavailable;
}

export function statusLine(report: ReplicaReport, all: readonly ReplicaReport[]): Record<string, unknown> {
  const { id, address, reachable } = report;
  const line: Record<string, unknown> = { id, address, role: 'unreachable', reachable };
  for (const field of FIELDS) line[field] = report.status[field] ?? null;
  if (reachable) return { ...line, lag: lagOf(report, all) };
  return { ...line, role: 'unreachable', lag: null, error: report.error };
}

/** A table for people. */
export function statusTable(reports: readonly ReplicaReport[]): string {
  const head = [
    'id',
    'address',
    'role',
    'ballot',
    'chosen',
    'applied',
    'lag',
    'revision',
    'state hash',
    'note',
  ];
  const table = new Table({ head, style: { head: [], border: [], compact: true } });
  for (const report of reports) {
    const cells = report.reachable
      ? [
          textOf(report, 'role'),
          textOf(report, 'ballot'),
          textOf(report, 'chosenThrough'),
          textOf(report, 'appliedThrough'),
          String(lagOf(report, reports)),
          textOf(report, 'revision'),
          textOf(report, 'stateHash'),
        ]
      : ['unreachable', '', '', '', '', '', ''];
    const id = report.id === 0 ? '?' : String(report.id);
    table.push([id, report.address, ...cells, noteOf(report, reports)]);
  }
  return table.toString();
}

/** Slots that it has not applied of those that some replica knows chosen. */
function lagOf(report: ReplicaReport, all: readonly ReplicaReport[]): number {
  const highest = Math.max(0, ...all.map((other) => numberOf(other, 'chosenThrough')));
  return Math.max(0, highest - numberOf(report, 'appliedThrough'));
}

function noteOf(report: ReplicaReport, all: readonly ReplicaReport[]): string {
  if (!report.reachable) return report.error;
  const notes: string[] = [];
  const { down, ready } = report.status;
  if (textOf(report, 'reason') !== '') notes.push(textOf(report, 'reason'));
  if (Array.isArray(down) && down.length > 0) notes.push(`down: ${down.join(', ')}`);
  if (ready === false) notes.push('not ready');
  // A few slots are always under way; more is a replica that catches up.
  if (lagOf(report, all) > BEHIND_SLOTS) notes.push('catching up');
  return notes.join('; ');
}

const BEHIND_SLOTS = 100;
