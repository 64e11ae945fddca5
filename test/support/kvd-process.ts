/** Real kvd processes for tests: started, asked over HTTP, ended. Every wait is for something that can be seen. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';

export const KVD = fileURLToPath(new URL('../../bin/kvd', import.meta.url));

/** Ports that nobody used a moment ago, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export function peersOf(ports: readonly number[]): string {
  return ports.map((port, i) => `${i + 1}=127.0.0.1:${port}`).join(',');
}

export class KvdProcess {
  readonly child: ChildProcess;
  /** Exit code or signal, once it has ended. */
  readonly ended: Promise<number | string>;
  stdout = '';
  stderr = '';

  constructor(
    t: Test,
    argv: readonly string[],
    env: Readonly<Record<string, string>> = {},
    cwd = process.cwd(),
  ) {
    this.child = spawn(KVD, argv, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.stdout += chunk.toString();
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    this.ended = once(this.child, 'close').then(([code, signal]) => code ?? signal);
    t.teardown(() => this.kill('SIGKILL'));
  }

  /** Until the ready line; throws with what was said when the process ended before it. */
  async ready(): Promise<this> {
    const ended = this.ended.then((status) => {
      throw new Error(`kvd ended with ${status}: ${this.stderr}`);
    });
    await Promise.race([
      until(
        () => this.stdout.includes('\n'),
        'the ready line',
        () => this.stderr,
      ),
      ended,
    ]);
    return this;
  }

  async kill(signal: NodeJS.Signals): Promise<number | string> {
    this.child.kill(signal);
    return this.ended;
  }
}

/** Asks again and again, for 20 s at most, until it is so. */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  what: string,
  context: () => string = () => '',
): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}; ${context()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export interface Reply {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
}

/** Status 0: nobody answered. */
export async function http(
  port: number,
  method: string,
  path: string,
  init: RequestInit = {},
): Promise<Reply> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, ...init });
    return { status: response.status, text: await response.text(), headers: response.headers };
  } catch (error) {
    return { status: 0, text: String(error), headers: new Headers() };
  }
}

export async function status(port: number): Promise<Record<string, unknown>> {
  const { status: code, text } = await http(port, 'GET', '/v1/status');
  return code === 200 ? (JSON.parse(text) as Record<string, unknown>) : {};
}

export async function untilReady(port: number): Promise<void> {
  await until(async () => (await http(port, 'GET', '/readyz')).status === 200, `/readyz of port ${port}`);
}
