/**
 * What a daemon shows at /metrics: one registry per daemon, nothing global, so that several can live in one process.
 * What changes all the time is counted in plain numbers; what others know already is read when somebody scrapes.
 */
import type { MemberRole } from '@kvd/paxos';
import type { PaxosRole, ReplicaStatus } from '@kvd/replica';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { LagSeconds } from './loop-lag.js';
import type { StorageObserver } from './observed-storage.js';
import type { PeerStats } from '@kvd/transport';
import { PAXOS_ROLES } from './option-table.js';
import type { RequestMeter } from './request-meter.js';

/** Read at each scrape. */
export interface MetricSources {
  readonly status: () => ReplicaStatus;
  readonly chaosKills: () => number;
  readonly httpRequests: () => number;
  readonly clients: () => ClientTraffic;
  readonly peers: () => readonly PeerStats[];
  /** As ReplicaApi.slowMs. */
  readonly slowMs: () => number;
  /** Since the last scrape. */
  readonly takeLag: () => LagSeconds;
}

/** WebSocket clients. */
export interface ClientTraffic {
  readonly connections: number;
  /** Since the start. */
  readonly bytesIn: number;
  readonly bytesOut: number;
}

const ROLES = ['leader', 'follower', 'candidate', 'learner', 'witness', 'founding', 'stopped'] as const;
const MEMBER_ROLES: readonly MemberRole[] = ['voter', 'learner', 'witness'];
const WRITE_BUCKETS_SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2];

export class Metrics {
  readonly #registry = new Registry();
  readonly #sources: MetricSources;
  readonly #leaderChanges: Counter;
  /** The replica's status at this scrape. */
  #now: ReplicaStatus;
  /** Read by whoever wraps the stores. */
  readonly storage: Omit<StorageObserver, 'logWriting'>;

  constructor(replicaId: number, version: string, meter: RequestMeter, sources: MetricSources) {
    this.#sources = sources;
    this.#now = sources.status();
    this.#registry.setDefaultLabels({ replica: String(replicaId) });
    this.#registry.registerMetric(meter.histogram);
    this.#leaderChanges = this.#counter(
      'kvd_leader_changes_total',
      'How often the leader known here changed',
    );
    this.#gauge('kvd_info', 'Always 1', (gauge) => gauge.set({ version, node: process.version }, 1), [
      'version',
      'node',
    ]);
    this.storage = this.#storageMetrics();
    this.#replicaGauges();
    this.#trafficCounters();
    this.#processMetrics();
  }

  leaderChanged(): void {
    this.#leaderChanges.inc();
  }

  /** The whole page. */
  text(): Promise<string> {
    this.#now = this.#sources.status();
    return this.#registry.metrics();
  }

  close(): void {
    this.#registry.clear();
  }

  #counter(name: string, help: string, labelNames: string[] = []): Counter {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }

  #gauge(name: string, help: string, collect: (gauge: Gauge) => void, labelNames: string[] = []): void {
    const gauge: Gauge = new Gauge({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect: () => collect(gauge),
    });
  }

  /** A counter whose total somebody else keeps. */
  #total(
    name: string,
    help: string,
    collect: (set: (total: number, labels?: Record<string, string>) => void) => void,
    labelNames: string[] = [],
  ): void {
    const counter: Counter = new Counter({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect: () => {
        counter.reset();
        collect((total, labels = {}) => counter.inc(labels, total));
      },
    });
  }

  #storageMetrics(): Omit<StorageObserver, 'logWriting'> {
    const histogram = (name: string, help: string): Histogram =>
      new Histogram({ name, help, buckets: WRITE_BUCKETS_SECONDS, registers: [this.#registry] });
    const writes = histogram('kvd_log_write_seconds', 'Synced writes of the log');
    const entries = this.#counter('kvd_log_written_entries_total', 'Accepted entries in them');
    const bytes = this.#counter('kvd_log_written_bytes_total', 'Bytes of the batches in them');
    const flushes = histogram('kvd_state_flush_seconds', 'Synced flushes of the state');
    const failures = this.#counter('kvd_storage_failures_total', 'Failed writes and reloads', ['part']);
    return {
      logWritten(entryCount, byteCount, seconds) {
        writes.observe(seconds);
        entries.inc(entryCount);
        bytes.inc(byteCount);
      },
      stateFlushed: (seconds) => flushes.observe(seconds),
      failed: (part) => failures.inc({ part }),
    };
  }

  #replicaGauges(): void {
    const { chaosKills, httpRequests, slowMs } = this.#sources;
    const simple: readonly (readonly [string, string, (now: ReplicaStatus) => number])[] = [
      ['kvd_chosen_through_slot', 'Every slot up to it is chosen and known here', (now) => now.chosenThrough],
      ['kvd_applied_through_slot', 'Every slot up to it is applied here', (now) => now.appliedThrough],
      ['kvd_cut_through_slot', 'Slots up to it are no longer in the log', (now) => now.cutThrough],
      ['kvd_revision', 'Mutating commands applied', (now) => now.revision],
      ['kvd_leader', 'The replica that leads, as known here; 0: none', (now) => now.leader],
      ['kvd_ready', '1 when linearizable requests can be answered', (now) => (now.ready ? 1 : 0)],
      ['kvd_pending_requests', 'Requests that wait for an answer', (now) => now.pendingRequests],
      [
        'kvd_peers_connected',
        'Other members that this replica is connected with',
        (now) => now.members.filter((member) => member.id !== now.id && member.connected).length,
      ],
    ];
    for (const [name, help, read] of simple) this.#gauge(name, help, (gauge) => gauge.set(read(this.#now)));
    this.#gauge(
      'kvd_role',
      '1 for the role that this replica has',
      (gauge) => {
        const { role } = this.#now;
        for (const name of ROLES) gauge.set({ role: name }, name === role ? 1 : 0);
      },
      ['role'],
    );
    this.#gauge(
      'kvd_members',
      'Members of the configuration',
      (gauge) => {
        const { members } = this.#now;
        for (const role of MEMBER_ROLES)
          gauge.set({ role }, members.filter((member) => member.role === role).length);
      },
      ['role'],
    );
    this.#gauge('kvd_replica_slow_ms', 'How long a synced write of the log takes, stalls included', (gauge) =>
      gauge.set(slowMs()),
    );
    this.#gauge(
      'kvd_chaos_down',
      '1 while chaos keeps the role down',
      (gauge) => {
        const down: readonly PaxosRole[] = this.#now.down;
        for (const role of PAXOS_ROLES) gauge.set({ role }, down.includes(role) ? 1 : 0);
      },
      ['role'],
    );
    this.#total('kvd_chaos_kills_total', 'Roles killed by chaos', (set) => set(chaosKills()));
    this.#gauge('kvd_http_requests_active', 'HTTP requests being worked on', (gauge) =>
      gauge.set(httpRequests()),
    );
  }

  #trafficCounters(): void {
    const { clients, peers } = this.#sources;
    this.#gauge('kvd_client_connections', 'WebSocket clients connected', (gauge) => {
      gauge.set(clients().connections);
    });
    this.#total(
      'kvd_client_bytes_total',
      'Bytes on the connections of WebSocket clients',
      (set) => {
        const { bytesIn, bytesOut } = clients();
        set(bytesIn, { direction: 'in' });
        set(bytesOut, { direction: 'out' });
      },
      ['direction'],
    );
    const ofPeers = (
      name: string,
      help: string,
      label: string,
      read: (stats: PeerStats) => Readonly<Record<string, number>>,
    ): void => {
      this.#total(
        name,
        help,
        (set) => {
          for (const stats of peers()) {
            const peer = String(stats.id);
            for (const [value, total] of Object.entries(read(stats))) set(total, { peer, [label]: value });
          }
        },
        ['peer', label],
      );
    };
    ofPeers(
      'kvd_peer_frames_total',
      'WebSocket messages, each of one or more messages',
      'direction',
      (stats) => ({
        in: stats.framesReceived,
        out: stats.framesSent,
      }),
    );
    ofPeers('kvd_peer_bytes_total', 'Bytes in them', 'direction', (stats) => ({
      in: stats.bytesReceived,
      out: stats.bytesSent,
    }));
    ofPeers('kvd_peer_messages_total', 'Messages in them', 'direction', (stats) => ({
      out: stats.messagesSent,
    }));
    ofPeers(
      'kvd_peer_dropped_total',
      'Messages not sent: the link was down, or too much waited',
      'reason',
      (stats) => ({
        down: stats.droppedDown,
        full: stats.droppedFull,
      }),
    );
  }

  /** The names that dashboards for node know. */
  #processMetrics(): void {
    const started = Date.now() / 1e3 - process.uptime();
    this.#gauge('process_start_time_seconds', 'Unix time of the start', (gauge) => gauge.set(started));
    this.#total('process_cpu_seconds_total', 'CPU time used', (set) => {
      const { user, system } = process.cpuUsage();
      set((user + system) / 1e6);
    });
    this.#gauge('process_resident_memory_bytes', 'Memory held', (gauge) =>
      gauge.set(process.memoryUsage.rss()),
    );
    this.#gauge('nodejs_heap_size_used_bytes', 'Memory of the JavaScript heap', (gauge) =>
      gauge.set(process.memoryUsage().heapUsed),
    );
    this.#gauge(
      'nodejs_eventloop_lag_seconds',
      'Lag of the event loop since the last scrape',
      (gauge) => {
        const { p50, p99, max } = this.#sources.takeLag();
        gauge.set({ quantile: '0.5' }, p50);
        gauge.set({ quantile: '0.99' }, p99);
        gauge.set({ quantile: '1' }, max);
      },
      ['quantile'],
    );
  }
}
