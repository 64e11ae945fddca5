/**
 * Real clusters for tests: kvd processes started from bin/kvd on free ports, with data in a temporary directory, that a
 * test can kill, pause, stop, wipe and start again. Waits for what should happen, never for a fixed time. Nothing
 * outlives the test process.
 *
 *     const cluster = await startCluster({ replicas: 3 });
 *     t.teardown(() => cluster.close());
 *     await cluster.kill(await cluster.leader());
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import http from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { MembersReport } from '@kvd/protocol';
import type { ReplicaStatus } from '@kvd/replica';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const kvdBin = path.join(root, 'bin', 'kvd');
export const kvctlBin = path.join(root, 'bin', 'kvctl');

const WAIT_MS = 30_000;
const POLL_MS = 20;

export interface ClusterOptions {
  /** Founding members; others may join them. */
  readonly replicas: number;
  /** Which of them are witnesses, by id. */
  readonly witnesses?: readonly number[];
  /** More flags for every kvd. */
  readonly flags?: readonly string[];
  /** Flags of a single replica, by id. */
  readonly flagsOf?: (id: number) => readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Resolve as soon as the processes are spawned. */
  readonly noWait?: boolean;
}

/** What a process that ended left. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class TestCluster {
  private readonly children = new Map<number, ChildProcess>();
  private readonly joinFlags = new Map<number, readonly string[]>();
  readonly dir = mkdtempSync(path.join(tmpdir(), 'kvd-cluster-'));

  constructor(
    private readonly ports: number[],
    private readonly options: ClusterOptions,
  ) {
    process.once('exit', this.killAll);
  }

  get ids(): number[] {
    return this.ports.map((_, index) => index + 1);
  }

  /** HOST:PORT of every replica, in the order of their ids. */
  get endpoints(): string[] {
    return this.ids.map((id) => this.address(id));
  }

  address(id: number): string {
    return `127.0.0.1:${this.ports[id - 1]}`;
  }

  dataDir(id: number): string {
    return path.join(this.dir, `replica-${id}`);
  }

  /** All that replica `id` wrote to stdout and stderr, over all its lives. */
  log(id: number): string {
    return readFileSync(this.logFile(id), 'utf8');
  }

  pid(id: number): number {
    const pid = this.children.get(id)?.pid;
    if (pid === undefined) throw new Error(`replica ${id} does not run`);
    return pid;
  }

  isRunning(id: number): boolean {
    const child = this.children.get(id);
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  get running(): number[] {
    return this.ids.filter((id) => this.isRunning(id));
  }

  /** One more replica, which joins those that run and waits to be made a member; does not wait for it. */
  async join(flags: readonly string[] = []): Promise<number> {
    this.ports.push(...(await freePorts(1)));
    const id = this.ports.length;
    this.joinFlags.set(id, flags);
    await this.start(id);
    return id;
  }

  /** Another port for a replica that does not run. */
  async move(id: number): Promise<void> {
    if (this.isRunning(id)) throw new Error(`replica ${id} runs`);
    const [port = 0] = await freePorts(1);
    this.ports[id - 1] = port;
  }

  /** Start a replica that does not run; does not wait for it. `flags` come after all others. */
  async start(id: number, flags: readonly string[] = []): Promise<void> {
    if (this.isRunning(id)) throw new Error(`replica ${id} runs already`);
    const own = this.options.flagsOf?.(id) ?? [];
    const args = ['--id', String(id), ...this.wayIn(id), '--data', this.dataDir(id)];
    const log = await open(this.logFile(id), 'a');
    const child = spawn(
      process.execPath,
      [kvdBin, ...args, ...(this.options.flags ?? []), ...own, ...flags],
      {
        env: { ...process.env, ...this.options.env },
        stdio: ['ignore', log.fd, log.fd],
      },
    );
    this.children.set(id, child);
    await log.close();
  }

  /** Start it and wait until it is ready. */
  async restart(id: number, flags: readonly string[] = []): Promise<void> {
    await this.start(id, flags);
    await this.waitReady([id]);
  }

  /** kill -9. */
  kill(id: number): Promise<Ended> {
    return this.end(id, 'SIGKILL');
  }

  /** SIGTERM, and how it ended. */
  stop(id: number): Promise<Ended> {
    return this.end(id, 'SIGTERM');
  }

  pause(id: number): void {
    process.kill(this.pid(id), 'SIGSTOP');
  }

  resume(id: number): void {
    process.kill(this.pid(id), 'SIGCONT');
  }

  /** How a process ended that ends by itself. */
  async ended(id: number): Promise<Ended> {
    const child = this.children.get(id);
    if (child === undefined) throw new Error(`replica ${id} was never started`);
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return { code: child.exitCode, signal: child.signalCode };
  }

  /** Remove the data of a replica that does not run. */
  wipe(id: number): void {
    if (this.isRunning(id)) throw new Error(`replica ${id} runs`);
    rmSync(this.dataDir(id), { recursive: true, force: true });
  }

  /** What it says of itself; null when it does not answer. */
  async status(id: number): Promise<ReplicaStatus | null> {
    const answer = await get(this.address(id), '/v1/status');
    return answer?.status === 200 ? (JSON.parse(answer.body) as ReplicaStatus) : null;
  }

  /** Of those that answer. */
  async statuses(): Promise<ReplicaStatus[]> {
    const all = await Promise.all(this.ids.map((id) => this.status(id)));
    return all.filter((status) => status !== null);
  }

  /** Who the members are, as the leader says; null when there is none. */
  async members(): Promise<MembersReport | null> {
    for (const id of this.running) {
      const answer = await get(this.address(id), '/v1/members');
      if (answer?.status === 200) return JSON.parse(answer.body) as MembersReport;
    }
    return null;
  }

  /** The leader that most of the members agree on. */
  leader(): Promise<number> {
    return this.waitFor('a leader', async () => {
      const statuses = await this.statuses();
      const { id, members = [] } = statuses.find((status) => status.role === 'leader') ?? {};
      const agreed = statuses.filter((status) => status.leader === id).length;
      return id !== undefined && agreed * 2 > members.length ? id : undefined;
    });
  }

  async waitReady(ids: readonly number[] = this.ids): Promise<void> {
    await Promise.all(
      ids.map((id) =>
        this.waitFor(`replica ${id} to be ready`, async () => {
          if (!this.isRunning(id)) throw new Error(`replica ${id} ended:\n${tail(this.log(id))}`);
          if ((await get(this.address(id), '/readyz'))?.status !== 200) return undefined;
          // Until it knows slot 1 itself, all founding members are needed: none may be killed yet.
          return (await this.status(id))?.role === 'founding' ? undefined : true;
        }),
      ),
    );
  }

  /** Until these replicas have applied the same slots; resolves with their state hash. */
  waitSameState(ids: readonly number[] = this.ids): Promise<string> {
    return this.waitFor('equal states', async () => {
      const statuses = await Promise.all(ids.map((id) => this.status(id)));
      const highest = Math.max(...statuses.map((status) => status?.chosenThrough ?? 0));
      if (!statuses.every((status) => status?.appliedThrough === highest)) return undefined;
      const hashes = new Set(statuses.map((status) => status?.stateHash ?? ''));
      if (hashes.size > 1)
        throw new Error(`the states differ after slot ${highest}: ${[...hashes].join(', ')}`);
      return [...hashes][0];
    });
  }

  /** The first answer of `probe` that is not undefined. @throws Error naming `what` after 30 s */
  async waitFor<T>(
    what: string,
    probe: () => Promise<T | undefined> | T | undefined,
    timeoutMs = WAIT_MS,
  ): Promise<T> {
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      const found = await probe();
      if (found !== undefined) return found;
      if (performance.now() > deadlineMs)
        throw new Error(`waited ${timeoutMs} ms for ${what}\n${this.tails()}`);
      await sleep(POLL_MS);
    }
  }

  /** Kill all processes and remove their data. */
  async close(): Promise<void> {
    await Promise.all(this.running.map((id) => this.kill(id)));
    process.removeListener('exit', this.killAll);
    rmSync(this.dir, { recursive: true, force: true });
  }

  private async end(id: number, signal: NodeJS.Signals): Promise<Ended> {
    process.kill(this.pid(id), signal);
    return this.ended(id);
  }

  /** The flags that say how it comes to know the others. */
  private wayIn(id: number): string[] {
    const { replicas, witnesses = [] } = this.options;
    if (id <= replicas) {
      const founders = this.ids.slice(0, replicas);
      const roleOf = (peer: number): string => (witnesses.includes(peer) ? '/witness' : '');
      return ['--peers', founders.map((peer) => `${peer}=${this.address(peer)}${roleOf(peer)}`).join(',')];
    }
    const others = this.running.filter((other) => other !== id).map((other) => this.address(other));
    return ['--join', others.join(','), '--listen', this.address(id), ...(this.joinFlags.get(id) ?? [])];
  }

  private readonly killAll = (): void => {
    for (const child of this.children.values()) child.kill('SIGKILL');
  };

  private logFile(id: number): string {
    return path.join(this.dir, `replica-${id}.log`);
  }

  private tails(): string {
    return this.ids.map((id) => `replica ${id}:\n${tail(this.log(id))}`).join('\n');
  }
}

/** A new cluster, ready for requests unless `noWait`. */
export async function startCluster(options: ClusterOptions): Promise<TestCluster> {
  const cluster = new TestCluster(await freePorts(options.replicas), options);
  try {
    await Promise.all(cluster.ids.map((id) => cluster.start(id)));
    if (options.noWait !== true) await cluster.waitReady();
  } catch (error) {
    await cluster.close();
    throw error;
  }
  return cluster;
}

/** Ports that were free a moment ago, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** The first of `count` ports in a row that were free a moment ago. */
export async function freePortRange(count: number): Promise<number> {
  for (;;) {
    const [first = 0] = await freePorts(1);
    if (first + count > 65_535) continue;
    const servers = Array.from({ length: count }, (_, index) =>
      createServer().listen(first + index, '127.0.0.1'),
    );
    const outcomes = await Promise.allSettled(servers.map((server) => once(server, 'listening')));
    const open = servers.filter((server) => server.listening);
    await Promise.all(open.map((server) => new Promise((resolve) => server.close(resolve))));
    if (outcomes.every((outcome) => outcome.status === 'fulfilled')) return first;
  }
}

export interface RunResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Output of one JSON object a line. */
export function jsonLines({ stdout }: Pick<RunResult, 'stdout'>): Record<string, unknown>[] {
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Run a program of this repository to its end. */
export async function runProgram(
  file: string,
  args: readonly string[],
  options: { readonly input?: string | Buffer; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<RunResult> {
  const child = spawn(process.execPath, [file, ...args], { env: { ...process.env, ...options.env } });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  // It may end before it has read its input.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
}

function get(address: string, url: string): Promise<{ status: number; body: string } | null> {
  return new Promise((resolve) => {
    const request = http.get(`http://${address}${url}`, { agent: false, timeout: 1_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', () => resolve(null));
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() });
      });
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(null));
  });
}

function tail(log: string): string {
  return log.trimEnd().split('\n').slice(-5).join('\n');
}
