/** `kvctl status`: a line per replica, and how far each is behind. */
import Table from 'cli-table3';
import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../errors.js';
import { askReplicas, numberOf, type ReplicaReport, textOf } from '../replicas.js';
import { unlessAborted } from '../stop.js';
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

/** What the leader has to say of a member. */
export interface LeaderNote {
  readonly note: string;
  /** Slots that its disk is behind; null: it never said. */
  readonly lag: number | null;
}

/** By id. */
type Notes = ReadonlyMap<number, LeaderNote>;
const NO_NOTES: Notes = new Map();
/** The leader's note on a member that it does not reach and knows nothing else of. */
const NOT_REACHED = 'cannot be reached';
/** Only what stands beside each replica's own answer: not to be waited for as long as for those. */
const NOTES_MS_MAX = 1_000;

/** Exit 0 when a leader answers. Nothing is shown once `signal` fires. */
export async function status(context: Context, signal = context.stop): Promise<ExitCode> {
  const reports = await unlessAborted(askReplicas(context.endpoints, context.timeoutMs), signal);
  const leader = reports.find((report) => report.status.role === 'leader');
  const notes =
    leader === undefined
      ? NO_NOTES
      : await unlessAborted(askNotes(leader.address, context.timeoutMs), signal);
  if (context.out.format === 'text') await context.out.write(`${statusTable(reports, notes)}\n`);
  else for (const report of reports) await context.out.result(statusLine(report, reports, notes));
  if (leader !== undefined) return EXIT.done;
  context.out.negative('KVD_UNAVAILABLE', 'no leader can be reached');
  return EXIT.unavailable;
}

async function askNotes(leader: string, timeoutMs: number): Promise<Notes> {
  try {
    const { members } = await new MembersClient([leader], Math.min(timeoutMs, NOTES_MS_MAX)).ask();
    return new Map(members.map(({ id, note, lag }) => [id, { note, lag }]));
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
  line.note = notes.get(id)?.note ?? '';
  if (reachable) return { ...line, lag: lagOf(report, all) };
  return { ...line, role: 'unreachable', lag: notes.get(id)?.lag ?? null, error: report.error };
}

/** A table for people. What they look for comes first: a narrow terminal may cut off what is to the right. */
export function statusTable(reports: readonly ReplicaReport[], notes = NO_NOTES): string {
  const head = [
    'id',
    'address',
    'role',
    'lag',
    'note',
    'chosen',
    'applied',
    'revision',
    'ballot',
    'state hash',
  ];
  const table = new Table({ head, style: { head: [], border: [], compact: true } });
  for (const report of reports) {
    const id = report.id === 0 ? '?' : String(report.id);
    const lag = report.reachable ? lagOf(report, reports) : (notes.get(report.id)?.lag ?? '');
    // Of one that cannot be reached these are empty.
    const own = ['chosenThrough', 'appliedThrough', 'revision', 'ballot', 'stateHash'];
    table.push([
      id,
      report.address,
      report.reachable ? textOf(report, 'role') : 'unreachable',
      String(lag),
      noteOf(report, reports, notes),
      ...own.map((field) => textOf(report, field)),
    ]);
  }
  return table.toString();
}

/** Slots that it has not applied of those that some replica knows chosen. */
function lagOf(report: ReplicaReport, all: readonly ReplicaReport[]): number {
  const highest = Math.max(0, ...all.map((other) => numberOf(other, 'chosenThrough')));
  return Math.max(0, highest - numberOf(report, 'appliedThrough'));
}

function noteOf(report: ReplicaReport, all: readonly ReplicaReport[], leaderNotes: Notes): string {
  const leaderNote = leaderNotes.get(report.id)?.note ?? '';
  if (!report.reachable) {
    const isNew = leaderNote !== '' && leaderNote !== NOT_REACHED;
    return isNew ? `${report.error}; ${leaderNote}` : report.error;
  }
  const notes: string[] = [];
  const { down, ready } = report.status;
  // The leader knows more of it: what is being done about it, too.
  const why = leaderNote === '' ? textOf(report, 'reason') : leaderNote;
  if (ready === false) notes.push(why === '' ? 'not ready' : `not ready: ${why}`);
  else if (why !== '') notes.push(why);
  if (Array.isArray(down) && down.length > 0) notes.push(`down: ${down.join(', ')}`);
  // A few slots are always under way; more is a replica that catches up.
  if (lagOf(report, all) > BEHIND_SLOTS) notes.push('catching up');
  return notes.join('; ');
}

const BEHIND_SLOTS = 100;
