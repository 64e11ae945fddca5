/**
 * A cluster of PaxosNodes on a network and disks that a test moves by hand: it says which message arrives, is lost or
 * comes twice, which write ends, who crashes. Deterministic: the same calls and the same seed give the same run. An
 * oracle watches all of it. The same driver's duties as packages/replica has, without the key-value part.
 */
import type { FoundingMember, NodeOptions } from '../../src/context.js';
import { ConfigurationHistory, trimConfigurations } from '../../src/configuration.js';
import type { Message } from '../../src/messages.js';
import type { Input, Ready, Role } from '../../src/node.js';
import { PaxosNode } from '../../src/node.js';
import type { Envelope, FetchRequest } from '../../src/outbox.js';
import { withoutRole } from '../../src/outbox.js';
import type {
  ChosenEntry,
  ConfigurationAt,
  Identity,
  Persist,
  RecoveredLog,
  ReplicaId,
  Slot,
  Value,
} from '../../src/types.js';
import { Disk } from './disk.js';
import { CLUSTER_ID, identity, incarnation, recovered, seededRandom } from './literals.js';
import { Oracle } from './oracle.js';

/** A snapshot travels beside the core's messages. */
type Cargo =
  | Message
  | { readonly type: 'snapshot-wanted' }
  | { readonly type: 'snapshot'; readonly slot: Slot; readonly configurations: readonly ConfigurationAt[] };

export interface Packet {
  readonly from: Identity;
  readonly to: ReplicaId;
  /** A connection ends with the directory of its receiver. */
  readonly toIncarnation: string;
  readonly marker: number;
  readonly cargo: Cargo;
}

export interface ClusterOptions {
  readonly seed?: number;
  readonly alpha?: number;
  readonly electionTicks?: number;
  readonly heartbeatTicks?: number;
  readonly inFlightSlots?: number;
  /** Start from these disks instead of empty ones. */
  readonly disks?: readonly RecoveredLog[];
}

export class Replica {
  node: PaxosNode | null = null;
  disk: Disk;
  /** The write under way, and what waits for it. */
  writing: { persist: Persist; after: readonly Envelope[] } | null = null;
  readonly down = new Set<Role>();
  /** Every slot up to it is in the state, which is durable at once, and so is often ahead of the log's mark. */
  applied: Slot = 0;
  /** The configurations in the state. */
  configurations: ConfigurationHistory;
  lives = 0;

  constructor(
    readonly id: ReplicaId,
    log: RecoveredLog,
  ) {
    this.disk = new Disk(log);
    this.applied = log.chosenThrough;
    this.configurations = new ConfigurationHistory(log.configurations);
  }

  get identity(): Identity {
    return this.disk.identity;
  }

  apply({ slot, value }: ChosenEntry): void {
    if (slot !== this.applied + 1) return;
    this.applied = slot;
    if (value.type === 'configuration') this.configurations.add(slot, value.configuration);
  }

  install(slot: Slot, configurations: readonly ConfigurationAt[]): void {
    this.applied = slot;
    this.configurations = new ConfigurationHistory(configurations);
  }

  /** The node of a replica that is up. */
  get up(): PaxosNode {
    if (!this.node) throw new Error(`replica ${this.id} is down`);
    return this.node;
  }
}

export class Cluster {
  readonly oracle = new Oracle();
  readonly replicas: readonly Replica[];
  readonly random: () => number;
  /** Under way, oldest first. */
  packets: Packet[] = [];
  /** Links that lose everything, as '1>2'. */
  readonly blocked = new Set<string>();
  readonly confirmedReads: { replica: ReplicaId; token: number; slot: Slot }[] = [];
  readonly refusedReads: { replica: ReplicaId; token: number }[] = [];
  private readonly founding: readonly FoundingMember[];
  private tokens = 0;

  constructor(
    size: number,
    private readonly options: ClusterOptions = {},
  ) {
    this.random = seededRandom(options.seed ?? 1);
    this.founding = Array.from({ length: size }, (_, i) => ({
      id: i + 1,
      address: `replica-${i + 1}:15000`,
    }));
    const disks = options.disks ?? this.founding.map(({ id }) => recovered(id));
    this.replicas = disks.map((log) => new Replica(log.identity.replicaId, log));
    for (const { slot, configuration } of disks[0]?.configurations ?? []) {
      this.oracle.assume(slot, { type: 'configuration', configuration });
    }
    for (const { id } of this.replicas) this.restart(id);
  }

  at(id: ReplicaId): Replica {
    const replica = this.replicas.find((r) => r.id === id);
    if (!replica) throw new Error(`no replica ${id}`);
    return replica;
  }

  node(id: ReplicaId): PaxosNode {
    return this.at(id).up;
  }

  get ids(): ReplicaId[] {
    return this.replicas.map((replica) => replica.id);
  }

  /** Whoever believes to lead. */
  get leaders(): ReplicaId[] {
    return this.replicas.filter((replica) => replica.node?.isLeading).map((replica) => replica.id);
  }

  // Inputs of one replica

  step(id: ReplicaId, input: Input): void {
    const replica = this.at(id);
    if (!replica.node) return;
    replica.node.step(input);
    this.drain(replica);
  }

  tick(id: ReplicaId, times = 1): void {
    for (let i = 0; i < times; i++) this.step(id, { type: 'tick' });
  }

  propose(id: ReplicaId, value: Value): Slot | null {
    const replica = this.at(id);
    if (!replica.node?.canPropose) return null;
    const slot = replica.node.propose(value);
    this.drain(replica);
    return slot;
  }

  /** A linearizable read at `id`. Returns its token. */
  read(id: ReplicaId): number {
    const token = ++this.tokens;
    if (!this.at(id).node) return token;
    this.oracle.onRead(id, token);
    this.step(id, { type: 'read', token });
    return token;
  }

  /** The state is durable as far as it is applied: cut the log there. */
  cut(id: ReplicaId, through: Slot): void {
    const { applied } = this.at(id);
    this.step(id, { type: 'cut', through: Math.min(through, applied) });
  }

  // Disks

  /** The write under way ends. */
  sync(id: ReplicaId): boolean {
    const replica = this.at(id);
    const { writing } = replica;
    if (!writing) return false;
    replica.writing = null;
    const markBefore = replica.disk.chosenThrough;
    replica.disk.commit(writing.persist);
    this.oracle.onCommit(replica.identity, replica.disk, writing.persist, markBefore);
    this.transmit(replica, writing.after);
    this.step(id, { type: 'persisted', marker: replica.disk.marker });
    return true;
  }

  // Crashes

  /** The process is gone, and with it what was not synced. */
  crash(id: ReplicaId): void {
    const replica = this.at(id);
    replica.node = null;
    replica.writing = null;
    replica.down.clear();
  }

  restart(id: ReplicaId): void {
    const replica = this.at(id);
    this.crash(id);
    const log = replica.disk.recovered();
    replica.node = new PaxosNode(this.nodeOptions(replica), log);
    this.drain(replica);
    // A state that is ahead of the log is a snapshot that was not quite installed; the log need not know it to go on.
    if (replica.applied > log.chosenThrough && this.random() < 0.5) this.stateIsAhead(replica);
  }

  private stateIsAhead({ id, applied: slot, configurations }: Replica): void {
    this.step(id, { type: 'snapshot-installed', slot, configurations: configurations.all });
  }

  /** The process is gone, and so is its data directory. */
  wipe(id: ReplicaId): void {
    const replica = this.at(id);
    this.crash(id);
    replica.lives += 1;
    replica.install(0, []);
    replica.disk = new Disk(recovered(id, { identity: identity(id, replica.lives) }));
  }

  killRole(id: ReplicaId, role: Role): void {
    const replica = this.at(id);
    if (!replica.node || replica.down.has(role)) return;
    replica.down.add(role);
    replica.node.killRole(role);
    if (replica.writing) {
      let after = withoutRole(replica.writing.after, role);
      if (role === 'acceptor') after = withoutRole(after, 'proposer');
      replica.writing = { ...replica.writing, after };
    }
    this.drain(replica);
  }

  /** Reading the log anew waits for the write under way. */
  restoreRole(id: ReplicaId, role: Role): void {
    const replica = this.at(id);
    if (!replica.node || !replica.down.delete(role)) return;
    this.sync(id);
    replica.node?.restoreRole(role, replica.disk.recovered());
    this.drain(replica);
  }

  // The network

  block(from: ReplicaId, to: ReplicaId): void {
    this.blocked.add(`${from}>${to}`);
  }

  /** Nothing passes between those in `some` and the others. */
  partition(some: readonly ReplicaId[]): void {
    for (const a of this.ids) {
      for (const b of this.ids) if (some.includes(a) !== some.includes(b)) this.block(a, b);
    }
  }

  heal(): void {
    this.blocked.clear();
  }

  /** Deliver the first packet that fits, if there is one. */
  deliver(fits: (packet: Packet) => boolean): Packet | null {
    const index = this.packets.findIndex(fits);
    const [packet] = index < 0 ? [] : this.packets.splice(index, 1);
    if (packet) this.arrive(packet);
    return packet ?? null;
  }

  /** Deliver every packet that fits, and those that come of it, without ending a write. */
  deliverAll(fits: (packet: Packet) => boolean = () => true): void {
    while (this.deliver(fits));
  }

  drop(fits: (packet: Packet) => boolean): void {
    this.packets = this.packets.filter((packet) => !fits(packet));
  }

  arrive({ from, to, toIncarnation, marker, cargo }: Packet): void {
    const replica = this.at(to);
    const { node } = replica;
    if (!node || replica.identity.incarnation !== toIncarnation) return;
    if (this.blocked.has(`${from.replicaId}>${to}`)) return;
    switch (cargo.type) {
      case 'snapshot-wanted': {
        const slot = replica.applied;
        const configurations = trimConfigurations(replica.configurations.all, slot);
        this.post(replica, from.replicaId, { type: 'snapshot', slot, configurations });
        return;
      }
      case 'snapshot':
        if (replica.down.has('learner')) return;
        if (cargo.slot > replica.applied) replica.install(cargo.slot, cargo.configurations);
        this.stateIsAhead(replica);
        return;
      default:
        this.step(to, { type: 'message', from, marker, message: cargo });
    }
  }

  // Time passes for all

  /** One tick of a cluster without faults: everybody ticks, all writes end, all messages arrive in order. */
  round(): void {
    for (const { id, node } of this.replicas) if (node) this.tick(id);
    this.quiesce();
  }

  /** Until nothing is under way any more. */
  quiesce(): void {
    for (;;) {
      let busy = this.packets.length > 0;
      const { packets } = this;
      this.packets = [];
      for (const packet of packets) this.arrive(packet);
      for (const { id } of this.replicas) busy = this.sync(id) || busy;
      if (!busy) return;
    }
  }

  /** Rounds until it holds; false when it did not within `limit` ticks. */
  runUntil(holds: () => boolean, limit = 600): boolean {
    for (let i = 0; i < limit; i++) {
      if (holds()) return true;
      this.round();
    }
    return holds();
  }

  /** The one that leads and is through its barrier, after as many rounds as it takes; all know what it knows. */
  elect(limit = 600): ReplicaId {
    const settled = (): ReplicaId[] =>
      this.replicas.filter((r) => r.node?.isEstablished && r.node.canPropose).map((r) => r.id);
    const isKnown = (): boolean => {
      const known = this.replicas.flatMap(({ node }) => node?.chosenThrough ?? []);
      return settled().length === 1 && Math.min(...known) === Math.max(...known);
    };
    if (!this.runUntil(isKnown, limit)) throw new Error('nobody was elected');
    return settled()[0] as ReplicaId;
  }

  // Carrying out what a node wants

  private drain(replica: Replica): void {
    const { node } = replica;
    for (let ready = node?.takeReady(); ready; ready = node?.takeReady()) this.carryOut(replica, ready);
  }

  private carryOut(replica: Replica, ready: Ready): void {
    for (const entry of ready.chosen) {
      this.oracle.onLearned(replica.id, entry);
      replica.apply(entry);
    }
    for (const { token, slot } of ready.confirmedReads) {
      this.oracle.onReadConfirmed(replica.id, token, slot);
      this.confirmedReads.push({ replica: replica.id, token, slot });
    }
    for (const token of ready.refusedReads) this.refusedReads.push({ replica: replica.id, token });
    if (ready.persist) replica.writing = { persist: ready.persist, after: ready.sendAfterPersist };
    this.transmit(replica, ready.send);
    if (!ready.persist) this.transmit(replica, ready.sendAfterPersist);
    for (const fetch of ready.fetches) this.serve(replica, fetch);
    if (ready.snapshotFrom !== null) this.post(replica, ready.snapshotFrom, { type: 'snapshot-wanted' });
  }

  /** Own messages come back at once, as inputs. */
  private transmit(replica: Replica, envelopes: readonly Envelope[]): void {
    for (const { to, message } of envelopes) {
      this.oracle.onSend(replica.identity, replica.disk, message);
      for (const id of to) this.post(replica, id, message);
    }
  }

  private post(replica: Replica, to: ReplicaId, cargo: Cargo): void {
    const from = replica.identity;
    const { marker } = replica.disk;
    const target = this.replicas.find((other) => other.id === to);
    if (!target) return;
    const packet = { from, to, toIncarnation: target.identity.incarnation, marker, cargo };
    if (to === replica.id) this.arrive(packet);
    else this.packets.push(packet);
  }

  /** Only what the mark on disk covers is certain to be in the log as chosen. */
  private serve(replica: Replica, { to, fromSlot, throughSlot }: FetchRequest): void {
    const { disk, node } = replica;
    const chosenThrough = node?.chosenThrough ?? 0;
    if (fromSlot <= disk.cutThrough)
      return this.post(replica, to, { type: 'cut', cutThrough: disk.cutThrough });
    const entries = [];
    for (
      let slot = fromSlot;
      slot <= Math.min(throughSlot, disk.chosenThrough) && entries.length < 16;
      slot++
    ) {
      const held = disk.entryAt(slot);
      if (!held) break;
      entries.push({ slot, value: held.value });
    }
    if (entries.length === 0) this.step(replica.id, { type: 'persist-mark' });
    this.post(replica, to, { type: 'chosen', entries, chosenThrough });
  }

  private nodeOptions(replica: Replica): NodeOptions {
    const { alpha, electionTicks, heartbeatTicks, inFlightSlots } = this.options;
    return {
      identity: replica.identity,
      founding: this.founding,
      newClusterId: CLUSTER_ID,
      mayFound: true,
      alpha: alpha ?? 8,
      timing: { electionTicks: electionTicks ?? 10, heartbeatTicks: heartbeatTicks ?? 3 },
      inFlightSlots: inFlightSlots ?? 4,
      random: this.random,
    };
  }
}

export { incarnation };
