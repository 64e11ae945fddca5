/** `kvctl status`: a line per replica, and how far each is behind. */
import Table from 'cli-table3';
import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../errors.js';
import { askReplicas, numberOf, type ReplicaReport, textOf } from '../replicas.js';
import { MembersClient } from './members-client.js';

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

/** What the leader has to say of each member, by id. */
type Notes = ReadonlyMap<number, string>;
const NO_NOTES: Notes = new Map();
/** Only what stands beside each replica's own answer: not to be waited for as long as for those. */
const NOTES_MS_MAX = 1_000;

/** Exit 0 when a leader answers. */
export async function status(context: Context): Promise<ExitCode> {
  const reports = await askReplicas(context.endpoints, context.timeoutMs);
  const hasLeader = reports.some((report) => report.status.role === 'leader');
  const notes = hasLeader ? await askNotes(context) : NO_NOTES;
  if (context.out.format === 'text') await context.out.write(`${statusTable(reports, notes)}\n`);
  else for (const report of reports) await context.out.result(statusLine(report, reports, notes));
  if (hasLeader) return EXIT.done;
  context.out.note('kvctl: no leader can be reached');
  return EXIT.unavailable;
}

async function askNotes({ endpoints, timeoutMs }: Context): Promise<Notes> {
  try {
    const { members } = await new MembersClient(endpoints, Math.min(timeoutMs, NOTES_MS_MAX)).ask();
    return new Map(members.map(({ id, note }) => [id, note]));
  } catch {
    // Without a quorum nobody can speak for the members.
    return NO_NOTES;
  }
}

export function statusLine(
  report: ReplicaReport,
  all: readonly ReplicaReport[],
  notes = NO_NOTES,
): Record<string, unknown> {
  const { id, address, reachable } = report;
  const line: Record<string, unknown> = { id, address, role: 'unreachable', reachable };
  for (const field of FIELDS) line[field] = report.status[field] ?? null;
  line.note = notes.get(id) ?? '';
  if (reachable) return { ...line, lag: lagOf(report, all) };
  return { ...line, role: 'unreachable', lag: null, error: report.error };
}

/** A table for people. */
export function statusTable(reports: readonly ReplicaReport[], notes = NO_NOTES): string {
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
    table.push([id, report.address, ...cells, noteOf(report, reports, notes)]);
  }
  return table.toString();
}

/** Slots that it has not applied of those that some replica knows chosen. */
function lagOf(report: ReplicaReport, all: readonly ReplicaReport[]): number {
  const highest = Math.max(0, ...all.map((other) => numberOf(other, 'chosenThrough')));
  return Math.max(0, highest - numberOf(report, 'appliedThrough'));
}

function noteOf(report: ReplicaReport, all: readonly ReplicaReport[], leaderNotes: Notes): string {
  const leaderNote = leaderNotes.get(report.id) ?? '';
  if (!report.reachable) return leaderNote === '' ? report.error : `${report.error}; ${leaderNote}`;
  const notes: string[] = [];
  const { down, ready } = report.status;
  // The leader knows more of it: what is being done about it, too.
  const why = leaderNote === '' ? textOf(report, 'reason') : leaderNote;
  if (why !== '') notes.push(why);
  if (Array.isArray(down) && down.length > 0) notes.push(`down: ${down.join(', ')}`);
  if (ready === false) notes.push('not ready');
  // A few slots are always under way; more is a replica that catches up.
  if (lagOf(report, all) > BEHIND_SLOTS) notes.push('catching up');
  return notes.join('; ');
}

const BEHIND_SLOTS = 100;
