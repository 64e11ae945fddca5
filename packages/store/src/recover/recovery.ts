/**
 * Recovery of a cluster that lost its majority: a plan from the data directories of the survivors, and a new cluster made
 * of it. The originals are read once, under their locks, and never opened or written (private-copy.ts).
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type SeededCluster, seedDirectories, type SeedMember } from '../seed-directories.js';
import { SLOT_STEP } from '../seed-state.js';
import { evidenceOf, inspect, type Survivor, withSalvage } from './inspect.js';
import { type Judgement, judge } from './judge.js';
import { describePlan, type RecoveryPlan } from './plan.js';
import { copyPrivately } from './private-copy.js';
import { RecoverError } from './recover-error.js';
import { call, type Replayed, replay } from './replay.js';

export interface RecoveryOptions {
  /** Where the private copies are made, which take as much room as the directories. Default: the system's. */
  readonly scratch?: string;
}

export interface NewCluster {
  /** An empty directory, or none: each member's data directory is made in it. */
  readonly directory: string;
  readonly members: readonly SeedMember[];
  readonly revisionStep: number;
}

export interface Recovery {
  readonly plan: RecoveryPlan;
  /** Makes the new cluster. @throws RecoverError unrecoverable; BackupError, StoreError as seedDirectories */
  seed(cluster: NewCluster): Promise<SeededCluster>;
  /** Removes the private copies. */
  close(): Promise<void>;
}

/** @throws RecoverError: a directory cannot be used, or they do not belong together */
export async function openRecovery(
  directories: readonly string[],
  { scratch = tmpdir() }: RecoveryOptions = {},
): Promise<Recovery> {
  refuseTwice(directories);
  const place = mkdtempSync(join(scratch, 'kvd-recover-'));
  try {
    const survivors = await inspectAll(directories, place);
    const judgement = judge(survivors.map(evidenceOf));
    const replayed = await replayIfPossible(survivors, judgement, place);
    const plan = describePlan(survivors, judgement, replayed);
    return {
      plan,
      seed: (cluster) => seed(plan, replayed, cluster),
      async close() {
        if (replayed !== null) await call<void>((done) => replayed.state.close(done));
        rmSync(place, { recursive: true, force: true });
      },
    };
  } catch (error) {
    rmSync(place, { recursive: true, force: true });
    throw error;
  }
}

async function inspectAll(directories: readonly string[], place: string): Promise<Survivor[]> {
  const found: Survivor[] = [];
  for (const [index, directory] of directories.entries()) {
    const copy = join(place, String(index + 1));
    await copyPrivately(directory, copy);
    found.push(await inspect(directory, copy));
  }
  // Below what is known chosen a damaged log has nothing to tell.
  const knownThrough = Math.max(0, ...found.map((survivor) => evidenceOf(survivor).knownThrough));
  const survivors: Survivor[] = [];
  for (const survivor of found) survivors.push(await withSalvage(survivor, knownThrough + 1));
  refuseStrangers(survivors);
  return survivors;
}

function refuseTwice(directories: readonly string[]): void {
  const seen = new Set<string>();
  for (const directory of directories) {
    const path = realPath(directory);
    if (seen.has(path)) throw new RecoverError('twice', `${directory} is given twice`);
    seen.add(path);
  }
}

function realPath(directory: string): string {
  try {
    return realpathSync(directory);
  } catch {
    return resolve(directory);
  }
}

/** One cluster, and one directory of each incarnation: of two copies one is older, and has forgotten promises. */
function refuseStrangers(survivors: readonly Survivor[]): void {
  const named = survivors.filter(({ clusterId }) => clusterId !== '');
  const other = named.find(({ clusterId }) => clusterId !== named[0]?.clusterId);
  if (other !== undefined) {
    const [first] = named;
    throw new RecoverError(
      'other-cluster',
      `${first?.directory} belongs to cluster ${first?.clusterId}, ${other.directory} to ${other.clusterId}`,
    );
  }
  const owners = new Map<string, string>();
  for (const { identity, directory } of survivors) {
    if (identity === null) continue;
    const name = `replica ${identity.replicaId}, incarnation ${identity.incarnation}`;
    const owner = owners.get(name);
    if (owner !== undefined)
      throw new RecoverError(
        'twice',
        `${owner} and ${directory} are both of ${name}: give the newer one only`,
      );
    owners.set(name, directory);
  }
}

async function replayIfPossible(
  survivors: readonly Survivor[],
  judgement: Judgement,
  place: string,
): Promise<Replayed | null> {
  try {
    return await replay(survivors, judgement, place);
  } catch (error) {
    if (error instanceof RecoverError && error.kind === 'unrecoverable') return null;
    throw error;
  }
}

async function seed(
  plan: RecoveryPlan,
  replayed: Replayed | null,
  { directory, members, revisionStep }: NewCluster,
): Promise<SeededCluster> {
  if (replayed === null) throw new RecoverError('unrecoverable', 'there is nothing to make a new cluster of');
  const { state } = replayed;
  const snapshot = await call<Parameters<typeof seedDirectories>[1]['snapshot']>((done) =>
    state.openFlushed('present', done),
  );
  return seedDirectories(directory, {
    clusterId: randomBytes(16).toString('hex'),
    members,
    // Above every log position that the lost members may have handed out as a session or a lease.
    slot: state.appliedThrough + SLOT_STEP,
    snapshot,
    revisionStep,
    alpha: plan.alpha,
    acceptQuorum: 0,
  });
}
