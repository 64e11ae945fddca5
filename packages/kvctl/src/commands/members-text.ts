/** Members, plans and what a cluster survives, for people. Pure. */
import type { MemberChange, MemberReport, MembersReport, PlanStep, Tolerance } from '@kvd/protocol';
import Table from 'cli-table3';

const INDENT = '   ';

export function membersText(report: MembersReport): string {
  const head = ['id', 'address', 'role', 'reachable', 'lag', 'note'];
  const table = new Table({ head, style: { head: [], border: [], compact: true } });
  for (const member of report.members) {
    const { id, address, reachable, lag, note } = member;
    table.push([String(id), address, roleText(member), reachable ? 'yes' : 'NO', lagText(lag), note]);
  }
  for (const { id, address, witness, lag } of report.waiting) {
    const note = `waits to be added: kvctl member add ${id}`;
    table.push([String(id), address, witness ? 'waiting (witness)' : 'waiting', 'yes', lagText(lag), note]);
  }
  return [table.toString(), ...standingText(report)].join('\n');
}

/** How it stands, in two lines or so. */
export function standingText({ tolerance, slot, inForce, done, readmit }: MembersReport): string[] {
  const state = done
    ? ''
    : `; the configuration of slot ${slot} is ${inForce ? 'not done' : 'not in force'} yet`;
  const manual = readmit === 'manual' ? ['who lost its disk waits for kvctl member readmit'] : [];
  return [`${quorumText(tolerance)}${state}`, toleranceText(tolerance), ...manual];
}

export function quorumText({ voters, acceptQuorum, prepareQuorum }: Tolerance): string {
  const members = voters === 1 ? '1 voting member' : `${voters} voting members`;
  return `${members}: ${acceptQuorum} to accept, ${prepareQuorum} to elect`;
}

export function toleranceText({ crashes, lostDisks, crashesNow }: Tolerance): string {
  const disks = lostDisks === 1 ? '1 disk' : `${atLeast0(lostDisks)} disks`;
  const all = `survives the crash of ${atLeast0(crashes)}, the loss of ${disks}`;
  if (crashesNow < 0) return `${all}; now: NO QUORUM can be reached`;
  return crashesNow === crashes ? all : `${all}; now: the crash of ${crashesNow}`;
}

/** What is below is that a quorum is missing, which is said elsewhere. */
function atLeast0(count: number): number {
  return Math.max(0, count);
}

/** A step that cannot be, whoever forces it, has no after: what would be computed of it is no number of anything. */
export function canBe({ refused, forceable }: PlanStep): boolean {
  return refused === '' || forceable;
}

export function planText(report: MembersReport): string {
  const { steps, message } = report;
  const now = `now: ${toleranceText(report.tolerance)}`;
  const lines = steps.flatMap((step, index) => stepLines(step, index + 1));
  return [now, ...lines, ...(message === '' ? [] : [message])].join('\n');
}

function stepLines(step: PlanStep, number: number): string[] {
  const force = step.forceable ? ' (--force does it all the same)' : '';
  const during = toleranceText(step.during);
  const after = toleranceText(step.after);
  return [
    `${number}. ${step.what}`,
    ...(during === after || !canBe(step) ? [] : [`${INDENT}meanwhile: ${during}`]),
    ...(canBe(step) ? [`${INDENT}after: ${after} (${quorumText(step.after)})`] : []),
    ...step.warnings.map((warning) => `${INDENT}note: ${warning}`),
    ...(step.refused === '' ? [] : [`${INDENT}REFUSED: ${step.refused}${force}`]),
  ];
}

/** What a change that is done has made. */
export function doneText(change: MemberChange, report: MembersReport): string {
  const id = change.type === 'accept-quorum' ? 0 : change.replicaId;
  const role = report.members.find((member) => member.id === id)?.role ?? 'learner';
  switch (change.type) {
    case 'add':
      return change.replaces === 0
        ? `replica ${id} is a ${role}`
        : `replica ${id} is a ${role}, and replica ${change.replaces} is no member any more`;
    case 'remove':
      return `replica ${id} is no member any more`;
    case 'promote':
    case 'demote':
      return `replica ${id} is a ${role}`;
    case 'readmit':
      return `replica ${id} is a ${role} again`;
    case 'accept-quorum':
      return quorumText(report.tolerance);
    case 'move-leader':
      return `replica ${report.leader} leads`;
  }
}

function roleText({ role, leader, promoteTo, replaces }: MemberReport): string {
  if (leader) return 'leader';
  const instead = replaces === 0 ? '' : `, for ${replaces}`;
  return promoteTo === null ? role : `${role}, to be ${promoteTo}${instead}`;
}

function lagText(lag: number | null): string {
  return lag === null ? '?' : String(lag);
}
