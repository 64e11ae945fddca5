/** The command line of `kvctl recover`: a plan from what survived a lost majority, and a new cluster. Parsing only. */
import type { Argv } from 'yargs';
import { type Doing, late, number, text } from './cli-options.js';
import type { GlobalArgs } from './context.js';
import { parseMembers } from './peers.js';

const recoverApply = late(async () => (await import('./commands/recover.js')).recoverApply);
const recoverPlan = late(async () => (await import('./commands/recover.js')).recoverPlan);

/** Revisions above this cannot be stepped over twice. */
const REVISION_STEP_MAX = 2 ** 52;

/** What is a list even if it is given once. */
const LISTS = ['directories', 'peers', '_'];

const directories = {
  type: 'string',
  array: true,
  demandOption: true,
  describe: 'data directories of survivors, whose processes do not run; they are copied, never opened',
} as const;
const scratch = {
  type: 'string',
  requiresArg: true,
  describe: 'where the copies are made, with as much room as the directories take [the temporary directory]',
} as const;

export function addRecover(cli: Argv<GlobalArgs>, doing: Doing): void {
  cli.command('recover', 'after a majority was lost: what is left, and a new cluster of it', (recover) =>
    recover
      .demandCommand(1, 'say which: kvctl recover --help lists them')
      .command(
        'plan <directories..>',
        'what the survivors prove, what may be lost; exit 1 when something acknowledged may be',
        (y) => manyWords(y).positional('directories', directories).option('scratch', scratch),
        lastOfEach(doing(recoverPlan)),
      )
      .command(
        'apply <directories..>',
        'do what the plan says: data directories of a new cluster, DIR/replica-ID for each member',
        (y) =>
          manyWords(y)
            .positional('directories', directories)
            .option('data', { ...text, requiresArg: true, describe: 'an empty directory, or a new one' })
            .option('peers', {
              demandOption: true,
              requiresArg: true,
              describe: 'members of the new cluster, ID=HOST:PORT,…; a witness ends in /witness',
              coerce: (given: unknown) => parseMembers(String(given)),
            })
            .option('revision-step', {
              ...number('--revision-step', 1, REVISION_STEP_MAX),
              describe: 'how far the new revisions are above the old ones [1000000000]',
            })
            .option('accept-loss', {
              type: 'boolean',
              default: false,
              describe: 'even where acknowledged writes may be lost',
            })
            .option('scratch', scratch),
        lastOfEach(doing(recoverApply)),
      ),
  );
}

/** kvctl's parser keeps the last of what is given twice, and so would keep the last directory only. */
function manyWords(cli: Argv<GlobalArgs>): Argv<GlobalArgs> {
  return cli.parserConfiguration({ 'duplicate-arguments-array': true });
}

/** Of an option that is given twice the last is taken, here as everywhere. */
function lastOfEach<A extends object>(run: (args: A) => Promise<void>): (args: A) => Promise<void> {
  return (args) => {
    for (const [name, value] of Object.entries(args)) {
      if (Array.isArray(value) && !LISTS.includes(name)) Reflect.set(args, name, value.at(-1));
    }
    return run(args);
  };
}
