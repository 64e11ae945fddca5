// A store of many keys: what it does to throughput and memory, and how long a member takes from its start to taking requests.
import { Cluster } from '../cluster.mjs';
import { Loader } from '../loader.mjs';
import { KEYS, VALUE_BYTES } from '../workloads.mjs';
import { warmUp } from './throughput.mjs';

const IN_FLIGHT = 64;
const LOAD_LIMIT_MS = 30 * 60_000;

export async function size(run) {
  for (const system of run.systems) {
    await run.attempt(`${system.name}, ${run.options.keys.toLocaleString('en')} keys`, async () => {
      const cluster = await Cluster.start(run.scratch, system);
      try {
        await measureSize(run, cluster);
      } finally {
        await cluster.stop();
      }
    });
  }
}

async function measureSize(run, cluster) {
  const { keys, rounds, seconds } = run.options;
  const table = `${keys.toLocaleString('en')} keys of ${VALUE_BYTES} B, ${IN_FLIGHT} in flight`;
  const record = (column, value, rest = {}) =>
    run.figures.record({ table, column, system: cluster.system.name, value, ...rest });
  const loader = await Loader.start(run.scratch, cluster);
  const kinds = ['put', ...Object.keys(loader.reads).filter((kind) => loader.reads[kind])];
  const measure = async (when, keyCount) => {
    const rates = Object.fromEntries(kinds.map((kind) => [kind, []]));
    for (let round = 0; round < rounds; round++) {
      for (const kind of kinds) {
        const options = { kind, inFlight: IN_FLIGHT, seconds, keys: keyCount, valueBytes: VALUE_BYTES };
        const { rate, ...rest } = await loader.measure(options);
        record(`${kind}/s ${when}`, rate, rest);
        rates[kind].push(rate);
      }
    }
    return rates;
  };

  await warmUp(loader, run.options.warmUp);
  const before = await measure('before', Math.min(KEYS, keys));
  run.say(`${cluster.system.name}: loading`);
  const load = { from: KEYS, to: keys, valueBytes: VALUE_BYTES };
  await loader.prepare(load, LOAD_LIMIT_MS);
  const after = await measure('with them', keys);
  for (const kind of kinds) {
    after[kind].forEach((rate, i) => record(`${kind}: kept %`, (100 * rate) / before[kind][i]));
  }
  for (const mib of cluster.memoryMiB()) record('resident MiB', mib);
  await loader.close();
  for (const member of cluster.members) record('restart ms', await cluster.restart(member));
}
