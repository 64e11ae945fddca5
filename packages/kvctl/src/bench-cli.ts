/** The command line of `kvctl bench`: its flags, and what they may be. Parsing only. */
import { VALUE_BYTES_MAX } from '@kvd/protocol';
import type { Argv } from 'yargs';
import type { BenchArgs } from './bench/setting.js';
import { WORKLOAD_NAMES, workloadOf } from './bench/workloads.js';
import { type Doing, late, fraction, number, secondsAsMs, wholeNumber } from './cli-options.js';
import type { Context, GlobalArgs } from './context.js';
import { SEED_MAX } from './drill/random.js';

const bench = late(async () => (await import('./commands/bench.js')).bench);

const CONNECTIONS_MAX = 1_000;
const IN_FLIGHT_MAX = 65_536;
const RATE_MAX = 1_000_000;
const KEYS_MAX = 10_000_000;
const COUNT_MAX = 1_000_000_000;
const WATCHERS_MAX = 100_000;
const DURATION_MS = { min: 100, max: 86_400_000 };

const ABOUT = WORKLOAD_NAMES.map((name) => `  ${name.padEnd(8)}${workloadOf(name, undefined).about}`);

export function addBench(cli: Argv<GlobalArgs>, doing: Doing): void {
  cli.command(
    'bench <workload>',
    'measure throughput and latencies of a running cluster; its keys are under bench/, and removed after it',
    options,
    doing((context: Context, args: BenchArgs) => bench(context, args)),
  );
}

function options(y: Argv<GlobalArgs>) {
  return y
    .positional('workload', { choices: WORKLOAD_NAMES, demandOption: true, describe: 'what to do' })
    .option('rate', {
      ...number('--rate', 1, RATE_MAX),
      describe:
        'open loop: begin so many operations a second, and count latencies from when each was due [closed loop]',
    })
    .option('connections', {
      ...whole('--connections', 1, CONNECTIONS_MAX),
      default: 1,
      describe: 'clients of this process, each with a connection of its own',
    })
    .option('in-flight', {
      ...number('--in-flight', 1, IN_FLIGHT_MAX),
      describe: 'operations under way at once on all connections, at most [64; open loop 1024]',
    })
    .option('value-size', {
      ...number('--value-size', 0, VALUE_BYTES_MAX),
      describe: 'bytes of a value [100; YCSB 1000]',
    })
    .option('keys', {
      ...whole('--keys', 1, KEYS_MAX),
      default: 10_000,
      describe: 'how many there are, loaded before',
    })
    .option('duration', {
      requiresArg: true,
      coerce: (given: unknown): number | undefined =>
        given === undefined ? undefined : secondsAsMs('--duration', given, DURATION_MS.min, DURATION_MS.max),
      describe: 'seconds to measure [10, or until --count]',
    })
    .option('count', { ...number('--count', 1, COUNT_MAX), describe: 'operations to measure' })
    .option('warm-up', {
      requiresArg: true,
      default: '2',
      coerce: (given: unknown): number => secondsAsMs('--warm-up', given, 0, DURATION_MS.max),
      describe: 'seconds under load that are not measured',
    })
    .option('seed', {
      ...whole('--seed', 0, SEED_MAX),
      default: 1,
      describe: 'decides which operations are done, and to which keys',
    })
    .option('reads', { ...fraction('--reads'), describe: 'of mixed: the share of gets, 0 to 1 [0.5]' })
    .option('watchers', {
      ...number('--watchers', 1, WATCHERS_MAX),
      describe: 'of watch: how many, each of all keys [1]',
    })
    .option('keep', { type: 'boolean', default: false, describe: 'leave the keys there' } as const)
    .epilogue(['Workloads:', ...ABOUT].join('\n'));
}

/** An option that has a default. */
function whole(name: string, min: number, max: number) {
  return {
    requiresArg: true,
    coerce: (given: unknown): number => wholeNumber(name, given, min, max),
  } as const;
}
