/** The command line of `kvctl drill`: its flags, and what they may be. Parsing only. */
import type { Argv } from 'yargs';
import { type DrillArgs, drillList, drillRun, SEED_MAX } from '../commands/drill.js';
import type { Context, GlobalArgs } from '../context.js';
import { type ExitCode, usage } from '../errors.js';

const REPLICAS = { min: 3, max: 9 };
const CLIENTS = { min: 1, max: 100, fallback: 8 };
const SECONDS = { min: 1, max: 3_600, fallback: 10 };

/** Makes a command's handler: gives it its context, and its exit code to whoever waits for it. */
type Doing = <A>(
  command: (context: Context, args: A) => Promise<ExitCode>,
) => (args: A & GlobalArgs) => Promise<void>;

export function addDrills(cli: Argv<GlobalArgs>, doing: Doing): void {
  cli.command('drill', 'break a cluster of real processes under load, and judge what its clients saw', (y) =>
    y
      .command(
        'list',
        'explain every drill in a sentence',
        (list) => list,
        doing((context) => drillList(context)),
      )
      .command(
        'run <name>',
        "run a drill, or 'all'; exit 1 when one failed",
        options,
        doing((context, args: DrillArgs) => drillRun(context, args)),
      )
      .demandCommand(1, 'say which: kvctl drill --help lists them'),
  );
}

function options(y: Argv<GlobalArgs>) {
  return y
    .positional('name', { type: 'string', demandOption: true, describe: 'one that drill list shows, or all' })
    .option('replicas', {
      ...whole('--replicas', REPLICAS.min, REPLICAS.max),
      describe: 'how many, 3 to 9 [that of drill list]',
    })
    .option('seed', {
      ...whole('--seed', 0, SEED_MAX),
      describe: 'decides what is hit, and what clients ask for; not how the machine runs it [chance]',
    })
    .option('duration', {
      requiresArg: true,
      default: SECONDS.fallback,
      coerce: (given: unknown) => wholeNumber('--duration', given, SECONDS.min, SECONDS.max),
      describe: 'seconds of faults for each drill; what it began it ends',
    })
    .option('clients', {
      requiresArg: true,
      default: CLIENTS.fallback,
      coerce: (given: unknown) => wholeNumber('--clients', given, CLIENTS.min, CLIENTS.max),
      describe: 'half of them roam, half stay with one replica',
    })
    .option('report', { type: 'string', requiresArg: true, describe: 'write an HTML page to this file' });
}

function whole(name: string, min: number, max: number) {
  return {
    requiresArg: true,
    coerce: (given: unknown): number | undefined =>
      given === undefined ? undefined : wholeNumber(name, given, min, max),
  } as const;
}

function wholeNumber(name: string, given: unknown, min: number, max: number): number {
  const value = /^\d+$/.test(String(given)) ? Number(given) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw usage(`${name}: '${String(given)}' is not a whole number from ${min} to ${max}`);
}
