// Processor time of the members: for each operation, all members together and one by one, and of a cluster that is asked
// nothing.
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster } from '../cluster.mjs';
import { Loader } from '../loader.mjs';
import { KEYS, VALUE_BYTES } from '../workloads.mjs';
import { warmUp } from './throughput.mjs';

const SETTLE_MS = 5_000;
const IDLE_MS = 20_000;
const OPERATIONS = 'Processor time of an operation, us: the leader, and each of the others';
const IDLE = `Asked nothing for ${IDLE_MS / 1000} s: a member's share of a core, %`;
const LOADS = [
  { kind: 'put', inFlight: 64 },
  { kind: 'put', inFlight: 1024 },
  { kind: 'get', inFlight: 64 },
];

export async function processor(run) {
  for (const system of run.systems) {
    await run.attempt(`${system.name}, processor time`, async () => {
      const cluster = await Cluster.start(run.scratch, system);
      try {
        await measure(run, cluster);
      } finally {
        await cluster.stop();
      }
    });
  }
}

async function measure(run, cluster) {
  const { rounds, seconds } = run.options;
  const { system } = cluster;
  const loader = await Loader.start(run.scratch, cluster);
  await warmUp(loader, run.options.warmUp);
  const leader = system.leader === undefined ? undefined : await cluster.leader();
  for (let round = 0; round < rounds; round++) {
    for (const { kind, inFlight } of LOADS.filter((load) => load.kind === 'put' || loader.reads[load.kind])) {
      const before = cluster.processorUs();
      const { count } = await loader.measure({
        kind,
        inFlight,
        seconds,
        keys: KEYS,
        valueBytes: VALUE_BYTES,
      });
      const used = cluster.processorUs().map((us, i) => (us - before[i]) / count);
      for (const [i, value] of used.entries()) {
        const who = cluster.members[i] === leader || system.size === 1 ? 'leader' : 'other';
        const column = `${kind}, ${inFlight} in flight, ${who}`;
        run.figures.record({ table: OPERATIONS, column, system: system.name, value });
      }
    }
  }
  await loader.close();
  // What was put off is done, and nobody is connected.
  await sleep(SETTLE_MS);
  const before = cluster.processorUs();
  await sleep(IDLE_MS);
  for (const [i, us] of cluster.processorUs().entries()) {
    const value = (100 * (us - before[i])) / (IDLE_MS * 1000);
    run.figures.record({ table: IDLE, column: 'median of the members', system: system.name, value });
  }
}
