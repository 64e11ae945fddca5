// What the data model does at size, on three replicas that this starts on loopback: many keys loaded, a scan of all of
// them while eight writers go on, many watchers at once, a restart. Run after a build:
//   node packages/client/bench/data-model.mjs [keys] [watchers]
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from '@kvd/client';
import { Cluster, percentile } from './cluster.mjs';

if (process.argv[2] === 'scan') {
  // A process of its own: what the scan costs its client is not what it costs the writers.
  const client = await connect({ endpoints: process.argv.slice(3), timeoutMs: 60_000 });
  let count = 0;
  for await (const entry of client.scan({ prefix: 'key/' })) count += entry.key.length > 0 ? 1 : 0;
  await client.close();
  process.send(count);
  process.exit();
}

const KEYS = Number(process.argv[2] ?? 1_000_000);
const WATCHERS = Number(process.argv[3] ?? 10_000);
const EVENTS_EACH = 5;
const WRITERS = 8;
const IN_FLIGHT = 1_024;
const value = new Uint8Array(100).fill(65);
const keyOf = (i) => `key/${String(i).padStart(9, '0')}`;

const cluster = await Cluster.start();
const kv = await connect({ endpoints: cluster.endpoints, timeoutMs: 60_000 });
try {
  await load();
  await scanUnderLoad();
  await fanOut();
  await restart();
} finally {
  await kv.close();
  cluster.stop();
}

async function load() {
  const beganMs = performance.now();
  let next = 0;
  const loop = async () => {
    while (next < KEYS) await kv.put(keyOf(next++), value);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, loop));
  const seconds = (performance.now() - beganMs) / 1000;
  console.log(
    `load: ${KEYS} keys in ${seconds.toFixed(1)} s, ${Math.round(KEYS / seconds)}/s; memory of the replicas: ${cluster.memory().join(', ')} MiB`,
  );
}

async function scanUnderLoad() {
  const alone = await writeFor(() => new Promise((resolve) => setTimeout(resolve, 5_000)));
  let count = 0;
  const beganMs = performance.now();
  const during = await writeFor(async () => {
    const scan = fork(process.argv[1], ['scan', ...cluster.endpoints]);
    [count] = await once(scan, 'message');
  });
  const seconds = (performance.now() - beganMs) / 1000;
  if (count !== KEYS) throw new Error(`the scan gave ${count} keys, not ${KEYS}`);
  console.log(
    `scan: ${count} keys in ${seconds.toFixed(1)} s while ${WRITERS} writers go on: p50 ${during.p50.toFixed(2)} ms, p99 ${during.p99.toFixed(2)} ms; without it p50 ${alone.p50.toFixed(2)}, p99 ${alone.p99.toFixed(2)}: ${(during.p99 / alone.p99).toFixed(2)}x; memory ${cluster.memory().join(', ')} MiB`,
  );
}

/** Latencies of writers that go on until `work` is done. */
async function writeFor(work) {
  let done = false;
  const latencies = [];
  const writer = async (w) => {
    for (let i = 0; !done; i++) {
      const beganMs = performance.now();
      await kv.put(`writer/${w}/${i % 1000}`, value);
      latencies.push(performance.now() - beganMs);
    }
  };
  const writers = Array.from({ length: WRITERS }, (_, w) => writer(w));
  await work();
  done = true;
  await Promise.all(writers);
  latencies.sort((a, b) => a - b);
  return { p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) };
}

async function fanOut() {
  const client = await connect({ endpoints: cluster.endpoints, timeoutMs: 60_000 });
  const { revision } = await kv.put('fan-out', value);
  let received = 0;
  const watch = async () => {
    let last = revision;
    let events = 0;
    for await (const event of client.watch({ key: 'fan-out', fromRevision: revision + 1 })) {
      if (event.modRevision !== last + 1) throw new Error(`revision ${event.modRevision} after ${last}`);
      last = event.modRevision;
      received += 1;
      events += 1;
      if (events === EVENTS_EACH) return;
    }
  };
  const openedMs = performance.now();
  const watches = Array.from({ length: WATCHERS }, watch);
  const beganMs = performance.now();
  for (let i = 0; i < EVENTS_EACH; i++) await kv.put('fan-out', value);
  await Promise.all(watches);
  const endedMs = performance.now();
  if (received !== WATCHERS * EVENTS_EACH) throw new Error(`${received} events arrived`);
  console.log(
    `fan-out: ${WATCHERS} watchers, ${received} events, none lost, in ${((endedMs - beganMs) / 1000).toFixed(2)} s (opened in ${((beganMs - openedMs) / 1000).toFixed(2)} s); memory ${cluster.memory().join(', ')} MiB`,
  );
  await client.close();
}

async function restart() {
  const times = [];
  for (const i of [0, 1, 2]) times.push(Math.round(await cluster.restart(i)));
  console.log(`restart with ${KEYS} keys: ready after ${times.join(', ')} ms`);
}
