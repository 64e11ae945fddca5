/**
 * The kvd processes of a drill, in a scratch directory: started, killed, paused, stopped and wiped; and what they say
 * of themselves. Notices every end that nobody here asked for. They end when the process that made them exits.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, cpSync, openSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeDirectory } from '../directory.js';
import { kvdBin } from '../paths.js';
import { freePorts } from './free-ports.js';
import { askState, type ReplicaState } from './replica-state.js';

const HOST = '127.0.0.1';
const POLL_MS = 25;
const FOUND_MS = 60_000;
/** kvd promises to end within 5 s of SIGTERM. */
const STOP_MS = 10_000;
/** Until a replica that is no member any more has ended. */
const END_MS = 30_000;
const LOG_TAIL_LINES = 2;

/** How a process ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ClusterOptions {
  readonly dir: string;
  /** Of replica 1; the others follow. */
  readonly port: number;
  readonly replicas: number;
  /** More environment for the process of a replica. */
  readonly environment?: ((id: number) => NodeJS.ProcessEnv) | undefined;
}

export class DrillCluster {
  /** Those that are not removed. */
  ids: readonly number[];
  /** HOST:PORT of each of them. Whoever replaces another one takes its place in the list, for whoever holds it. */
  readonly endpoints: string[];
  /** Ends that nobody asked for, for people. */
  readonly surprises: string[] = [];
  private readonly founders: readonly number[];
  private readonly addresses = new Map<number, string>();
  private readonly children = new Map<number, ChildProcess>();
  private readonly homes = new Map<number, string>();
  private readonly asked = new Set<ChildProcess>();
  private readonly paused = new Set<number>();

  constructor(private readonly options: ClusterOptions) {
    this.founders = Array.from({ length: options.replicas }, (_, index) => index + 1);
    for (const id of this.founders) this.addresses.set(id, `${HOST}:${options.port + id - 1}`);
    this.ids = this.founders;
    this.endpoints = this.ids.map((id) => this.address(id));
    makeDirectory(options.dir);
    process.prependOnceListener('exit', this.killAll);
  }

  address(id: number): string {
    const address = this.addresses.get(id);
    if (address === undefined) throw new Error(`there never was a replica ${id}`);
    return address;
  }

  /** Start one more replica, which joins those that are there; resolves with its number, does not wait for it. */
  async join(): Promise<number> {
    const id = Math.max(...this.addresses.keys()) + 1;
    this.addresses.set(id, `${HOST}:${await freePorts(1)}`);
    this.start(id);
    this.ids = [...this.ids, id];
    return id;
  }

  /** Replica `id` is about to be removed, and may end; `successor` takes its place in the list of endpoints. */
  release(id: number, successor: number | null): void {
    const child = this.children.get(id);
    if (child !== undefined) this.asked.add(child);
    this.ids = this.ids.filter((other) => other !== id);
    const at = this.endpoints.indexOf(this.address(id));
    if (at >= 0 && successor !== null) this.endpoints[at] = this.address(successor);
  }

  /** How it ended by itself; null: it has not, for long. */
  async ended(id: number): Promise<Ended | null> {
    const child = this.children.get(id);
    if (child === undefined) throw new Error(`replica ${id} was never started`);
    const hasEnded = await this.waitFor(END_MS, () => Promise.resolve(!this.isRunning(id)));
    return hasEnded ? { code: child.exitCode, signal: child.signalCode } : null;
  }

  dataDir(id: number): string {
    return this.homes.get(id) ?? path.join(this.options.dir, `replica-${id}`);
  }

  /** Another place for a replica's data, before its first start. */
  move(id: number, dataDir: string): void {
    this.homes.set(id, dataDir);
  }

  /** Take over data directories that another cluster of the same size and ports left. */
  adopt(templateDir: string): void {
    for (const id of this.ids) {
      // The reserve is a file that says nothing and that a replica makes again.
      const filter = (file: string): boolean => path.basename(file) !== 'reserve';
      cpSync(path.join(templateDir, `replica-${id}`), this.dataDir(id), { recursive: true, filter });
    }
  }

  /** Start a replica that does not run; does not wait for it. `dial`: what --dial says, if anything. */
  start(id: number, dial = ''): void {
    if (this.isRunning(id)) throw new Error(`replica ${id} runs already`);
    const log = openSync(this.logFile(id), 'a');
    const args = ['--id', String(id), ...this.wayIn(id), '--data', this.dataDir(id)];
    if (dial !== '') args.push('--dial', dial);
    const child = spawn(process.execPath, [kvdBin, ...args], {
      env: { ...environment(), ...this.options.environment?.(id) },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.children.set(id, child);
    this.paused.delete(id);
    child.on('error', (error) => this.surprises.push(`replica ${id} could not be started: ${error.message}`));
    child.on('exit', (code, signal) => {
      if (!this.asked.has(child)) this.surprises.push(this.describeEnd(id, { code, signal }));
    });
  }

  isRunning(id: number): boolean {
    const child = this.children.get(id);
    return child?.pid !== undefined && child.exitCode === null && child.signalCode === null;
  }

  get running(): number[] {
    return this.ids.filter((id) => this.isRunning(id));
  }

  /** kill -9. */
  kill(...ids: readonly number[]): Promise<Ended[]> {
    return Promise.all(ids.map((id) => this.end(id, 'SIGKILL')));
  }

  /** SIGTERM; killed when that does not help within 10 s. */
  async stop(id: number): Promise<Ended> {
    const deadline = setTimeout(() => this.children.get(id)?.kill('SIGKILL'), STOP_MS);
    const ended = await this.end(id, 'SIGTERM');
    clearTimeout(deadline);
    return ended;
  }

  /** SIGSTOP: it stays, and does nothing. */
  pause(id: number): void {
    this.paused.add(id);
    this.children.get(id)?.kill('SIGSTOP');
  }

  resume(id: number): void {
    this.paused.delete(id);
    this.children.get(id)?.kill('SIGCONT');
  }

  /** Remove the data of a replica that does not run. */
  wipe(id: number): void {
    rmSync(this.dataDir(id), { recursive: true, force: true });
  }

  /** null: it does not answer. */
  state(id: number): Promise<ReplicaState | null> {
    return this.isRunning(id) && !this.paused.has(id) ? askState(this.address(id)) : Promise.resolve(null);
  }

  /** Of those that answer. */
  async states(ids: readonly number[] = this.ids): Promise<ReplicaState[]> {
    const all = await Promise.all(ids.map((id) => this.state(id)));
    return all.filter((state) => state !== null);
  }

  /** The leader that a majority agrees on; 0: none just now. */
  async leaderNow(): Promise<number> {
    const states = await this.states();
    const leading = states.filter((state) => state.role === 'leader').map((state) => state.id);
    const agreed = (id: number): number => states.filter((state) => state.leader === id).length;
    return leading.find((id) => agreed(id) * 2 > this.ids.length) ?? 0;
  }

  /** All written to stdout and stderr by a replica, over all its lives. */
  log(id: number): string {
    return readFileSync(this.logFile(id), 'utf8');
  }

  /** Have the founding members found their cluster under the addresses they listen on, and end. */
  async found(): Promise<void> {
    for (const id of this.ids) this.start(id);
    const founded = await this.waitFor(FOUND_MS, async () => {
      const states = await this.states();
      return (
        states.length === this.ids.length && states.every((state) => state.clusterId !== '' && state.ready)
      );
    });
    if (!founded)
      throw new Error(this.surprises[0] ?? `no cluster was founded within ${FOUND_MS} ms\n${this.tails()}`);
    await Promise.all(this.ids.map((id) => this.stop(id)));
  }

  /** Until `isSo`; false when that takes too long, or a process ends that should not. */
  async waitFor(timeoutMs: number, isSo: () => Promise<boolean>): Promise<boolean> {
    const deadlineMs = performance.now() + timeoutMs;
    while (!(await isSo())) {
      if (performance.now() > deadlineMs || this.surprises.length > 0) return false;
      await sleep(POLL_MS);
    }
    return true;
  }

  async close(): Promise<void> {
    await this.kill(...this.children.keys());
    process.removeListener('exit', this.killAll);
  }

  /** What each replica said last, for a message. */
  tails(): string {
    return this.ids.map((id) => `replica ${id}: ${this.tail(id)}`).join('\n');
  }

  /** The flags that say how it comes to know the others. */
  private wayIn(id: number): string[] {
    if (this.founders.includes(id))
      return ['--peers', this.founders.map((peer) => `${peer}=${this.address(peer)}`).join(',')];
    const others = this.ids.filter((other) => other !== id).map((other) => this.address(other));
    return ['--join', others.join(','), '--listen', this.address(id)];
  }

  private async end(id: number, signal: NodeJS.Signals): Promise<Ended> {
    const child = this.children.get(id);
    if (child === undefined) throw new Error(`replica ${id} was never started`);
    this.asked.add(child);
    if (this.isRunning(id)) {
      const exit = once(child, 'exit');
      child.kill(signal);
      await exit;
    }
    return { code: child.exitCode, signal: child.signalCode };
  }

  private readonly killAll = (): void => {
    for (const child of this.children.values()) child.kill('SIGKILL');
  };

  private logFile(id: number): string {
    return path.join(this.options.dir, `replica-${id}.log`);
  }

  private describeEnd(id: number, { code, signal }: Ended): string {
    return `replica ${id} ended by itself (${signal ?? `exit ${code}`}): ${this.tail(id)}`;
  }

  private tail(id: number): string {
    try {
      return this.log(id).trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
    } catch {
      return '';
    }
  }
}

/** What is set for other replicas of whoever runs a drill is not for these, and what they log is looked at. */
function environment(): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('KVD_'));
  return { ...Object.fromEntries(inherited), KVD_LOG_LEVEL: 'info' };
}
