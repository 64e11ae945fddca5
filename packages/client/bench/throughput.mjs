// Puts and linearizable gets per second through @kvd/client, from this one process, on three replicas that it starts on
// loopback in a scratch directory, and the processor time of each process; 100 B values that do not compress, every
// acknowledged write synced. Run after a build:
//   node packages/client/bench/throughput.mjs [rounds] [seconds per measurement]
import { randomBytes } from 'node:crypto';
import { connect } from '@kvd/client';
import { Cluster } from './cluster.mjs';

const [rounds, seconds] = [Number(process.argv[2] ?? 3), Number(process.argv[3] ?? 3)];
const KEYS = 10_000;
const IN_FLIGHT = [1, 64, 1024];

const cluster = await Cluster.start();
try {
  const kv = await connect({ endpoints: cluster.endpoints, timeoutMs: 20_000 });
  const value = randomBytes(100);
  const operations = {
    put: (i) => kv.put(`key${i % KEYS}`, value),
    get: (i) => kv.get(`key${i % KEYS}`),
  };
  for (const operation of Object.values(operations)) await measure(64, 2, operation);
  for (const [name, operation] of Object.entries(operations)) {
    for (const inFlight of IN_FLIGHT) {
      const rates = [];
      const before = processorUs();
      let count = 0;
      for (let round = 0; round < rounds; round++) {
        const measured = await measure(inFlight, seconds, operation);
        rates.push(measured.rate);
        count += measured.count;
      }
      const [client, ...replicas] = processorUs().map((us, i) => ((us - before[i]) / count).toFixed(1));
      rates.sort((a, b) => a - b);
      const median = rates[Math.floor(rates.length / 2)];
      const us = `us of processor time each: client ${client}, replicas ${replicas.join(', ')}`;
      console.log(
        `${name} ${String(inFlight).padStart(5)} in flight: ${median}/s (${rates.join(', ')}); ${us}`,
      );
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
  return { rate: Math.round((count / (performance.now() - startMs)) * 1000), count };
}

/** Of this process and of each replica. */
function processorUs() {
  const { user, system } = process.cpuUsage();
  return [user + system, ...cluster.processorUs()];
}
