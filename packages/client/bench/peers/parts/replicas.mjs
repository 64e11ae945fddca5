// More replicas on the same cores: each of them does for every put what one more acceptor and one more state cost.
import { Cluster } from '../cluster.mjs';
import { Loader } from '../loader.mjs';
import { KEYS, VALUE_BYTES } from '../workloads.mjs';
import { warmUp } from './throughput.mjs';

const SIZES = [3, 5, 9];
const IN_FLIGHT = 1024;
const TABLE = `Puts a second by ${IN_FLIGHT.toLocaleString('en')} in flight, by how many members`;

export async function replicas(run) {
  const { rounds } = run.options;
  for (let round = 1; round <= rounds; round++) {
    for (const system of run.systems.filter(({ anySize }) => anySize)) {
      let ofThree = 0;
      for (const size of SIZES) {
        await run.attempt(`${system.name}, ${size} members, round ${round} of ${rounds}`, async () => {
          const rate = await measure(run, { ...system, size });
          ofThree ||= rate;
          if (size > SIZES[0]) record(run, system, `${size}: % of 3`, { value: (100 * rate) / ofThree });
        });
      }
    }
  }
}

async function measure(run, system) {
  const cluster = await Cluster.start(run.scratch, system);
  try {
    const loader = await Loader.start(run.scratch, cluster);
    await warmUp(loader, run.options.warmUp);
    const { seconds } = run.options;
    const options = { kind: 'put', inFlight: IN_FLIGHT, seconds, keys: KEYS, valueBytes: VALUE_BYTES };
    const { rate, ...rest } = await loader.measure(options);
    record(run, system, `${system.size}`, { value: rate, ...rest });
    await loader.close();
    return rate;
  } finally {
    await cluster.stop();
  }
}

function record(run, { name }, column, figures) {
  run.figures.record({ table: TABLE, column, system: name, ...figures });
}
