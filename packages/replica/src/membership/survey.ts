/** What a leader tells of the members: who they are, how they do, and what the cluster survives. */
import type { Member } from '@kvd/paxos';
import type { MemberReport, MembersReport, PlanStep, WaitingReplica } from '@kvd/protocol';
import type { Neighbours } from '../neighbours.js';
import { type Step, toleranceOf } from './changes.js';
import type { Membership } from './membership.js';
import type { MembershipHost } from './membership-host.js';

export function surveyOf(
  membership: Membership,
  host: MembershipHost,
  neighbours: Neighbours,
  steps: readonly Step[],
  message: string,
  readmit: 'auto' | 'manual',
): MembersReport {
  const { latest, chosenThrough } = host;
  if (!latest) throw new Error('asked about members before there are any');
  const { slot, configuration } = latest;
  return {
    slot,
    inForce: membership.isInForce,
    done: membership.isDone,
    leader: host.leader,
    chosenThrough,
    acceptQuorum: configuration.acceptQuorum,
    readmit,
    tolerance: toleranceOf(configuration, (identity) => membership.standing.isReachable(identity)),
    members: configuration.members.map((member) => memberReport(member, membership, host)),
    waiting: waitingOf(membership, host, neighbours),
    steps: steps.map(planned),
    message,
  };
}

function planned({ what, during, after, refused, forceable, warnings }: Step): PlanStep {
  return { what, during, after, refused, forceable, warnings };
}

function memberReport(member: Member, membership: Membership, host: MembershipHost): MemberReport {
  const { replicaId: id, address, role, incarnation, promoteTo = null, replaces = 0 } = member;
  const isSelf = incarnation === host.identity.incarnation;
  const reachable = membership.standing.isReachable(member);
  const durableThrough = membership.standing.durableThrough(member);
  return {
    id,
    address,
    role,
    incarnation,
    promoteTo,
    replaces,
    leader: id === host.leader,
    reachable,
    durableThrough,
    lag: durableThrough === null ? null : Math.max(0, host.chosenThrough - durableThrough),
    slowMs: isSelf ? Math.round(host.slowMs) : (membership.standing.reports.of(member)?.slowMs ?? null),
    stranger: membership.standing.strangersOf(id)[0]?.identity.incarnation ?? '',
    note: membership.noteOn(id) || (reachable ? '' : 'cannot be reached'),
  };
}

function waitingOf(membership: Membership, host: MembershipHost, neighbours: Neighbours): WaitingReplica[] {
  const { configuration } = host.latest ?? {};
  const members = configuration?.members ?? [];
  return neighbours
    .strangers(configuration)
    .filter(({ identity }) => !members.some(({ replicaId }) => replicaId === identity.replicaId))
    .map(({ identity, address }) => {
      const report = membership.standing.reports.of(identity);
      return {
        id: identity.replicaId,
        incarnation: identity.incarnation,
        address,
        witness: report?.witness ?? false,
        lag: report === null ? null : Math.max(0, host.chosenThrough - report.durableThrough),
      };
    });
}
