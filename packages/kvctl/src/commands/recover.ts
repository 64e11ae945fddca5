/**
 * `kvctl recover`: works on data directories alone, asks no replica. The store is loaded only here, so that no other command
 * waits for LevelDB.
 */
import type * as Store from '@kvd/store';
import type { Recovery, SeedMember } from '@kvd/store';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Context } from '../context.js';
import { CliError, EXIT, type ExitCode, refused } from '../errors.js';
import { planJson } from '../recover-json.js';
import { missingText, planText } from '../recover-text.js';

export interface RecoverPlanArgs {
  readonly directories: readonly string[];
  readonly scratch?: string | undefined;
}

export interface RecoverApplyArgs extends RecoverPlanArgs {
  readonly data: string;
  readonly peers: readonly SeedMember[];
  readonly revisionStep?: number | undefined;
  readonly acceptLoss: boolean;
}

/** @returns done when nothing acknowledged can be lost, negative when something may be */
export function recoverPlan(context: Context, args: RecoverPlanArgs): Promise<ExitCode> {
  return withRecovery(args, async ({ plan }) => {
    await context.out.result(planJson(plan), planText(plan));
    return plan.nothingLost ? EXIT.done : EXIT.negative;
  });
}

/** @throws CliError refused: something acknowledged may be lost, and nobody said that this is accepted */
export function recoverApply(context: Context, args: RecoverApplyArgs): Promise<ExitCode> {
  return withRecovery(args, async (recovery, { DEFAULT_REVISION_STEP }) => {
    const { plan } = recovery;
    if (!plan.nothingLost && !args.acceptLoss)
      throw refused(`${missingText(plan).join(' ')} Read the plan; --accept-loss goes on all the same.`);
    const { data: directory, peers: members, revisionStep = DEFAULT_REVISION_STEP } = args;
    const made = await recovery.seed({ directory, members, revisionStep });
    const { clusterId, directories, ...rest } = made;
    const json = {
      cluster: clusterId,
      nothingLost: plan.nothingLost,
      ...rest,
      directories: directories.map(({ replicaId, incarnation, path }) => ({
        replica: replicaId,
        incarnation,
        path,
      })),
    };
    const lines = [
      `new cluster ${clusterId}: ${rest.keys} keys, revision ${rest.revision}, contents ${rest.contentHash}`,
      ...directories.map(({ replicaId, path }) => `  replica ${replicaId}: ${path}`),
      ...missingText(plan),
    ];
    await context.out.result(json, lines.join('\n'));
    return EXIT.done;
  });
}

/** Does `work` on what can be read of the directories; the private copies are gone at the end, and after a signal. */
async function withRecovery(
  { directories, scratch }: RecoverPlanArgs,
  work: (recovery: Recovery, store: typeof Store) => Promise<ExitCode>,
): Promise<ExitCode> {
  const store = await import('@kvd/store');
  const place = makeScratch(scratch ?? tmpdir());
  const end = (signal: NodeJS.Signals): void => {
    rmSync(place, { recursive: true, force: true });
    process.kill(process.pid, signal);
  };
  process.once('SIGINT', end).once('SIGTERM', end);
  try {
    const recovery = await store.openRecovery(directories, { scratch: place });
    try {
      return await work(recovery, store);
    } finally {
      await recovery.close();
    }
  } catch (error) {
    if (!(error instanceof store.RecoverError || error instanceof store.BackupError)) throw error;
    const code = `KVCTL_RECOVER_${error.kind.toUpperCase().replace('-', '_')}`;
    throw new CliError(EXIT.refused, code, error.message);
  } finally {
    process.removeListener('SIGINT', end).removeListener('SIGTERM', end);
    rmSync(place, { recursive: true, force: true });
  }
}

function makeScratch(parent: string): string {
  try {
    return mkdtempSync(join(parent, 'kvctl-recover-'));
  } catch (error) {
    throw refused(`no copies can be made in ${parent}: ${(error as Error).message}`);
  }
}
