/** Daemons in the test's own process. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Test } from 'tap';
import type { Daemon } from '../src/daemon.js';
import { createLog } from '../src/log.js';
import { type KvdOptions, parseCommandLine } from '../src/options.js';

export const ports = { log: await createLog('silent', {}), version: '1.2.3' };

/** All different, and free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const found = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return found;
}

export function optionsOf(id: number, peers: string, data: string): Promise<KvdOptions> {
  return optionsFrom('--id', `${id}`, '--peers', peers, '--data', data);
}

export async function optionsFrom(...argv: readonly string[]): Promise<KvdOptions> {
  const parsed = await parseCommandLine(argv, {}, '1.2.3');
  if (parsed.type !== 'run') throw new Error('nothing to run');
  return parsed.options;
}

export async function untilReady(t: Test, daemon: Daemon): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!daemon.status().ready) {
    if (performance.now() > deadline) t.bailout(`never ready: ${JSON.stringify(daemon.status())}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
