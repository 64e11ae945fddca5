/**
 * The members and how they change (docs/MEMBERSHIP.md). Every replica tells in reports how it does; the leader admits
 * again who lost its disk, promotes who has caught up, does what it is asked for, and dismisses who was removed: one
 * change at a time, each only when the one before is done.
 *
 * What is here is about when a change is wise. That it is safe at any time is S11's doing, in the core.
 */
import type {
  Configuration,
  ConfigurationAt,
  Identity,
  Incarnation,
  Member,
  ReplicaId,
  Slot,
} from '@kvd/paxos';
import {
  following,
  hasWitness,
  isPhase1Quorum,
  memberOf,
  promoted,
  votersOf,
  whyImpossible,
  withMember,
} from '@kvd/paxos';
import type { Dismissed, MembersQuery, PeerMessage, Report } from '@kvd/protocol';
import type { Neighbours } from '../neighbours.js';
import type { Pending } from '../pending.js';
import type { Tracer } from '../tracer.js';
import { type Resolution, readmitted, resolve, type Situation, type Stranger } from './changes.js';
import { Reports } from './reports.js';
import { surveyOf } from './survey.js';

/** What it needs of its replica. */
export interface MembershipHost {
  readonly identity: Identity;
  readonly chosenThrough: Slot;
  /** Through it this replica's log is synced. */
  readonly durableThrough: Slot;
  readonly slowMs: number;
  readonly leader: ReplicaId;
  readonly isEstablished: boolean;
  /** The last slot that this leader proposed in. */
  readonly proposedThrough: Slot;
  /** Counts the rounds in which a quorum confirmed this leader. */
  readonly confirmedRound: number;
  readonly canPropose: boolean;
  readonly latest: ConfigurationAt | undefined;
  /** Those that govern the slots from the next one on, ascending. */
  readonly configurations: readonly Configuration[];
  /** All that the log still knows, ascending. */
  readonly known: readonly ConfigurationAt[];
  propose(configuration: Configuration): Slot;
  send(to: ReplicaId, message: PeerMessage): void;
  /** Have what is known chosen noted on disk, though nothing else is to be written. */
  persistMark(): void;
  handOver(to: ReplicaId | null): void;
  /** To be asked for again, here or at the next leader. */
  retry(pending: Pending, why: string): void;
  onDismissed(slot: Slot): void;
}

export interface MembershipOptions {
  readonly readmit: 'auto' | 'manual';
  readonly witness: boolean;
  /** Between two reports, in ticks. */
  readonly reportTicks: number;
  readonly electionTicks: number;
}

/** An automatic step that was refused is said so once in so many reports. */
const SAY_EVERY = 50;
/** Election time-outs between two moments of quiet. */
const QUIET_EVERY = 20;

export class Membership {
  /** W1: through it every data voter of the configurations up to that of `slot` holds everything durably. */
  private held = { through: 0, slot: 0 };
  readonly reports: Reports;
  private ticks = 0;
  /** For how long this replica has been an established leader. */
  private ledTicks = 0;
  private proposed: {
    readonly slot: Slot;
    readonly configuration: Configuration;
    readonly asked: Pending | null;
  } | null = null;
  private doneSlot: Slot = 0;
  private asked: { readonly pending: Pending; readonly query: MembersQuery }[] = [];
  /** What was known chosen at the last few reports: who lags less than that follows. */
  private marks: Slot[] = [];
  /** Nobody is dismissed by a leader that was not confirmed since it last looked. */
  private dismissalRound = 0;
  private quietTicks = 0;
  private quietAgainTick = 0;
  private notes = new Map<ReplicaId, string>();

  constructor(
    private readonly options: MembershipOptions,
    private readonly host: MembershipHost,
    private readonly neighbours: Neighbours,
    private readonly tracer: Tracer,
    /** Has a configuration that is known ever named this incarnation? */
    private wasNamed: boolean,
  ) {
    this.reports = new Reports(options.reportTicks * 4);
  }

  /**
   * W1, for every configuration that is known here.
   *
   * Why alpha below the ones that who said it did not know: no data voter was added that did not hold that much (W3).
   */
  get heldThrough(): Slot {
    let { through } = this.held;
    for (const { slot, configuration } of this.host.known)
      if (slot > this.held.slot) through = Math.min(through, slot - configuration.alpha);
    return Math.max(0, through);
  }

  /** Nothing else is to be proposed for a moment, so that everybody comes to know what is chosen. (W3) */
  get wantsQuiet(): boolean {
    return this.quietTicks > 0;
  }

  tick(): void {
    const { host, neighbours, reports, options } = this;
    this.ticks += 1;
    this.quietTicks = Math.max(0, this.quietTicks - 1);
    this.wasNamed ||=
      host.latest !== undefined && memberOf(host.latest.configuration, host.identity) !== undefined;
    reports.tick();
    for (const { identity } of neighbours.all) reports.sees(identity);
    this.lead();
    if (this.ticks % options.reportTicks === 0) this.report();
  }

  onReport(from: Identity, report: Report): void {
    this.reports.on(from, report);
    // Whoever says so was an established leader: what it saw on all disks is there, whoever leads now.
    this.hold({ through: report.heldThrough, slot: report.heldSlot });
    if (this.host.isEstablished) this.reports.setTargets(this.host.chosenThrough);
  }

  onDismissed({ slot, incarnation }: Dismissed): void {
    const { latest, identity, chosenThrough } = this.host;
    const isNamed = latest !== undefined && memberOf(latest.configuration, identity) !== undefined;
    // Whoever says so may not know what we still have to learn: that we were named again.
    const knowsAll = latest !== undefined && chosenThrough >= slot + latest.configuration.alpha - 1;
    if (incarnation !== identity.incarnation || !this.wasNamed || isNamed || !knowsAll) return;
    this.tracer.event('warn', 'removed', { slot });
    this.host.onDismissed(slot);
  }

  /** A request about members reached the leader. */
  ask(pending: Pending, query: MembersQuery): void {
    if (query.change === null || query.plan) this.answer(pending, query);
    else this.asked.push({ pending, query });
  }

  /** A slot was applied, or skipped with a snapshot: is it that of what was proposed last? */
  onApplied(slot: Slot): void {
    const { proposed } = this;
    if (proposed === null || slot < proposed.slot) return;
    this.proposed = null;
    const taken = this.host.latest?.slot === proposed.slot;
    this.tracer.event('info', taken ? 'members-changed' : 'members-change-overtaken', {
      slot: proposed.slot,
    });
    if (proposed.asked === null) return;
    if (taken) this.reply(proposed.asked, null, 'chosen');
    else this.host.retry(proposed.asked, 'another configuration was chosen first');
  }

  /** For `status`: what is to be said about a member that is not as it should be. */
  noteOn(id: ReplicaId): string {
    return this.notes.get(id) ?? '';
  }

  /** The latest change is over: whoever left may stop. */
  get isDone(): boolean {
    const { latest } = this.host;
    return latest !== undefined && (latest.configuration.replaces === 0 || this.doneSlot === latest.slot);
  }

  get isInForce(): boolean {
    const { latest, chosenThrough } = this.host;
    if (!latest) return false;
    const { configuration, slot } = latest;
    return configuration.replaces === 0 || chosenThrough + 1 >= slot + configuration.alpha;
  }

  // The leader

  private lead(): void {
    const { host, options } = this;
    if (!host.isEstablished) {
      if (this.ledTicks > 0) this.retire();
      return;
    }
    this.ledTicks += 1;
    this.reports.setTargets(host.chosenThrough);
    this.updateHeld();
    this.updateDone();
    if (this.ticks % options.reportTicks !== 0) return;
    this.marks = [...this.marks.slice(-4), host.chosenThrough];
    if (host.confirmedRound > this.dismissalRound) this.dismiss();
    this.dismissalRound = host.confirmedRound;
    if (this.proposed !== null || !this.isDone || !host.canPropose) return;
    if (!this.serveAsked()) this.actAlone();
  }

  private retire(): void {
    this.ledTicks = 0;
    this.marks = [];
    this.quietTicks = 0;
    this.notes.clear();
    this.reports.dropTargets();
    const asked = [
      ...(this.proposed?.asked ? [this.proposed.asked] : []),
      ...this.asked.map(({ pending }) => pending),
    ];
    this.proposed = null;
    this.asked = [];
    for (const pending of asked) this.host.retry(pending, 'no longer the leader');
  }

  /** W1. A data voter that never said how far its disk goes holds everything back. */
  private updateHeld(): void {
    const configurations = [
      ...this.host.configurations,
      ...(this.proposed ? [this.proposed.configuration] : []),
    ];
    let held = Number.POSITIVE_INFINITY;
    for (const configuration of configurations)
      for (const member of configuration.members)
        if (member.role === 'voter') held = Math.min(held, this.durableThrough(member) ?? 0);
    if (held !== Number.POSITIVE_INFINITY) this.hold({ through: held, slot: this.host.latest?.slot ?? 0 });
  }

  /** What was once durable stays so; of two sayings the one that goes further here counts. */
  private hold(said: { readonly through: Slot; readonly slot: Slot }): void {
    const before = this.held;
    const known = this.heldThrough;
    this.held = said;
    if (this.heldThrough < known || (this.heldThrough === known && said.slot < before.slot))
      this.held = before;
  }

  private updateDone(): void {
    const { latest } = this.host;
    if (!latest || this.isDone || !this.isInForce) return;
    const through = latest.slot + latest.configuration.alpha - 1;
    const votes = new Map<ReplicaId, Incarnation>();
    for (const member of votersOf(latest.configuration)) {
      if ((this.durableThrough(member) ?? 0) >= through) votes.set(member.replicaId, member.incarnation);
    }
    if (!isPhase1Quorum(latest.configuration, votes)) return;
    this.doneSlot = latest.slot;
    this.tracer.event('info', 'members-change-done', { slot: latest.slot });
  }

  /** Whoever is connected, once was a member, and is not named any more. */
  private dismiss(): void {
    const { latest } = this.host;
    if (!latest || !this.isDone) return;
    for (const { identity } of this.neighbours.strangers(latest.configuration)) {
      const successor = latest.configuration.members.find(
        ({ replicaId }) => replicaId === identity.replicaId,
      );
      // A member's other incarnation is to be admitted again, unless the one that is named is there.
      if (successor && !this.isReachable(successor)) continue;
      this.host.send(identity.replicaId, {
        type: 'dismissed',
        slot: latest.slot,
        incarnation: identity.incarnation,
      });
    }
  }

  /** True: something was proposed. */
  private serveAsked(): boolean {
    this.asked = this.asked.filter(({ pending }) => !pending.answered);
    const first = this.asked.shift();
    if (!first || first.query.change === null) return false;
    const { pending, query } = first;
    const resolution = resolve(query.change as NonNullable<MembersQuery['change']>, this.situation());
    if (resolution.type === 'nothing') this.reply(pending, resolution, resolution.message);
    else if (resolution.type === 'hand-over') this.handOver(pending, resolution);
    else if (resolution.type === 'refused') pending.fail('KVD_MEMBERS_REFUSED', resolution.message);
    else {
      const refusedStep = resolution.steps.find(
        ({ refused, forceable }) => refused !== '' && !(query.force && forceable),
      );
      if (refusedStep) {
        const hint = refusedStep.forceable ? ' (it can be forced)' : '';
        pending.fail('KVD_MEMBERS_REFUSED', `${refusedStep.what}: ${refusedStep.refused}${hint}`);
        return false;
      }
      const [step] = resolution.steps;
      if (step && this.propose(step.configuration, step.what, pending)) return true;
      if (step) this.asked.unshift(first);
    }
    return false;
  }

  private handOver(pending: Pending, { to }: Extract<Resolution, { type: 'hand-over' }>): void {
    this.reply(
      pending,
      null,
      to === 0 ? 'leadership is handed over' : `leadership is handed to replica ${to}`,
    );
    this.host.handOver(to === 0 ? null : to);
  }

  /** One step that nobody has to ask for. */
  private actAlone(): void {
    const { latest } = this.host;
    if (!latest) return;
    const { members } = latest.configuration;
    this.notes.clear();
    for (const member of members) {
      if (this.readmit(member, members) || this.promote(member, members) || this.move(member, members))
        return;
    }
  }

  private readmit(member: Member, members: readonly Member[]): boolean {
    const strangers = this.strangersOf(member.replicaId);
    const [stranger] = strangers;
    if (stranger === undefined || member.replicaId === this.host.identity.replicaId) return false;
    const reason =
      (strangers.length > 1 ? 'two processes say that they are it' : '') ||
      this.whyNotReadmitted(member, stranger) ||
      this.whyBehind(stranger.identity) ||
      (this.options.readmit === 'manual' ? 'it waits for kvctl member readmit' : '');
    if (reason !== '')
      return this.refuse(member.replicaId, `lost its disk, is not admitted again: ${reason}`);
    return this.proposeAlone(
      withMember(members, readmitted(member, stranger)),
      `admit replica ${member.replicaId} again`,
    );
  }

  private promote(member: Member, members: readonly Member[]): boolean {
    if (member.promoteTo === undefined) return false;
    const reason = this.isReachable(member) ? this.whyBehind(member) : 'it cannot be reached';
    if (reason !== '') return this.refuse(member.replicaId, `will be a ${member.promoteTo}: ${reason}`);
    const next = promoted(members, member);
    return this.proposeAlone(next, `make replica ${member.replicaId} a ${member.promoteTo}`);
  }

  /** It is reached elsewhere now. */
  private move(member: Member, members: readonly Member[]): boolean {
    const live = this.neighbours.with(member);
    if (!live || live.address === member.address || this.ledTicks < 2 * this.options.electionTicks)
      return false;
    const moved = withMember(members, { ...member, address: live.address });
    return this.proposeAlone(moved, `note that replica ${member.replicaId} is at ${live.address}`);
  }

  private proposeAlone(members: readonly Member[], what: string): boolean {
    const { latest } = this.host;
    if (!latest) return false;
    const next = following(latest, members);
    const reason = whyImpossible(next);
    if (reason !== '') return this.refuse(0, `${what}: ${reason}`);
    return this.propose(next, what, null);
  }

  private refuse(id: ReplicaId, reason: string): false {
    this.notes.set(id, reason);
    if ((this.ticks / this.options.reportTicks) % SAY_EVERY === 0)
      this.tracer.event('warn', 'member-waits', { member: id, reason });
    return false;
  }

  /** False: not now. */
  private propose(configuration: Configuration, what: string, asked: Pending | null): boolean {
    const missing = this.whyNotYet(configuration);
    if (missing !== '') {
      this.tracer.event('debug', 'members-change-waits', { what, missing });
      return false;
    }
    this.quietTicks = 0;
    const slot = this.host.propose(configuration);
    this.proposed = { slot, configuration, asked };
    if (asked) asked.entered = true;
    this.tracer.event('info', 'members-change', { slot, what, members: configuration.members });
    return true;
  }

  /**
   * W3: where a witness is, was, or comes, whoever becomes a data voter, and each of them when the first witness comes,
   * has to hold durably what may have been cut or skipped, before the configuration is proposed. Who is a data voter beside
   * a witness already bounds all cuts (W1).
   *
   * Why so much is enough: without a witness nobody cuts within alpha slots of what it knows, so that whoever does not
   * know of this configuration yet cuts below `proposed slot - alpha`, and through there they all are. With little in
   * flight that is reached by letting them catch up for a moment.
   */
  private whyNotYet(next: Configuration): string {
    const { host } = this;
    if (![next, ...host.configurations].some(hasWitness)) return '';
    const margin = Math.floor(next.alpha / 2);
    const through = Math.max(host.chosenThrough - margin, this.heldThrough);
    const newcomers = next.members.filter((member) => member.role === 'voter' && !this.boundsCuts(member));
    if (newcomers.length === 0) return '';
    const behind = newcomers.find((member) => (this.durableThrough(member) ?? -1) < through);
    const crowded = host.proposedThrough + 1 > host.chosenThrough + next.alpha - margin;
    if (!behind && !crowded) return '';
    const waitingHelps = behind === undefined || this.isReachable(behind);
    if (waitingHelps && this.ticks >= this.quietAgainTick) {
      this.quietTicks = this.options.electionTicks;
      this.quietAgainTick = this.ticks + QUIET_EVERY * this.options.electionTicks;
    }
    return behind ? `replica ${behind.replicaId} is behind slot ${through}` : 'too much is in flight';
  }

  /** It is a data voter beside a witness in every configuration that is in force or to come. */
  private boundsCuts(member: Member): boolean {
    return this.host.configurations.every(
      (configuration) => hasWitness(configuration) && memberOf(configuration, member)?.role === 'voter',
    );
  }

  // What is known of the others

  private situation(): Situation {
    const { latest, identity } = this.host;
    if (!latest) throw new Error('asked about members before there are any');
    return {
      latest,
      self: identity.replicaId,
      isReachable: (member) => this.isReachable(member),
      whyBehind: (member) => this.whyBehind(member),
      strangersOf: (id) => this.strangersOf(id),
      whyNotReadmitted: (member, stranger) => this.whyNotReadmitted(member, stranger),
    };
  }

  private isSelf({ incarnation }: Identity): boolean {
    return incarnation === this.host.identity.incarnation;
  }

  isReachable(identity: Identity): boolean {
    return (
      this.isSelf(identity) ||
      (this.neighbours.with(identity) !== undefined && this.reports.of(identity) !== null)
    );
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
    const wanted = Math.max(target, this.marks[0] ?? this.host.chosenThrough, this.heldThrough);
    return durable >= wanted ? '' : `it catches up, ${this.host.chosenThrough - durable} slots behind`;
  }

  strangersOf(id: ReplicaId): Stranger[] {
    return this.neighbours
      .strangers(this.host.latest?.configuration)
      .filter(({ identity }) => identity.replicaId === id)
      .map(({ identity, address }) => ({
        identity,
        address,
        witness: this.reports.of(identity)?.witness ?? false,
      }));
  }

  /** A second process with its id, or an old disk beside its successor, is none that lost its disk. */
  whyNotReadmitted(member: Member, stranger: Stranger): string {
    const { reports, options } = this;
    if (reports.ticksSinceSeen(member) < 2 * options.electionTicks)
      return `the incarnation ${member.incarnation} that the configuration names still answers`;
    if (reports.of(stranger.identity) === null) return 'it has not reported yet';
    if (stranger.witness !== (member.role === 'witness' || member.promoteTo === 'witness'))
      return stranger.witness ? 'it was formatted as a witness' : 'it was not formatted as a witness';
    // A new leader has not heard yet of all that answers.
    if (this.ledTicks < 2 * options.electionTicks) return 'the leader has only just begun';
    return '';
  }

  // Telling

  private report(): void {
    const { host, neighbours, options } = this;
    if (host.durableThrough < host.chosenThrough) host.persistMark();
    const leads = host.leader === host.identity.replicaId;
    const report: Report = {
      type: 'report',
      durableThrough: host.durableThrough,
      heldThrough: host.isEstablished ? this.heldThrough : 0,
      heldSlot: host.latest?.slot ?? 0,
      slowMs: Math.round(host.slowMs),
      witness: options.witness,
      hears: neighbours.all.map(({ identity }) => identity),
    };
    const to = leads || host.leader === 0 ? neighbours.ids : [host.leader];
    for (const id of to) host.send(id, report);
  }

  private answer(pending: Pending, query: MembersQuery): void {
    if (!this.host.latest || !this.host.isEstablished) {
      pending.fail('KVD_UNAVAILABLE', 'the leader has only just begun');
      return;
    }
    if (query.change === null) return this.reply(pending, null, '');
    const resolution = resolve(query.change, this.situation());
    if (resolution.type === 'refused') pending.fail('KVD_MEMBERS_REFUSED', resolution.message);
    else this.reply(pending, resolution, resolution.type === 'nothing' ? resolution.message : '');
  }

  private reply(pending: Pending, resolution: Resolution | null, message: string): void {
    const steps = resolution?.type === 'steps' ? resolution.steps : [];
    pending.reply({
      type: 'members',
      report: surveyOf(this, this.host, this.neighbours, steps, message, this.options.readmit),
    });
  }
}
