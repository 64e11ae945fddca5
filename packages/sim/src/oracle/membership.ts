/**
 * The judge of members (docs/MEMBERSHIP.md): who may campaign, that who begins to vote has caught up, that witnesses
 * forget nothing that may be needed (W1, W3). And what is on which disk: when a change is done, and what a configuration
 * still survives.
 */
import type {
  Ballot,
  Configuration,
  ConfigurationAt,
  Identity,
  Incarnation,
  Member,
  ReplicaId,
  Slot,
} from '@kvd/paxos';
import { safety } from '../violation.js';
import { before } from './ballots.js';
import { dataVoters, hasWitness, quorumsOf, votingMembers } from './configurations.js';
import type { DirectoryRecord } from './directory-record.js';
import type { Votes } from './votes.js';

export class MembershipRules {
  /** Changes that were done at some time, by their slots. */
  private readonly done = new Set<Slot>();

  constructor(
    private readonly votes: Votes,
    /** Whose directories keep no state. */
    private readonly witnesses: readonly ReplicaId[],
  ) {}

  /** S5: only who was named as a voter probes and prepares; or who does not know of any configuration yet. */
  mayCampaign(identity: Identity, what: string): void {
    const { chain, directories } = this.votes;
    if (chain.founding === null || directories.of(identity).chosenThrough === 0) return;
    const wasVoter = chain.all.some(({ configuration }) =>
      dataVoters(configuration).some(({ incarnation }) => incarnation === identity.incarnation),
    );
    if (!wasVoter)
      throw safety(
        'S5',
        `replica ${identity.replicaId} ${what} as ${short(identity)}, which never was a voter`,
      );
  }

  /** A replica applied a configuration. */
  onSeen(identity: Identity, { members }: Configuration): void {
    if (members.some(({ incarnation }) => incarnation === identity.incarnation))
      this.votes.directories.of(identity).sawItself = true;
  }

  /** A configuration was chosen: whoever votes in it, and did not before, has caught up. */
  onConfigured(): void {
    const { chain } = this.votes;
    const [before, now] = chain.all.slice(-2);
    if (before === undefined || now === undefined) return;
    for (const { replicaId, role } of votingMembers(now.configuration))
      if ((role === 'witness') !== this.witnesses.includes(replicaId))
        throw safety('witness', `slot ${now.slot} makes replica ${replicaId} a ${role}, which it cannot be`);
    const known = new Set(votingMembers(before.configuration).map(({ incarnation }) => incarnation));
    for (const member of votingMembers(now.configuration))
      if (!known.has(member.incarnation)) this.mustHaveCaughtUp(member, now);
    if (hasWitness(now.configuration)) this.mustHoldWhatWitnessesCut(before, now);
  }

  /**
   * W1: where there is a witness, nobody cuts what a data voter of what is not chosen yet may still need. Whoever took a
   * whole state needs no log below it; for a witness, which skips slots instead, that is as if it had cut them. (W2)
   */
  onCut({ identity, cutThrough }: DirectoryRecord, installedThrough: Slot): void {
    const { chain, directories } = this.votes;
    const governing = chain.from(chain.chosenThrough + 1);
    const first = governing.findIndex(({ configuration }) => hasWitness(configuration));
    if (first < 0) return;
    const isWitness = governing.some(({ configuration }) => isWitnessOf(configuration, identity));
    if (!isWitness && cutThrough <= installedThrough) return;
    for (const { configuration } of governing.slice(first)) {
      for (const voter of dataVoters(configuration)) {
        const held = Math.max(this.contentThrough(voter), directories.of(voter).heldThrough);
        if (held >= cutThrough) continue;
        throw safety(
          'W1',
          `replica ${identity.replicaId} cut its log through ${cutThrough}, replica ${voter.replicaId} holds slots through ${held}`,
        );
      }
    }
  }

  /** Every chosen value through it is on the directory's disk, or in the state that is. */
  contentThrough(identity: Identity): Slot {
    const { directories, chosen } = this.votes;
    const { content } = directories.of(identity);
    let through = this.knownThrough(identity);
    for (let hash = chosen.get(through + 1); hash !== undefined; hash = chosen.get(through + 1)) {
      if (content.get(through + 1) !== hash) break;
      through += 1;
    }
    return through;
  }

  /** It is written down as chosen through there, and whatever its log lacks of that is in its state. */
  knownThrough(identity: Identity): Slot {
    const { chosenThrough, cutThrough, stateThrough } = this.votes.directories.of(identity);
    return stateThrough < cutThrough ? stateThrough : chosenThrough;
  }

  /**
   * The configurations that count for what may be lost, the latest one that is done and all after it. `isAlive`: is the
   * disk of this incarnation there, and whole?
   */
  undone(isAlive: (member: Member) => boolean): readonly ConfigurationAt[] {
    const { all } = this.votes.chain;
    let first = all.length - 1;
    while (first > 0 && !this.isDone(all[first] as ConfigurationAt, isAlive)) first -= 1;
    return all.slice(Math.max(0, first));
  }

  /** Once done is done: it counts those whose disks are there when it comes to be asked. */
  isDone(entry: ConfigurationAt, isAlive: (member: Member) => boolean): boolean {
    if (entry.configuration.replaces === 0 || this.done.has(entry.slot)) return true;
    if (!this.isKnown(entry, isAlive)) return false;
    this.done.add(entry.slot);
    return true;
  }

  /** Has a prepare quorum written down that all is chosen before the configuration is in force? Holding it is not enough. */
  isKnown(
    { slot, configuration }: ConfigurationAt,
    isAlive: (member: Member) => boolean = () => true,
  ): boolean {
    const through = slot + configuration.alpha - 1;
    const know = votingMembers(configuration).filter(
      (member) => isAlive(member) && this.knownThrough(member) >= through,
    );
    return configuration.replaces === 0 || know.length >= quorumsOf(configuration).prepare;
  }

  /**
   * What was written down as chosen when its directory was formatted was perhaps chosen with the vote of the disk that is
   * gone; so it holds that. Only of the ballots that whoever proposed the configuration knew all about.
   */
  private mustHaveCaughtUp(member: Member, { slot, configuration }: ConfigurationAt): void {
    const { directories } = this.votes;
    const proposer = this.firstBallotOf(slot);
    let wanted = Math.min(directories.of(member).knownAtBirth, slot - 1);
    for (let other = wanted; other > wanted - 2 * configuration.alpha && other > 0; other--)
      if (this.wasChosenAbove(other, proposer)) wanted = other - 1;
    const held = this.contentThrough(member);
    if (held >= wanted) return;
    throw safety(
      'caught-up',
      `slot ${slot} makes replica ${member.replicaId} a ${member.role} as ${short(member)}, which holds slots through ${held}; ${wanted} were known before it was there`,
    );
  }

  /**
   * W3, of those who were no data voters beside a witness before. Who was one bounded what was cut (W1); a state that it
   * has lost since is a lost disk, of which the budget knows.
   */
  private mustHoldWhatWitnessesCut(before: ConfigurationAt, { slot, configuration }: ConfigurationAt): void {
    const { directories } = this.votes;
    const bounded = hasWitness(before.configuration) ? dataVoters(before.configuration) : [];
    const newcomers = dataVoters(configuration).filter(
      ({ incarnation }) => !bounded.some((voter) => voter.incarnation === incarnation),
    );
    for (const witness of configuration.members.filter(({ role }) => role === 'witness')) {
      const { cutThrough } = directories.of(witness);
      for (const voter of newcomers) {
        const held = this.contentThrough(voter);
        if (held >= cutThrough) continue;
        throw safety(
          'W3',
          `slot ${slot} names witness ${witness.replicaId}, cut through ${cutThrough}, and replica ${voter.replicaId}, which holds slots through ${held}`,
        );
      }
    }
  }

  /** The ballot that the value chosen in the slot was first proposed at. */
  private firstBallotOf(slot: Slot): Ballot | null {
    const hash = this.votes.chosen.get(slot);
    let first: Ballot | null = null;
    for (const proposal of this.votes.proposalsIn(slot))
      if (proposal.hash === hash && (first === null || before(proposal.ballot, first)))
        first = proposal.ballot;
    return first;
  }

  private wasChosenAbove(slot: Slot, ballot: Ballot | null): boolean {
    const first = this.firstBallotOf(slot);
    return ballot !== null && first !== null && before(ballot, first);
  }
}

/** Voting members of the configuration whose disks are gone. */
export function lostOf(configuration: Configuration, isAlive: (member: Member) => boolean): number {
  return votingMembers(configuration).filter((member) => !isAlive(member)).length;
}

function isWitnessOf({ members }: Configuration, { incarnation }: Identity): boolean {
  return members.some((member) => member.role === 'witness' && member.incarnation === incarnation);
}

function short({ incarnation }: { readonly incarnation: Incarnation }): string {
  return `incarnation ${incarnation.slice(0, 8)}`;
}
