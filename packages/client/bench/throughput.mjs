// A first figure: puts and linearizable gets per second through @kvd/client, from this one process, on three replicas
// that it starts on loopback in a scratch directory; 100 B values, every acknowledged write synced. Run after a build:
//   node packages/client/bench/throughput.mjs [rounds] [seconds per measurement]
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from '@kvd/client';

const [rounds, seconds] = [Number(process.argv[2] ?? 3), Number(process.argv[3] ?? 3)];
const REPLICAS = 3;
const KEYS = 10_000;
const IN_FLIGHT = [1, 64, 1024];

const kvd = fileURLToPath(new URL('../../../bin/kvd', import.meta.url));
const directory = mkdtempSync(path.join(tmpdir(), 'kvd-throughput-'));
const ports = await freePorts(REPLICAS);
const peers = ports.map((port, i) => `${i + 1}=127.0.0.1:${port}`).join(',');
const replicas = ports.map((_, i) =>
  spawn(
    process.execPath,
    [
      kvd,
      '--id',
      String(i + 1),
      '--peers',
      peers,
      '--data',
      path.join(directory, String(i + 1)),
      '--log-level',
      'warn',
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  ),
);
try {
  const kv = await connect({ endpoints: ports.map((port) => `127.0.0.1:${port}`), timeoutMs: 20_000 });
  const value = new Uint8Array(100).fill(65);
  const operations = {
    put: (i) => kv.put(`key${i % KEYS}`, value),
    get: (i) => kv.get(`key${i % KEYS}`),
  };
  for (const operation of Object.values(operations)) await measure(64, 2, operation);
  for (const [name, operation] of Object.entries(operations)) {
    for (const inFlight of IN_FLIGHT) {
      const rates = [];
      for (let round = 0; round < rounds; round++) rates.push(await measure(inFlight, seconds, operation));
      rates.sort((a, b) => a - b);
      const median = rates[Math.floor(rates.length / 2)];
      console.log(`${name} ${String(inFlight).padStart(5)} in flight: ${median}/s (${rates.join(', ')})`);
    }
  }
  await kv.close();
} finally {
  for (const replica of replicas) replica.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
}

/** Operations per second, closed loop. */
async function measure(inFlight, forSeconds, operation) {
  const startMs = performance.now();
  const endMs = startMs + forSeconds * 1000;
  let count = 0;
  const loop = async () => {
    while (performance.now() < endMs) await operation(count++);
  };
  await Promise.all(Array.from({ length: inFlight }, loop));
  return Math.round((count / (performance.now() - startMs)) * 1000);
}

async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.once('listening', resolve))));
  const found = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return found;
}
