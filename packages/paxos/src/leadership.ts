/**
 * A leader at work: phase 2 for many slots at once, gaps filled, heartbeats, read rounds. Exists only while it holds
 * promises of a phase-1 quorum, and proposes in a slot only what those promises leave it free to. (Paxos Made Simple, 3)
 */
import { compareBallots } from './ballot.js';
import { isPhase1Quorum, isPhase2Quorum } from './configuration.js';
import type { Context } from './context.js';
import { invariant } from './invariant.js';
import type { Accept, Heartbeat } from './messages.js';
import type { ConfirmedRead } from './read-rounds.js';
import { ReadRounds } from './read-rounds.js';
import type { PromiseSet } from './safe-value.js';
import { sameValue } from './value.js';
import type { Ballot, Configuration, Identity, Incarnation, ReplicaId, Slot, Value } from './types.js';

interface InFlight {
  readonly value: Value;
  readonly votes: Map<ReplicaId, Incarnation>;
  waitedTicks: number;
}

const NOOP: Value = { type: 'noop' };
/** A leader stops when it waited so many election time-outs for a chosen value that nobody can tell. */
const UNLEARNED_TIMEOUTS = 3;
/** So many of the oldest slots are sent again when their votes do not come. */
const RESEND_SLOTS = 32;

export class Leadership {
  readonly reads = new ReadRounds();
  private nextSlot: Slot;
  private readonly inFlight = new Map<Slot, InFlight>();
  /** The last slot that was decided by the promises, or the no-op after it: reads wait until it is chosen. (S7) */
  private barrier: Slot = 0;
  private ticksSinceHeartbeat = 0;
  private ticksSinceQuorum = 0;
  /** For how long a promise has told of chosen slots that could not be learned. */
  private ticksUnlearned = 0;

  constructor(
    private readonly context: Context,
    readonly ballot: Ballot,
    readonly promises: PromiseSet,
  ) {
    this.nextSlot = this.chosenThrough + 1;
    invariant(
      this.chosenThrough >= promises.chosenThrough,
      'S3',
      'leading before all that is chosen is learned',
    );
    promises.forgetThrough(this.chosenThrough);
    context.election.lead(ballot);
    this.beginRound();
    this.pump();
  }

  /** Is there room for a value of a client? Only after what phase 1 found is proposed. */
  get canPropose(): boolean {
    return (
      this.barrier > 0 &&
      this.promises.lastReported < this.nextSlot &&
      this.promises.chosenThrough < this.nextSlot &&
      this.nextSlot <= this.chosenThrough + this.context.options.inFlightSlots &&
      this.mayProposeIn(this.nextSlot)
    );
  }

  /**
   * Everything that may have been chosen before this ballot is known: the barrier is passed, nothing that was reported
   * is left to propose, and whoever votes on the next slot has promised. Without the last, that slot may have been
   * chosen by members that nobody has asked yet. (S7)
   */
  get established(): boolean {
    const { chosenThrough, promises } = this;
    if (this.barrier === 0 || chosenThrough < this.barrier || promises.chosenThrough > chosenThrough)
      return false;
    const configuration = this.context.history.at(chosenThrough + 1);
    return (
      promises.lastReported < this.nextSlot && configuration !== null && this.holdsPromisesFor(configuration)
    );
  }

  get proposedThrough(): Slot {
    return this.nextSlot - 1;
  }

  get proposing(): number {
    return this.inFlight.size;
  }

  propose(value: Value): Slot {
    invariant(this.canPropose, 'S3', 'proposed before the values that phase 1 found');
    const slot = this.nextSlot;
    this.proposeIn(slot, value);
    return slot;
  }

  /**
   * Phase 2b arrives.
   *
   * Rule: a value is chosen in a slot when a phase-2 quorum of that slot's configuration accepted it at one ballot;
   *   votes are told apart by replica and incarnation. (S5)
   */
  onAccepted(from: Identity, ballot: Ballot, slots: readonly Slot[]): void {
    if (compareBallots(ballot, this.ballot) !== 0) return;
    for (const slot of slots) {
      const flight = this.inFlight.get(slot);
      if (!flight) continue;
      flight.votes.set(from.replicaId, from.incarnation);
      const configuration = this.configurationFor(slot, flight.value);
      if (configuration && isPhase2Quorum(configuration, flight.votes)) {
        this.context.learner?.learn(slot, flight.value, this.ballot);
        this.inFlight.delete(slot);
      }
    }
  }

  /** A leader asks whether anybody promised more; the answers also tell it that it is heard. */
  onHeartbeatAnswer(from: Identity, ballot: Ballot, round: number): void {
    if (compareBallots(ballot, this.ballot) === 0) this.reads.answer(from, round);
  }

  arrive(token: number): void {
    if (this.reads.arrive(token, this.chosenThrough, this.established)) this.beginRound();
  }

  /**
   * Forget the slots that are chosen. False: one of them was chosen with another value than ours, so at a higher
   * ballot, and this ballot may say nothing more.
   *
   * Why it matters: followers that accepted our value at our ballot take "chosen through" for that value. (S4)
   */
  settle(): boolean {
    for (const [slot, flight] of this.inFlight) {
      if (slot > this.chosenThrough) break;
      this.inFlight.delete(slot);
      const chosen = this.context.out.chosen.find((entry) => entry.slot === slot);
      if (!chosen || !sameValue(chosen.value, flight.value)) return false;
    }
    return true;
  }

  /** Propose what phase 1 left over, and move the reads on. Called after every input. */
  pump(): ConfirmedRead[] {
    this.recover();
    // Promises and answers are asked of the configuration that will vote next: nothing is confirmed without it.
    const configuration = this.context.history.at(this.chosenThrough + 1);
    if (!configuration) return [];
    this.reads.governedBy(configuration);
    if (this.established && this.reads.release(this.chosenThrough)) this.beginRound();
    const before = this.reads.confirmed;
    const confirmed = this.holdsPromisesFor(configuration) ? this.reads.takeConfirmed(configuration) : [];
    if (this.reads.confirmed > before) this.ticksSinceQuorum = 0;
    if (this.reads.wantsRound) this.beginRound();
    return confirmed;
  }

  /** False: not heard by a phase-2 quorum for an election time-out; it has to stop leading. */
  tick(): boolean {
    const { timing } = this.context.options;
    this.ticksSinceQuorum += 1;
    this.ticksSinceHeartbeat += 1;
    if (this.ticksSinceQuorum > timing.electionTicks) return false;
    // Who told of them may be gone for good, and they with it: only a new ballot's promises can tell.
    this.ticksUnlearned = this.promises.chosenThrough > this.chosenThrough ? this.ticksUnlearned + 1 : 0;
    if (this.ticksUnlearned > timing.electionTicks * UNLEARNED_TIMEOUTS) return false;
    this.context.election.lead(this.ballot);
    if (this.ticksSinceHeartbeat >= timing.heartbeatTicks) {
      this.beginRound();
      this.prepareOthers();
    }
    this.resend();
    return true;
  }

  /**
   * What phase 1 found, slot by slot, a no-op in every gap, and one no-op after it when it found nothing: then a slot
   * of our own ballot is on its way. (S3, S7) And no-ops up to where the latest configuration takes over. (S11)
   */
  private recover(): void {
    for (;;) {
      this.nextSlot = Math.max(this.nextSlot, this.chosenThrough + 1);
      const slot = this.nextSlot;
      // A promise that came late knows more to be chosen: that is learned, not proposed.
      if (slot <= this.promises.chosenThrough) return;
      const last = Math.max(this.promises.lastReported, this.takeOverSlot - 1);
      if (slot > last && this.barrier > 0) return;
      if (!this.mayProposeIn(slot)) return;
      const found = this.promises.mustPropose(slot);
      this.barrier = slot;
      this.proposeIn(slot, found?.value ?? (slot === 1 ? this.foundingValue() : NOOP));
    }
  }

  /**
   * S11: a slot's configuration is known when everything through slot - alpha is, and it has to have promised.
   * Slot 1 has none; for it phase 1 waited for every founding member.
   */
  private mayProposeIn(slot: Slot): boolean {
    const { history } = this.context;
    if (slot === 1) return !history.founded;
    if (!history.founded || slot > this.chosenThrough + history.alpha) return false;
    const configuration = history.at(slot);
    return configuration !== null && this.holdsPromisesFor(configuration);
  }

  /** Has a phase-1 quorum of the slot's configuration said what it knows of it? */
  isDecided(slot: Slot): boolean {
    return slot > 1 && this.mayProposeIn(slot);
  }

  /** The first slot that the latest configuration governs; 0 for the founding one. */
  private get takeOverSlot(): Slot {
    const { latest, alpha } = this.context.history;
    return latest && latest.configuration.replaces > 0 ? latest.slot + alpha : 0;
  }

  private holdsPromisesFor(configuration: Configuration): boolean {
    return isPhase1Quorum(configuration, this.promises.votes());
  }

  private proposeIn(slot: Slot, value: Value): void {
    invariant(
      slot > this.chosenThrough && slot > this.promises.chosenThrough,
      'S3',
      `slot ${slot} is chosen`,
    );
    invariant(!this.inFlight.has(slot), 'S4', `a second value for slot ${slot}`);
    this.nextSlot = slot + 1;
    this.promises.forgetThrough(slot);
    this.inFlight.set(slot, { value, votes: new Map(), waitedTicks: 0 });
    this.sendAccept(this.peers(), slot, value);
    this.acceptMyself(slot, value);
  }

  private sendAccept(to: readonly ReplicaId[], slot: Slot, value: Value): void {
    this.context.out.sendNow(to, this.acceptOf(slot, value));
  }

  /** The own vote takes the same road as any other: it counts when it comes back, after the write. (S1) */
  private acceptMyself(slot: Slot, value: Value): void {
    this.context.acceptor?.onAccept(this.self.replicaId, this.acceptOf(slot, value), true);
  }

  private acceptOf(slot: Slot, value: Value): Accept {
    return { type: 'accept', ballot: this.ballot, slot, value, chosenThrough: this.chosenThrough };
  }

  beginRound(): void {
    const { acceptor, out, digest } = this.context;
    this.ticksSinceHeartbeat = 0;
    const round = this.reads.begin();
    const heartbeat: Heartbeat = {
      type: 'heartbeat',
      ballot: this.ballot,
      round,
      chosenThrough: this.chosenThrough,
      digest,
    };
    out.sendNow(this.peers(), heartbeat);
    if (acceptor?.hasNoHigherPromise(heartbeat)) this.reads.answer(this.self, round);
  }

  /** Members that were not there, and those of later configurations, still have to promise. (S11) */
  private prepareOthers(): void {
    for (const id of this.peers()) {
      if (this.hasPromised(id)) continue;
      const fromSlot = this.promises.wantedFrom(id);
      this.context.out.sendNow([id], { type: 'prepare', ballot: this.ballot, fromSlot });
    }
  }

  /** As the incarnation that the latest configuration names. */
  private hasPromised(id: ReplicaId): boolean {
    const incarnation = this.promises.votes().get(id);
    if (incarnation === undefined) return false;
    const members = this.context.history.latest?.configuration.members ?? [];
    const named = members.find((member) => member.replicaId === id);
    return !named || named.incarnation === incarnation;
  }

  private resend(): void {
    const patience = this.context.options.timing.heartbeatTicks * 2;
    let count = 0;
    for (const [slot, flight] of this.inFlight) {
      flight.waitedTicks += 1;
      if (flight.waitedTicks < patience) continue;
      if (++count > RESEND_SLOTS) break;
      flight.waitedTicks = 0;
      this.sendAccept(
        this.peers().filter((id) => !flight.votes.has(id)),
        slot,
        flight.value,
      );
      if (!flight.votes.has(this.self.replicaId)) this.acceptMyself(slot, flight.value);
    }
  }

  private foundingValue(): Value {
    const { founding, newClusterId, alpha, acceptQuorum = 0 } = this.context.options;
    const votes = this.promises.votes();
    const members = founding.map(({ id, address, role = 'voter' }) => {
      const incarnation = votes.get(id);
      invariant(incarnation !== undefined, 'S11', `founding without a promise of replica ${id}`);
      return { replicaId: id, incarnation, role, address };
    });
    const configuration: Configuration = {
      clusterId: newClusterId,
      alpha,
      replaces: 0,
      members,
      acceptQuorum,
    };
    return { type: 'configuration', configuration };
  }

  private configurationFor(slot: Slot, value: Value): Configuration | null {
    if (slot > 1) return this.context.history.at(slot);
    return value.type === 'configuration' ? value.configuration : null;
  }

  private peers(): ReplicaId[] {
    const { history, options } = this.context;
    const ids = history.founded
      ? history.replicasFrom(this.chosenThrough + 1)
      : options.founding.map((member) => member.id);
    return ids.filter((id) => id !== this.self.replicaId);
  }

  private get self(): Identity {
    return this.context.options.identity;
  }

  private get chosenThrough(): Slot {
    return this.context.learner?.chosenThrough ?? 0;
  }
}
