/**
 * Machines 10.0.X.N, as manuals name them, on this one: their addresses with port 15000 are ports of this machine, and
 * /var/lib/kvd is a directory of each. What is typed on them is run; `bin/kvd` runs on.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts, kvdBin, root } from './cluster.js';

const START_MS = 20_000;
const POLL_MS = 20;

export interface Typed {
  /** Of a daemon, which runs on: 0. */
  readonly code: number | null;
  readonly output: string;
}

/** All that a text names. */
export class Machines {
  private readonly daemons = new Map<string, ChildProcess>();
  private readonly ports = new Map<string, number>();
  private readonly dir = mkdtempSync(path.join(tmpdir(), 'kvd-operations-'));
  private readonly env: NodeJS.ProcessEnv = { ...process.env };

  static async make(text: string): Promise<Machines> {
    const machines = new Machines();
    const named = [...new Set(text.match(/\b10\.0\.\d+\.\d+(?=:15000)/g) ?? [])];
    const ports = await freePorts(named.length);
    for (const [index, machine] of named.entries()) machines.ports.set(machine, ports[index] ?? 0);
    return machines;
  }

  /** As if it were typed there. A daemon is waited for until it is ready, with code 0. */
  async type(machine: string, command: string): Promise<Typed> {
    const [, name, value] = /^export (\w+)=(\S+)$/.exec(command) ?? [];
    if (name !== undefined && value !== undefined) {
      this.env[name] = this.translate(machine, value);
      return { code: 0, output: '' };
    }
    const words = this.translate(machine, command);
    if (command.startsWith('bin/kvd ')) return this.daemon(machine, words);
    const child = spawn('sh', ['-c', words], { cwd: root, env: this.env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, output };
  }

  async kill(machine: string): Promise<void> {
    this.daemons.get(machine)?.kill('SIGKILL');
    await this.ended(machine);
  }

  loseDisk(machine: string): void {
    rmSync(this.diskOf(machine), { recursive: true });
  }

  /** The exit status of its daemon, once it has one. */
  async ended(machine: string): Promise<number | string | null> {
    const child = this.daemons.get(machine);
    if (child === undefined) throw new Error(`nothing runs on ${machine}`);
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return child.exitCode ?? child.signalCode;
  }

  async close(): Promise<void> {
    await Promise.all([...this.daemons.keys()].map((machine) => this.kill(machine)));
    rmSync(this.dir, { recursive: true, force: true });
  }

  private async daemon(machine: string, words: string): Promise<Typed> {
    const [, ...args] = words.split(' ');
    mkdirSync(path.dirname(this.diskOf(machine)), { recursive: true });
    const child = spawn(process.execPath, [kvdBin, ...args], {
      env: this.env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.daemons.set(machine, child);
    let output = '';
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const endMs = performance.now() + START_MS;
    while (child.exitCode === null && !(await this.answers(machine))) {
      if (performance.now() > endMs) throw new Error(`kvd does not answer on ${machine}: ${output}`);
      await sleep(POLL_MS);
    }
    return { code: child.exitCode ?? 0, output };
  }

  private async answers(machine: string): Promise<boolean> {
    try {
      return (await fetch(`http://127.0.0.1:${this.ports.get(machine)}/livez`)).ok;
    } catch {
      return false;
    }
  }

  private translate(machine: string, text: string): string {
    return text
      .replace(/\b(10\.0\.\d+\.\d+):15000/g, (_, named: string) => `127.0.0.1:${this.ports.get(named)}`)
      .replaceAll('/var/lib/kvd', this.diskOf(machine));
  }

  private diskOf(machine: string): string {
    return path.join(this.dir, machine, 'kvd');
  }
}
