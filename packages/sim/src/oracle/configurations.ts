/**
 * Which configurations were chosen, and which governs a slot (S11), as the judges reckon it: from what is on the disks, by
 * code of their own. It must never ask the code under test.
 */
import type { Configuration, ConfigurationAt, Identity, Incarnation, Member, Slot } from '@kvd/paxos';

export class ConfigurationChain {
  /** Every slot up to it is chosen. */
  chosenThrough: Slot = 0;
  private readonly list: ConfigurationAt[] = [];

  get founding(): Configuration | null {
    return this.list[0]?.configuration ?? null;
  }

  get latest(): ConfigurationAt | null {
    return this.list.at(-1) ?? null;
  }

  get all(): readonly ConfigurationAt[] {
    return this.list;
  }

  get alpha(): number {
    return this.founding?.alpha ?? 1;
  }

  /** The next slot was chosen. True: with a configuration that counts, for it names the one that it replaces. */
  choose(slot: Slot, configuration: Configuration | undefined): boolean {
    this.chosenThrough = slot;
    if (configuration === undefined || configuration.replaces !== (this.latest?.slot ?? 0)) return false;
    this.list.push({ slot, configuration });
    return true;
  }

  /** The last one chosen alpha slots below or more; the founding one where there is none. Null: nobody can know yet. */
  governing(slot: Slot): Configuration | null {
    if (slot > this.chosenThrough + this.alpha) return null;
    return this.list[this.indexFor(slot)]?.configuration ?? null;
  }

  /** Did any configuration name it? */
  everNamed(identity: Identity | null): boolean {
    return this.list.some(({ configuration }) =>
      configuration.members.some(({ incarnation }) => incarnation === identity?.incarnation),
    );
  }

  /** The one that governs the slot, and those chosen after it through `known`. */
  from(slot: Slot, known: Slot = this.chosenThrough): readonly ConfigurationAt[] {
    return this.list.slice(this.indexFor(slot)).filter((entry) => entry.slot <= known);
  }

  private indexFor(slot: Slot): number {
    let index = this.list.length - 1;
    while (index > 0 && (this.list[index] as ConfigurationAt).slot > slot - this.alpha) index -= 1;
    return Math.max(0, index);
  }
}

/** Those whose votes count. */
export function votingMembers({ members }: Configuration): Member[] {
  return members.filter(({ role }) => role !== 'learner');
}

export function dataVoters({ members }: Configuration): Member[] {
  return members.filter(({ role }) => role === 'voter');
}

export function hasWitness({ members }: Configuration): boolean {
  return members.some(({ role }) => role === 'witness');
}

export interface QuorumSizes {
  readonly voters: number;
  readonly accept: number;
  readonly prepare: number;
  /** Disks that may be gone at once, so that nothing is lost and the cluster can still go on. */
  readonly disks: number;
}

export function quorumsOf(configuration: Configuration): QuorumSizes {
  const voters = votingMembers(configuration).length;
  const majority = Math.floor(voters / 2) + 1;
  const accept = configuration.acceptQuorum || majority;
  const prepare = configuration.acceptQuorum === 0 ? majority : voters - accept + 1;
  return { voters, accept, prepare, disks: Math.min(accept - 1, voters - Math.max(accept, prepare)) };
}

/** A phase-2 quorum, counted by incarnation. */
export function isAcceptedBy(configuration: Configuration, voters: ReadonlySet<Incarnation>): boolean {
  let votes = 0;
  for (const { incarnation } of votingMembers(configuration)) if (voters.has(incarnation)) votes += 1;
  return votes >= quorumsOf(configuration).accept;
}
