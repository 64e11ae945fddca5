/** The command line of `kvctl snapshot`: its commands and flags, and what they may be. Parsing only. */
import type { Argv } from 'yargs';
import { type Doing, late, number, text } from './cli-options.js';
import type { GlobalArgs } from './context.js';
import { parseMembers } from './peers.js';

const snapshotRestore = late(async () => (await import('./commands/snapshot.js')).snapshotRestore);
const snapshotSave = late(async () => (await import('./commands/snapshot.js')).snapshotSave);
const snapshotStatus = late(async () => (await import('./commands/snapshot.js')).snapshotStatus);

/** Revisions above this cannot be stepped over twice. */
const REVISION_STEP_MAX = 2 ** 52;

export function addSnapshots(cli: Argv<GlobalArgs>, doing: Doing): void {
  cli.command('snapshot', 'backups: take one, check one, make a cluster of one', (y) => {
    const snapshot = y.demandCommand(1, 'say which: kvctl snapshot --help lists them');
    snapshot.command(
      'save <file>',
      "back up the cluster while it goes on; '-' writes to stdout",
      (save) =>
        save
          .positional('file', text)
          .option('overwrite', { type: 'boolean', default: false, describe: 'replace FILE if it exists' }),
      doing(snapshotSave),
    );
    snapshot.command(
      'status <file>',
      "check a backup and show what it is of; '-' reads it from stdin; exit 1 when it is not whole",
      (status) => status.positional('file', text),
      doing((context, args) => snapshotStatus(context, args.file)),
    );
    snapshot.command(
      'restore <file>',
      'write the data directories of a new cluster with what a backup holds',
      (restore) =>
        restore
          .positional('file', text)
          .option('data', {
            ...text,
            requiresArg: true,
            describe: 'an empty or new directory, for replica-1, replica-2, …',
          })
          .option('peers', {
            demandOption: true,
            requiresArg: true,
            coerce: (given: unknown) => parseMembers(String(given)),
            describe: 'the members of the new cluster, ID=HOST:PORT,… (a witness: …/witness)',
          })
          .option('revision-step', {
            ...number('--revision-step', 1, REVISION_STEP_MAX),
            describe: 'how far its revisions are above those of the backup [1000000000]',
          }),
      doing(snapshotRestore),
    );
    return snapshot;
  });
}
