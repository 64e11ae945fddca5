/** What a run was told to do, checked: what goes together, and the defaults that depend on something. Pure. */
import { VALUE_BYTES_MAX, WATCHES_PER_CONNECTION_MAX } from '@kvd/protocol';
import { usage } from '../errors.js';
import { STAMP_BYTES } from './values.js';
import { type Workload, type WorkloadName, workloadOf } from './workloads.js';

export const DURATION_MS = 10_000;
const IN_FLIGHT = { closed: 64, open: 1_024 };
/** What a connection holds and queues of keys and values, less some for the keys. (@kvd/client, ConnectOptions) */
const WRITTEN_BYTES_MAX = 64 * 1024 * 1024;

/** As the command line gives it; undefined: not given. */
export interface BenchArgs {
  readonly workload: WorkloadName;
  readonly rate?: number | undefined;
  readonly connections: number;
  readonly inFlight?: number | undefined;
  readonly valueSize?: number | undefined;
  readonly keys: number;
  readonly duration?: number | undefined;
  readonly count?: number | undefined;
  readonly warmUp: number;
  readonly seed: number;
  readonly reads?: number | undefined;
  readonly watchers?: number | undefined;
  readonly keep: boolean;
}

export interface BenchSetting {
  readonly workload: Workload;
  /** Operations a second of an open loop; null: closed. */
  readonly rate: number | null;
  readonly connections: number;
  /** On all connections together. */
  readonly inFlight: number;
  readonly keys: number;
  readonly valueBytes: number;
  readonly warmUpMs: number;
  /** Infinity: the count alone ends it. */
  readonly durationMs: number;
  /** Infinity: time alone ends it. */
  readonly count: number;
  readonly seed: number;
  /** 0: there are none. */
  readonly watchers: number;
  readonly keep: boolean;
}

/** @throws CliError usage on what does not go together */
export function toSetting(args: BenchArgs): BenchSetting {
  const { connections, keys, rate } = args;
  const workload = workloadOf(args.workload, args.reads);
  const inFlight =
    args.inFlight ?? Math.max(connections, rate === undefined ? IN_FLIGHT.closed : IN_FLIGHT.open);
  const valueBytes = args.valueSize ?? workload.valueBytes;
  const watchers = args.workload === 'watch' ? (args.watchers ?? 1) : 0;
  if (args.reads !== undefined && args.workload !== 'mixed') throw usage('--reads goes with mixed only');
  if (args.watchers !== undefined && args.workload !== 'watch')
    throw usage('--watchers goes with watch only');
  if (inFlight < connections)
    throw usage(
      `--in-flight counts all connections together: ${inFlight} leaves some of ${connections} nothing to do`,
    );
  if (args.workload === 'txn' && keys < 2) throw usage('--keys: a transaction of txn takes 2');
  if (watchers > 0 && valueBytes < STAMP_BYTES)
    throw usage(`--value-size: values of watch say when they were put, in ${STAMP_BYTES} bytes`);
  if (watchers > connections * WATCHES_PER_CONNECTION_MAX)
    throw usage(`--watchers: at most ${WATCHES_PER_CONNECTION_MAX} on a connection`);
  if (valueBytes > VALUE_BYTES_MAX) throw usage(`--value-size: at most ${VALUE_BYTES_MAX} bytes`);
  checkWritten(workload, Math.ceil(inFlight / connections), valueBytes);
  return {
    workload,
    rate: rate ?? null,
    connections,
    inFlight,
    keys,
    valueBytes,
    warmUpMs: args.warmUp,
    durationMs: args.duration ?? (args.count === undefined ? DURATION_MS : Number.POSITIVE_INFINITY),
    count: args.count ?? Number.POSITIVE_INFINITY,
    seed: args.seed,
    watchers,
    keep: args.keep,
  };
}

/** More than a connection holds would be refused by the client, and nothing be measured but that. */
function checkWritten({ mix }: Workload, inFlight: number, valueBytes: number): void {
  const values = mix.txn === undefined ? 1 : 2;
  const writes = Object.keys(mix).some((kind) => kind !== 'get' && kind !== 'scan');
  if (!writes || inFlight * values * valueBytes <= WRITTEN_BYTES_MAX) return;
  const most = Math.floor(WRITTEN_BYTES_MAX / (values * valueBytes));
  throw usage(`--in-flight: with values of ${valueBytes} bytes at most ${most} for each connection`);
}
