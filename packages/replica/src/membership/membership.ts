/**
 * The members and how they change (docs/MEMBERSHIP.md). Every replica tells in reports how it does; the leader admits
 * again who lost its disk, promotes who has caught up, does what it is asked for, and dismisses who was removed: one
 * change at a time, each only when the one before is done.
 *
 * What is here is about when a change is wise. That it is safe at any time is S11's doing, in the core.
 */
import type { Configuration, Identity, Incarnation, Member, ReplicaId, Slot } from '@kvd/paxos';
import {
  following,
  isPhase1Quorum,
  memberOf,
  promoted,
  sameConfiguration,
  votersOf,
  whyImpossible,
  withMember,
} from '@kvd/paxos';
import type { Dismissed, MembersQuery, Report } from '@kvd/protocol';
import type { Neighbours } from '../neighbours.js';
import type { Pending } from '../pending.js';
import type { Tracer } from '../tracer.js';
import { type Resolution, readmitted, resolve } from './changes.js';
import type { MembershipHost, MembershipOptions } from './membership-host.js';
import { Standing } from './standing.js';
import { surveyOf } from './survey.js';
import { WitnessGuard } from './witness-guard.js';

/** An automatic step that was refused is said so once in so many reports. */
const SAY_EVERY = 50;

export class Membership {
  readonly standing: Standing;
  private readonly guard: WitnessGuard;
  private ticks = 0;
  private proposed: {
    readonly slot: Slot;
    readonly configuration: Configuration;
    readonly asked: Pending | null;
  } | null = null;
  private doneSlot: Slot = 0;
  private asked: { readonly pending: Pending; readonly query: MembersQuery }[] = [];
  /** Nobody is dismissed by a leader that was not confirmed since it last looked. */
  private dismissalRound = 0;
  private notes = new Map<ReplicaId, string>();
  private ticksSinceReport = 0;

  constructor(
    private readonly options: MembershipOptions,
    private readonly host: MembershipHost,
    private readonly neighbours: Neighbours,
    private readonly tracer: Tracer,
    /** Has a configuration that is known ever named this incarnation? */
    private wasNamed: boolean,
  ) {
    this.standing = new Standing(options, host, neighbours);
    this.guard = new WitnessGuard(options, host, this.standing);
  }

  /** W1: where there is a witness, no log is cut above it. */
  get heldThrough(): Slot {
    return this.guard.heldThrough;
  }

  /** Nothing else is to be proposed for a moment. (W3) */
  get wantsQuiet(): boolean {
    return this.guard.wantsQuiet;
  }

  tick(): void {
    const { host, options } = this;
    this.ticks += 1;
    this.guard.tick();
    this.wasNamed ||= host.known.some(({ configuration }) => memberOf(configuration, host.identity));
    this.standing.tick();
    this.lead();
    this.ticksSinceReport += 1;
    if (this.ticksSinceReport > options.reportTicks) this.report();
  }

  /** A heartbeat leaves, or its answer will: a report that is due goes with it, and wakes nobody by itself. */
  onHeartbeat(): void {
    if (this.ticksSinceReport >= this.options.reportTicks - 1) this.report();
  }

  onReport(from: Identity, report: Report): void {
    const { reports } = this.standing;
    reports.on(from, report);
    // Whoever says so was an established leader: what it saw on all disks is there, whoever leads now.
    this.guard.hear({ through: report.heldThrough, slot: report.heldSlot });
    if (this.host.isEstablished) reports.setTargets(this.host.chosenThrough);
  }

  onConnected(from: Identity): void {
    this.standing.reports.onConnected(from);
  }

  /** The state is lost or there again: the leader is not to rely on what was said before. */
  onStateChanged(): void {
    this.report();
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

  /**
   * A slot was applied, or skipped with a snapshot: is it that of what was proposed last, and is that what was chosen there?
   * Another leader's change may have been, and this one not know yet that it leads no more.
   */
  onApplied(slot: Slot): void {
    const { proposed } = this;
    if (proposed === null || slot < proposed.slot) return;
    this.proposed = null;
    const { latest } = this.host;
    const taken =
      latest?.slot === proposed.slot && sameConfiguration(latest.configuration, proposed.configuration);
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
      if (this.standing.ledTicks > 0) this.retire();
      return;
    }
    const isDue = this.ticks % options.reportTicks === 0;
    this.standing.lead(isDue);
    this.guard.update(this.proposed?.configuration ?? null);
    this.updateDone();
    if (!isDue) return;
    if (host.confirmedRound > this.dismissalRound) this.dismiss();
    this.dismissalRound = host.confirmedRound;
    if (this.proposed !== null || !this.isDone || !host.canPropose) return;
    // Leadership may have been handed over.
    if (!this.serveAsked() && host.canPropose) this.actAlone();
  }

  /** Leads no more. */
  retire(): void {
    this.standing.retire();
    this.guard.endQuiet();
    this.notes.clear();
    const asked = [
      ...(this.proposed?.asked ? [this.proposed.asked] : []),
      ...this.asked.map(({ pending }) => pending),
    ];
    this.proposed = null;
    this.asked = [];
    for (const pending of asked) this.host.retry(pending, 'no longer the leader');
  }

  private updateDone(): void {
    const { latest } = this.host;
    if (!latest || this.isDone || !this.isInForce) return;
    const through = latest.slot + latest.configuration.alpha - 1;
    const votes = new Map<ReplicaId, Incarnation>();
    for (const member of votersOf(latest.configuration)) {
      if ((this.standing.durableThrough(member) ?? 0) >= through)
        votes.set(member.replicaId, member.incarnation);
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
      if (successor && !this.standing.isReachable(successor)) continue;
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
    const resolution = resolve(
      query.change as NonNullable<MembersQuery['change']>,
      this.standing.situation(),
    );
    const refusal = refusalOf(resolution, query.force);
    // Who is there may not have reported yet to a leader that has only just begun.
    const isLater = resolution.type === 'later' || (refusal !== '' && this.standing.hasJustBegun);
    if (isLater) {
      pending.waitsFor = resolution.type === 'later' ? resolution.message : refusal;
      this.asked.unshift(first);
    } else if (refusal !== '') pending.fail('KVD_MEMBERS_REFUSED', refusal);
    else if (resolution.type === 'nothing') this.reply(pending, resolution, resolution.message);
    else if (resolution.type === 'hand-over') this.handOver(pending, resolution);
    else if (resolution.type === 'steps') {
      const [step] = resolution.steps;
      if (step && this.propose(step.configuration, step.what, pending)) return true;
      if (!pending.answered) this.asked.unshift(first);
    }
    return false;
  }

  private handOver(pending: Pending, { to }: Extract<Resolution, { type: 'hand-over' }>): void {
    this.reply(
      pending,
      null,
      to === 0 ? 'leadership is handed over' : `leadership is handed to replica ${to}`,
    );
    this.host.handOver(to === 0 ? this.standing.successor : to);
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
    const strangers = this.standing.strangersOf(member.replicaId);
    const [stranger] = strangers;
    if (stranger === undefined || member.replicaId === this.host.identity.replicaId) return false;
    const reason =
      (strangers.length > 1 ? 'two processes say that they are it' : '') ||
      this.standing.whyNotReadmitted(member, stranger) ||
      this.standing.whyNotYet(stranger) ||
      this.standing.whyBehind(stranger.identity) ||
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
    const { standing } = this;
    const isWitness = standing.isWitness(member);
    const reason =
      (standing.isReachable(member) ? standing.whyBehind(member) : 'it cannot be reached') ||
      (isWitness === (member.promoteTo === 'witness') ? '' : 'its directory is of the other kind');
    if (reason !== '') return this.refuse(member.replicaId, `will be a ${member.promoteTo}: ${reason}`);
    const next = promoted(members, member);
    return this.proposeAlone(next, `make replica ${member.replicaId} a ${member.promoteTo}`);
  }

  /** It is reached elsewhere now. */
  private move(member: Member, members: readonly Member[]): boolean {
    const live = this.neighbours.with(member);
    if (!live || live.address === member.address || this.standing.hasJustBegun) return false;
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
    const hindrance = this.guard.hindranceOf(configuration);
    if (hindrance !== null) {
      this.tracer.event('debug', 'members-change-waits', { what, ...hindrance });
      if (!hindrance.passes) asked?.fail('KVD_MEMBERS_REFUSED', `${what}: ${hindrance.reason}`);
      return false;
    }
    this.guard.endQuiet();
    const slot = this.host.propose(configuration);
    this.proposed = { slot, configuration, asked };
    if (asked) asked.entered = true;
    this.tracer.event('info', 'members-change', { slot, what, members: configuration.members });
    return true;
  }

  // Telling

  private report(): void {
    const { host, neighbours, options } = this;
    this.ticksSinceReport = 0;
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
    const resolution = resolve(query.change, this.standing.situation());
    if (resolution.type === 'refused' || resolution.type === 'later')
      pending.fail('KVD_MEMBERS_REFUSED', resolution.message);
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

/** Why what was asked for is not done; empty: it can be. */
function refusalOf(resolution: Resolution, force: boolean): string {
  if (resolution.type === 'refused') return resolution.message;
  if (resolution.type !== 'steps') return '';
  const step = resolution.steps.find(({ refused, forceable }) => refused !== '' && !(force && forceable));
  if (step === undefined) return '';
  return `${step.what}: ${step.refused}${step.forceable ? ' (it can be forced)' : ''}`;
}
