/**
 * A simulated world: clock, network, machines, clients, judges, put together from a plan and run to its end. The same
 * plan gives the same run, event by event. What is wrong ends it with a Violation; nothing in it is ever retried.
 */
import type { ReplicaId } from '@kvd/paxos';
import { decodePeerFrame, WITNESS_SUFFIX } from '@kvd/protocol';
import type { FoundingReplica } from '@kvd/replica';
import { DirectoryError, StoreError } from '@kvd/store';
import { DiskBudget } from './budget.js';
import { Census } from './census.js';
import { SimClient } from './client.js';
import { VirtualClock } from './clock.js';
import { Connections } from './connections.js';
import { FaultInjector } from './faults.js';
import { History } from './history.js';
import { addressOf, Host } from './host.js';
import { Journal } from './journal.js';
import { describeMessage } from './describe.js';
import { Network } from './network.js';
import { judgeBounds } from './oracle/bounds.js';
import { Ledger } from './oracle/ledger.js';
import { Rollbacks } from './oracle/rollbacks.js';
import { States } from './oracle/states.js';
import { Votes } from './oracle/votes.js';
import type { Parts } from './parts.js';
import type { ClientPlan, Operation, Plan } from './plan.js';
import { Random } from './random.js';
import { Reference } from './reference/reference.js';
import { PROBE_CLIENT, probeClient, probeOf } from './probe.js';
import { judgeWorld } from './verdict.js';
import { createWatchers } from './watchers.js';
import { asViolation, safety, Violation } from './violation.js';
import { Operator } from './workload/operator.js';
import type { SimWatcher } from './workload/watcher.js';
import type { Identity } from '@kvd/paxos';

export interface Outcome {
  readonly plan: Plan;
  /** Null: all is well. */
  readonly violation: Violation | null;
  readonly atMs: number;
  /** Equal for equal runs. */
  readonly digest: string;
  readonly events: number;
  readonly slots: number;
  readonly operations: { readonly ok: number; readonly failed: number; readonly unknown: number };
  readonly trace: readonly string[];
}

const BOUNDS_EVERY_MS = 500;
/** For a change of the members that is under way, the probe waits so much of the time that is left. */
const PATIENCE = 0.4;
const PATIENCE_EVERY_MS = 200;
const TWIN_NUMBERS = 100;
/** No run is shorter, however soon all have answered. */
const LASTS_MS = 30_000;
/** Several times what the busiest runs take: whoever needs more goes round in a circle. */
const EVENTS_MAX = 3_000_000;
/** Wire numbers of the messages that say something about a disk, or that not everybody may send (peer-codec). */
const ASSERTING: ReadonlySet<number> = new Set([1, 3, 4, 6]);

export class World {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly journal: Journal;
  readonly network: Network;
  /** The machine of replica N is the one at N - 1; spares are at the end. */
  readonly hosts: readonly Host[];
  /** Those, and twins. */
  readonly machines: Host[];
  readonly votes: Votes;
  readonly states: States;
  readonly rollbacks: Rollbacks;
  readonly history: History;
  readonly reference: Reference;
  readonly ledger: Ledger;
  readonly foundingReplicas: readonly FoundingReplica[];
  readonly foundingList: string;
  readonly faults: FaultInjector;
  readonly budget = new DiskBudget(this);
  readonly census = new Census(this);
  readonly operator: Operator;
  readonly connections: Connections;
  /** Who began to lead, and when. */
  readonly leaderships: { readonly atMs: number; readonly id: ReplicaId }[] = [];
  /** Starts that were refused, and why. */
  readonly refusals: string[] = [];
  private readonly clients: SimClient[];
  readonly watchers: readonly SimWatcher[];
  private readonly probes: SimClient[] = [];
  private violation: Violation | null = null;
  private unsettled = false;

  constructor(
    readonly plan: Plan,
    readonly parts: Parts,
    trace: boolean,
  ) {
    const { clock } = this;
    this.random = new Random(plan.seed, 'world');
    this.votes = new Votes(plan.witnesses);
    this.rollbacks = new Rollbacks(plan.faults.some(({ kind }) => kind === 'roll-back'));
    this.journal = new Journal(clock, trace);
    const fastest = Math.max(...plan.drift, plan.spares > 0 ? 1 : 0);
    this.reference = new Reference((lease) => this.ledger.onExpired(lease));
    this.states = new States(() => clock.nowMs, fastest, this.reference);
    this.ledger = new Ledger(this.reference, this.states, {
      nowMs: () => clock.nowMs,
      fastest,
      tickMs: plan.tickMs,
      leadersSince: (sinceMs) => this.leaderships.filter(({ atMs }) => atMs >= sinceMs).length,
    });
    this.history = new History(() => clock.nowMs);
    this.foundingReplicas = Array.from({ length: plan.replicas }, (_, i) => ({
      id: i + 1,
      address: addressOf(i + 1),
      role: plan.witnesses.includes(i + 1) ? 'witness' : 'voter',
    }));
    this.foundingList = this.foundingReplicas
      .map(({ id, address, role }) => `${id}=${address}${role === 'witness' ? WITNESS_SUFFIX : ''}`)
      .join(',');
    this.hosts = Array.from({ length: plan.replicas + plan.spares }, (_, i) => new Host(i + 1, this));
    this.machines = [...this.hosts];
    this.network = new Network(
      this.hosts,
      plan.weather,
      clock,
      this.random.fork('network'),
      this.journal,
      this.random.chance(0.7),
      plan.lateFrames,
    );
    this.connections = new Connections(this, this.random.fork('connections'), this.random.fork('watches'));
    this.clients = this.createClients();
    this.watchers = createWatchers(this);
    this.faults = new FaultInjector(this);
    this.operator = new Operator(this, new Random(plan.seed, 'operator'));
  }

  async run(): Promise<Outcome> {
    const { clock, plan } = this;
    for (const host of this.hosts) clock.after(this.random.between(0, 100), () => host.start());
    for (const client of this.clients) client.start();
    this.faults.schedule();
    if (plan.readmit === 'manual') this.operator.readmitLost();
    this.operator.returnRemoved();
    clock.at(plan.calmMs + plan.graceMs, () => this.probe());
    clock.after(BOUNDS_EVERY_MS, () => this.watchBounds());
    while (this.runUntilUnsettled()) {
      // What is asynchronous (the opening of a directory) comes to rest before the next event.
      await new Promise((resolve) => setImmediate(resolve));
      this.network.flush();
    }
    if (this.violation === null) this.guard(() => judgeWorld(this));
    this.parts.restore?.();
    return this.outcome();
  }

  /** Whom a newcomer may ask: the members, and where they listen. */
  get contacts(): readonly { readonly id: ReplicaId; readonly address: string }[] {
    const { members } = this.census;
    return (members.length > 0 ? members : this.founders).map(({ id, address }) => ({ id, address }));
  }

  get founders(): readonly Host[] {
    return this.hosts.slice(0, this.plan.replicas);
  }

  /** For how long a fault may keep a process from what it is to do. */
  get longestStallMs(): number {
    return Math.max(0, ...this.plan.faults.map((fault) => ('forMs' in fault ? fault.forMs : 0)));
  }

  /** A second machine for the same replica. */
  addTwin(host: Host): Host {
    const twin = new Host(host.id, this, TWIN_NUMBERS + this.machines.length);
    this.machines.push(twin);
    this.network.add(twin);
    return twin;
  }

  /** Something asynchronous is under way. */
  settle(): void {
    this.unsettled = true;
  }

  /** What goes wrong in `run` ends the run. */
  guard(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      this.violation ??= asViolation(thrown);
    }
  }

  tell(who: number, what: string, bytes: Uint8Array): void {
    this.journal.say(who, () => {
      const messages: string[] = [];
      decodePeerFrame(bytes, ({ marker, message }) =>
        messages.push(`${describeMessage(message)} (marker ${marker})`),
      );
      return `${what} ${messages.join('; ')}`;
    });
  }

  /** What is sent is compared with what its sender has on disk. */
  judgeSent(identity: Identity, life: number, bytes: Uint8Array): void {
    if (!ASSERTING.has(bytes[1] ?? 0)) return;
    decodePeerFrame(bytes, ({ message }) => {
      switch (message.type) {
        case 'probe':
        case 'prepare':
        case 'promise':
        case 'accepted':
          this.guard(() => this.votes.onSent(identity, life, message));
          return;
        default:
          return;
      }
    });
  }

  onDown(host: Host): void {
    this.network.stationDown(host);
    this.connections.onDown(host);
    for (const client of [...this.clients, ...this.probes])
      this.clock.after(this.random.between(1, 5), () => client.onConnectionLost(host.id));
  }

  /** A start was refused: right for a disk that cannot be read, and in scenarios with somebody else's directory. */
  onRefused(host: Host, error: unknown): void {
    if (error instanceof StoreError && error.kind !== 'damaged') return;
    this.refusals.push(String(error));
    if (error instanceof DirectoryError && this.faults.expectsRefusal(host)) return;
    throw safety('start', `replica ${host.id} refused to start: ${String(error)}`);
  }

  /** False: it is over. */
  private runUntilUnsettled(): boolean {
    const { clock, network, plan } = this;
    while (this.violation === null && !this.isOver) {
      let more = true;
      this.unsettled = false;
      this.guard(() => {
        more = clock.step(plan.endMs);
      });
      network.flush();
      if (!more) return false;
      if (clock.events > EVENTS_MAX) this.guard(() => tooBusy(clock.events, clock.nowMs));
      if (this.unsettled) return true;
    }
    return false;
  }

  /** Some time after the last fault: now every member has to take a write and a read, and to catch up. */
  private probe(): void {
    const { census, clock, plan } = this;
    const { nowMs: atMs } = clock;
    const patientMs = plan.calmMs + plan.graceMs + PATIENCE * (plan.endMs - plan.calmMs - plan.graceMs);
    if (census.unsettled !== '' && atMs < patientMs) {
      clock.after(PATIENCE_EVERY_MS, () => this.probe());
      return;
    }
    this.journal.say('probe', () => 'asks every member for a write and a read');
    for (const client of this.clients) client.retire();
    const { members } = census;
    for (const [place, { id }] of members.entries()) {
      const queue = probeOf(plan, id, { place, of: members.length }, atMs);
      const client = this.createClient(PROBE_CLIENT + id, probeClient(plan), queue, [id]);
      this.probes.push(client);
      client.start();
    }
  }

  /** Nothing is left to be seen: all have answered, all have caught up. */
  private get isOver(): boolean {
    if (
      this.clock.nowMs < LASTS_MS ||
      this.probes.length === 0 ||
      !this.probes.every((client) => client.isDone)
    )
      return false;
    if (!this.clients.every((client) => client.isDone) || !this.hasCaughtUp) return false;
    if (this.census.unsettled !== '') return false;
    return this.reference.leases.size === 0 && this.watchers.every((watcher) => watcher.hasCaughtUp);
  }

  get hasCaughtUp(): boolean {
    const through = this.states.appliedThrough;
    return this.census.members.every(
      (host) => host.isUp && (host.state?.appliedThrough ?? 0) >= through && through > 0,
    );
  }

  private createClients(): SimClient[] {
    const { plan } = this;
    const everybody = this.hosts.map(({ id }) => id);
    return plan.clients.map((clientPlan, id) => {
      const queue = plan.operations
        .map((operation, index) => ({ index, operation }))
        .filter(({ operation }) => operation.client === id);
      return this.createClient(id, clientPlan, queue, everybody);
    });
  }

  private createClient(
    id: number,
    plan: ClientPlan,
    queue: { readonly index: number; readonly operation: Operation }[],
    replicaIds: readonly ReplicaId[],
  ): SimClient {
    const network = {
      replicaIds,
      send: (client: SimClient, to: ReplicaId, frame: Uint8Array) =>
        this.connections.request(client, to, frame),
    };
    return new SimClient(
      id,
      plan,
      queue,
      network,
      this.history,
      this.ledger,
      this.clock,
      this.random.fork(`client ${id}`),
    );
  }

  private watchBounds(): void {
    for (const { replica, id } of this.machines) if (replica !== null) judgeBounds(replica, id);
    this.clock.after(BOUNDS_EVERY_MS, () => this.watchBounds());
  }

  private outcome(): Outcome {
    const count = (outcome: string): number =>
      this.history.operations.filter((operation) => operation.outcome === outcome).length;
    return {
      plan: this.plan,
      violation: this.violation,
      atMs: this.clock.nowMs,
      digest: this.journal.digest,
      events: this.clock.events,
      slots: this.states.appliedThrough,
      operations: { ok: count('ok'), failed: count('failed'), unknown: count('unknown') },
      trace: this.journal.lines,
    };
  }
}

function tooBusy(events: number, atMs: number): never {
  throw new Violation('liveness', 'busy', `${events} events in ${(atMs / 1000).toFixed(0)} virtual seconds`);
}
