/**
 * The one driver round the core: feeds it inputs, carries out its Readys, applies what is chosen, answers clients.
 * The same class runs in kvd on LevelDB and ws and in the simulator on virtual disks and a virtual network: it has no
 * timer, no clock, no chance and no await of its own, and what takes time comes back through ports.
 */
import type {
  Ballot,
  ChosenEntry,
  ClusterId,
  Envelope,
  Identity,
  MarkerNumber,
  Message,
  Ready,
  ReplicaId,
} from '@kvd/paxos';
import { compareBallots, PaxosNode, ZERO_BALLOT } from '@kvd/paxos';
import type { CommandResult, PeerMessage, Request, WatchRequest } from '@kvd/protocol';
import { compareLeaders, decodePeerFrame } from '@kvd/protocol';
import type {
  PaxosRole,
  ReplicaApi,
  ReplicaFailure,
  ReplicaOptions,
  ReplicaPorts,
  ReplicaStatus,
  ReplySink,
  WatchSink,
} from './api.js';
import { Batcher } from './batcher.js';
import { CatchUp } from './catch-up.js';
import { ClusterClock } from './cluster-clock.js';
import { ForwardsTaken } from './forwards-taken.js';
import { Housekeeper } from './housekeeper.js';
import { LogDriver } from './log-driver.js';
import { membershipHostOf } from './membership/host.js';
import { Membership } from './membership/membership.js';
import { SlowLeader } from './membership/slow-leader.js';
import { Neighbours } from './neighbours.js';
import type { Pending } from './pending.js';
import type { TransportHandler } from './ports.js';
import { PeerTraffic } from './peer-traffic.js';
import { Reads } from './reads.js';
import { Roles } from './roles.js';
import type { Refusal, RouterHandler } from './router.js';
import { Router } from './router.js';
import { StateKeeper } from './state-keeper.js';
import { describeStatus } from './status.js';
import { Tracer } from './tracer.js';
import { WatchHub } from './watch-hub.js';

/** What the leader proposes by itself is looked at again after so long. */
const OWN_COMMAND_MS = 2_000;
const QUEUE_BYTES_MAX = 64 * 1024 * 1024;
/** Long enough for what waits for ticks after the last request: a flush, an answer that is late. */
const QUIET_TICKS = 20;
/** An election timeout has at least so many ticks, and four heartbeats, where two ticks may come together. */
const QUIET_ELECTION_TICKS = 8;
/** How long watches stay where no leader is heard: no shorter, and no shorter than so many elections. */
const LEADERLESS_MS_MIN = 10_000;
const LEADERLESS_ELECTIONS = 5;
/** What replicas say to each other while nobody wants anything. */
const ROUTINE: ReadonlySet<PeerMessage['type']> = new Set(['heartbeat', 'heartbeat-answer', 'report']);

export class Replica implements ReplicaApi, TransportHandler {
  readonly identity: Identity;
  readonly node: PaxosNode;
  readonly driver: LogDriver;
  readonly neighbours: Neighbours;
  readonly membership: Membership;
  readonly roles: Roles;
  stopped = false;
  slowMs = 0;
  private readonly mayBeQuiet: boolean;
  /** Since the last request, or message that was not routine. */
  private quietTicks = 0;
  readonly keeper: StateKeeper;
  readonly watches: WatchHub;
  private readonly batcher: Batcher;
  private readonly catchUp: CatchUp;
  private readonly clock: ClusterClock;
  private readonly reads: Reads;
  private readonly router: Router;
  private readonly housekeeper: Housekeeper;
  private readonly slowLeader: SlowLeader;
  private readonly tracer: Tracer;
  private readonly traffic: PeerTraffic;
  private readonly forwardsTaken = new ForwardsTaken();
  private wallMs = 0;
  private draining = false;
  /** The end of this turn is awaited: what it brought is drained then. */
  private turnEnds = false;
  private wasLeading = false;
  private knownLeader: ReplicaId = 0;
  /** The last one that was known, whether or not it still leads: requests may be on their way to it. */
  private lastLeader: ReplicaId = 0;
  private rollbackReported = false;
  private knownConfiguration: unknown = null;
  private stopping: (() => void) | null = null;

  constructor(
    readonly options: ReplicaOptions,
    readonly ports: ReplicaPorts,
  ) {
    const { log, state, random } = ports;
    const { recovered } = log;
    this.identity = recovered.identity;
    this.tracer = new Tracer(ports.trace, this.identity.replicaId);
    this.neighbours = new Neighbours(
      this.identity,
      options.founding ?? [],
      options.contacts ?? [],
      options.dial ?? [],
    );
    this.node = new PaxosNode(
      {
        identity: this.identity,
        founding: options.founding ?? [],
        newClusterId: options.newClusterId,
        mayFound: options.mayFound,
        alpha: options.alpha,
        acceptQuorum: options.acceptQuorum ?? 0,
        contacts: () => this.contacts,
        appliedCounter: () => state.leader.counter,
        mayServe: () => !this.isStateBehindLog,
        timing: {
          electionTicks: this.ticks(options.electionTimeoutMs),
          heartbeatTicks: this.ticks(options.heartbeatMs),
        },
        inFlightSlots: options.inFlightSlots,
        ...(options.promiseEntries !== undefined && { promiseEntries: options.promiseEntries }),
        random,
      },
      recovered,
    );
    this.driver = new LogDriver(log, {
      onPersisted: (marker, after) => this.onPersisted(marker, after),
      onLogFailure: (error) => this.onLogFailure(error),
    });
    this.traffic = new PeerTraffic(this.driver, ports.transport);
    this.clock = new ClusterClock(options.tickMs, options.electionTimeoutMs);
    const { batchBytes, batchCommands } = options;
    this.batcher = new Batcher({ batchBytes, batchCommands, queueBytesMax: QUEUE_BYTES_MAX }, this.clock);
    this.reads = new Reads(state, (error) => this.onReadFailure(error));
    this.router = new Router(
      this.identity,
      options.tickMs,
      this.ticks(options.electionTimeoutMs) * 4,
      this.routes(),
      1 + Math.floor(random() * 2 ** 48),
    );
    this.watches = new WatchHub(state, this.tracer, {
      tickMs: options.tickMs,
      leaderlessMs: Math.max(LEADERLESS_MS_MIN, LEADERLESS_ELECTIONS * options.electionTimeoutMs),
      onStateFailure: (error) => this.onReadFailure(error),
    });
    this.housekeeper = new Housekeeper(state, options.tickMs, (command, done) =>
      this.proposeOwn(command, done),
    );
    const electionTicks = this.ticks(options.electionTimeoutMs);
    this.mayBeQuiet = electionTicks >= Math.max(QUIET_ELECTION_TICKS, 4 * this.ticks(options.heartbeatMs));
    const reportTicks = this.ticks(options.heartbeatMs);
    const host = membershipHostOf(this, {
      send: (to, message) => this.traffic.send(to, message),
      retry: (pending, why) => this.router.retry(pending, why),
      onDismissed: (slot) => this.fail({ kind: 'removed', slot }),
    });
    this.membership = new Membership(
      {
        readmit: options.readmit ?? 'auto',
        witness: options.witness ?? false,
        reportTicks,
        electionTicks: this.ticks(options.electionTimeoutMs),
      },
      host,
      this.neighbours,
      this.tracer,
      // One that was never named was sent nothing to promise.
      this.node.history.names(this.identity) || compareBallots(recovered.promised, ZERO_BALLOT) > 0,
    );
    this.slowLeader = new SlowLeader(
      options.slowLeaderMs,
      reportTicks,
      options.tickMs,
      host,
      this.membership,
      this.tracer,
    );
    this.keeper = new StateKeeper(options, ports, this.node, this.driver, this.tracer, {
      onApplied: (entry, results) => this.onApplied(entry, results),
      onSkipped: (slot) => {
        for (const pending of this.batcher.takeSkipped(slot)) {
          this.router.retry(pending, 'its slot came with a snapshot');
        }
        this.noticeConfiguration();
        this.membership.onApplied(slot);
        this.watches.onStateReplaced();
      },
      heldThrough: () => this.membership.heldThrough,
      onTrouble: (error) => this.onStateTrouble(error),
      onProgress: () => this.progress(),
      anyPeer: (but) => this.anyPeer(but),
      isConnected: (peer) => this.neighbours.has(peer),
      send: (to, message) => this.traffic.send(to, message),
    });
    this.roles = new Roles(log, this.node, this.driver, this.keeper, this.tracer, {
      onRestored: (role) => {
        if (role === 'learner') this.watches.onStateReplaced();
        this.progress();
      },
      onLogFailure: (error) => this.onLogFailure(error),
    });
    this.catchUp = new CatchUp(log, this.driver, () => this.node.chosenThrough, {
      send: (to, message) => this.answerFetch(to, message),
      wantMark: () => this.node.step({ type: 'persist-mark' }),
      onReadFailure: (error) => this.trace('error', 'log-read-failed', { error: error.message }),
    });
    this.keeper.finishInstall(recovered);
    this.noticeConfiguration();
    this.trace('info', 'replica-start', { ...this.identity, chosenThrough: this.node.chosenThrough });
    this.drain();
  }

  // Inputs

  tick(wallMs: number): void {
    if (this.stopped) return;
    this.wallMs = wallMs;
    this.quietTicks += 1;
    this.node.step({ type: 'tick' });
    const { leadingBallot } = this.node;
    if (leadingBallot !== null) {
      this.clock.lead(leadingBallot, this.ports.state.clusterMs);
      this.clock.tick(this.node.confirmedRound);
      if (this.node.isEstablished) this.housekeeper.tick(this.clock.read(this.ports.state.clusterMs));
    }
    this.membership.tick();
    this.slowLeader.tick();
    this.keeper.tick();
    this.router.tick(wallMs);
    this.watches.tick(this.node.leader !== 0);
    this.drain();
  }

  get isQuiet(): boolean {
    return this.mayBeQuiet && this.quietTicks >= QUIET_TICKS;
  }

  request(sink: ReplySink, requestId: number, request: Request): void {
    this.quietTicks = 0;
    this.router.request(sink, requestId, request, false);
    if (this.turnEnds) return;
    this.turnEnds = true;
    this.ports.endOfTurn(this.endTurn);
  }

  private readonly endTurn = (): void => {
    this.turnEnds = false;
    this.drain();
  };

  forgetSink(sink: ReplySink): void {
    this.router.forgetSink(sink);
  }

  watch(sink: WatchSink, watchId: number, request: WatchRequest): void {
    this.quietTicks = 0;
    const refusal = this.refusal() ?? this.stateRefusal;
    if (refusal === null) this.watches.open(sink, watchId, request);
    else sink.tell(watchId, { type: 'ended', ...refusal, resumeRevision: request.fromRevision });
  }

  unwatch(sink: WatchSink, watchId: number): void {
    this.watches.close(sink, watchId);
  }

  forgetWatches(sink: WatchSink): void {
    this.watches.forget(sink);
  }

  onPeerFrame(from: Identity, bytes: Uint8Array): void {
    if (this.stopped) return;
    decodePeerFrame(bytes, ({ marker, message }) => this.onPeerMessage(from, marker, message));
    this.drain();
  }

  onPeerConnected(from: Identity, address: string, clusterId: ClusterId): void {
    this.neighbours.onConnected(from, address);
    this.membership.onConnected(from);
    if (clusterId !== '') this.node.heardOfCluster();
    this.noticeNeighbours();
    this.changed();
  }

  onPeerDisconnected(from: Identity): void {
    if (this.stopped || !this.neighbours.onDisconnected(from)) return;
    this.noticeNeighbours();
    this.changed();
    // Another process of the same number may still be there.
    if (this.neighbours.has(from.replicaId)) return;
    this.node.step({ type: 'disconnected', peer: from.replicaId });
    this.router.onForwardsLost(from.replicaId, 'the connection to the leader ended');
    this.drain();
    this.changed();
  }

  campaign(): void {
    this.node.step({ type: 'campaign' });
    this.drain();
  }

  killRole(role: PaxosRole): void {
    if (!this.stopped) this.roles.kill(role);
    this.drain();
  }

  restoreRole(role: PaxosRole): void {
    if (!this.stopped) this.roles.restore(role);
  }

  recoverLog(done: (error: Error | null) => void): void {
    this.roles.recoverLog(done);
  }

  status(): ReplicaStatus {
    return describeStatus(this, this.router.outstanding.count);
  }

  stop(done: () => void): void {
    if (this.stopping || this.stopped) return;
    this.stopping = done;
    this.trace('info', 'replica-stop', {});
    this.node.step({ type: 'transfer', to: this.membership.standing.successor });
    this.node.killRole('proposer');
    if (!this.driver.hasFailed) this.keeper.flush();
    this.drain();
    this.router.failAll('KVD_UNAVAILABLE', 'the replica is stopping');
    this.watches.endAll('KVD_UNAVAILABLE', 'the replica is stopping');
    this.finishStop();
  }

  // Carrying out what the core wants

  private onPeerMessage(from: Identity, marker: MarkerNumber, message: PeerMessage): void {
    if (!ROUTINE.has(message.type)) this.quietTicks = 0;
    switch (message.type) {
      case 'forward':
        if (!this.forwardsTaken.take(from.replicaId, message.forwardId)) return;
        this.router.request(
          this.traffic.forwardSink(from.replicaId),
          message.forwardId,
          message.request,
          true,
        );
        return;
      case 'forward-reply':
        this.router.onForwardReply(from.replicaId, message.forwardId, message.response);
        return;
      case 'snapshot-fetch':
      case 'snapshot-chunk':
      case 'snapshot-gone':
        this.keeper.onPeerMessage(from.replicaId, message);
        return;
      case 'report':
        this.membership.onReport(from, message);
        return;
      case 'dismissed':
        this.membership.onDismissed(message);
        return;
      default:
        this.keeper.onPeerMessage(from.replicaId, message);
        this.node.step({ type: 'message', from, marker, message });
        if (message.type === 'heartbeat') this.membership.onHeartbeat();
    }
  }

  /** Until nothing is left to do at once. Ports may complete only later, so this ends. */
  private drain(): void {
    if (this.draining || this.stopped) return;
    this.draining = true;
    do {
      const token = this.reads.takeToken();
      if (token !== null) this.node.step({ type: 'read', token });
      this.proposeBatches();
      for (let ready = this.node.takeReady(); ready; ready = this.node.takeReady()) this.carryOut(ready);
      for (const message of this.traffic.takeToSelf()) this.stepSelf(message);
      this.keeper.pump();
      this.watches.onRevisions();
      this.reads.pump();
      this.noticeOvertaken();
      this.noticeLeader();
      this.noticeRollback();
    } while (this.hasWork());
    this.draining = false;
    this.finishStop();
  }

  private hasWork(): boolean {
    return this.traffic.waitsForSelf || this.node.hasReady || this.reads.isGathering || this.wantsToPropose;
  }

  private carryOut(ready: Ready): void {
    this.traffic.transmit(ready.send);
    if (ready.send.some(({ message }) => message.type === 'heartbeat')) this.membership.onHeartbeat();
    if (ready.persist) this.driver.write(ready.persist, ready.sendAfterPersist);
    else this.traffic.transmit(ready.sendAfterPersist);
    this.keeper.push(ready.chosen);
    for (const { to, fromSlot, throughSlot } of ready.fetches) this.catchUp.serve(to, fromSlot, throughSlot);
    this.reads.onConfirmed(ready.confirmedReads);
    for (const pending of this.reads.takeRefused(ready.refusedReads))
      this.router.retry(pending, 'no longer the leader');
    this.keeper.startSnapshot(ready.snapshotFrom);
  }

  private onPersisted(marker: MarkerNumber, after: readonly Envelope[]): void {
    if (this.stopped) return;
    this.traffic.transmit(after);
    this.node.step({ type: 'persisted', marker });
    this.keeper.onMark();
    this.drain();
  }

  private stepSelf(message: Message): void {
    this.node.step({ type: 'message', from: this.identity, marker: this.driver.marker, message });
  }

  /** A learner that was rebuilt may ask its own log, where no peer knows more. */
  private answerFetch(to: ReplicaId, message: Message): void {
    if (to !== this.identity.replicaId) {
      this.traffic.send(to, message);
      return;
    }
    this.traffic.sendSelf(message);
    this.drain();
  }

  private get wantsToPropose(): boolean {
    if (this.batcher.waiting === 0 || !this.node.canPropose || this.membership.wantsQuiet) return false;
    return (this.node.diskIsIdle && this.batcher.isWorthASlot) || this.batcher.isFull;
  }

  /** What gathered while the disk was busy goes into one slot; a full batch does not wait for it. */
  private proposeBatches(): void {
    while (this.wantsToPropose) {
      const ballot = this.node.leadingBallot as Ballot;
      const { clusterMs } = this.ports.state;
      this.clock.lead(ballot, clusterMs);
      const batch = this.batcher.take(ballot, clusterMs, this.wallMs);
      if (!batch) return;
      const earlier = this.batcher.onProposed(this.node.propose(batch.value), ballot, batch.requests);
      for (const pending of earlier) this.router.retry(pending, 'another value was proposed in its slot');
      if (!this.batcher.isFull) return;
    }
  }

  private onApplied(entry: ChosenEntry, results: readonly CommandResult[]): void {
    for (const pending of this.batcher.onApplied(entry, results)) {
      this.router.retry(pending, 'another value was chosen in its slot');
    }
    if (entry.value.type === 'configuration') this.noticeConfiguration();
    this.membership.onApplied(entry.slot);
  }

  // Leadership and requests

  private routes(): RouterHandler {
    return {
      isLeading: () => this.node.isLeading,
      leader: () => this.node.leader,
      refusal: () => this.refusal(),
      lead: (pending) => this.lead(pending),
      readStale: (pending) => this.readStale(pending),
      forward: (to, forwardId, request) => this.traffic.send(to, { type: 'forward', forwardId, request }),
    };
  }

  private refusal(): Refusal | null {
    const { trouble } = this.keeper;
    if (trouble !== '') return { code: 'KVD_STATE_DIVERGED', message: trouble };
    if (this.stopping) return { code: 'KVD_UNAVAILABLE', message: 'the replica is stopping' };
    return null;
  }

  /**
   * Why nothing can be read from the state of this replica, however old it may be. Whoever knows no configuration may never
   * come to know one (a founder that was removed while it was away): a watcher would wait here for ever.
   */
  private get stateRefusal(): Refusal | null {
    const refused = (message: string): Refusal => ({ code: 'KVD_UNAVAILABLE', message });
    if (this.options.witness) return refused('a witness keeps no state');
    return this.node.history.founded ? null : refused('this replica knows of no cluster yet');
  }

  /** A command of the leader's own. `done`: its fate is known, or its time is over. */
  private proposeOwn(command: Uint8Array, done: () => void): void {
    const request = { type: 'mutate', timeoutMs: OWN_COMMAND_MS, command } as const;
    this.router.request({ reply: done }, 0, request, true);
  }

  private lead(pending: Pending): void {
    const { request } = pending;
    if (request.type === 'members') this.membership.ask(pending, request);
    else if (request.type !== 'mutate') this.reads.add(pending);
    else if (this.batcher.hasRoom) this.batcher.add(pending, request.command);
    else pending.fail('KVD_OVERLOADED', 'too much waits to be written; try again');
  }

  private readStale(pending: Pending): void {
    const refusal = this.stateRefusal;
    if (refusal) pending.fail(refusal.code, refusal.message);
    else if (this.roles.down.has('learner'))
      pending.fail('KVD_UNAVAILABLE', 'the learner of this replica is down');
    else this.reads.answer(pending);
  }

  /** The stores are closed under what is still being read at the end. */
  private onReadFailure(error: Error): void {
    if (!this.stopped) this.keeper.onReadFailure(error);
  }

  /** Only a peer has what it lacks: the log does not reach back to it. A witness keeps none. */
  get isStateBehindLog(): boolean {
    return !this.options.witness && this.ports.state.appliedThrough < this.driver.cutThrough;
  }

  /** A leader of a higher ballot than ours was there: what we propose at ours does nothing. */
  private noticeOvertaken(): void {
    const { leadingBallot } = this.node;
    if (leadingBallot === null || compareLeaders(leadingBallot, this.ports.state.leader) >= 0) return;
    this.node.step({ type: 'campaign' });
  }

  private noticeLeader(): void {
    const { isLeading, leader } = this.node;
    if (!isLeading && this.wasLeading) {
      this.membership.retire();
      for (const pending of this.batcher.giveBack()) this.router.retry(pending, 'no longer the leader');
    }
    const changed = isLeading !== this.wasLeading || leader !== this.knownLeader;
    this.wasLeading = isLeading;
    this.knownLeader = leader;
    if (!changed) return;
    this.trace('info', 'leader', { leader, leading: isLeading, ballot: this.node.status().ballot });
    if (leader !== 0) {
      if (leader !== this.lastLeader) this.router.onForwardsLost(this.lastLeader, 'the leader changed');
      this.lastLeader = leader;
      this.router.onLeader();
    }
    this.changed();
  }

  private noticeRollback(): void {
    if (!this.node.rolledBack || this.rollbackReported) return;
    this.rollbackReported = true;
    this.trace('error', 'rolled-back', { marker: this.driver.marker });
    this.ports.listeners?.onFailure?.({ kind: 'rolled-back' });
  }

  private noticeConfiguration(): void {
    const latest = this.node.history.latest?.configuration;
    if (!latest || latest === this.knownConfiguration) return;
    this.knownConfiguration = latest;
    this.ports.transport.setCluster(latest.clusterId);
    this.noticeNeighbours();
    this.ports.listeners?.onCluster?.(latest.clusterId);
    this.trace('info', 'configuration', { members: latest.members });
    this.changed();
  }

  /** Whom to stay connected with follows from who the members are, and from who is connected with us. */
  private noticeNeighbours(): void {
    this.ports.transport.setPeers(this.neighbours.wanted(this.node.history.latest?.configuration));
  }

  private get contacts(): ReplicaId[] {
    return [...this.neighbours.ids, ...(this.options.contacts ?? []).map(({ id }) => id)];
  }

  private changed(): void {
    this.ports.listeners?.onChange?.();
  }

  // Failures and the end

  private onStateTrouble(error: Error | null): void {
    this.membership.onStateChanged();
    if (error) {
      this.node.killRole('proposer');
      for (const pending of this.reads.takeConfirmed())
        this.router.retry(pending, 'the state is not believed');
      // Who watches goes on at a replica whose state is right, from where it was.
      this.watches.endAll('KVD_STATE_DIVERGED', this.keeper.trouble);
      this.ports.listeners?.onFailure?.({ kind: 'state', error });
      this.changed();
      return;
    }
    this.watches.onStateReplaced();
    if (!this.roles.down.has('proposer')) {
      this.node.restoreRole('proposer', this.ports.log.recovered);
    }
    this.changed();
  }

  private onLogFailure(error: Error): void {
    this.trace('error', 'log-failed', { error: error.message });
    this.node.poison();
    this.fail({ kind: 'log', error });
  }

  private fail(failure: ReplicaFailure): void {
    this.ports.listeners?.onFailure?.(failure);
    this.progress();
  }

  private progress(): void {
    this.drain();
    this.changed();
  }

  private finishStop(): void {
    if (!this.stopping || this.stopped || this.keeper.isFlushing) return;
    this.stopped = true;
    this.watches.stop();
    this.keeper.close();
    this.stopping();
  }

  /** Somebody who may have a state to give. */
  private anyPeer(but?: ReplicaId): ReplicaId | null {
    const members = this.node.history.latest?.configuration.members ?? [];
    const ids = this.neighbours.ids.filter(
      (id) => members.find(({ replicaId }) => replicaId === id)?.role !== 'witness',
    );
    const others = ids.length > 1 ? ids.filter((id) => id !== but) : ids;
    return others[Math.floor(this.ports.random() * others.length)] ?? null;
  }

  private ticks(ms: number): number {
    return Math.max(1, Math.round(ms / this.options.tickMs));
  }

  private trace(
    level: 'debug' | 'info' | 'warn' | 'error',
    event: string,
    fields: Readonly<Record<string, unknown>>,
  ): void {
    this.tracer.event(level, event, fields);
  }
}
