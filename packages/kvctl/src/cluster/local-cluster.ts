/**
 * A cluster of kvd processes on this machine: starts, signals, stops and wipes them, and knows them again after its own
 * restart by their pid files. The processes are the truth; nothing is remembered in memory but children just started.
 *
 *     DIR/cluster.json     the layout
 *     DIR/replica-N/       data directory of replica N
 *     DIR/replica-N.pid    its process, while it runs
 *     DIR/replica-N.log    what it wrote to stdout and stderr
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeDirectory } from '../directory.js';
import { type CliError, refused, unavailable, usage } from '../errors.js';
import { httpCall, parseObject } from '../http.js';
import { kvdBin } from '../paths.js';
import { addJoined, HOST, type Joined, type Layout, writeLayout } from './layout.js';
import { readProcessFile, removeProcessFile, writeProcessFile } from './process-file.js';

export interface ReplicaProcess {
  readonly id: number;
  readonly address: string;
  readonly pid: number | null;
  readonly state: 'running' | 'paused' | 'stopped';
}

type Signal = 'SIGKILL' | 'SIGSTOP' | 'SIGCONT' | 'SIGTERM';

const POLL_MS = 50;
const PROBE_MS = 1_000;
/** kvd promises to end within 5 s of SIGTERM. */
const STOP_MS = 10_000;
const LOG_TAIL_LINES = 3;

/** kvd's exit code. */
const BAD_USAGE = 2;

const EXIT_MEANINGS: Readonly<Record<number, string>> = {
  [BAD_USAGE]: 'bad usage, or other founding members than its data directory names',
  3: 'its data directory belongs to another replica or is locked',
  4: 'its storage failed',
  5: 'its port is taken',
  6: 'it was removed from the cluster',
};

export class LocalCluster {
  private readonly children = new Map<number, ChildProcess>();

  constructor(
    readonly dir: string,
    public layout: Layout,
  ) {}

  /** Those that may run: whoever was removed from the cluster ends at once when it is started. */
  get ids(): number[] {
    const all = [...this.founders, ...this.layout.joined.map(({ id }) => id)];
    return all.filter((id) => !this.isRemoved(id));
  }

  private get founders(): number[] {
    return Array.from({ length: this.layout.replicas }, (_, index) => index + 1);
  }

  private isRemoved(id: number): boolean {
    return existsSync(path.join(this.dataDir(id), 'removed'));
  }

  get addresses(): string[] {
    return this.ids.map((id) => this.addressOf(id));
  }

  addressOf(id: number): string {
    return `${HOST}:${this.layout.port + id - 1}`;
  }

  logFile(id: number): string {
    return path.join(this.dir, `replica-${id}.log`);
  }

  save(layout: Layout): void {
    this.layout = layout;
    writeLayout(this.dir, layout);
  }

  processOf(id: number): ReplicaProcess {
    const running = readProcessFile(this.pidFile(id));
    return { id, address: this.addressOf(id), pid: running?.pid ?? null, state: running?.state ?? 'stopped' };
  }

  processes(): ReplicaProcess[] {
    return this.ids.map((id) => this.processOf(id));
  }

  /** @throws CliError usage when there is no such replica */
  check(id: number): number {
    if (this.ids.includes(id)) return id;
    const removed = this.isRemoved(id) ? ' any more: it was removed from the cluster' : '';
    throw usage(`there is no replica ${id}${removed}; this cluster has replicas ${this.ids.join(', ')}`);
  }

  /** One more replica, which is to join the cluster: noted, not started. */
  add(witness: boolean): Joined {
    const joined = addJoined(this.layout, witness);
    this.save({ ...this.layout, joined: [...this.layout.joined, joined] });
    return joined;
  }

  /** Start the given replicas. @throws CliError when a port is taken */
  async start(ids: readonly number[]): Promise<void> {
    for (const id of ids) await this.checkPort(id);
    for (const id of ids) this.spawn(id);
  }

  /** Resolves when replica `id` can answer requests. @throws CliError when it ends instead, or does not within the time */
  async waitReady(id: number, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    let why = 'no answer yet';
    while (!signal?.aborted) {
      if (this.processOf(id).state === 'stopped') throw await this.endedError(id);
      try {
        const answer = await httpCall('GET', this.addressOf(id), '/readyz', PROBE_MS);
        const { role, clusterId } = await this.status(id);
        // Until it knows the founding configuration itself, the cluster cannot do without any of its members.
        if (answer.status === 200 && role !== 'founding') return;
        // Whoever joined takes no requests before it is a member, and a witness may not be asked for the state.
        const knows = (role === 'learner' || role === 'witness') && clusterId !== '';
        if (knows && this.joinedOf(id) !== undefined) return;
        why = answer.status === 200 ? 'the cluster is being founded' : answer.body.trim();
      } catch (error) {
        why = error instanceof Error ? error.message : String(error);
      }
      if (performance.now() > deadlineMs) throw unavailable(`replica ${id} runs, but is not ready: ${why}`);
      await sleep(POLL_MS);
    }
  }

  private async status(id: number): Promise<Readonly<Record<string, unknown>>> {
    return parseObject((await httpCall('GET', this.addressOf(id), '/v1/status', PROBE_MS)).body);
  }

  private joinedOf(id: number): Joined | undefined {
    return this.layout.joined.find((joined) => joined.id === id);
  }

  /** Send a signal to a running replica. @throws CliError refused when it does not run */
  signal(id: number, name: Signal): void {
    if (!this.trySignal(id, name)) throw refused(`replica ${id} does not run`);
  }

  /** False when it does not run, or has just ended. */
  trySignal(id: number, name: Signal): boolean {
    const running = readProcessFile(this.pidFile(id));
    if (running === null) return false;
    try {
      return process.kill(running.pid, name);
    } catch {
      return false;
    }
  }

  /** kill -9, and wait until it is gone. */
  async kill(id: number): Promise<void> {
    this.signal(id, 'SIGKILL');
    await this.waitGone(id, STOP_MS);
  }

  /** Ask it to end and wait; kill it when it does not. Resolves with how it went. */
  async stop(id: number): Promise<'stopped' | 'killed' | 'was-stopped'> {
    if (this.processOf(id).state === 'stopped') {
      removeProcessFile(this.pidFile(id));
      return 'was-stopped';
    }
    this.trySignal(id, 'SIGTERM');
    // A paused process hears SIGTERM only once it goes on.
    this.trySignal(id, 'SIGCONT');
    if (await this.waitGone(id, STOP_MS)) return 'stopped';
    this.trySignal(id, 'SIGKILL');
    await this.waitGone(id, STOP_MS);
    return 'killed';
  }

  /** Remove the data directory of a replica that does not run. */
  wipe(id: number): void {
    if (this.processOf(id).state !== 'stopped')
      throw refused(`replica ${id} runs: kill it before its disk is wiped`);
    rmSync(this.dataDir(id), { recursive: true, force: true });
  }

  hasData(): boolean {
    return this.ids.some((id) => existsSync(this.dataDir(id)));
  }

  private spawn(id: number): void {
    makeDirectory(this.dir);
    const flags = ['--id', String(id), ...this.wayIn(id), '--data', this.dataDir(id), ...this.layout.flags];
    const log = openSync(this.logFile(id), 'a');
    try {
      const child = spawn(process.execPath, [kvdBin, ...flags], {
        detached: true,
        stdio: ['ignore', log, log],
      });
      child.unref();
      this.children.set(id, child);
      if (child.pid === undefined) throw refused(`replica ${id}: cannot run ${kvdBin}`);
      writeProcessFile(this.pidFile(id), child.pid);
    } finally {
      closeSync(log);
    }
  }

  /** The flags that say how it comes to know the others. */
  private wayIn(id: number): string[] {
    const joined = this.joinedOf(id);
    if (joined === undefined) {
      return ['--peers', this.founders.map((peer) => `${peer}=${this.addressOf(peer)}`).join(',')];
    }
    const others = this.ids.filter((other) => other !== id).map((other) => this.addressOf(other));
    const join = ['--join', others.join(','), '--listen', this.addressOf(id)];
    return joined.witness ? [...join, '--witness'] : join;
  }

  private async checkPort(id: number): Promise<void> {
    if (this.processOf(id).state !== 'stopped') throw refused(`replica ${id} runs already`);
    const port = this.layout.port + id - 1;
    await new Promise<void>((resolve, reject) => {
      const server = createServer();
      server.once('error', (error: NodeJS.ErrnoException) => {
        const taken =
          error.code === 'EADDRINUSE' ? 'is taken by another program' : `cannot be used: ${error.message}`;
        reject(refused(`replica ${id}: port ${port} ${taken}; choose another with --port`));
      });
      server.listen(port, HOST, () => server.close(() => resolve()));
    });
  }

  private async waitGone(id: number, timeoutMs: number): Promise<boolean> {
    const deadlineMs = performance.now() + timeoutMs;
    while (this.processOf(id).state !== 'stopped') {
      if (performance.now() > deadlineMs) return false;
      await sleep(POLL_MS / 5);
    }
    removeProcessFile(this.pidFile(id));
    return true;
  }

  /** What kvd calls bad usage is the user's here, too: its flags came from there. */
  private async endedError(id: number): Promise<CliError> {
    const child = this.children.get(id);
    // The system knows that it ended a moment before Node.js says how.
    if (child?.exitCode === null && child.signalCode === null)
      await Promise.race([once(child, 'exit'), sleep(PROBE_MS)]);
    const message = `replica ${id} ended: ${this.causeOfDeath(id)}`;
    return child?.exitCode === BAD_USAGE ? usage(message) : unavailable(message);
  }

  /** For people: how a replica that does not run ended, as far as it is known. */
  causeOfDeath(id: number): string {
    const child = this.children.get(id);
    const code = child?.exitCode ?? null;
    const how =
      child?.signalCode ??
      (code === null ? 'unknown why' : `exit ${code} (${EXIT_MEANINGS[code] ?? 'failed'})`);
    const tail = this.logTail(id);
    return tail === '' ? how : `${how}; the end of ${this.logFile(id)}:\n${tail}`;
  }

  private logTail(id: number): string {
    try {
      return readFileSync(this.logFile(id), 'utf8').trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
    } catch {
      return '';
    }
  }

  private dataDir(id: number): string {
    return path.join(this.dir, `replica-${id}`);
  }

  private pidFile(id: number): string {
    return path.join(this.dir, `replica-${id}.pid`);
  }
}
