/**
 * Makes a new cluster of a state: one data directory for each member, in one go, for they name each other's
 * incarnations. A restore does it with a backup, a recovery with what the survivors of a lost majority have.
 *
 * The new cluster needs no founding. Its first configuration is that of `slot`, in place of one in slot 1: every log
 * begins with chosenThrough = cutThrough = slot, so phase 1 begins above it, and where no configuration is old enough
 * for a slot the oldest one governs (ConfigurationHistory.at), as on any replica that began with a snapshot.
 */
import type { ClusterId, Configuration, Member, MemberRole, ReplicaId, Slot } from '@kvd/paxos';
import type { SnapshotReader } from '@kvd/replica';
import { PAGE_BYTES_MAX, WITNESS_SUFFIX } from '@kvd/protocol';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { BackupError } from './backup-errors.js';
import { damaged } from './errors.js';
import { FileDisk, makeDirectory } from './file-disk.js';
import { type DirectorySeed, SeededDirectory, type StateHashes } from './seed-directory.js';
import { SeededState } from './seed-state.js';

export interface SeedMember {
  readonly replicaId: ReplicaId;
  /** HOST:PORT. */
  readonly address: string;
  readonly role: MemberRole;
}

export interface SeedRequest {
  /** A new one: with the old one, members of the old cluster would take part. */
  readonly clusterId: ClusterId;
  readonly members: readonly SeedMember[];
  /** Where the new log begins: at or above the snapshot's slot, and above whatever the old cluster still chooses. */
  readonly slot: Slot;
  /** The state. It is closed when the seeding ends. */
  readonly snapshot: Pick<SnapshotReader, 'next' | 'close'>;
  /** Added to the snapshot's revision, at least 1. */
  readonly revisionStep: number;
  readonly alpha: number;
  /** Size of a phase-2 quorum; 0: a majority. */
  readonly acceptQuorum: number;
}

/** The new cluster, as `kvctl status` will show it before its first write. */
export interface SeededCluster {
  readonly clusterId: ClusterId;
  readonly slot: Slot;
  readonly revision: number;
  /** Below it nothing can be read. */
  readonly compactRevision: number;
  readonly keys: number;
  /** That of the snapshot: the step does not touch it. */
  readonly contentHash: string;
  readonly stateHash: string;
  readonly directories: readonly {
    readonly replicaId: ReplicaId;
    readonly incarnation: string;
    readonly path: string;
  }[];
}

/**
 * Writes DIR/replica-ID for every member, and nothing else into DIR. When it fails, what it wrote is removed; when it is
 * killed, no directory has an identity and so none can be started, or each that has one is whole.
 * @throws BackupError not-empty: DIR holds something; bad-request: no such cluster is possible
 * @throws StoreError the snapshot is damaged, or the disk failed
 */
export async function seedDirectories(directory: string, request: SeedRequest): Promise<SeededCluster> {
  const root = resolve(directory);
  checkRequest(request);
  if (existsSync(root) && readdirSync(root).length > 0)
    throw new BackupError('not-empty', `${root} holds something; a new cluster goes into an empty directory`);
  const members = [...request.members].sort((a, b) => a.replicaId - b.replicaId);
  const places = members.map(({ replicaId }) => join(root, `replica-${replicaId}`));
  try {
    return await seedAll(places, { ...request, members });
  } catch (error) {
    for (const place of places) rmSync(place, { recursive: true, force: true });
    throw error;
  } finally {
    request.snapshot.close();
  }
}

async function seedAll(places: readonly string[], request: SeedRequest): Promise<SeededCluster> {
  const { clusterId, slot, revisionStep } = request;
  const disks = places.map((place) => {
    makeDirectory(place);
    return new FileDisk(place);
  });
  const configuration = configurationOf(
    request,
    disks.map((disk) => disk.newIncarnation()),
  );
  const configurations = [{ slot, configuration }];
  const founding = request.members.map(foundingEntry).join(',');
  const seeds = configuration.members.map((member): DirectorySeed => {
    const { replicaId, incarnation, role } = member;
    const hasState = role !== 'witness';
    return { identity: { replicaId, incarnation }, clusterId, founding, slot, configurations, hasState };
  });
  const directories = disks.map((disk, i) => new SeededDirectory(disk, seeds[i] as DirectorySeed));
  const state = new SeededState({ slot, configurations, revisionStep });
  try {
    for (const each of directories) await each.begin();
    await copy(request.snapshot, state, directories);
    let hashes: StateHashes | null = null;
    for (const each of directories) hashes = (await each.finish()) ?? hashes;
    const { head } = state;
    if (head === null || hashes === null) throw damaged('the snapshot is empty');
    // Only when all are whole: what is left of a failure in between has no identity.
    for (const each of directories) each.release();
    const { revision, compactRevision, keys } = head;
    return {
      clusterId,
      slot,
      revision,
      compactRevision,
      keys,
      ...hashes,
      directories: seeds.map(({ identity }, i) => ({ ...identity, path: places[i] ?? '' })),
    };
  } finally {
    for (const each of directories) await each.close();
  }
}

/** One pass over the snapshot for all: a chunk is with everybody before the next one is asked for. */
async function copy(
  snapshot: SeedRequest['snapshot'],
  state: SeededState,
  directories: readonly SeededDirectory[],
): Promise<void> {
  for (;;) {
    const chunk = await new Promise<Uint8Array | null>((resolveChunk, reject) => {
      snapshot.next(PAGE_BYTES_MAX, (error, next) => (error === null ? resolveChunk(next) : reject(error)));
    });
    if (chunk === null) return;
    const turned = state.turn(chunk);
    if (turned.length > 0) await Promise.all(directories.map((each) => each.write(turned)));
  }
}

function configurationOf(request: SeedRequest, incarnations: readonly string[]): Configuration {
  const { clusterId, alpha, acceptQuorum } = request;
  const members = request.members.map(
    (member, i): Member => ({ ...member, incarnation: incarnations[i] ?? '' }),
  );
  // It replaces none: what came before was another cluster's.
  return { clusterId, alpha, replaces: 0, members, acceptQuorum };
}

/** As `--peers` has it. */
function foundingEntry({ replicaId, address, role }: SeedMember): string {
  return `${replicaId}=${address}${role === 'witness' ? WITNESS_SUFFIX : ''}`;
}

function checkRequest({ members, acceptQuorum }: SeedRequest): void {
  const refuse = (why: string): BackupError => new BackupError('bad-request', why);
  if (new Set(members.map(({ replicaId }) => replicaId)).size < members.length)
    throw refuse('a member is named twice');
  if (!members.some(({ role }) => role === 'voter')) throw refuse('a cluster needs a voter');
  const voters = members.filter(({ role }) => role !== 'learner').length;
  if (acceptQuorum > voters) throw refuse(`${acceptQuorum} of ${voters} cannot accept`);
}
