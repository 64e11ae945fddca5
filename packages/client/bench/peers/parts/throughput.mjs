// Throughput and latency through each system's usual Node client. A round starts one system at a time, empty, and asks
// it all workloads; the next round does the same again, so that what the machine does besides hits all alike.
import { Cluster } from '../cluster.mjs';
import { Loader } from '../loader.mjs';
import { KEYS, placeOf, VALUE_BYTES, WORKLOADS } from '../workloads.mjs';

const WARM_UP_IN_FLIGHT = 64;

export async function throughput(run) {
  const { rounds, parts } = run.options;
  const workloads = WORKLOADS.filter(({ part }) => parts.includes(part));
  if (workloads.length === 0) return;
  for (let round = 1; round <= rounds; round++) {
    for (const system of run.systems) {
      await run.attempt(`${system.name}, throughput, round ${round} of ${rounds}`, () =>
        measureAll(run, system, workloads),
      );
    }
  }
}

async function measureAll(run, system, workloads) {
  const cluster = await Cluster.start(run.scratch, system);
  try {
    const loader = await Loader.start(run.scratch, cluster);
    const { seconds, warmUp: warmUpSeconds } = run.options;
    await loader.prepare({ to: KEYS, valueBytes: VALUE_BYTES });
    let valueBytes = VALUE_BYTES;
    for (const workload of workloads) {
      if (workload.kind !== 'put' && !loader.reads[workload.kind]) continue;
      if (workload.valueBytes !== valueBytes) {
        valueBytes = workload.valueBytes;
        await loader.prepare({ to: workload.keys, valueBytes });
      }
      // What is right for 64 in flight is compiled anew for one: each is warmed up by itself.
      if (warmUpSeconds > 0) await loader.measure({ ...workload, seconds: warmUpSeconds });
      const { rate, ...rest } = await loader.measure({ ...workload, seconds });
      const { table, column, scale } = placeOf(workload);
      run.figures.record({ table, column, system: system.name, value: rate * scale, ...rest });
    }
    await loader.close();
  } finally {
    await cluster.stop();
  }
}

/** Every key is there, and both sides have compiled what they run often. */
export async function warmUp(loader, seconds) {
  await loader.prepare({ to: KEYS, valueBytes: VALUE_BYTES });
  if (seconds === 0) return;
  const kinds = ['put', ...Object.keys(loader.reads).filter((kind) => loader.reads[kind])];
  for (const kind of kinds) {
    const half = { kind, inFlight: WARM_UP_IN_FLIGHT, seconds: seconds / kinds.length };
    await loader.measure({ ...half, keys: KEYS, valueBytes: VALUE_BYTES });
  }
}
