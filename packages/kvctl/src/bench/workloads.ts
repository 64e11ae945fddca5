/**
 * What can be measured: which operations in which shares, and which keys they take. A to F are the core workloads of YCSB
 * (Cooper et al., Benchmarking Cloud Serving Systems with YCSB, SoCC 2010, table 2, and its parameter files).
 */
import type { Distribution } from './keys.js';

/** `event`: what a watcher is told, which nobody asks for one by one. */
export const KINDS = ['put', 'get', 'txn', 'insert', 'scan', 'read-modify-write', 'event'] as const;
export type Kind = (typeof KINDS)[number];
export type Asked = Exclude<Kind, 'event'>;

export interface Workload {
  readonly name: WorkloadName;
  readonly about: string;
  /** Shares of 1. */
  readonly mix: Readonly<Partial<Record<Asked, number>>>;
  readonly distribution: Distribution;
  /** Where --value-size does not say otherwise. */
  readonly valueBytes: number;
}

const VALUE_BYTES = 100;
/** YCSB: ten fields of 100 B. A value is one thing to kvd, so an update writes all of it. */
const RECORD_BYTES = 1_000;

const simple = { distribution: 'uniform', valueBytes: VALUE_BYTES } as const;
const ycsb = { distribution: 'zipfian', valueBytes: RECORD_BYTES } as const;

export const WORKLOAD_NAMES = [
  'put',
  'get',
  'mixed',
  'txn',
  'watch',
  'ycsb-a',
  'ycsb-b',
  'ycsb-c',
  'ycsb-d',
  'ycsb-e',
  'ycsb-f',
] as const;
export type WorkloadName = (typeof WORKLOAD_NAMES)[number];

const WORKLOADS: Readonly<Record<WorkloadName, Omit<Workload, 'name'>>> = {
  put: { about: 'puts', mix: { put: 1 }, ...simple },
  get: { about: 'gets', mix: { get: 1 }, ...simple },
  mixed: { about: 'puts and gets, --reads says how many', mix: { put: 0.5, get: 0.5 }, ...simple },
  txn: { about: 'transactions: two keys compared, both put', mix: { txn: 1 }, ...simple },
  watch: { about: 'from the start of a put until a watcher has its event', mix: { put: 1 }, ...simple },
  'ycsb-a': { about: 'update heavy: 50 % gets, 50 % puts', mix: { get: 0.5, put: 0.5 }, ...ycsb },
  'ycsb-b': { about: 'read mostly: 95 % gets, 5 % puts', mix: { get: 0.95, put: 0.05 }, ...ycsb },
  'ycsb-c': { about: 'read only', mix: { get: 1 }, ...ycsb },
  'ycsb-d': {
    about: 'read latest: 95 % gets of what 5 % inserts brought last',
    mix: { get: 0.95, insert: 0.05 },
    ...ycsb,
    distribution: 'latest',
  },
  'ycsb-e': {
    about: 'short ranges: 95 % scans of 1 to 100 entries, 5 % inserts',
    mix: { scan: 0.95, insert: 0.05 },
    ...ycsb,
  },
  'ycsb-f': {
    about: 'read-modify-write: 50 % gets, 50 % a get and a put of the same key',
    mix: { get: 0.5, 'read-modify-write': 0.5 },
    ...ycsb,
  },
};

/** `reads`: the share of gets where the workload leaves it open. */
export function workloadOf(name: WorkloadName, reads: number | undefined): Workload {
  const workload = { name, ...WORKLOADS[name] };
  return reads === undefined ? workload : { ...workload, mix: { get: reads, put: 1 - reads } };
}

/** Which operation comes next. */
export function mixer(mix: Workload['mix'], random: () => number): () => Asked {
  const kinds = KINDS.filter((kind): kind is Asked => kind !== 'event' && (mix[kind] ?? 0) > 0);
  const [only, ...others] = kinds;
  if (only === undefined) throw new Error('a mix of nothing');
  if (others.length === 0) return () => only;
  return () => {
    let left = random();
    for (const kind of others) {
      left -= mix[kind] ?? 0;
      if (left < 0) return kind;
    }
    return only;
  };
}
