/**
 * How the others stand, as this replica knows it: who is there, how far each disk goes, who has caught up, and who lost its
 * disk. Decides nothing.
 */
import type { Identity, Member, ReplicaId, Slot } from '@kvd/paxos';
import type { Neighbours } from '../neighbours.js';
import type { Situation, Stranger } from './changes.js';
import type { MembershipHost, MembershipOptions } from './membership-host.js';
import { Reports } from './reports.js';

/** So many reports ago is what one has to hold that follows. */
const MARKS = 5;

export class Standing {
  readonly reports: Reports;
  /** For how long this replica has been an established leader. */
  ledTicks = 0;
  /** What was known chosen at the last few reports. */
  private marks: Slot[] = [];

  constructor(
    private readonly options: MembershipOptions,
    private readonly host: MembershipHost,
    private readonly neighbours: Neighbours,
  ) {
    this.reports = new Reports(options.reportTicks * 4);
  }

  tick(): void {
    this.reports.tick();
    for (const { identity } of this.neighbours.all) this.reports.sees(identity);
  }

  /** Every tick of an established leader. */
  lead(markIsDue: boolean): void {
    this.ledTicks += 1;
    this.reports.setTargets(this.host.chosenThrough);
    if (markIsDue) this.marks = [...this.marks.slice(1 - MARKS), this.host.chosenThrough];
  }

  /** Not everybody may have connected and reported yet. */
  get hasJustBegun(): boolean {
    return this.ledTicks < 2 * this.options.electionTicks;
  }

  retire(): void {
    this.ledTicks = 0;
    this.marks = [];
    this.reports.dropTargets();
  }

  situation(): Situation {
    const { latest, identity } = this.host;
    if (!latest) throw new Error('asked about members before there are any');
    return {
      latest,
      self: identity.replicaId,
      isReachable: (member) => this.isReachable(member),
      isWitness: (member) => this.isWitness(member),
      whyBehind: (member) => this.whyBehind(member),
      strangersOf: (id) => this.strangersOf(id),
      whyNotReadmitted: (member, stranger) => this.whyNotReadmitted(member, stranger),
      whyNotYet: (stranger) => this.whyNotYet(stranger),
    };
  }

  private isSelf({ incarnation }: Identity): boolean {
    return incarnation === this.host.identity.incarnation;
  }

  isReachable(identity: Identity): boolean {
    return this.isSelf(identity) || (this.isConnected(identity) && this.reports.of(identity) !== null);
  }

  /** It may not have reported yet. */
  isConnected(identity: Identity): boolean {
    return this.isSelf(identity) || this.neighbours.with(identity) !== undefined;
  }

  durableThrough(identity: Identity): Slot | null {
    return this.isSelf(identity) ? this.host.durableThrough : this.reports.durableThrough(identity);
  }

  /** It holds all that was known chosen when this leader first heard of it, and follows. */
  whyBehind(identity: Identity): string {
    if (this.isSelf(identity)) return '';
    const durable = this.reports.of(identity)?.durableThrough;
    const target = this.reports.target(identity);
    if (durable === undefined || target === null) return 'it has not reported yet';
    const wanted = Math.max(target, this.marks[0] ?? this.host.chosenThrough);
    const behind = this.host.chosenThrough - durable;
    return durable >= wanted ? '' : `it catches up, ${behind} ${behind === 1 ? 'slot' : 'slots'} behind`;
  }

  /** Whom to hand over to: the voter that is there and has most of the state on disk. One without a state could not lead. */
  get successor(): ReplicaId | null {
    let best: ReplicaId | null = null;
    let furthest: Slot = -1;
    for (const member of this.host.latest?.configuration.members ?? []) {
      if (member.role !== 'voter' || this.isSelf(member) || !this.isReachable(member)) continue;
      const durable = this.durableThrough(member) ?? 0;
      if (durable <= furthest) continue;
      [best, furthest] = [member.replicaId, durable];
    }
    return best;
  }

  isWitness(identity: Identity): boolean | null {
    return this.isSelf(identity) ? false : (this.reports.of(identity)?.witness ?? null);
  }

  strangersOf(id: ReplicaId): Stranger[] {
    return this.neighbours
      .strangers(this.host.latest?.configuration)
      .filter(({ identity }) => identity.replicaId === id)
      .map(({ identity, address }) => ({
        identity,
        address,
        witness: this.isWitness(identity),
      }));
  }

  /** A second process with its id, or an old disk beside its successor, is none that lost its disk. */
  whyNotReadmitted(member: Member, stranger: Stranger): string {
    const { reports, options } = this;
    if (reports.ticksSinceSeen(member) < 2 * options.electionTicks)
      return `the incarnation ${member.incarnation} that the configuration names still answers`;
    if (stranger.witness === null) return '';
    if (stranger.witness !== (member.role === 'witness' || member.promoteTo === 'witness'))
      return stranger.witness ? 'it was formatted as a witness' : 'it was not formatted as a witness';
    return '';
  }

  whyNotYet({ witness }: Stranger): string {
    if (witness === null) return 'it has not reported yet';
    // A new leader has not heard yet of all that answers.
    if (this.hasJustBegun) return 'the leader has only just begun';
    return '';
  }
}
