/** The command line of `kvctl check`: its flags, and what they may be. Parsing only. */
import { FORMATS } from '@kvd/checker/formats';
import type { Argv } from 'yargs';
import { type Doing, late } from './cli-options.js';
import type { GlobalArgs } from './context.js';
import { usage } from './errors.js';

const check = late(async () => (await import('./commands/check.js')).check);

const TIME_LIMIT_SECONDS_MAX = 86_400;

export function addCheck(cli: Argv<GlobalArgs>, doing: Doing): void {
  cli.command(
    'check <file>',
    "judge a recorded history; '-' reads it from stdin; exit 1 when it is wrong, 5 when undecided",
    (y) =>
      y
        .positional('file', { type: 'string', demandOption: true })
        .option('format', {
          choices: FORMATS,
          default: 'auto' as const,
          describe: 'kvd (docs/CHECKER.md), a log of Jepsen, maps in EDN; auto: by the first line',
          requiresArg: true,
        })
        .option('report', { type: 'string', requiresArg: true, describe: 'write an HTML page to this file' })
        .option('time-limit', {
          requiresArg: true,
          default: 60,
          coerce: seconds,
          describe: 'seconds until the answer is "undecided"',
        }),
    doing(check),
  );
}

function seconds(given: unknown): number {
  const value = /^\d+(\.\d+)?$/.test(String(given)) ? Number(given) : Number.NaN;
  if (value > 0 && value <= TIME_LIMIT_SECONDS_MAX) return value;
  throw usage(`--time-limit: '${String(given)}' is not a number of seconds up to ${TIME_LIMIT_SECONDS_MAX}`);
}
