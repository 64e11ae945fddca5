/**
 * A data directory in the file system. Everything that a format or a setting aside relies on is synced: files, and the
 * directories that name them.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import type { ReplicaId } from '@kvd/paxos';
import { randomBytes } from 'node:crypto';
import { dirname, join, resolve } from 'node:path';
import { type DirectoryRequest, type OpenedDirectory, openOnDisk } from './directory.js';
import type { DirectoryDisk, Part, StorePart, Verdict } from './directory-disk.js';
import { damaged, DirectoryError } from './errors.js';
import { LevelStore, type LevelStoreOptions } from './level-store.js';
import type { OrderedStore } from './ordered-store.js';
import { DiskSideFile, type SideFile } from './side-file.js';
import { StateStore } from './state-store.js';
import { verifyInChild } from './verify-child.js';

const MIB = 1024 * 1024;
/** Enough for LevelDB to open again on a full disk: it first writes its write-ahead files out as tables. */
const RESERVE_BYTES = 80 * MIB;
const RESERVE = 'reserve';
/** Files of a LevelDB that hold what was written. */
const LEVEL_DATA = /\.(ldb|sst|log)$|^MANIFEST-/;

/** A list of their keys is kept, on disk and in memory. */
const OUTDATED_MAX = 4096;
const DEAD_BYTES_MAX = 64 * MIB;

/** What a replica makes, and what a file system does. */
const FOLDERS = new Set(['set-aside', 'state-dropped', 'lost+found']);
const STORES = new Set(['log', 'state', 'values']);

const STORE_OPTIONS: Record<StorePart | 'values', Omit<LevelStoreOptions, 'createIfMissing'>> = {
  // Written once and read at catch-up: compressing it would cost more than it saves. The write buffer has to hold what comes
  // while the state is compacted: all stores of a process share one thread of LevelDB's. Its tables are only moved down the
  // levels, each with a sync of its own: so few large ones.
  log: { writeBufferBytes: 32 * MIB, cacheBytes: 4 * MIB, compression: false, tableBytes: 8 * MIB },
  // A larger write buffer is compacted less often: at 100,000 keys of 100 B it saves a sixth of what a put costs in all.
  state: { writeBufferBytes: 32 * MIB, cacheBytes: 16 * MIB, compression: true },
  // Its tables are only moved too, and nothing in it is overwritten: a larger write buffer would save nothing.
  values: { writeBufferBytes: 8 * MIB, cacheBytes: 8 * MIB, compression: true, tableBytes: 8 * MIB },
};

/**
 * Of the state, by replica. All replicas write the same, so with write buffers of one size all of them compact in the same
 * seconds, and then no majority is quick; with these it is now one and now another.
 */
const STATE_WRITE_BUFFER_BYTES = [32 * MIB, 26 * MIB, 39 * MIB, 29 * MIB, 35 * MIB] as const;

/**
 * Opens (or formats) the data directory of a replica. One process at a time; it is closed by `close`, or through the
 * close of both its log and its state.
 * @throws DirectoryError it cannot be used by this replica, and was left as it is
 * @throws StoreError the disk failed
 */
export async function openDirectory(path: string, request: DirectoryRequest): Promise<OpenedDirectory> {
  const disk = new FileDisk(resolve(path), request.replicaId);
  try {
    makeDirectory(disk.name);
    return await openOnDisk(disk, request);
  } catch (error) {
    if (isFileError(error)) throw new DirectoryError('io', `${disk.name}: ${error.message}`);
    throw error;
  }
}

export class FileDisk implements DirectoryDisk {
  /** `replicaId`: whose it is, if that is known; it decides nothing but the size of a buffer. */
  constructor(
    readonly name: string,
    private readonly replicaId: ReplicaId = 0,
  ) {}

  exists(part: Part): boolean {
    return existsSync(this.path(part));
  }

  /** A log or a state without a LevelDB in it is a stranger too. Of files nothing is said: somebody may keep notes there. */
  strangers(): readonly string[] {
    return readdirSync(this.name, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.') && !FOLDERS.has(entry.name))
      .map(({ name }) => name)
      .filter((name) => !STORES.has(name) || !this.isLevel(name));
  }

  private isLevel(folder: string): boolean {
    const names = readdirSync(join(this.name, folder));
    return names.length === 0 || names.some((name) => name === 'CURRENT' || name.startsWith('MANIFEST-'));
  }

  readText(part: Part): string | null {
    return this.exists(part) ? readFileSync(this.path(part), 'utf8') : null;
  }

  writeText(part: Part, text: string): void {
    const temporary = `${this.path(part)}.new`;
    writeSynced(temporary, Buffer.from(text));
    renameSync(temporary, this.path(part));
    this.sync();
  }

  remove(parts: readonly Part[]): void {
    for (const part of parts) rmSync(this.path(part), { recursive: true, force: true });
    this.sync();
  }

  dropState(): void {
    const state = this.path('state');
    const dropped = this.path('state-dropped');
    // Who only looked for a state has left a folder without one.
    const isThere = existsSync(state) && readdirSync(state).some((name) => LEVEL_DATA.test(name));
    if (isThere) {
      rmSync(dropped, { recursive: true, force: true });
      renameSync(state, dropped);
    }
    // Also what a crash between the two has left.
    const values = join(dropped, 'values');
    if (existsSync(dropped) && this.exists('values') && !existsSync(values)) {
      renameSync(this.path('values'), values);
      syncDirectory(dropped);
    }
    this.remove(['state', 'values']);
  }

  setAside(parts: readonly Part[], label: string, reason: string): string {
    const aside = this.path('set-aside');
    mkdirSync(aside, { recursive: true });
    const numbers = readdirSync(aside).map((name) => Number.parseInt(name, 10) || 0);
    const place = join(aside, `${Math.max(0, ...numbers) + 1}-${label}`);
    mkdirSync(place);
    writeSynced(join(place, 'REASON'), Buffer.from(`${reason}\n`));
    syncDirectory(aside);
    const identity = this.readText('identity.json');
    if (identity !== null) writeSynced(join(place, 'identity.json'), Buffer.from(identity));
    for (const part of parts) if (this.exists(part)) renameSync(this.path(part), join(place, part));
    syncDirectory(place);
    this.sync();
    return place;
  }

  async openStore(part: StorePart, createIfMissing: boolean): Promise<OrderedStore> {
    if (part === 'state')
      return openStateStore(this.name, { createIfMissing, mayCreate: true }, this.replicaId);
    const store = await LevelStore.open(this.path(part), { ...levelOptions(part), createIfMissing });
    if (createIfMissing) syncDirectory(this.path(part));
    return store;
  }

  createSide(bytes: Buffer): void {
    writeSynced(this.path('acknowledged'), bytes);
  }

  openSide(): SideFile {
    if (!this.exists('acknowledged')) throw damaged('the side file is missing');
    return new DiskSideFile(this.path('acknowledged'));
  }

  sync(): void {
    syncDirectory(this.name);
  }

  verify(parts: readonly StorePart[]): Promise<Verdict> {
    return verifyInChild(this.name, parts);
  }

  newIncarnation(): string {
    return randomBytes(16).toString('hex');
  }

  setReserve(held: boolean): void {
    const path = join(this.name, RESERVE);
    if (!held) return rmSync(path, { force: true });
    // One that is shorter was made by an earlier version, or not to its end.
    const { size } = statSync(path, { throwIfNoEntry: false }) ?? { size: 0 };
    if (size < RESERVE_BYTES) fillFile(path, RESERVE_BYTES);
  }

  private path(part: Part): string {
    return join(this.name, part);
  }
}

/**
 * Opens both databases of a state, state/ and values/. `mayCreate`: a directory of before format 6 gets the latter; whoever only
 * looks makes none. @throws StoreError
 */
export function openStateStore(
  directory: string,
  { createIfMissing, mayCreate }: { readonly createIfMissing: boolean; readonly mayCreate: boolean },
  replicaId: ReplicaId = 0,
): Promise<StateStore> {
  const open = async (part: 'state' | 'values', create: boolean): Promise<LevelStore> => {
    const options = { ...levelOptions(part, replicaId), createIfMissing: create };
    const store = await LevelStore.open(join(directory, part), options);
    if (create) for (const path of [join(directory, part), directory]) syncDirectory(path);
    return store;
  };
  return StateStore.open({
    mayCreate,
    paced: true,
    outdatedMax: OUTDATED_MAX,
    deadBytesMax: DEAD_BYTES_MAX,
    hasValues: () => existsSync(join(directory, 'values', 'CURRENT')),
    openRecords: () => open('state', createIfMissing),
    openValues: (create) => open('values', create),
  });
}

/** Options of a LevelDB, for the verification: it must read as the replica does. */
export function levelOptions(part: StorePart | 'values', replicaId: ReplicaId = 0): LevelStoreOptions {
  const options = { ...STORE_OPTIONS[part], createIfMissing: false };
  if (part !== 'state') return options;
  const sizes = STATE_WRITE_BUFFER_BYTES;
  return { ...options, writeBufferBytes: sizes[replicaId % sizes.length] ?? options.writeBufferBytes };
}

/** With its parents, each synced into the one that names it. */
export function makeDirectory(path: string): void {
  if (existsSync(path)) return;
  makeDirectory(dirname(path));
  try {
    // Not recursive: where a parent takes no folders (procfs), Node.js 20 would try for ever.
    mkdirSync(path);
  } catch (error) {
    if (!isFileError(error) || !('code' in error) || error.code !== 'EEXIST') throw error;
  }
  syncDirectory(dirname(path));
}

function writeSynced(path: string, bytes: Buffer): void {
  const fd = openSync(path, 'w');
  try {
    writeFileSync(fd, bytes);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Takes the room or leaves nothing behind. */
function fillFile(path: string, bytes: number): void {
  const fd = openSync(path, 'w');
  // Of zeros, a file system that compresses would make nothing.
  const noise = randomBytes(MIB);
  try {
    for (let written = 0; written < bytes; written += noise.length) writeSync(fd, noise);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}

function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** An error of the file system itself, as against one of ours. */
function isFileError(error: unknown): error is Error {
  return error instanceof Error && 'syscall' in error;
}
