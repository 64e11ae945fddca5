// Collects figures by table, column and system, a sample for each round, and makes medians and ratios of them.

/** The systems are compared with this one. */
const BASE = 'kvd';

export class Figures {
  constructor() {
    this.samples = [];
  }

  /** `value` is what the table counts; `p99Ms`, `errors` and whatever else was measured with it are optional. */
  record({ table, column, system, errors = {}, ...measured }) {
    this.samples.push({ table, column, system, errors, measured });
  }

  /** [{ title, columns: [{ name, systems: { kvd: { value, p99Ms?, samples, errors } }, ratios: { etcd: { value, p99Ms? } } }] }] */
  tables() {
    return [...grouped(this.samples, 'table')].map(([title, ofTable]) => ({
      title,
      columns: [...grouped(ofTable, 'column')].map(([name, ofColumn]) => column(name, ofColumn)),
    }));
  }
}

function column(name, samples) {
  const systems = Object.fromEntries(
    [...grouped(samples, 'system')].map(([system, ofSystem]) => [system, summary(ofSystem)]),
  );
  const { [BASE]: base, ...others } = systems;
  const ratios = Object.fromEntries(
    Object.entries(others)
      .filter(([system]) => base !== undefined && !isBase(system))
      .map(([system, other]) => [system, ratio(base, other)]),
  );
  return { name, systems, ratios };
}

/** Also under another load generator: 'kvd (wrk)'. */
function isBase(system) {
  return system.split(' ')[0] === BASE;
}

function summary(samples) {
  const p99s = samples.flatMap(({ measured: { p99Ms } }) => (p99Ms === undefined ? [] : [p99Ms]));
  const errors = {};
  for (const { errors: counts } of samples) {
    for (const [kind, count] of Object.entries(counts)) errors[kind] = (errors[kind] ?? 0) + count;
  }
  return {
    value: median(samples.map(({ measured }) => measured.value)),
    ...(p99s.length > 0 ? { p99Ms: median(p99s) } : {}),
    errors,
    samples: samples.map(({ measured }) => measured),
  };
}

function ratio(base, other) {
  const hasP99 = base.p99Ms !== undefined && other.p99Ms !== undefined;
  return { value: base.value / other.value, ...(hasP99 ? { p99Ms: base.p99Ms / other.p99Ms } : {}) };
}

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function grouped(samples, by) {
  const groups = new Map();
  for (const sample of samples) groups.set(sample[by], [...(groups.get(sample[by]) ?? []), sample]);
  return groups;
}
