/**
 * Which configuration may follow which, and what a configuration survives. Pure: who is reachable, caught up or in
 * somebody's way is the leader's to know (packages/replica/src/membership). Safety does not rest on this file: any
 * configuration that passes `whyImpossible` may follow any other, because S11 says which one governs a slot. What rests
 * on it is that a quorum is left, and that the disks that may be lost are as many as it says.
 */
import { phase1Size, phase2Size, votersOf } from './configuration.js';
import type { Configuration, ConfigurationAt, Member, ReplicaId } from './types.js';

/** What a configuration survives, whoever fails. */
export interface Survives {
  readonly voters: number;
  readonly acceptQuorum: number;
  readonly prepareQuorum: number;
  /** Voting members that may be down at once while leaders can still be elected and values chosen. */
  readonly crashes: number;
  /** Disks that may be lost at once without losing what was chosen. */
  readonly lostDisks: number;
}

/** The configuration that replaces `latest`, with these members. */
export function following(
  { slot, configuration }: ConfigurationAt,
  members: readonly Member[],
  acceptQuorum = configuration.acceptQuorum,
): Configuration {
  const { clusterId, alpha } = configuration;
  const sorted = [...members].sort((a, b) => a.replicaId - b.replicaId);
  return { clusterId, alpha, replaces: slot, members: sorted, acceptQuorum };
}

/**
 * Why no cluster may have this configuration, or empty.
 *
 * Witnesses alone are no quorum of either phase: then every phase-1 quorum has a data voter, which durably holds what a
 * witness may have cut (W1), and every value was accepted by one.
 */
export function whyImpossible(configuration: Configuration): string {
  const { members, acceptQuorum } = configuration;
  const voters = votersOf(configuration);
  const witnesses = voters.filter(({ role }) => role === 'witness').length;
  const ids = new Set(members.map(({ replicaId }) => replicaId));
  if (ids.size < members.length) return 'a replica is named twice';
  if (voters.length === witnesses) return 'no voter would be left that holds the data';
  if (acceptQuorum > voters.length)
    return `an accept quorum of ${acceptQuorum} needs as many voters, and there would be ${voters.length}`;
  if (witnesses >= phase2Size(configuration) || witnesses >= phase1Size(configuration))
    return `${witnesses} witnesses would be a quorum by themselves`;
  return '';
}

/**
 * `voters - prepareQuorum` may be away: the rest are a phase-1 quorum, and a phase-2 quorum if that is no larger. As many
 * disks may be lost: a value is on a phase-2 quorum of them, and what is left of the voters is a phase-1 quorum, which
 * meets it.
 */
export function survives(configuration: Configuration): Survives {
  const voters = votersOf(configuration).length;
  const acceptQuorum = phase2Size(configuration);
  const prepareQuorum = phase1Size(configuration);
  const crashes = voters - Math.max(acceptQuorum, prepareQuorum);
  return {
    voters,
    acceptQuorum,
    prepareQuorum,
    crashes,
    lostDisks: Math.min(acceptQuorum - 1, voters - prepareQuorum),
  };
}

export function without(members: readonly Member[], ...ids: readonly ReplicaId[]): Member[] {
  return members.filter(({ replicaId }) => !ids.includes(replicaId));
}

/** Now, or as soon as a learner has caught up. */
export function hasWitness({ members }: Configuration): boolean {
  return members.some(({ role, promoteTo }) => role === 'witness' || promoteTo === 'witness');
}

/** The member instead of the one with its id, or beside the others. */
export function withMember(members: readonly Member[], member: Member): Member[] {
  return [...without(members, member.replicaId), member];
}

/** A learner becomes what it was to become, and who it replaces leaves. */
export function promoted(members: readonly Member[], learner: Member): Member[] {
  const { replicaId, incarnation, address, promoteTo: role = 'voter', replaces = 0 } = learner;
  return withMember(without(members, replaces), { replicaId, incarnation, address, role });
}
