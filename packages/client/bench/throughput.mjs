// A first figure: puts and linearizable gets per second through @kvd/client, from this one process, on three replicas
// that it starts on loopback in a scratch directory; 100 B values, every acknowledged write synced. Run after a build:
//   node packages/client/bench/throughput.mjs [rounds] [seconds per measurement]
import { connect } from '@kvd/client';
import { Cluster } from './cluster.mjs';

const [rounds, seconds] = [Number(process.argv[2] ?? 3), Number(process.argv[3] ?? 3)];
const KEYS = 10_000;
const IN_FLIGHT = [1, 64, 1024];

const cluster = await Cluster.start();
try {
  const kv = await connect({ endpoints: cluster.endpoints, timeoutMs: 20_000 });
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
  cluster.stop();
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
