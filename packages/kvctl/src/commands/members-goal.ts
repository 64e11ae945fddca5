/** When a change of the members is done, and how far it is until then, by what the leader reports. Pure. */
import type { MemberChange, MemberReport, MembersReport } from '@kvd/protocol';

export interface Progress {
  readonly isDone: boolean;
  /** What is being waited for; the same words as long as it is the same. */
  readonly stage: string;
  /** How far it is, which changes all the time; or empty. */
  readonly detail: string;
}

/** `leaderBefore`: who led when the change was asked for. */
export function progressOf(change: MemberChange, report: MembersReport, leaderBefore: number): Progress {
  const open = openStep(change, report, leaderBefore);
  if (open !== null) return { isDone: false, detail: '', ...open };
  const configuration = `the configuration of slot ${report.slot}`;
  if (change.type === 'move-leader') return { isDone: true, stage: '', detail: '' };
  if (!report.inForce) return { isDone: false, stage: `${configuration} comes into force`, detail: '' };
  if (!report.done) return { isDone: false, stage: `${configuration} becomes known to a quorum`, detail: '' };
  return { isDone: true, stage: '', detail: '' };
}

interface OpenStep {
  readonly stage: string;
  readonly detail?: string;
}

/** What is not yet as the change says; null: all is. */
function openStep(change: MemberChange, report: MembersReport, leaderBefore: number): OpenStep | null {
  switch (change.type) {
    case 'add':
      return openAdd(change, report);
    case 'remove':
      return leaving(change.replicaId, report);
    case 'promote':
      return becoming(change.replicaId, report);
    case 'demote': {
      const member = memberOf(report, change.replicaId);
      const isLearner = member?.role === 'learner' && member.promoteTo === null;
      return isLearner ? null : { stage: `replica ${change.replicaId} becomes a learner` };
    }
    case 'readmit': {
      const member = memberOf(report, change.replicaId);
      if (member !== undefined && member.stranger === '') return becoming(change.replicaId, report);
      return { stage: `replica ${change.replicaId} is admitted again`, detail: member?.note ?? '' };
    }
    case 'accept-quorum':
      return report.acceptQuorum === change.size ? null : { stage: 'the quorum changes' };
    case 'move-leader': {
      const { leader } = report;
      const hasMoved =
        change.replicaId === 0 ? leader !== 0 && leader !== leaderBefore : leader === change.replicaId;
      return hasMoved ? null : { stage: 'the leadership moves' };
    }
  }
}

function openAdd(change: MemberChange & { readonly type: 'add' }, report: MembersReport): OpenStep | null {
  const { replicaId, promote, replaces } = change;
  if (memberOf(report, replicaId) === undefined) return { stage: `replica ${replicaId} becomes a member` };
  if (promote) {
    const open = becoming(replicaId, report);
    if (open !== null) return open;
  }
  return replaces === 0 ? null : leaving(replaces, report);
}

function leaving(id: number, report: MembersReport): OpenStep | null {
  return memberOf(report, id) === undefined ? null : { stage: `replica ${id} leaves` };
}

/** A voter or witness with nothing more to become. */
function becoming(id: number, report: MembersReport): OpenStep | null {
  const member = memberOf(report, id);
  if (member === undefined) return { stage: `replica ${id} is no member any more` };
  if (member.role !== 'learner' && member.promoteTo === null) return null;
  const lag = member.lag === null ? '' : `${member.lag} ${member.lag === 1 ? 'slot' : 'slots'} behind`;
  return {
    stage: `replica ${id} catches up`,
    detail: [lag, member.note].filter((text) => text !== '').join('; '),
  };
}

function memberOf(report: MembersReport, id: number): MemberReport | undefined {
  return report.members.find((member) => member.id === id);
}
