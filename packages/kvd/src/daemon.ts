/**
 * The composition root: a data directory, a replica, its connections and its outside, put together and taken apart. No
 * decision of its own but the order of things. May be called several times in one process: nothing here is global, and
 * nothing ends the process (main.ts does).
 */
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { Welcome } from '@kvd/protocol';
import { Replica, type ReplicaStatus, type Trace, type TransportHandler } from '@kvd/replica';
import { DirectoryError, KvState, StoreError, WitnessState } from '@kvd/store';
import { ClientListener, PeerMesh } from '@kvd/transport';
import { formatAddress, type HostPort, parseAddress, type PeerAddress } from './addresses.js';
import { Chaos, seededRandom, systemClock } from './chaos.js';
import { type DataDirectory, openDataDirectory } from './data-directory.js';
import { EXIT, type ExitCode, StartError } from './exit-codes.js';
import type { DaemonFacts } from './http/admin-routes.js';
import { SnapshotStreams } from './http/snapshot-routes.js';
import { WatchStreams } from './http/watch-routes.js';
import { DEFAULT_HTTP_LIMITS, HttpServer, type HttpServerPorts, type UpgradeHandler } from './http-server.js';
import { type DaemonLog, traceTo } from './log.js';
import { LoopLag } from './loop-lag.js';
import { Metrics } from './metrics.js';
import { connectionsFor, openFilesMax } from './open-files.js';
import { ObservedLog, ObservedState, type StorageObserver } from './observed-storage.js';
import type { KvdOptions } from './options.js';
import { RequestMeter } from './request-meter.js';
import { Requester } from './requester.js';
import { SlownessMeter } from './slowness.js';
import { SocketBytes } from './socket-bytes.js';
import { freeBytes, StorageGuard } from './storage-guard.js';
import { Ticker } from './ticker.js';
import { welcomeOf } from './welcome.js';
import { within } from './within.js';

export interface DaemonPorts {
  readonly log: DaemonLog;
  /** Of kvd, for /v1/status and the metrics. */
  readonly version: string;
}

export interface Daemon {
  /** HOST:PORT as peers and clients reach it. */
  readonly address: string;
  /** Where it is bound. */
  readonly listening: HostPort;
  /** The exit status, once all has ended: by stop(), or because the daemon cannot go on. */
  readonly ended: Promise<ExitCode>;
  /** Why it ends by itself; empty: it does not. */
  readonly failure: string;
  status(): ReplicaStatus;
  /** Hand over leadership, flush, close everything. Called again: the same end. */
  stop(): Promise<ExitCode>;
}

/** How long a replica may take to hand over and flush, and the answers under way to leave. */
const HAND_OVER_MS = 2_000;
const LAST_ANSWERS_MS = 500;
const CLOSE_CONNECTIONS_MS = 1_000;
const CLOSE_STORES_MS = 1_500;

/**
 * Resolves once requests are taken: the directory is open and verified, the port bound. There need be no quorum.
 * @throws StartError with the status to exit with; nothing is left open then
 */
export async function startDaemon(options: KvdOptions, ports: DaemonPorts): Promise<Daemon> {
  const trace = traceTo(ports.log.logger);
  const directory = await openDataDirectory(options, trace);
  const daemon = new RunningDaemon(options, ports, directory, trace);
  await daemon.run(options.listen ?? parseAddress(directory.address));
  return daemon;
}

class RunningDaemon implements Daemon {
  readonly address: string;
  readonly ended: Promise<ExitCode>;
  listening: HostPort = { host: '', port: 0 };
  failure = '';
  readonly #directory: DataDirectory;
  readonly #trace: Trace;
  readonly #version: string;
  readonly #startedMs = performance.now();
  readonly #mesh: PeerMesh;
  readonly #replica: Replica;
  readonly #requester: Requester;
  readonly #listener: ClientListener;
  readonly #chaos: Chaos;
  readonly #guard: StorageGuard;
  readonly #slowness: SlownessMeter;
  readonly #loopLag = new LoopLag();
  readonly #metrics: Metrics;
  readonly #http: HttpServer;
  readonly #clientBytes = new SocketBytes();
  #assembled = false;
  readonly #ticker: Ticker;
  #lastLeader = 0;
  #lastWelcome = '';
  #stopping: Promise<ExitCode> | null = null;
  #end: (exitCode: ExitCode) => void = () => undefined;

  constructor(options: KvdOptions, { version }: DaemonPorts, directory: DataDirectory, trace: Trace) {
    this.#directory = directory;
    this.#trace = trace;
    this.#version = version;
    this.address = directory.address;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#mesh = this.#createMesh();
    this.#slowness = new SlownessMeter((slowMs) => {
      this.#replica.slowMs = slowMs;
    });
    this.#replica = this.#createReplica(options);
    this.#ticker = new Ticker(options.tickMs, this.#replica, [this.#slowness, this.#loopLag]);
    const meter = new RequestMeter(this.#replica);
    this.#requester = new Requester(meter);
    this.#listener = new ClientListener({
      handler: {
        onRequest: (sink, requestId, request) => meter.request(sink, requestId, request),
        onWatch: (sink, watchId, request) => this.#replica.watch(sink, watchId, request),
        onUnwatch: (sink, watchId) => this.#replica.unwatch(sink, watchId),
        onClosed: (sink) => {
          meter.forgetSink(sink);
          this.#replica.forgetWatches(sink);
        },
      },
      welcome: () => this.#welcome(),
      trace,
    });
    this.#chaos = new Chaos(options.chaos, {
      replica: this.#replica,
      random: options.chaosSeed === null ? Math.random : seededRandom(options.chaosSeed),
      clock: systemClock,
      log: (event, fields) => trace.event('info', event, fields),
    });
    this.#guard = new StorageGuard({
      replica: this.#replica,
      setReserve: (held) => directory.opened.setReserve(held),
      condemnLog: (reason) => this.#note(() => directory.opened.condemnLog(reason)),
      freeBytes: () => freeBytes(options.dataDirectory),
      clock: systemClock,
      log: (level, event, fields) => trace.event(level, event, fields),
      giveUp: (reason) => this.#giveUp(reason),
    });
    this.#metrics = this.#createMetrics(options.id, meter);
    this.#http = this.#createHttp();
    this.#assembled = true;
    this.#onChange();
  }

  status(): ReplicaStatus {
    return this.#replica.status();
  }

  /**
   * Bind, and let time begin.
   * @throws StartError when the address cannot be bound
   */
  async run(where: HostPort): Promise<void> {
    try {
      this.listening = await this.#http.listen(where);
    } catch (error) {
      await this.#takeApart();
      throw listenError(error, where);
    }
    this.#ticker.start();
    this.#scrub();
  }

  stop(): Promise<ExitCode> {
    this.#stopping ??= this.#stop(EXIT.clean);
    return this.#stopping;
  }

  #createMesh(): PeerMesh {
    const handler: TransportHandler = {
      onPeerFrame: (from, bytes) => this.#replica.onPeerFrame(from, bytes),
      onPeerConnected: (from, address, clusterId) => this.#replica.onPeerConnected(from, address, clusterId),
      onPeerDisconnected: (from) => this.#replica.onPeerDisconnected(from),
    };
    const { opened, address } = this.#directory;
    const { identity, clusterId, foundingList: founding } = opened;
    const mesh = new PeerMesh({ identity, address, clusterId, founding, handler, trace: this.#trace });
    // Until the replica knows a configuration.
    mesh.setPeers(this.#firstPeers());
    return mesh;
  }

  #createReplica(options: KvdOptions): Replica {
    const { address, founding, contacts, opened } = this.#directory;
    // The stores report to what is made after the replica that needs them.
    const observer: StorageObserver = {
      logWriting: () => this.#slowness.writeBegan(),
      logWritten: (entries, bytes, seconds) => {
        this.#slowness.writeEnded();
        this.#metrics.storage.logWritten(entries, bytes, seconds);
        this.#guard.onLogWritten();
      },
      stateFlushed: (seconds) => this.#metrics.storage.stateFlushed(seconds),
      failed: (part, error) => {
        if (part === 'log') this.#slowness.writeEnded();
        this.#metrics.storage.failed(part, error);
        this.#guard.onStoreError(error);
      },
    };
    return new Replica(
      {
        founding,
        contacts,
        dial: options.dial,
        acceptQuorum: options.acceptQuorum,
        readmit: options.readmit,
        slowLeaderMs: options.slowLeaderMs,
        witness: opened.state instanceof WitnessState,
        newClusterId: randomBytes(16).toString('hex'),
        mayFound: opened.mayFound,
        address,
        alpha: options.alpha,
        tickMs: options.tickMs,
        electionTimeoutMs: options.electionTimeoutMs,
        heartbeatMs: options.heartbeatMs,
        inFlightSlots: options.inFlightSlots,
        batchBytes: options.batchBytes,
        batchCommands: options.batchCommands,
        snapshotSlots: options.snapshotSlots,
      },
      {
        log: new ObservedLog(opened.log, observer),
        state: new ObservedState(opened.state, observer),
        transport: this.#mesh,
        trace: this.#trace,
        random: Math.random,
        endOfTurn: (task) => void setImmediate(task),
        listeners: {
          onChange: () => this.#onChange(),
          onCluster: (clusterId) => this.#onCluster(clusterId),
          onFailure: (failure) => {
            if (failure.kind === 'removed') this.#onRemoved(failure.slot);
            else this.#guard.onFailure(failure);
          },
        },
      },
    );
  }

  #createMetrics(id: number, meter: RequestMeter): Metrics {
    return new Metrics(id, this.#version, meter, {
      status: () => this.status(),
      chaosKills: () => this.#chaos.kills,
      httpRequests: () => this.#http.activeRequests,
      clients: () => ({ connections: this.#listener.stats().connections, ...this.#clientBytes.totals() }),
      peers: () => this.#mesh.stats(),
      slowMs: () => this.#replica.slowMs,
      takeLag: () => this.#loopLag.take(),
    });
  }

  #createHttp(): HttpServer {
    const upgrades = new Map<string, UpgradeHandler>([
      ['/peer', (request, socket, head) => this.#mesh.handleUpgrade(request, socket, head)],
      [
        '/client',
        (request, socket, head) => {
          this.#clientBytes.add(request.socket);
          this.#listener.handleUpgrade(request, socket, head);
        },
      ],
    ]);
    const limits = { ...DEFAULT_HTTP_LIMITS, connections: connectionsFor(openFilesMax()) };
    if (limits.connections < DEFAULT_HTTP_LIMITS.connections)
      this.#trace.event('warn', 'few-open-files', { connections: limits.connections });
    const ports: HttpServerPorts = {
      targets: {
        replica: this,
        requester: this.#requester,
        watches: new WatchStreams(this.#replica),
        snapshots: this.#createSnapshots(),
        chaos: this.#chaos,
        metrics: this.#metrics,
        facts: () => this.#facts(),
      },
      upgrades,
      log: (level, event, fields) => this.#trace.event(level, event, fields),
    };
    return new HttpServer(ports, limits);
  }

  #createSnapshots(): SnapshotStreams {
    const { state } = this.#directory.opened;
    return new SnapshotStreams({
      state: state instanceof KvState ? state : null,
      status: () => this.status(),
      requester: this.#requester,
      wallMs: Date.now,
    });
  }

  #facts(): DaemonFacts {
    return {
      version: this.#version,
      uptimeMs: Math.round(performance.now() - this.#startedMs),
      failure: this.failure,
      stopping: this.#stopping !== null,
    };
  }

  #welcome(): Welcome {
    return welcomeOf(this.status(), this.#firstPeers());
  }

  /** Whom to talk to, and to send clients to, before the members are known. */
  #firstPeers(): readonly PeerAddress[] {
    const { founding, contacts } = this.#directory;
    return [...(founding ?? []), ...contacts];
  }

  /** Leader, members or readiness changed. */
  #onChange(): void {
    // The replica reports while it is being made, before there is anybody to tell.
    if (!this.#assembled) return;
    const welcome = this.#welcome();
    if (welcome.leaderId !== 0 && welcome.leaderId !== this.#lastLeader) {
      this.#lastLeader = welcome.leaderId;
      this.#metrics.leaderChanged();
    }
    const text = JSON.stringify(welcome);
    if (text === this.#lastWelcome) return;
    this.#lastWelcome = text;
    this.#listener.broadcastWelcome();
  }

  /** Reads the whole state once in the background: LevelDB alone does not notice every flipped bit. */
  #scrub(): void {
    const { opened } = this.#directory;
    const { state } = opened;
    if (opened.isNew || !(state instanceof KvState)) return;
    state.scrub((error) => {
      if (this.#stopping !== null) return;
      if (error === null) {
        this.#trace.event('info', 'state-scrubbed', {});
        return;
      }
      // Anything else is the end of a reload or of the process, not the disk's.
      if (!(error instanceof StoreError) || error.kind !== 'damaged') return;
      const { id, members, cutThrough } = this.status();
      const others = members.some((member) => member.id !== id && member.role !== 'witness');
      const rebuilds = others || cutThrough === 0;
      if (rebuilds) this.#note(() => opened.condemnState(error.message));
      this.#giveUp(
        `the state is damaged (${error.message}); ${rebuilds ? 'the next start rebuilds it' : 'nobody else has it'}`,
      );
    });
  }

  #onCluster(clusterId: string): void {
    try {
      this.#directory.opened.setClusterId(clusterId);
    } catch (error) {
      const foreign = error instanceof DirectoryError && error.kind === 'foreign';
      this.#giveUp(String(error), foreign ? EXIT.directory : EXIT.storage);
    }
  }

  /** Noted, so that the next start says the same and disturbs nobody. */
  #onRemoved(slot: number): void {
    const { opened } = this.#directory;
    const message = `replica ${opened.identity.replicaId} was removed from the cluster (configuration of slot ${slot})`;
    this.#note(() => opened.noteRemoved(message));
    this.#giveUp(message, EXIT.removed);
  }

  /** Writes something down for the next start, on a full disk with the room of the reserve. What cannot be is found out again. */
  #note(write: () => void): void {
    try {
      this.#directory.opened.setReserve(false);
      write();
    } catch (error) {
      this.#trace.event('warn', 'not-noted', { reason: String(error) });
    }
  }

  #giveUp(reason: string, exitCode: ExitCode = EXIT.storage): void {
    this.failure = reason;
    this.#trace.event('error', 'giving-up', { reason, exitCode });
    // Not from within the replica that reports it.
    setImmediate(() => {
      this.#stopping ??= this.#stop(exitCode);
    });
  }

  async #stop(exitCode: ExitCode): Promise<ExitCode> {
    await this.#takeApart();
    this.#trace.event('info', 'stopped', { exitCode });
    this.#end(exitCode);
    return exitCode;
  }

  /** From the outside in, so that nothing is answered by something that is gone. */
  async #takeApart(): Promise<void> {
    this.#chaos.stop();
    this.#guard.stop();
    await within(HAND_OVER_MS, new Promise<void>((resolve) => this.#replica.stop(resolve)));
    this.#ticker.stop();
    this.#requester.close();
    this.#listener.close();
    this.#mesh.close();
    // WebSockets count as connections of the server until the other end has said goodbye.
    await within(CLOSE_CONNECTIONS_MS, this.#http.close(LAST_ANSWERS_MS));
    await within(CLOSE_STORES_MS, this.#directory.opened.close());
    this.#metrics.close();
  }
}

function listenError(error: unknown, where: HostPort): StartError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const address = formatAddress(where);
  if (code === 'EADDRINUSE') return new StartError(EXIT.portTaken, `${address} is taken by another process`);
  return new StartError(EXIT.badUsage, `cannot listen on ${address}: ${code}`, { cause: error });
}
