/**
 * One virtual machine of the cluster: its disk, its clock, and the process on it, which is the product's Replica on the
 * product's stores. Starts, stops, kills and pauses the process, and does what the daemon does about failed storage
 * (kvd's StorageGuard): without space it reopens and verifies with back-off, after any other failure it exits and is
 * started again by its supervisor.
 */
import type { Identity, ReplicaId } from '@kvd/paxos';
import type {
  LogStore,
  ReplicaFailure,
  ReplicaOptions,
  ReplicaPorts,
  ReplySink,
  StateMachine,
} from '@kvd/replica';
import { Replica } from '@kvd/replica';
import { KvState, type OpenedDirectory, openMemoryDirectory, StoreError } from '@kvd/store';
import { VirtualDisk } from './disk.js';
import { MARK } from './journal.js';
import type { Station } from './network.js';
import type { PartOwner } from './parts.js';
import type { Fuse, WritesAtCrash } from './plan.js';
import type { Random } from './random.js';
import { describePersist, WatchedLog } from './watched-log.js';
import { WatchedState } from './watched-state.js';
import type { World } from './world.js';

const RESTART_MS = 400;
const RECOVER_MIN_MS = 250;
const RECOVER_MAX_MS = 10_000;
/** Events kept for a paused process: what a socket would hold. */
const BACKLOG_MAX = 50_000;

export type Phase = 'down' | 'opening' | 'up';

export class Host implements Station {
  readonly disk: VirtualDisk;
  phase: Phase = 'down';
  identity: Identity | null = null;
  replica: Replica | null = null;
  state: StateMachine | null = null;
  /** Counts the processes that ran here. */
  life = 0;
  /** The log was lost, to the knowledge of whoever looks at the whole: this machine may never vote again. */
  logLost = false;
  wallOffsetMs = 0;
  /** How long until it ticks again, and how often. */
  drift = 1;
  paused = false;
  /** Nobody starts it before this is called off. */
  heldDown = 0;
  private readonly random: Random;
  private opened: OpenedDirectory | null = null;
  private backlog: (() => void)[] = [];
  private fuse: { what: Fuse['what']; count: number; blow: () => void } | null = null;
  /** The process died in the middle of an event: what it does until the event ends never leaves it. */
  private zombie = false;
  private asyncWork = 0;
  private recoverAttempts = 0;
  private clusterId = '';

  constructor(
    readonly id: ReplicaId,
    private readonly world: World,
  ) {
    this.random = world.random.fork(`host ${id}`);
    this.disk = new VirtualDisk(world.clock, this.random.fork('disk'), world.plan, (run) => {
      if (this.asyncWork > 0) world.settle();
      this.deliver(run);
    });
    this.drift = world.plan.drift[id - 1] ?? 1;
  }

  get address(): string {
    return addressOf(this.id);
  }

  get isUp(): boolean {
    return this.phase === 'up' && this.replica !== null;
  }

  /** The counter of the ballot it leads with; 0: it does not lead. */
  get leadingCounter(): number {
    if (!this.replica?.node.isLeading) return 0;
    return Number(this.replica.node.status().ballot.split('.')[0]);
  }

  // The process

  start(): void {
    if (this.phase !== 'down' || this.heldDown > 0) return;
    const { world, id } = this;
    this.life += 1;
    const { life } = this;
    this.phase = 'opening';
    this.zombie = false;
    world.journal.mark(MARK.start, id, life);
    world.journal.say(id, () => 'starts');
    this.asyncWork += 1;
    world.settle();
    const schedule = this.disk.newSchedule(() => this.burn('write'));
    const request = {
      replicaId: id,
      founding: world.foundingList,
      newIncarnation: () => this.random.identifier(),
      state: { cacheBytes: this.random.chance(0.5) ? 4 * 1024 : 1024 * 1024 },
    };
    openMemoryDirectory(this.disk.memory, request, schedule).then(
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
    if (replica === null || this.paused) {
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
    if (this.phase !== 'down') this.paused = true;
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    if (this.asyncWork > 0) this.world.settle();
    const { backlog, life } = this;
    this.backlog = [];
    for (const run of backlog) {
      if (life !== this.life) return;
      this.run(run);
    }
  }

  /** Dies at the moment when it does something for the so-manieth time from now. */
  light(fuse: Fuse, blow: () => void): void {
    if (this.phase !== 'down') this.fuse = { ...fuse, blow };
  }

  disarm(): void {
    this.fuse = null;
  }

  // What reaches the process

  deliver(run: () => void): void {
    if (this.phase === 'down') return;
    if (!this.paused) this.run(run);
    else if (this.backlog.length < BACKLOG_MAX) this.backlog.push(run);
  }

  onFrame(from: Identity, bytes: Uint8Array): void {
    const { replica, world } = this;
    if (replica === null) return;
    world.tell(this.id, `receives from ${from.replicaId}:`, bytes);
    replica.onPeerFrame(from, bytes);
  }

  onConnected(from: Identity, address: string): void {
    this.replica?.onPeerConnected(from, address);
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
    this.opened = opened;
    this.identity = opened.identity;
    this.clusterId = opened.clusterId;
    this.phase = 'up';
    if (opened.isNew) this.disk.formatted();
    for (const what of opened.setAside) world.journal.say(id, () => `set aside: ${what}`);
    world.votes.onOpened(opened.log.recovered);
    const owner = this.owner();
    const { parts } = world;
    const replaced = opened.state instanceof KvState ? parts.state?.(opened.state, owner) : undefined;
    this.state = this.watchState(replaced ?? opened.state, opened.identity);
    const watched = this.watchLog(opened.log, opened.identity);
    const ports: ReplicaPorts = {
      log: parts.log?.(watched, owner) ?? watched,
      state: this.state,
      transport: {
        send: (to, bytes) => this.send(to, bytes),
        setPeers: () => undefined,
        setCluster: (clusterId) => void (this.clusterId = clusterId),
      },
      trace: { event: (level, name, fields) => this.onTrace(level, name, fields) },
      random: this.random.fork(`life ${this.life}`).next,
      listeners: {
        onCluster: (clusterId) => opened.setClusterId(clusterId),
        onFailure: (failure) => this.onFailure(failure),
      },
    };
    this.replica = new Replica(this.options(opened), ports);
    parts.replica?.(this.replica, owner);
    world.journal.say(
      id,
      () =>
        `is up: ${opened.isNew ? 'a new directory' : 'its own directory'}, incarnation ${opened.identity.incarnation.slice(0, 8)}`,
    );
    world.network.stationUp(this);
    this.scheduleTick(this.life, this.random.between(0, world.plan.tickMs));
    if (!opened.isNew) this.scrub(opened);
  }

  private onTrace(level: string, name: string, fields: Readonly<Record<string, unknown>>): void {
    const { clock, journal, leaderships } = this.world;
    if (name === 'leader' && fields['leading'] === true) leaderships.push({ atMs: clock.nowMs, id: this.id });
    journal.say(this.id, () => `${level === 'debug' ? '' : `${level} `}${name} ${JSON.stringify(fields)}`);
  }

  private options(opened: OpenedDirectory): ReplicaOptions {
    const { plan, members } = this.world;
    const { tickMs, electionTimeoutMs, heartbeatMs, alpha, inFlightSlots, batchCommands, snapshotSlots } =
      plan;
    return {
      founding: members,
      newClusterId: this.random.identifier(),
      mayFound: opened.mayFound,
      address: this.address,
      alpha,
      tickMs,
      electionTimeoutMs,
      heartbeatMs,
      inFlightSlots,
      batchBytes: 64 * 1024,
      batchCommands,
      snapshotSlots,
    };
  }

  private owner(): PartOwner {
    const { life, world } = this;
    return {
      id: this.id,
      identity: this.identity ?? { replicaId: this.id, incarnation: '' },
      after: (delayMs, run) =>
        world.clock.after(delayMs, () => {
          if (life === this.life) this.deliver(run);
        }),
      now: () => world.clock.nowMs,
    };
  }

  /** A timer of the process: a pause or a stall swallows ticks, they are not caught up with. */
  private scheduleTick(life: number, afterMs: number): void {
    const { world } = this;
    world.clock.after(afterMs, () => {
      if (life !== this.life || this.phase === 'down') return;
      if (!this.paused && this.replica !== null) {
        const { replica } = this;
        this.run(() => replica.tick(Math.round(1_700_000_000_000 + world.clock.nowMs + this.wallOffsetMs)));
      }
      this.scheduleTick(life, world.plan.tickMs / this.drift);
    });
  }

  private send(to: ReplicaId, bytes: Uint8Array): boolean {
    this.burn('send');
    const { world, identity } = this;
    if (this.zombie || identity === null || this.phase === 'down') return false;
    world.judgeSent(identity, this.life, bytes);
    world.tell(this.id, `sends to ${to}:`, bytes);
    return world.network.send(this.id, to, bytes);
  }

  private watchLog(log: LogStore, identity: Identity): LogStore {
    const { journal, votes } = this.world;
    const { life } = this;
    return new WatchedLog(log, {
      writing: (batch) => journal.say(this.id, () => `writes ${describePersist(batch)}`),
      written: (batch, error, marker) => {
        journal.mark(MARK.disk, this.id, error === null ? marker : -1);
        journal.say(this.id, () =>
          error === null ? `write ${marker} is on disk` : `a write failed: ${error.message}`,
        );
        if (error === null)
          this.world.guard(() => votes.onWritten(identity, batch, this.state?.durableThrough ?? 0));
      },
      reloading: () => {
        this.asyncWork += 1;
        this.world.settle();
      },
      reloaded: (error, recovered) => {
        if (life === this.life) this.asyncWork -= 1;
        if (error === null) this.world.guard(() => votes.onOpened(recovered));
      },
    });
  }

  private watchState(state: StateMachine, identity: Identity): StateMachine {
    const { world } = this;
    const { journal, states, votes } = world;
    return new WatchedState(state, {
      applying: (slot, value) => world.guard(() => votes.onApplied(identity, slot, value)),
      applied: (slot, value, results, after) => {
        journal.mark(MARK.apply, this.id, slot);
        world.guard(() => states.onApplied(identity, slot, value, results, after));
      },
      loaded: (now) => world.guard(() => states.onLoaded(identity, now)),
      installed: (slot) => world.guard(() => votes.onInstalled(identity, slot)),
    });
  }

  // When storage fails

  private onFailure(failure: ReplicaFailure): void {
    if (this.zombie) return;
    switch (failure.kind) {
      case 'log':
        if (failure.error instanceof StoreError && failure.error.kind === 'no-space') this.recoverLater();
        else if (!(failure.error instanceof StoreError && failure.error.kind === 'closed'))
          this.exit('the log failed');
        return;
      case 'state':
        this.world.journal.say(this.id, () => `the state failed: ${failure.error.message}`);
        return;
      case 'rolled-back':
        this.opened?.condemnLog('a peer has heard a newer write from it');
        this.exit('the directory was rolled back');
    }
  }

  private recoverLater(): void {
    const { life, world } = this;
    const waitMs = Math.min(RECOVER_MAX_MS, RECOVER_MIN_MS * 2 ** this.recoverAttempts++);
    world.clock.after(waitMs, () => {
      if (life !== this.life) return;
      this.deliver(() => {
        this.replica?.recoverLog((error) => {
          if (life !== this.life) return;
          if (error !== null) this.onFailure({ kind: 'log', error });
          else this.recoverAttempts = 0;
        });
      });
    });
  }

  /** Ends by itself, not from within the call that reports the failure, and is started again. */
  private exit(reason: string): void {
    const { life, world } = this;
    world.journal.say(this.id, () => `exits: ${reason}`);
    world.clock.after(0, () => {
      if (life === this.life) this.crash();
    });
  }

  private scrub(opened: OpenedDirectory): void {
    const { life } = this;
    if (!(opened.state instanceof KvState)) return;
    opened.state.scrub((error) => {
      if (life !== this.life || !(error instanceof StoreError) || error.kind !== 'damaged') return;
      opened.condemnState(error.message);
      this.exit(`the state is damaged: ${error.message}`);
    });
  }

  private onRefused(error: unknown): void {
    this.world.journal.say(this.id, () => `cannot start: ${String(error)}`);
    this.world.onRefused(this, error);
    this.disk.crash('lost', false);
    this.ended();
  }

  private ended(): void {
    this.phase = 'down';
    this.life += 1;
    this.replica = null;
    this.state = null;
    this.opened = null;
    this.fuse = null;
    this.paused = false;
    this.backlog = [];
    this.asyncWork = 0;
    this.recoverAttempts = 0;
    this.world.onDown(this);
    // Its supervisor; start() does nothing while a fault holds it down.
    this.world.clock.after(RESTART_MS, () => this.start());
  }
}

export function addressOf(id: ReplicaId): string {
  return `10.0.0.${id}:15000`;
}
