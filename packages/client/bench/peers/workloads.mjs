// What is asked of every system through its client, in the order in which a round asks it.
export const KEYS = 10_000;
export const VALUE_BYTES = 100;
const PUTS_IN_FLIGHT = [1, 64, 1_024];
// etcd's client does best at 256 gets.
const GETS_IN_FLIGHT = [1, 64, 256, 1_024];
const LARGE = { keys: 1_000, inFlight: 64 };
const LARGE_VALUES_BYTES = [1_000, 10_000];

const small = { keys: KEYS, valueBytes: VALUE_BYTES };
const TITLES = {
  put: 'Puts a second, by how many in flight',
  get: 'Linearizable gets a second, by how many in flight',
  stale: "Stale gets a second (ZooKeeper's usual reads, direct gets of NATS), by how many in flight",
};
const LARGE_TITLE = `MB of values a second, ${LARGE.inFlight} in flight`;

export const WORKLOADS = [
  ...PUTS_IN_FLIGHT.map((inFlight) => ({ part: 'put', kind: 'put', inFlight, ...small })),
  ...GETS_IN_FLIGHT.map((inFlight) => ({ part: 'get', kind: 'get', inFlight, ...small })),
  ...GETS_IN_FLIGHT.map((inFlight) => ({ part: 'stale', kind: 'stale', inFlight, ...small })),
  ...LARGE_VALUES_BYTES.flatMap((valueBytes) =>
    ['put', 'get'].map((kind) => ({ part: 'values', kind, valueBytes, ...LARGE })),
  ),
];

/** Where a workload's figures go: the table, its column, and what is counted there. */
export function placeOf({ part, kind, inFlight, valueBytes }) {
  if (part === 'values') {
    return { table: LARGE_TITLE, column: `${kind} ${valueBytes / 1_000} KB`, scale: valueBytes / 1e6 };
  }
  return { table: TITLES[part], column: inFlight.toLocaleString('en'), scale: 1 };
}
