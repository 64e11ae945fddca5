/** The command line of `kvctl drill`: its flags, and what they may be. Parsing only. */
import type { Argv } from 'yargs';
import { type Doing, late, number, wholeNumber } from '../cli-options.js';
import type { DrillArgs } from '../commands/drill.js';
import type { GlobalArgs } from '../context.js';
import { SEED_MAX } from './random.js';

const drillList = late(async () => (await import('../commands/drill.js')).drillList);
const drillRun = late(async () => (await import('../commands/drill.js')).drillRun);

const REPLICAS = { min: 3, max: 9 };
const CLIENTS = { min: 1, max: 100, fallback: 8 };
const SECONDS = { min: 1, max: 3_600, fallback: 10 };

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
      ...number('--replicas', REPLICAS.min, REPLICAS.max),
      describe: 'how many, 3 to 9 [that of drill list]',
    })
    .option('seed', {
      ...number('--seed', 0, SEED_MAX),
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
