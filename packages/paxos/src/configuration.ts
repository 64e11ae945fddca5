/**
 * Who votes on a slot, and when they are enough. Votes are counted here and nowhere else: from distinct members of the
 * slot's configuration, by replica *and* incarnation (S5), so that a replica that lost its disk, and with it its
 * promises, counts for nothing until a configuration names its new incarnation.
 */
import { invariant } from './invariant.js';
import type {
  Configuration,
  ConfigurationAt,
  Identity,
  Incarnation,
  Member,
  ReplicaId,
  Slot,
} from './types.js';

/** Voters heard: replica to the incarnation that answered. */
export type Votes = ReadonlyMap<ReplicaId, Incarnation>;

export function votersOf(configuration: Configuration): Member[] {
  return configuration.members.filter((member) => member.role !== 'learner');
}

/** The member with this replica number and incarnation, if the configuration names it. */
export function memberOf(configuration: Configuration, identity: Identity): Member | undefined {
  return configuration.members.find(
    (member) => member.replicaId === identity.replicaId && member.incarnation === identity.incarnation,
  );
}

export function isVoterOf(configuration: Configuration, identity: Identity): boolean {
  const member = memberOf(configuration, identity);
  return member !== undefined && member.role !== 'learner';
}

/** More than half: 2 of 2, 2 of 3, 3 of 4, 3 of 5. */
export function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1;
}

export function phase2Size(configuration: Configuration): number {
  return configuration.acceptQuorum || majorityOf(votersOf(configuration).length);
}

/** Every phase-1 quorum meets every phase-2 quorum: their sizes add up to more than all voters. */
export function phase1Size(configuration: Configuration): number {
  const voters = votersOf(configuration).length;
  if (configuration.acceptQuorum === 0) return majorityOf(voters);
  return voters - configuration.acceptQuorum + 1;
}

export function countVotes(configuration: Configuration, votes: Votes): number {
  let count = 0;
  for (const member of configuration.members) {
    if (member.role !== 'learner' && votes.get(member.replicaId) === member.incarnation) count += 1;
  }
  return count;
}

export function isPhase1Quorum(configuration: Configuration, votes: Votes): boolean {
  return countVotes(configuration, votes) >= phase1Size(configuration);
}

export function isPhase2Quorum(configuration: Configuration, votes: Votes): boolean {
  return countVotes(configuration, votes) >= phase2Size(configuration);
}

/** Drops what slot `through` + 1 and later ones no longer need (S9). */
export function trimConfigurations(list: readonly ConfigurationAt[], through: Slot): ConfigurationAt[] {
  const alpha = list[0]?.configuration.alpha ?? 0;
  let first = 0;
  while (first + 1 < list.length && (list[first + 1] as ConfigurationAt).slot <= through + 1 - alpha)
    first += 1;
  return list.slice(first);
}

/**
 * The configurations chosen, and which slot each governs (S11): slot s has the last one chosen at or below s - alpha,
 * slots 2 to alpha the founding one. Because everything through s - alpha is known before anything is proposed or
 * accepted in s, proposer and acceptors cannot disagree about who votes on s.
 */
export class ConfigurationHistory {
  private list: ConfigurationAt[];

  constructor(recovered: readonly ConfigurationAt[]) {
    this.list = [...recovered];
  }

  get all(): readonly ConfigurationAt[] {
    return this.list;
  }

  /** False before the founding configuration is known. */
  get founded(): boolean {
    return this.list.length > 0;
  }

  get alpha(): number {
    return this.list[0]?.configuration.alpha ?? 1;
  }

  get latest(): ConfigurationAt | undefined {
    return this.list.at(-1);
  }

  /** Null before the founding; throws for a slot whose configuration was trimmed. */
  at(slot: Slot): Configuration | null {
    if (this.list.length === 0) return null;
    const decidedBy = Math.max(1, slot - this.alpha);
    for (let i = this.list.length - 1; i >= 0; i--) {
      const entry = this.list[i] as ConfigurationAt;
      if (entry.slot <= decidedBy) return entry.configuration;
    }
    // A snapshot's receiver has no configuration older than the snapshot needs; the oldest one then governs.
    return (this.list[0] as ConfigurationAt).configuration;
  }

  /**
   * Take the configuration chosen in `slot`. One that does not name the latest as what it replaces was overtaken by
   * another and is a no-op (S11). Slots must ascend. Returns whether it counts.
   */
  add(slot: Slot, configuration: Configuration): boolean {
    const latest = this.latest;
    invariant(
      !latest || slot > latest.slot,
      'S11',
      `configuration of slot ${slot} after that of ${latest?.slot}`,
    );
    if (configuration.replaces !== (latest?.slot ?? 0)) return false;
    this.list.push({ slot, configuration });
    return true;
  }

  trim(through: Slot): void {
    this.list = trimConfigurations(this.list, through);
  }

  /**
   * Takes back what was dropped for a cut that never reached the disk, and is on it still: the slots that the log goes
   * back to need it (S9). Only what the oldest known one follows, for nothing may be missing in between.
   */
  takeBack(onDisk: readonly ConfigurationAt[]): void {
    const [oldest] = this.list;
    const older = onDisk.filter(({ slot }) => slot < (oldest?.slot ?? 0));
    if (older.at(-1)?.slot === oldest?.configuration.replaces) this.list.unshift(...older);
  }

  /** The list of an installed snapshot replaces what is known, but for later ones. */
  replace(list: readonly ConfigurationAt[], through: Slot): void {
    this.list = [...list, ...this.list.filter((entry) => entry.slot > through)];
  }

  /** The configuration in force at `slot`, and those chosen after it. */
  from(slot: Slot): Configuration[] {
    const current = this.at(slot);
    const first = this.list.findIndex(({ configuration }) => configuration === current);
    return first < 0 ? [] : this.list.slice(first).map(({ configuration }) => configuration);
  }

  /** Every replica that any configuration in force at `slot` or later names, ascending; learners included. */
  replicasFrom(slot: Slot): ReplicaId[] {
    const ids = new Set<ReplicaId>();
    for (const { members } of this.from(slot)) for (const { replicaId } of members) ids.add(replicaId);
    return [...ids].sort((a, b) => a - b);
  }

  /** Does a configuration in force at `slot` or later name this identity as a voter? */
  isVoterFrom(slot: Slot, identity: Identity): boolean {
    return this.from(slot).some((configuration) => isVoterOf(configuration, identity));
  }

  /** Does any known configuration name this incarnation of the replica? */
  names(identity: Identity): boolean {
    return this.list.some(({ configuration }) => memberOf(configuration, identity) !== undefined);
  }
}
