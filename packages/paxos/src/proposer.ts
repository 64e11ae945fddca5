/**
 * The proposer: from idle by a probe and phase 1 to leading, and back. Owns the ballot in use. It never uses a ballot
 * twice (a ballot is promised by its own acceptor, on disk, before the prepare leaves) and never leads without the
 * complete promises of a phase-1 quorum.
 */
import { ballotAbove, compareBallots, ZERO_BALLOT } from './ballot.js';
import { isPhase1Quorum, isVoterOf, memberOf } from './configuration.js';
import type { Context } from './context.js';
import { Leadership } from './leadership.js';
import type { ProbeAnswer, PromiseMessage } from './messages.js';
import { PromiseSet } from './safe-value.js';
import type { Ballot, Identity, Incarnation, ReplicaId, Slot, Value } from './types.js';

export type ProposerState =
  | { readonly phase: 'idle' }
  | {
      readonly phase: 'probing';
      readonly attempt: number;
      readonly ballot: Ballot;
      readonly granted: Map<ReplicaId, Incarnation>;
      waitedTicks: number;
    }
  | {
      readonly phase: 'preparing';
      readonly ballot: Ballot;
      readonly fromSlot: Slot;
      readonly promises: PromiseSet;
      waitedTicks: number;
      /** Pages are only asked for once the ballot is on disk, which our own promise proves. */
      onDisk: boolean;
    }
  | { readonly phase: 'leading'; readonly leadership: Leadership };

export class Proposer {
  state: ProposerState = { phase: 'idle' };
  private highestSeen: Ballot = ZERO_BALLOT;
  private attempts = 0;

  constructor(private readonly context: Context) {}

  get leadership(): Leadership | null {
    return this.state.phase === 'leading' ? this.state.leadership : null;
  }

  /** May it campaign? Only with an acceptor, which puts the ballot on disk, and with a state to serve from. */
  get eligible(): boolean {
    const { acceptor, options } = this.context;
    return acceptor !== null && this.mayLead && (options.mayServe?.() ?? true);
  }

  /** A voter of the slot to come, or a founder, with its learner alive. (S5) */
  get mayLead(): boolean {
    const { learner, history, options } = this.context;
    if (!learner) return false;
    const configuration = history.at(learner.chosenThrough + 1);
    if (configuration) return memberOf(configuration, options.identity)?.role === 'voter';
    const founder = options.founding.find((member) => member.id === this.self.replicaId);
    const isFree = options.mayFound && !this.context.foundedElsewhere;
    return isFree && founder !== undefined && founder.role !== 'witness';
  }

  tick(): void {
    const { election } = this.context;
    if (this.state.phase !== 'idle' && !this.mayLead) this.stepAside();
    if (this.state.phase === 'leading') {
      if (!this.state.leadership.tick()) this.retreat();
      return;
    }
    if (election.tick()) {
      this.abandon();
      if (this.eligible) this.startProbe();
      return;
    }
    if (this.state.phase === 'probing') this.probeAgain(this.state);
    if (this.state.phase === 'preparing') this.prepareAgain(this.state);
  }

  /** Ask before a ballot is used up, so that a replica that was cut off cannot depose a leader that works. */
  startProbe(): void {
    this.attempts += 1;
    const ballot = this.nextBallot();
    const granted = new Map<ReplicaId, Incarnation>();
    this.state = { phase: 'probing', attempt: this.attempts, ballot, granted, waitedTicks: 0 };
    granted.set(this.self.replicaId, this.self.incarnation);
    this.context.out.sendNow(this.peers(), { type: 'probe', attempt: this.attempts, ballot });
    this.finishProbe();
  }

  onProbeAnswer(from: Identity, answer: ProbeAnswer): void {
    this.sawBallot(answer.promised);
    if (this.state.phase !== 'probing' || answer.attempt !== this.state.attempt) return;
    if (answer.granted) {
      this.state.granted.set(from.replicaId, from.incarnation);
      this.finishProbe();
    } else if (compareBallots(answer.promised, this.state.ballot) >= 0) {
      // Refused for the number alone: ask again with a higher one. It rises each time, so this ends.
      this.startProbe();
    }
  }

  /**
   * Phase 1a, once for all slots from the first one not known chosen.
   *
   * Persists: the ballot, as the own acceptor's promise, before the first prepare leaves. A ballot is never used twice.
   */
  startPrepare(): void {
    const { acceptor, learner, out } = this.context;
    if (!this.eligible || !acceptor || !learner) return;
    this.endLeadership();
    const ballot = this.nextBallot();
    const fromSlot = learner.chosenThrough + 1;
    const promises = new PromiseSet(fromSlot);
    this.state = { phase: 'preparing', ballot, fromSlot, promises, waitedTicks: 0, onDisk: false };
    acceptor.onPrepare(this.self.replicaId, { type: 'prepare', ballot, fromSlot });
    out.sendAfterPersist(this.peers(), { type: 'prepare', ballot, fromSlot });
  }

  /** Phase 1b arrives. */
  onPromise(from: Identity, promise: PromiseMessage): void {
    const state = this.state;
    if (state.phase === 'idle' || state.phase === 'probing') return;
    const { ballot, promises } = state.phase === 'leading' ? state.leadership : state;
    if (compareBallots(promise.ballot, ballot) !== 0) return;
    const next = promises.add(
      from,
      promise,
      (slot) => state.phase === 'leading' && state.leadership.isDecided(slot),
    );
    this.context.learner?.heard(from.replicaId, promise.chosenThrough);
    if (from.replicaId === this.self.replicaId && state.phase === 'preparing') state.onDisk = true;
    if (next !== null) this.askPage(from.replicaId, ballot, next);
  }

  /** After every input: has anything become possible? */
  pump(): void {
    if (this.state.phase === 'preparing') this.finishPrepare(this.state);
    const leadership = this.leadership;
    if (!leadership) return;
    if (leadership.settle()) this.context.out.confirmedReads.push(...leadership.pump());
    else this.retreat();
  }

  /** Somebody has, or was promised, a higher ballot: ours can get nothing chosen that it has not. */
  onHigherBallot(ballot: Ballot): void {
    this.sawBallot(ballot);
    const own = this.ballot;
    if (own && compareBallots(ballot, own) > 0) this.retreat();
  }

  onRead(token: number): void {
    const leadership = this.leadership;
    if (leadership) leadership.arrive(token);
    else this.context.out.refusedReads.push(token);
  }

  propose(value: Value): Slot {
    const leadership = this.leadership;
    if (!leadership) throw new Error('propose() without leading: ask canPropose first');
    return leadership.propose(value);
  }

  /** Hand over: the target skips the probe, since everybody would turn it down while we are heard. */
  transferTo(target: ReplicaId | null): void {
    const leadership = this.leadership;
    if (!leadership) return;
    const to = target ?? this.bestSuccessor();
    if (to !== null) this.context.out.sendNow([to], { type: 'take-over', ballot: leadership.ballot });
    this.abandon();
    this.context.election.yieldTo();
  }

  /** No voter any more: whoever leads next need not wait until that is noticed. */
  private stepAside(): void {
    if (this.leadership && this.context.learner) this.transferTo(null);
    else this.retreat();
  }

  /** Stop whatever is under way and try again after a random while. */
  retreat(): void {
    this.abandon();
    this.context.election.retreat();
  }

  /** Killed (chaos), or stopped: what was under way is void. */
  abandon(): void {
    this.endLeadership();
    this.state = { phase: 'idle' };
    this.context.out.dropProposer();
  }

  get ballot(): Ballot | null {
    switch (this.state.phase) {
      case 'idle':
      case 'probing':
        return null;
      case 'preparing':
        return this.state.ballot;
      case 'leading':
        return this.state.leadership.ballot;
    }
  }

  private sawBallot(ballot: Ballot): void {
    if (compareBallots(ballot, this.highestSeen) > 0) this.highestSeen = ballot;
  }

  /** A probe may be lost, or have come just before its receiver gave the old leader up. */
  private probeAgain(state: Extract<ProposerState, { phase: 'probing' }>): void {
    state.waitedTicks += 1;
    if (state.waitedTicks % this.context.options.timing.heartbeatTicks !== 0) return;
    const { attempt, ballot, granted } = state;
    const missing = this.peers().filter((id) => !granted.has(id));
    this.context.out.sendNow(missing, { type: 'probe', attempt, ballot });
  }

  private finishProbe(): void {
    if (this.state.phase === 'probing' && this.isPhase1Quorum(this.state.granted)) this.startPrepare();
  }

  private finishPrepare(state: Extract<ProposerState, { phase: 'preparing' }>): void {
    const { learner } = this.context;
    if (!learner || !this.isPhase1Quorum(state.promises.votes())) return;
    // Chosen slots that we do not know are learned before anything is proposed. (S3)
    if (learner.chosenThrough < state.promises.chosenThrough) {
      learner.fetchMore();
      return;
    }
    this.state = { phase: 'leading', leadership: new Leadership(this.context, state.ballot, state.promises) };
  }

  private prepareAgain(state: Extract<ProposerState, { phase: 'preparing' }>): void {
    state.waitedTicks += 1;
    if (!state.onDisk || state.waitedTicks % this.context.options.timing.heartbeatTicks !== 0) return;
    for (const id of this.peers()) {
      if (!state.promises.isComplete(id)) this.askPage(id, state.ballot, state.promises.wantedFrom(id));
    }
  }

  private askPage(id: ReplicaId, ballot: Ballot, fromSlot: Slot): void {
    const { acceptor, out } = this.context;
    if (id !== this.self.replicaId) out.sendNow([id], { type: 'prepare', ballot, fromSlot });
    else acceptor?.onPrepare(id, { type: 'prepare', ballot, fromSlot });
  }

  /** Before the founding every founding member has to answer, so that its incarnation is known. */
  private isPhase1Quorum(votes: ReadonlyMap<ReplicaId, Incarnation>): boolean {
    const { history, learner, options } = this.context;
    const configuration = history.at((learner?.chosenThrough ?? 0) + 1);
    if (configuration) return isPhase1Quorum(configuration, votes);
    return options.founding.length > 0 && options.founding.every((member) => votes.has(member.id));
  }

  private nextBallot(): Ballot {
    const promised = this.context.acceptor?.promised ?? ZERO_BALLOT;
    const above = compareBallots(promised, this.highestSeen) > 0 ? promised : this.highestSeen;
    const counter = Math.max(above.counter, this.context.options.appliedCounter?.() ?? 0);
    return ballotAbove({ ...above, counter }, this.self);
  }

  private bestSuccessor(): ReplicaId | null {
    const { history, learner } = this.context;
    const configuration = history.at((learner?.chosenThrough ?? 0) + 1);
    let best: ReplicaId | null = null;
    for (const member of configuration?.members ?? []) {
      if (member.role !== 'voter' || member.replicaId === this.self.replicaId) continue;
      const known = learner?.peerChosenThrough(member.replicaId) ?? 0;
      if (best === null || known > (learner?.peerChosenThrough(best) ?? 0)) best = member.replicaId;
    }
    return best;
  }

  private endLeadership(): void {
    const leadership = this.leadership;
    if (leadership) this.context.out.refusedReads.push(...leadership.reads.takeAll());
  }

  private peers(): ReplicaId[] {
    const { history, learner, options } = this.context;
    const configuration = history.at((learner?.chosenThrough ?? 0) + 1);
    const ids = configuration
      ? configuration.members
          .filter((member) => isVoterOf(configuration, member))
          .map((member) => member.replicaId)
      : options.founding.map((member) => member.id);
    return ids.filter((id) => id !== this.self.replicaId);
  }

  private get self(): Identity {
    return this.context.options.identity;
  }
}
