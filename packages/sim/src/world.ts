/**
 * A simulated world: clock, network, machines, clients, judges, put together from a plan and run to its end. The same
 * plan gives the same run, event by event. What is wrong ends it with a Violation; nothing in it is ever retried.
 */
import type { ReplicaId } from '@kvd/paxos';
import { decodePeerFrame, isRetrySafe } from '@kvd/protocol';
import { DirectoryError, StoreError } from '@kvd/store';
import { SimClient } from './client.js';
import { VirtualClock } from './clock.js';
import { Connections } from './connections.js';
import { FaultInjector } from './faults.js';
import { History, type Seen } from './history.js';
import { addressOf, Host } from './host.js';
import { Journal } from './journal.js';
import { describeMessage } from './describe.js';
import { Network } from './network.js';
import { judgeBounds } from './oracle/bounds.js';
import { judgeHistory } from './oracle/histories.js';
import { judgeState } from './oracle/answers.js';
import { Ledger } from './oracle/ledger.js';
import { judgeRevisions } from './oracle/revisions.js';
import { States } from './oracle/states.js';
import { Votes } from './oracle/votes.js';
import type { Parts } from './parts.js';
import type { ClientPlan, Operation, OperationKind, Plan } from './plan.js';
import { Random } from './random.js';
import { Reference } from './reference/reference.js';
import { scenarioNamed } from './scenarios/index.js';
import { asViolation, safety, Violation } from './violation.js';
import { BANK, EVERYTHING_THERE_IS, keyAt } from './workload/keys.js';
import { SimWatcher, type WatchNetwork } from './workload/watcher.js';
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

/** The probe at the end: a client per replica, with keys and numbers of its own. */
const PROBE_CLIENT = 1000;
const PROBE_KEY = 9000;
const PROBE_INDEX = 1_000_000;
const PROBE_PLAN: ClientPlan = {
  session: false,
  concurrency: 1,
  attemptMs: 2000,
  deadlineMs: 8000,
  backoffMs: 40,
  hedging: 0,
  slowMs: 0,
  loyalty: 1,
};
const BOUNDS_EVERY_MS = 500;
/** No run is shorter, however soon all have answered. */
const LASTS_MS = 30_000;
/** Several times what the busiest runs take: whoever needs more goes round in a circle. */
const EVENTS_MAX = 1_000_000;
/** Wire numbers of the messages that say something about a disk (peer-codec). */
const ASSERTING: ReadonlySet<number> = new Set([3, 4, 6]);

export class World {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly journal: Journal;
  readonly network: Network;
  readonly hosts: readonly Host[];
  readonly votes = new Votes();
  readonly states: States;
  readonly history: History;
  readonly reference: Reference;
  readonly ledger: Ledger;
  readonly members: readonly { readonly id: ReplicaId; readonly address: string }[];
  readonly foundingList: string;
  readonly faults: FaultInjector;
  /** Who began to lead, and when. */
  readonly leaderships: { readonly atMs: number; readonly id: ReplicaId }[] = [];
  /** Starts that were refused, and why. */
  readonly refusals: string[] = [];
  private readonly clients: SimClient[];
  private readonly watchers: readonly SimWatcher[];
  private readonly probes: SimClient[] = [];
  private readonly connections: Connections;
  private violation: Violation | null = null;
  private unsettled = false;

  constructor(
    readonly plan: Plan,
    readonly parts: Parts,
    trace: boolean,
  ) {
    const { clock } = this;
    this.random = new Random(plan.seed, 'world');
    this.journal = new Journal(clock, trace);
    const fastest = Math.max(...plan.drift);
    this.reference = new Reference((lease) => this.ledger.onExpired(lease));
    this.states = new States(() => clock.nowMs, fastest, this.reference);
    this.ledger = new Ledger(this.reference, this.states, {
      nowMs: () => clock.nowMs,
      fastest,
      tickMs: plan.tickMs,
      leadersSince: (sinceMs) => this.leaderships.filter(({ atMs }) => atMs >= sinceMs).length,
    });
    this.history = new History(() => clock.nowMs);
    this.members = Array.from({ length: plan.replicas }, (_, i) => ({
      id: i + 1,
      address: addressOf(i + 1),
    }));
    this.foundingList = this.members.map(({ id, address }) => `${id}=${address}`).join(',');
    this.hosts = this.members.map(({ id }) => new Host(id, this));
    this.network = new Network(
      this.hosts,
      plan.weather,
      clock,
      this.random.fork('network'),
      this.journal,
      this.random.chance(0.7),
      mayDouble,
    );
    this.connections = new Connections(this, this.random.fork('connections'), this.random.fork('watches'));
    this.clients = this.createClients();
    this.watchers = this.createWatchers();
    this.faults = new FaultInjector(this);
  }

  async run(): Promise<Outcome> {
    const { clock, plan } = this;
    for (const host of this.hosts) clock.after(this.random.between(0, 100), () => host.start());
    for (const client of this.clients) client.start();
    this.faults.schedule();
    clock.at(plan.calmMs + plan.graceMs, () => this.probe());
    clock.after(BOUNDS_EVERY_MS, () => this.watchBounds());
    while (this.runUntilUnsettled()) {
      // What is asynchronous (the opening of a directory) comes to rest before the next event.
      await new Promise((resolve) => setImmediate(resolve));
      this.network.flush();
    }
    this.guard(() => this.judge());
    this.parts.restore?.();
    return this.outcome();
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
      if (message.type === 'promise' || message.type === 'accepted' || message.type === 'prepare')
        this.guard(() => this.votes.onSent(identity, life, message));
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

  /** Some time after the last fault: now every replica has to take a write and a read, and to catch up. */
  private probe(): void {
    this.journal.say('probe', () => 'asks every replica for a write and a read');
    for (const client of this.clients) client.retire();
    const { nowMs: atMs } = this.clock;
    for (const { id } of this.hosts) {
      const ask = (kind: OperationKind, key: number): Operation => ({
        atMs,
        client: PROBE_CLIENT + id,
        kind,
        key,
        span: 1,
        valueBytes: 0,
      });
      // Every key is written again by somebody, for every replica then has to read what it holds of it.
      const keys = Array.from({ length: this.plan.keys }, (_, key) => key);
      const share = keys.filter((key) => key % this.hosts.length === id - 1);
      const operations = [
        ask('put', PROBE_KEY + id),
        ask('get', PROBE_KEY + id),
        ...share.map((key) => ask('put', key)),
        ask('audit', 0),
      ];
      const queue = operations.map((operation, i) => ({ index: PROBE_INDEX + 100 * id + i, operation }));
      const client = this.createClient(PROBE_CLIENT + id, this.probePlan, queue, [id]);
      this.probes.push(client);
      client.start();
    }
  }

  private get probePlan(): ClientPlan {
    const { electionTimeoutMs, endMs } = this.plan;
    return { ...PROBE_PLAN, attemptMs: 1000 + electionTimeoutMs, deadlineMs: endMs };
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
    return this.reference.leases.size === 0 && this.watchers.every((watcher) => watcher.hasCaughtUp);
  }

  private get hasCaughtUp(): boolean {
    const through = this.states.appliedThrough;
    return this.hosts.every(
      (host) => host.isUp && (host.state?.appliedThrough ?? 0) >= through && through > 0,
    );
  }

  private createClients(): SimClient[] {
    const { plan } = this;
    const everybody = this.members.map(({ id }) => id);
    return plan.clients.map((clientPlan, id) => {
      const queue = plan.operations
        .map((operation, index) => ({ index, operation }))
        .filter(({ operation }) => operation.client === id);
      return this.createClient(id, clientPlan, queue, everybody);
    });
  }

  private createWatchers(): SimWatcher[] {
    const { plan, members, connections, reference, clock } = this;
    const replicaIds = members.map(({ id }) => id);
    return plan.operations
      .filter(({ kind }) => kind === 'watch')
      .map((operation, id) => {
        const own = new Random(operation.dice ?? 0, 'watch');
        const range = own.pick([
          EVERYTHING_THERE_IS,
          { from: keyAt(operation.key), to: '' },
          { from: 'k', to: 'l' },
          BANK,
        ]);
        const connect: WatchNetwork['connect'] = (...way) => connections.watch(id, ...way);
        const watcher = new SimWatcher(
          id,
          range,
          { replicaIds, connect },
          reference,
          clock,
          own.fork('dice'),
          plan.electionTimeoutMs,
        );
        clock.at(operation.atMs, () => watcher.start());
        return watcher;
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
    for (const { replica, id } of this.hosts) if (replica !== null) judgeBounds(replica, id);
    this.clock.after(BOUNDS_EVERY_MS, () => this.watchBounds());
  }

  private judge(): void {
    if (this.violation !== null) return;
    judgeRevisions(this.history);
    this.ledger.judge();
    const isWhole = this.plan.operations.every(({ dice }) => dice === undefined);
    judgeHistory(this.history, this.hasCaughtUp ? this.finalReads() : [], isWhole);
    if (this.hasCaughtUp)
      for (const { id, state } of this.hosts) if (state !== null) judgeState(this.reference, state, id);
    const unanswered = this.history.operations.find(
      ({ client, outcome }) => client >= PROBE_CLIENT && outcome !== 'ok',
    );
    if (unanswered !== undefined)
      throw new Violation(
        'liveness',
        'answers',
        `replica ${unanswered.client - PROBE_CLIENT} does not answer`,
      );
    if (this.hasCaughtUp) {
      this.judgeData();
      scenarioNamed(this.plan.scenario)?.expect?.(this);
      return;
    }
    const where = this.hosts.map(
      (host) => `replica ${host.id} ${host.phase} ${host.state?.appliedThrough ?? '-'}`,
    );
    throw new Violation(
      'liveness',
      'catch-up',
      `applied through ${this.states.appliedThrough}; ${where.join(', ')}`,
    );
  }

  /** Long after the last fault no lease outlives its time, and every watcher was told everything. */
  private judgeData(): void {
    if (this.reference.leases.size > 0) {
      const leases = [...this.reference.leases.keys()];
      throw new Violation('liveness', 'lease', `leases ${leases.join(', ')} do not end`);
    }
    const behind = this.watchers.find((watcher) => !watcher.hasCaughtUp);
    if (behind !== undefined) throw new Violation('liveness', 'watch', behind.describe());
  }

  /** What every replica holds in the end. */
  private finalReads(): Seen[][] {
    const keys = new Set(this.history.operations.flatMap((operation) => operation.keys));
    return this.hosts.flatMap(({ state }) =>
      state === null
        ? []
        : [
            [...keys].map((key) => {
              const entry = state.get(Buffer.from(key));
              const value = entry === null ? null : Buffer.from(entry.value).toString('latin1');
              return { key, value, modRevision: entry?.modRevision ?? 0, version: entry?.version ?? 0 };
            }),
          ],
    );
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

/** Connections do not repeat what they carry; what the protocol sends again by itself is another matter. */
function mayDouble(frame: Uint8Array): boolean {
  let safe = true;
  decodePeerFrame(frame, ({ message }) => {
    if (
      message.type === 'forward' &&
      message.request.type === 'mutate' &&
      !isRetrySafe(message.request.command)
    )
      safe = false;
  });
  return safe;
}
