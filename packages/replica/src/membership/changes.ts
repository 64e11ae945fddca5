/**
 * What a change that somebody asks for means for the configuration as it is: which steps it takes, what each survives,
 * and why it is refused. Decides nothing else, and knows of the others only what the Situation says.
 */
import type { Configuration, ConfigurationAt, Identity, Member, ReplicaId } from '@kvd/paxos';
import { following, promoted, survives, votersOf, whyImpossible, without, withMember } from '@kvd/paxos';
import type { MemberChange, PlanStep, Tolerance } from '@kvd/protocol';

/** A replica that is connected and not a member as it is. */
export interface Stranger {
  readonly identity: Identity;
  readonly address: string;
  /** It keeps no state. Null: it has not said yet. */
  readonly witness: boolean | null;
}

export interface Situation {
  readonly latest: ConfigurationAt;
  readonly self: ReplicaId;
  /** Connected, and reporting. */
  isReachable(identity: Identity): boolean;
  /** Does it keep no state? Null: it has not said yet. */
  isWitness(identity: Identity): boolean | null;
  /** Why it has not caught up, or empty. */
  whyBehind(identity: Identity): string;
  strangersOf(id: ReplicaId): readonly Stranger[];
  /** Why the new incarnation may not take the member's place, or empty. */
  whyNotReadmitted(member: Member, stranger: Stranger): string;
  /** Why it cannot be told yet whether it may, or empty. */
  whyNotYet(stranger: Stranger): string;
}

export interface Step extends PlanStep {
  readonly configuration: Configuration;
}

export type Resolution =
  /** It is so already. */
  | { readonly type: 'nothing'; readonly message: string }
  | { readonly type: 'refused'; readonly message: string }
  /** It cannot be said yet. */
  | { readonly type: 'later'; readonly message: string }
  /** The first is to be proposed now; what follows, the leader does by itself when it can. */
  | { readonly type: 'steps'; readonly steps: readonly Step[] }
  /** 0: to whoever is fit best. */
  | { readonly type: 'hand-over'; readonly to: ReplicaId };

const nothing = (message: string): Resolution => ({ type: 'nothing', message });
const refused = (message: string): Resolution => ({ type: 'refused', message });

export function resolve(change: MemberChange, situation: Situation): Resolution {
  const { configuration } = situation.latest;
  const { members } = configuration;
  if (change.type === 'accept-quorum') return changeQuorum(change.size, situation);
  const member = members.find(({ replicaId }) => replicaId === change.replicaId);
  if (change.type === 'add') return add(change, member, situation);
  if (change.type === 'move-leader') return moveLeader(change.replicaId, member, situation);
  if (member === undefined) {
    const message = `replica ${change.replicaId} is no member`;
    return change.type === 'remove' ? nothing(message) : refused(message);
  }
  const name = `replica ${member.replicaId}`;
  switch (change.type) {
    case 'remove':
      return steps(situation, [[`remove ${name}`, without(members, member.replicaId)]]);
    case 'promote':
      if (member.role !== 'learner') return nothing(`${name} is a ${member.role} already`);
      return promote(member, members, situation);
    case 'demote':
      if (member.role === 'witness' || member.promoteTo === 'witness')
        return refused(`${name} is a witness, which has no state to serve; it can only be removed`);
      if (member.role === 'learner' && member.promoteTo === undefined)
        return nothing(`${name} is a learner already`);
      return steps(situation, [[`make ${name} a learner`, withMember(members, asLearner(member))]]);
    case 'readmit':
      return readmit(member, members, situation);
  }
}

export function toleranceOf(configuration: Configuration, isReachable: Situation['isReachable']): Tolerance {
  const base = survives(configuration);
  const reachable = votersOf(configuration).filter((member) => isReachable(member)).length;
  return { ...base, reachable, crashesNow: reachable - Math.max(base.acceptQuorum, base.prepareQuorum) };
}

function asLearner({ replicaId, incarnation, address }: Member): Member {
  return { replicaId, incarnation, address, role: 'learner' };
}

function add(
  { replicaId, promote: promotes, replaces }: Extract<MemberChange, { type: 'add' }>,
  member: Member | undefined,
  situation: Situation,
): Resolution {
  const { members } = situation.latest.configuration;
  const name = `replica ${replicaId}`;
  if (replaces === replicaId) return refused(`${name} cannot replace itself; readmit does that`);
  const leaving = members.some((other) => other.replicaId === replaces);
  if (member !== undefined) {
    if (member.role === 'learner' && promotes) return promote(member, members, situation, replaces);
    if (leaving) return steps(situation, [[`remove replica ${replaces}`, without(members, replaces)]]);
    return nothing(`${name} is a ${member.role} already`);
  }
  if (replaces > 0 && !leaving) return refused(`replica ${replaces}, which it is to replace, is no member`);
  const [stranger, another] = situation.strangersOf(replicaId);
  if (stranger === undefined)
    return refused(`${name} is not connected: start it with kvd --id ${replicaId} --join, and ask again`);
  if (another !== undefined) return refused(`two processes say that they are ${name}; stop one of them`);
  const { identity, address, witness } = stranger;
  if (witness === null) return { type: 'later', message: `${name} has not reported yet` };
  if (witness && !promotes) return refused(`${name} was formatted as a witness, and is no use as a learner`);
  const learner: Member = { ...identity, address, role: 'learner' };
  if (!promotes) return steps(situation, [[`add ${name} as a learner`, withMember(members, learner)]]);
  const candidate = wishing(learner, witness ? 'witness' : 'voter', replaces);
  return steps(situation, [
    [`add ${name} as a learner`, withMember(members, candidate)],
    [promotionOf(candidate), promoted(members, candidate)],
  ]);
}

function wishing(learner: Member, promoteTo: 'voter' | 'witness', replaces: ReplicaId): Member {
  return { ...asLearner(learner), promoteTo, ...(replaces > 0 && { replaces }) };
}

function promotionOf({ replicaId, promoteTo, replaces }: Member): string {
  const leaving = replaces === undefined ? '' : ` and remove replica ${replaces}`;
  return `make replica ${replicaId} a ${promoteTo}${leaving}, once it has caught up`;
}

/** The wish is written down first, so that it outlives this leader; what it wishes for follows when it can. */
function promote(
  member: Member,
  members: readonly Member[],
  situation: Situation,
  replaces: ReplicaId = member.replaces ?? 0,
): Resolution {
  const isWitness = situation.isWitness(member);
  if (isWitness === null)
    return { type: 'later', message: `replica ${member.replicaId} has not reported yet` };
  const candidate = wishing(member, isWitness ? 'witness' : 'voter', replaces);
  const promotion = [promotionOf(candidate), promoted(members, candidate)] as const;
  const wished = member.promoteTo !== undefined && (member.replaces ?? 0) === replaces;
  if (wished && situation.whyBehind(member) !== '') {
    return nothing(
      `replica ${member.replicaId} will be a ${member.promoteTo}: ${situation.whyBehind(member)}`,
    );
  }
  if (wished) return steps(situation, [promotion]);
  return steps(situation, [
    [
      `note that replica ${member.replicaId} is to become a ${candidate.promoteTo}`,
      withMember(members, candidate),
    ],
    promotion,
  ]);
}

function readmit(member: Member, members: readonly Member[], situation: Situation): Resolution {
  const name = `replica ${member.replicaId}`;
  const [stranger, another] = situation.strangersOf(member.replicaId);
  if (stranger === undefined)
    return situation.isReachable(member)
      ? nothing(`${name} is there, with the disk that the configuration names`)
      : refused(`${name} is not connected`);
  if (another !== undefined) return refused(`two processes say that they are ${name}; stop one of them`);
  const reason = situation.whyNotReadmitted(member, stranger);
  if (reason !== '') return refused(`${name} is not admitted again: ${reason}`);
  const notYet = situation.whyNotYet(stranger) || situation.whyBehind(stranger.identity);
  if (notYet !== '') return { type: 'later', message: `${name} is not admitted again: ${notYet}` };
  return steps(situation, [[`admit ${name} again`, withMember(members, readmitted(member, stranger))]]);
}

export function readmitted(member: Member, { identity, address }: Stranger): Member {
  return { ...member, incarnation: identity.incarnation, address };
}

function changeQuorum(size: number, situation: Situation): Resolution {
  const { configuration } = situation.latest;
  const what = size === 0 ? 'a majority' : `${size}`;
  if (configuration.acceptQuorum === size) return nothing(`the accept quorum is ${what} already`);
  return steps(situation, [[`make the accept quorum ${what}`, configuration.members, size]]);
}

function moveLeader(to: ReplicaId, member: Member | undefined, situation: Situation): Resolution {
  if (to === 0) return { type: 'hand-over', to };
  if (member?.role !== 'voter') return refused(`replica ${to} is no voter`);
  if (to === situation.self) return nothing(`replica ${to} leads already`);
  if (!situation.isReachable(member)) return refused(`replica ${to} cannot be reached`);
  const behind = situation.whyBehind(member);
  if (behind !== '') return { type: 'later', message: `replica ${to} has not caught up: ${behind}` };
  return { type: 'hand-over', to };
}

type Draft = readonly [what: string, members: readonly Member[], acceptQuorum?: number];

/** Each step follows the one before it; `replaces` of the later ones is only an idea of it. */
function steps(situation: Situation, drafts: readonly Draft[]): Resolution {
  const result: Step[] = [];
  let before = situation.latest;
  for (const [what, members, acceptQuorum] of drafts) {
    const configuration = following(before, members, acceptQuorum);
    result.push(judge(what, before.configuration, configuration, situation));
    before = { slot: before.slot, configuration };
  }
  return { type: 'steps', steps: result };
}

function judge(what: string, before: Configuration, after: Configuration, situation: Situation): Step {
  const isReachable = (identity: Identity): boolean => situation.isReachable(identity);
  const now = toleranceOf(before, isReachable);
  const then = toleranceOf(after, isReachable);
  const impossible = whyImpossible(after);
  const lost =
    then.crashesNow < 0
      ? `it would leave no quorum: ${then.reachable} of ${then.voters} voters can be reached, ${then.voters - then.crashes} are needed`
      : '';
  const during: Tolerance = {
    ...now,
    crashes: Math.min(now.crashes, then.crashes),
    lostDisks: Math.min(now.lostDisks, then.lostDisks),
    crashesNow: Math.min(now.crashesNow, then.crashesNow),
  };
  const warnings = after.members
    .filter((member) => member.role !== 'learner')
    .flatMap((member) => {
      if (!situation.isReachable(member)) return [`replica ${member.replicaId} cannot be reached`];
      const behind = situation.whyBehind(member);
      return behind === '' ? [] : [`replica ${member.replicaId} lags: ${behind}`];
    });
  return {
    what,
    configuration: after,
    during,
    after: then,
    refused: impossible || lost,
    forceable: impossible === '' && lost !== '',
    warnings,
  };
}
