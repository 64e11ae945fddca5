/**
 * One virtual machine of the cluster: its disk, its clock, and the process on it, which is the product's Replica on the
 * product's stores. Starts, stops, kills and pauses the process, and starts it again when it has ended.
 */
import type { Identity, ReplicaId } from '@kvd/paxos';
import type { ReplicaPorts, ReplySink, StateMachine } from '@kvd/replica';
import { Replica } from '@kvd/replica';
import {
  DEFAULT_STATE_OPTIONS,
  DirectoryError,
  KvState,
  type OpenedDirectory,
  openMemoryDirectory,
} from '@kvd/store';
import { Dialler } from './dialler.js';
import { DiskLoss } from './disk-loss.js';
import { VirtualDisk } from './disk.js';
import { Inbox } from './inbox.js';
import { MARK } from './journal.js';
import type { Station } from './network.js';
import type { PartOwner } from './parts.js';
import type { Fuse, WritesAtCrash } from './plan.js';
import type { Random } from './random.js';
import { replicaOptions } from './replica-options.js';
import { StorageGuard } from './storage-guard.js';
import { type StorageOwner, watchLog, watchState } from './watched-storage.js';
import { safety } from './violation.js';
import type { World } from './world.js';

const RESTART_MS = 400;
/** Values here are of some five characters. */
const APART_BYTES = 4;
const SPAN_REVISIONS = 32;
const FIRST_LIFE = 1;

/** Of a state: where it writes, and what is changed behind its back. */
interface StateInside {
  readonly model: { readonly runningHash: { mix(value: number): void } };
}

export type Phase = 'down' | 'opening' | 'up';

export class Host implements Station {
  readonly disk: VirtualDisk;
  phase: Phase = 'down';
  identity: Identity | null = null;
  replica: Replica | null = null;
  state: StateMachine | null = null;
  /** Beneath whatever was put in its place. */
  private kept: KvState | null = null;
  /** Counts the processes that ran here. */
  life = 0;
  /** There is something to be started here: a founder, or who is to join. */
  isInstalled: boolean;
  /** It was told that it is no member any more, and stopped. */
  isRemoved = false;
  wallOffsetMs = 0;
  /** How long until it ticks again, and how often. */
  drift = 1;
  /** Nobody starts it before this is called off. */
  heldDown = 0;
  private readonly random: Random;
  private readonly inbox = new Inbox((event) => this.run(event));
  private fuse: { what: Fuse['what']; count: number; blow: () => void } | null = null;
  /** The process died in the middle of an event: what it does until the event ends never leaves it. */
  private zombie = false;
  private asyncWork = 0;
  private clusterId = '';
  private readonly dialler: Dialler;
  /** It joins a cluster that others founded. */
  private joins: boolean;
  private readonly loss = new DiskLoss();
  private readonly onWrite = (): void => this.burn('write');

  constructor(
    readonly id: ReplicaId,
    private readonly world: World,
    /** Differs from its replica's where there are two with the same one. */
    readonly number: number = id,
  ) {
    this.isInstalled = id <= world.plan.replicas && number === id;
    this.joins = id > world.plan.replicas;
    this.dialler = new Dialler(() => world.machines);
    this.random = world.random.fork(`host ${number}`);
    this.disk = new VirtualDisk(world.clock, this.random.fork('disk'), world.plan, (run) => {
      if (this.asyncWork > 0) world.settle();
      this.deliver(run);
    });
    this.drift = world.plan.drift[id - 1] ?? 1;
  }

  get address(): string {
    return addressOf(this.number);
  }

  get isWitness(): boolean {
    return this.world.plan.witnesses.includes(this.id);
  }

  dials(other: Station): boolean {
    return this.dialler.dials(other);
  }

  // Its disk

  /** It is to be started, with what is on its disk. */
  install(): void {
    this.isInstalled = true;
    this.isRemoved = false;
    this.start();
  }

  /** Its disk goes, and it joins with a new one. */
  replaceDisk(): void {
    this.crash();
    this.disk.wipe();
    this.joinNext();
    this.loseDisk(true);
  }

  /** From now on it is started as one that joins. */
  joinNext(): void {
    this.joins = true;
  }

  /** What is on it is gone, or not to be believed, which no start can tell if it is `isForGood`. */
  loseDisk(isForGood: boolean): void {
    const { life, identity, world } = this;
    if (identity === null) return;
    this.loss.note(identity, life, world.votes.directories.of(identity).chosenThrough, isForGood);
  }

  get isDiskLost(): boolean {
    this.noteRepaired();
    return this.loss.isOf(this.identity);
  }

  get isUp(): boolean {
    return this.phase === 'up' && this.replica !== null;
  }

  // The process

  start(): void {
    if (this.phase !== 'down' || this.heldDown > 0 || !this.isInstalled || this.isRemoved) return;
    const { world, id } = this;
    this.life += 1;
    const { life } = this;
    this.phase = 'opening';
    this.zombie = false;
    world.journal.mark(MARK.start, id, life);
    world.journal.say(id, () => 'starts');
    this.asyncWork += 1;
    world.settle();
    const schedule = this.disk.newSchedule(this.onWrite);
    const ofState = world.plan.twoQueues ? this.disk.stateSchedule(this.onWrite) : schedule;
    const request = {
      replicaId: id,
      founding: this.joins ? '' : world.foundingList,
      witness: this.isWitness,
      newIncarnation: () => this.random.identifier(),
      state: {
        cacheBytes: this.random.chance(0.5) ? 4 * 1024 : 1024 * 1024,
        // Some of the values lie apart, and some lives find what others left.
        apartBytes: life % 2 === 0 ? APART_BYTES : DEFAULT_STATE_OPTIONS.apartBytes,
        spanRevisions: SPAN_REVISIONS,
        // The first life leaves what a program that knew no spans would have left.
        versions: life === FIRST_LIFE ? ('as-format-4' as const) : ('spans' as const),
      },
    };
    openMemoryDirectory(this.disk.memory, request, schedule, ofState).then(
      (opened) => {
        if (life !== this.life) return;
        this.asyncWork -= 1;
        world.guard(() => this.boot(opened));
      },
      (error: unknown) => {
        if (life !== this.life) return;
        this.asyncWork -= 1;
        world.guard(() => this.onRefused(error));
      },
    );
  }

  /** The process dies, now. */
  crash(writes: WritesAtCrash = 'lost', sideLags = false): void {
    if (this.phase === 'down') return;
    this.zombie = true;
    const reached = this.disk.crash(writes, sideLags);
    this.world.journal.say(this.id, () => `dies; of the writes under way ${reached} reached the disk`);
    this.ended();
  }

  /** SIGTERM: hands over, flushes, exits. */
  stop(): void {
    const { replica, life } = this;
    if (replica === null || this.inbox.isPaused) {
      this.crash();
      return;
    }
    const end = (): void => {
      if (life === this.life && this.phase === 'up') this.crash();
    };
    this.world.clock.after(2000, end);
    replica.stop(() => this.world.clock.after(0, end));
  }

  pause(): void {
    if (this.phase !== 'down') this.inbox.isPaused = true;
  }

  resume(): void {
    const { life, inbox } = this;
    if (!inbox.isPaused) return;
    if (this.asyncWork > 0) this.world.settle();
    inbox.resume(() => life === this.life);
  }

  /** Dies at the moment when it does something for the so-manieth time from now. */
  light(fuse: Fuse, blow: () => void): void {
    if (this.phase !== 'down') this.fuse = { ...fuse, blow };
  }

  disarm(): void {
    this.fuse = null;
  }

  /** Its state is another one from now on, in memory and, as soon as that is flushed, on its disk; only its hash can tell. */
  diverge(): void {
    const { kept, identity, world } = this;
    if (kept === null || identity === null) return;
    world.states.onDiverged(identity);
    this.disk.isTampered = true;
    insideOf(kept).model.runningHash.mix(1);
  }

  // What reaches the process

  deliver(run: () => void): void {
    if (this.phase !== 'down') this.inbox.deliver(run);
  }

  onFrame(from: Identity, bytes: Uint8Array): void {
    const { replica, world } = this;
    if (replica === null) return;
    world.tell(this.id, `receives from ${from.replicaId}:`, bytes);
    world.rollbacks.onFrame(this, from, bytes);
    replica.onPeerFrame(from, bytes);
  }

  onConnected(from: Identity, address: string): void {
    const other = this.world.machines.find(({ identity }) => identity?.incarnation === from.incarnation);
    this.replica?.onPeerConnected(from, address, other?.clusterId ?? '');
  }

  onDisconnected(from: Identity): void {
    this.replica?.onPeerDisconnected(from);
  }

  accepts(other: Station): boolean {
    return (
      this.isUp &&
      (!(other instanceof Host) ||
        other.clusterId === '' ||
        this.clusterId === '' ||
        other.clusterId === this.clusterId)
    );
  }

  /** A sink that dies with the process. */
  sink(reply: ReplySink['reply']): ReplySink {
    const { life } = this;
    return {
      reply: (requestId, response) => {
        if (life === this.life && !this.zombie) reply(requestId, response);
      },
    };
  }

  private run(run: () => void): void {
    const { life } = this;
    this.world.guard(run);
    if (this.zombie && life === this.life && this.phase !== 'down') this.fuse?.blow();
  }

  private burn(what: Fuse['what']): void {
    const { fuse } = this;
    if (fuse === null || fuse.what !== what || this.zombie) return;
    fuse.count -= 1;
    if (fuse.count <= 0) this.zombie = true;
  }

  private boot(opened: OpenedDirectory): void {
    const { world, id } = this;
    this.identity = opened.identity;
    this.clusterId = opened.clusterId;
    this.phase = 'up';
    if (opened.isNew) this.disk.formatted();
    for (const what of opened.setAside) {
      world.journal.say(id, () => `set aside: ${what}`);
      if (!this.disk.isTampered) throw safety('false-alarm', `nothing is wrong with its disk: ${what}`);
    }
    const { recovered } = opened.log;
    world.votes.onOpened(recovered);
    world.rollbacks.onOpened(
      opened.identity,
      recovered.marker,
      world.machines.filter((host) => host.isUp),
    );
    const owner = this.owner();
    const { parts } = world;
    const kept = opened.state instanceof KvState ? opened.state : null;
    const state = kept === null ? opened.state : (parts.state?.(kept, owner) ?? kept);
    this.kept = kept;
    this.state = watchState(state, opened.identity, kept !== null, world);
    const guard = this.guard(opened);
    const { address, joins, isWitness } = this;
    const { mayFound } = opened;
    const newClusterId = this.random.identifier();
    const options = replicaOptions(world, { address, joins, isWitness, mayFound, newClusterId });
    this.dialler.set(options.founding ?? options.contacts ?? []);
    const watched = watchLog(opened.log, opened.identity, this.storageOwner(), world);
    const ports: ReplicaPorts = {
      log: parts.log?.(watched, owner) ?? watched,
      state: this.state,
      transport: {
        send: (to, bytes) => this.send(to, bytes),
        setPeers: (peers) => {
          if (this.dialler.set(peers)) world.network.redial(this);
        },
        setCluster: (clusterId) => void (this.clusterId = clusterId),
      },
      trace: { event: (level, name, fields) => this.onTrace(level, name, fields) },
      random: this.random.fork(`life ${this.life}`).next,
      endOfTurn: (task) => this.after(0, task),
      listeners: {
        onCluster: (clusterId) => opened.setClusterId(clusterId),
        onFailure: (failure) => {
          if (!this.zombie) guard.onFailure(failure);
        },
      },
    };
    this.replica = new Replica(options, ports);
    parts.replica?.(this.replica, owner);
    world.journal.say(
      id,
      () =>
        `is up: ${opened.isNew ? 'a new directory' : 'its own directory'}, incarnation ${opened.identity.incarnation.slice(0, 8)}`,
    );
    world.network.stationUp(this);
    this.scheduleTick(this.life, this.random.between(0, world.plan.tickMs));
    guard.scrub();
  }

  private storageOwner(): StorageOwner {
    const { life } = this;
    return {
      id: this.id,
      durableThrough: () => this.state?.durableThrough ?? 0,
      reloading: (isUnderWay) => {
        if (isUnderWay) this.world.settle();
        if (life === this.life) this.asyncWork += isUnderWay ? 1 : -1;
      },
    };
  }

  private onTrace(level: string, name: string, fields: Readonly<Record<string, unknown>>): void {
    const { clock, journal, leaderships } = this.world;
    if (name === 'leader' && fields['leading'] === true) leaderships.push({ atMs: clock.nowMs, id: this.id });
    journal.say(this.id, () => `${level === 'debug' ? '' : `${level} `}${name} ${JSON.stringify(fields)}`);
  }

  /** Of this process; void once it has ended. */
  private after(delayMs: number, run: () => void): void {
    const { life } = this;
    this.world.clock.after(delayMs, () => {
      if (life === this.life) this.deliver(run);
    });
  }

  private owner(): PartOwner {
    const { world } = this;
    return {
      id: this.id,
      identity: this.identity ?? { replicaId: this.id, incarnation: '' },
      after: (delayMs, run) => this.after(delayMs, run),
      now: () => world.clock.nowMs,
    };
  }

  /** A timer of the process: a pause or a stall swallows ticks, they are not caught up with. */
  private scheduleTick(life: number, afterMs: number, wereTwo = false): void {
    const { world } = this;
    world.clock.after(afterMs, () => {
      if (life !== this.life || this.phase === 'down') return;
      const { replica } = this;
      const isQuiet = replica?.isQuiet ?? false;
      if (!this.inbox.isPaused && replica !== null) {
        const wallMs = Math.round(1_700_000_000_000 + world.clock.nowMs + this.wallOffsetMs);
        for (let ticks = wereTwo && isQuiet ? 2 : 1; ticks > 0; ticks -= 1)
          this.run(() => replica.tick(wallMs));
      }
      // As the daemon does (kvd/src/ticker.ts).
      this.scheduleTick(life, ((isQuiet ? 2 : 1) * world.plan.tickMs) / this.drift, isQuiet);
    });
  }

  private send(to: ReplicaId, bytes: Uint8Array): boolean {
    this.burn('send');
    const { world, identity } = this;
    if (this.zombie || identity === null || this.phase === 'down') return false;
    world.judgeSent(identity, this.life, bytes);
    world.tell(this.id, `sends to ${to}:`, bytes);
    const station = this.dialler.stationOf(to);
    return station !== undefined && world.network.send(this, station, bytes);
  }

  private guard(opened: OpenedDirectory): StorageGuard {
    const { life, world, id } = this;
    const isThere = (): boolean => life === this.life && !this.zombie;
    return new StorageGuard({
      opened,
      replica: () => (isThere() ? this.replica : null),
      after: (delayMs, run) => this.after(delayMs, run),
      say: (what) => world.journal.say(id, () => what),
      exit: (reason) => {
        world.journal.say(id, () => `exits: ${reason}`);
        world.clock.after(0, () => {
          if (life === this.life) this.crash();
        });
      },
      removed: () => {
        this.isRemoved = this.random.chance(0.7);
        return this.isRemoved;
      },
    });
  }

  private onRefused(error: unknown): void {
    this.world.journal.say(this.id, () => `cannot start: ${String(error)}`);
    if (error instanceof DirectoryError && error.kind === 'removed') this.isRemoved = true;
    else this.world.onRefused(this, error);
    this.disk.crash('lost', false);
    this.ended();
  }

  /** Only a process that is up has verified what it started with; while there is none the disk is as it was left. */
  private noteRepaired(): void {
    if (this.isUp && this.state !== null) this.loss.forgetIfRepaired(this.life, this.state.durableThrough);
  }

  private ended(): void {
    this.noteRepaired();
    this.phase = 'down';
    this.life += 1;
    this.replica = null;
    this.state = null;
    this.kept = null;
    this.fuse = null;
    this.inbox.clear();
    this.asyncWork = 0;
    this.world.onDown(this);
    // Its supervisor; start() does nothing while a fault holds it down.
    this.world.clock.after(RESTART_MS, () => this.start());
  }
}

function insideOf(state: KvState): StateInside {
  return state as unknown as StateInside;
}

export function addressOf(id: ReplicaId): string {
  return `10.0.0.${id}:15000`;
}
