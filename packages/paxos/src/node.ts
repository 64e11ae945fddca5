/**
 * One replica's part in Multi-Paxos: messages in, effects out. Wires the roles together and owns the order in which
 * things leave (DESIGN: "The core's contract"). No I/O, no clock, no chance of its own: time is ticks, randomness is
 * handed in, and one write is under way at a time.
 */
import { Acceptor } from './acceptor.js';
import { compareBallots, formatBallot, ZERO_BALLOT } from './ballot.js';
import { ConfigurationHistory } from './configuration.js';
import type { Context, NodeOptions } from './context.js';
import { Election } from './election.js';
import { invariant } from './invariant.js';
import { Learner } from './learner.js';
import type { Accept, Digest, Heartbeat, Message, Probe } from './messages.js';
import { MarkerWatch } from './marker-watch.js';
import type { Envelope, FetchRequest } from './outbox.js';
import { Outbox } from './outbox.js';
import { Proposer } from './proposer.js';
import type { ConfirmedRead } from './read-rounds.js';
import type {
  Ballot,
  ChosenEntry,
  ClusterId,
  ConfigurationAt,
  Identity,
  MarkerNumber,
  Persist,
  RecoveredLog,
  ReplicaId,
  Slot,
  Value,
} from './types.js';

export type Role = 'acceptor' | 'learner' | 'proposer';

export type Input =
  | { readonly type: 'tick' }
  /** `marker` is the sender's last durable one. */
  | {
      readonly type: 'message';
      readonly from: Identity;
      readonly marker: MarkerNumber;
      readonly message: Message;
    }
  /** The write of the last Ready is on disk. */
  | { readonly type: 'persisted'; readonly marker: MarkerNumber }
  /** A linearizable read waits under this token; it comes back confirmed or refused. */
  | { readonly type: 'read'; readonly token: number }
  /** Write down how far the chosen slots go, even if nothing else needs a write. */
  | { readonly type: 'persist-mark' }
  /** Slots up to it are in a durable state, and may leave the log. */
  | { readonly type: 'cut'; readonly through: Slot }
  | {
      readonly type: 'snapshot-installed';
      readonly slot: Slot;
      readonly configurations: readonly ConfigurationAt[];
    }
  /** A hint, for speed: the connection from a peer ended. */
  | { readonly type: 'disconnected'; readonly peer: ReplicaId }
  /** Hand leadership to `to`, or to whoever knows most. */
  | { readonly type: 'transfer'; readonly to: ReplicaId | null }
  /** Prepare at once, probe or not (drills). */
  | { readonly type: 'campaign' };

/** What is to be done. `send` may leave at once; `sendAfterPersist` once `persist` is synced, or at once if null. */
export interface Ready {
  readonly persist: Persist | null;
  readonly send: readonly Envelope[];
  readonly sendAfterPersist: readonly Envelope[];
  /** Newly chosen, in slot order without gaps. */
  readonly chosen: readonly ChosenEntry[];
  /** Peers to be sent chosen values from the log. */
  readonly fetches: readonly FetchRequest[];
  readonly confirmedReads: readonly ConfirmedRead[];
  /** Tokens of reads that this replica cannot answer: it does not lead. */
  readonly refusedReads: readonly number[];
  /** A peer cut what we asked for: take a snapshot from it. */
  readonly snapshotFrom: ReplicaId | null;
}

export interface NodeStatus {
  readonly phase: 'idle' | 'probing' | 'preparing' | 'leading';
  readonly votes: boolean;
  readonly founded: boolean;
  readonly named: boolean;
  readonly leader: ReplicaId;
  readonly ballot: string;
  readonly clusterId: ClusterId;
  readonly chosenThrough: Slot;
}

export class PaxosNode {
  readonly history: ConfigurationHistory;
  /** A peer has heard a higher marker from us than we have: the directory was rolled back. Silent from then on. (S5) */
  rolledBack = false;
  private readonly context: Context;
  private readonly out = new Outbox();
  private readonly election: Election;
  private readonly markers = new MarkerWatch();
  private proposer: Proposer | null;
  private persisting = false;
  private marker: MarkerNumber;
  private snapshotFrom: ReplicaId | null = null;
  private lonelyTicks = 0;

  constructor(
    private readonly options: NodeOptions,
    recovered: RecoveredLog,
  ) {
    this.marker = recovered.marker;
    this.history = new ConfigurationHistory(recovered.configurations);
    this.election = new Election(options.identity, options.timing, options.random);
    this.context = {
      options,
      history: this.history,
      out: this.out,
      election: this.election,
      acceptor: null,
      learner: null,
      digest: { slot: 0, hash: '' },
      foundedElsewhere: false,
    };
    this.context.acceptor = this.buildAcceptor(recovered);
    this.context.learner = this.buildLearner(recovered);
    this.proposer = new Proposer(this.context);
  }

  step(input: Input): void {
    if (this.rolledBack && input.type !== 'persisted') {
      if (input.type === 'read') this.out.refusedReads.push(input.token);
      return;
    }
    this.dispatch(input);
    this.proposer?.pump();
  }

  /** Propose a client's value, only while canPropose. Returns the slot, the only one it can ever be chosen in. */
  propose(value: Value): Slot {
    invariant(this.proposer !== null && this.canPropose, 'S3', 'proposed without leading');
    const slot = this.proposer.propose(value);
    this.proposer.pump();
    return slot;
  }

  /** Null when there is nothing to do. */
  takeReady(): Ready | null {
    if (!this.hasReady) return null;
    const { out } = this;
    const persist = this.persisting ? null : out.takePersist();
    const sendAfterPersist = this.persisting ? [] : out.afterPersist;
    const ready: Ready = {
      persist,
      send: out.send,
      sendAfterPersist,
      chosen: out.chosen,
      fetches: out.fetches,
      confirmedReads: out.confirmedReads,
      refusedReads: out.refusedReads,
      snapshotFrom: this.snapshotFrom,
    };
    out.send = [];
    out.chosen = [];
    out.fetches = [];
    if (!this.persisting) out.afterPersist = [];
    out.confirmedReads = [];
    out.refusedReads = [];
    this.snapshotFrom = null;
    if (persist) this.persisting = true;
    return ready;
  }

  /** Would takeReady() have anything? */
  get hasReady(): boolean {
    const { out } = this;
    const blocked = this.persisting;
    return (
      out.send.length > 0 ||
      out.chosen.length > 0 ||
      out.fetches.length > 0 ||
      out.confirmedReads.length > 0 ||
      out.refusedReads.length > 0 ||
      this.snapshotFrom !== null ||
      (!blocked && (out.needsWrite || out.afterPersist.length > 0))
    );
  }

  get canPropose(): boolean {
    return this.proposer?.leadership?.canPropose ?? false;
  }

  /** No write is under way: what is proposed now goes to disk at once. */
  get diskIsIdle(): boolean {
    return !this.persisting;
  }

  get isLeading(): boolean {
    return this.proposer?.state.phase === 'leading';
  }

  /** That this replica leads at; null: it does not. */
  get leadingBallot(): Ballot | null {
    return this.proposer?.leadership?.ballot ?? null;
  }

  /** 0 when no live leader is known. */
  get leader(): ReplicaId {
    return this.election.leader;
  }

  /** Leading, and everything chosen under older ballots is known. */
  get isEstablished(): boolean {
    return this.proposer?.leadership?.established ?? false;
  }

  /** The last slot that this leader proposed in; chosenThrough when nothing is under way. */
  get proposedThrough(): Slot {
    return Math.max(this.proposer?.leadership?.proposedThrough ?? 0, this.chosenThrough);
  }

  /** Counts the rounds that a quorum confirmed in this leadership; the cluster's clock moves with it. */
  get confirmedRound(): number {
    return this.proposer?.leadership?.reads.confirmed ?? 0;
  }

  set digest(digest: Digest) {
    this.context.digest = digest;
  }

  get chosenThrough(): Slot {
    return this.context.learner?.chosenThrough ?? this.context.acceptor?.chosenThrough ?? 0;
  }

  peerChosenThrough(peer: ReplicaId): Slot {
    return this.context.learner?.peerChosenThrough(peer) ?? 0;
  }

  status(): NodeStatus {
    const latest = this.history.latest?.configuration;
    return {
      phase: this.proposer?.state.phase ?? 'idle',
      votes: this.votes(),
      founded: this.history.founded,
      named: this.history.names(this.options.identity),
      leader: this.election.leader,
      ballot: formatBallot(this.context.acceptor?.promised ?? ZERO_BALLOT),
      clusterId: latest?.clusterId ?? '',
      chosenThrough: this.chosenThrough,
    };
  }

  /**
   * A peer that knows a cluster came in. A founder that is alone in its list, or whose fellows are all as blank as it is,
   * and which lost its disk, would otherwise found another one beside it. It still votes for a founding of others.
   */
  heardOfCluster(): void {
    this.context.foundedElsewhere = true;
  }

  /** Chaos: what the role holds in memory is gone, and it hears nothing until restoreRole. */
  killRole(role: Role): void {
    if (role === 'acceptor') {
      this.context.acceptor = null;
      this.out.dropAcceptor();
      if (this.proposer && !this.isLeading) this.proposer.abandon();
      return;
    }
    if (role === 'learner') {
      this.context.learner = null;
      // How far the log goes is on disk by the time the learner is built again.
      this.out.force();
    }
    this.proposer?.retreat();
    if (role === 'proposer') this.proposer = null;
  }

  /** The log failed: every role is gone, and nothing that waited to be written may ever be. */
  poison(): void {
    this.killRole('acceptor');
    this.killRole('learner');
    this.killRole('proposer');
    this.out.dropAll();
  }

  /** Built again from what is on disk, as at the start of a process. */
  restoreRole(role: Role, recovered: RecoveredLog): void {
    const { context } = this;
    if (role === 'acceptor') {
      this.history.takeBack(recovered.configurations);
      context.acceptor = this.buildAcceptor(recovered);
      context.acceptor.onChosenThrough(this.chosenThrough);
    } else if (role === 'learner') {
      context.learner = this.buildLearner(recovered);
      // What the acceptor still knows chosen is in the own log: it is asked for there as at any peer.
      context.learner.heard(this.self.replicaId, context.acceptor?.chosenThrough ?? 0);
    } else {
      this.proposer = new Proposer(context);
    }
  }

  private buildAcceptor(recovered: RecoveredLog): Acceptor {
    return new Acceptor(recovered, this.history, this.out, this.options.promiseEntries);
  }

  private buildLearner(recovered: RecoveredLog): Learner {
    const { history, context, out, options } = this;
    return new Learner(
      recovered,
      history,
      () => context.acceptor,
      out,
      options.random,
      () => this.everybody(),
    );
  }

  private dispatch(input: Input): void {
    const { learner } = this.context;
    switch (input.type) {
      case 'tick':
        return this.onTick();
      case 'message':
        return this.onMessage(input.from, input.marker, input.message);
      case 'persisted':
        this.persisting = false;
        this.marker = input.marker;
        return;
      case 'read':
        if (this.proposer) this.proposer.onRead(input.token);
        else this.out.refusedReads.push(input.token);
        return;
      case 'persist-mark':
        return this.out.force();
      case 'cut':
        return this.onCut(input.through);
      case 'snapshot-installed':
        return learner?.onSnapshotInstalled(input.slot, input.configurations);
      case 'disconnected':
        learner?.onDisconnected(input.peer);
        return this.election.disconnected(input.peer);
      case 'transfer':
        return this.proposer?.transferTo(input.to);
      case 'campaign':
        return this.proposer?.startPrepare();
    }
  }

  private onTick(): void {
    this.context.learner?.tick();
    if (this.proposer) this.proposer.tick();
    else this.election.tick();
    this.pollWhileLonely();
  }

  /** Without a leader nobody tells how far things are: ask around, so that who lost its disk learns all the same. */
  private pollWhileLonely(): void {
    this.lonelyTicks = this.election.leader === 0 ? this.lonelyTicks + 1 : 0;
    if (this.lonelyTicks < this.options.timing.electionTicks) return;
    this.lonelyTicks = 0;
    const peers = this.everybody();
    const peer = peers[Math.floor(this.options.random() * peers.length)];
    if (peer !== undefined) this.context.learner?.fetchFrom(peer);
  }

  private onMessage(from: Identity, marker: MarkerNumber, message: Message): void {
    if (from.replicaId !== this.self.replicaId && !this.isCurrent(from, marker, message)) return;
    const { acceptor, learner } = this.context;
    switch (message.type) {
      case 'probe':
        return this.onProbe(from, message);
      case 'probe-answer':
        return this.proposer?.onProbeAnswer(from, message);
      case 'prepare':
        if (this.informs(from) || !acceptor) return;
        acceptor.onPrepare(from.replicaId, message);
        return this.proposer?.onHigherBallot(acceptor.promised);
      case 'promise':
        return this.proposer?.onPromise(from, message);
      case 'accept':
        return this.onAccept(from, message);
      case 'accepted':
        return this.proposer?.leadership?.onAccepted(from, message.ballot, message.slots);
      case 'nack':
        return this.proposer?.onHigherBallot(message.promised);
      case 'heartbeat':
        return this.onHeartbeat(from, message);
      case 'heartbeat-answer':
        learner?.heard(from.replicaId, message.chosenThrough);
        return this.proposer?.leadership?.onHeartbeatAnswer(from, message.ballot, message.round);
      case 'fetch':
        this.out.fetches.push({
          to: from.replicaId,
          fromSlot: message.fromSlot,
          throughSlot: message.throughSlot,
        });
        return;
      case 'chosen':
        return learner?.onChosen(from.replicaId, message.entries, message.chosenThrough);
      case 'cut':
        if (message.cutThrough <= this.chosenThrough) return;
        this.snapshotFrom = from.replicaId;
        return learner?.onCut();
      case 'take-over':
        if (acceptor && compareBallots(message.ballot, acceptor.promised) >= 0) this.proposer?.startPrepare();
        return;
      case 'rolled-back':
        if (message.incarnation === this.self.incarnation && message.heard > this.marker) this.rollBack();
        return;
    }
  }

  private isCurrent(from: Identity, marker: MarkerNumber, message: Message): boolean {
    const heard = this.markers.higherThan(from.incarnation, marker, message);
    if (heard === null) return true;
    this.out.sendNow([from.replicaId], { type: 'rolled-back', heard, incarnation: from.incarnation });
    return false;
  }

  private rollBack(): void {
    this.rolledBack = true;
    this.proposer?.abandon();
    this.out.silence();
  }

  private onProbe(from: Identity, probe: Probe): void {
    const { acceptor, election, out } = this.context;
    if (this.informs(from) || !acceptor) return;
    const granted = compareBallots(probe.ballot, acceptor.promised) > 0 && election.grants(from.replicaId);
    const { attempt } = probe;
    out.sendNow([from.replicaId], { type: 'probe-answer', attempt, granted, promised: acceptor.promised });
  }

  private onAccept(from: Identity, accept: Accept): void {
    const { acceptor, learner } = this.context;
    if (acceptor && compareBallots(accept.ballot, acceptor.promised) < 0) {
      return acceptor.nack(from.replicaId, accept.ballot);
    }
    this.followLeader(accept.ballot);
    // First what it makes known: the slots that may be accepted in are counted from there. (S11)
    learner?.onLeaderSays(from.replicaId, accept.ballot, accept.chosenThrough);
    acceptor?.onAccept(from.replicaId, accept, this.votes());
  }

  /** A leader at or above our promise is at work: whatever our own proposer was about rests. */
  private followLeader(ballot: Ballot): void {
    this.proposer?.onHigherBallot(ballot);
    if (this.proposer?.state.phase === 'probing') this.proposer.abandon();
    this.context.election.heardLeader(ballot);
  }

  private onHeartbeat(from: Identity, heartbeat: Heartbeat): void {
    const { acceptor, learner, out, digest } = this.context;
    const { ballot, round } = heartbeat;
    if (acceptor && !acceptor.hasNoHigherPromise(heartbeat)) return acceptor.nack(from.replicaId, ballot);
    this.followLeader(ballot);
    learner?.onLeaderSays(from.replicaId, ballot, heartbeat.chosenThrough);
    if (!acceptor || !this.votes()) return;
    const chosenThrough = this.chosenThrough;
    out.sendNow([from.replicaId], { type: 'heartbeat-answer', ballot, round, chosenThrough, digest });
  }

  private onCut(upTo: Slot): void {
    // Asked for again once it is rebuilt, and knows what is on disk.
    if (this.context.acceptor === null) return;
    // A state may be ahead of the log that comes back after a crash.
    const through = Math.min(upTo, this.chosenThrough);
    this.history.trim(through);
    this.out.persistConfigurations(this.history.all);
    this.out.persistCut(through);
  }

  /**
   * Who does not vote on what is to come is promised nothing, and promises nothing: an incarnation that is not named, a
   * learner, one that was removed. What it or we know goes back instead, so that whoever is behind learns why.
   */
  private informs(from: Identity): boolean {
    const { chosenThrough, history } = this;
    if (this.votes() && (!history.founded || history.isVoterFrom(chosenThrough + 1, from))) return false;
    if (history.founded) this.out.sendNow([from.replicaId], { type: 'chosen', entries: [], chosenThrough });
    return true;
  }

  /** May this incarnation vote at all? (S5) */
  private votes(): boolean {
    const { identity, founding, mayFound } = this.options;
    if (this.history.founded) {
      return this.history.isVoterFrom(
        (this.context.acceptor?.chosenThrough ?? this.chosenThrough) + 1,
        identity,
      );
    }
    return mayFound && founding.some((member) => member.id === identity.replicaId);
  }

  /** Whoever may know something: members, or the founding list before they are known. */
  private peers(): ReplicaId[] {
    const ids = this.history.founded
      ? this.history.replicasFrom(this.chosenThrough + 1)
      : this.options.founding.map((member) => member.id);
    return ids.filter((id) => id !== this.self.replicaId);
  }

  private everybody(): ReplicaId[] {
    return [...new Set([...this.peers(), ...(this.options.contacts?.() ?? [])])];
  }

  private get self(): Identity {
    return this.options.identity;
  }
}
