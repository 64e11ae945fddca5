/**
 * The memory twin of a data directory, for the simulator and for tests: a MemoryDisk is the hardware, which outlives
 * crashes and takes damage; openMemoryDirectory starts a process on it, through the code that opens real directories.
 */
import type { Identity, Incarnation } from '@kvd/paxos';
import { type DirectoryRequest, type OpenedDirectory, openOnDisk } from './directory.js';
import type { DirectoryDisk, Part, StorePart, Verdict } from './directory-disk.js';
import { asStoreError, DirectoryError, StoreError } from './errors.js';
import { KvState } from './kv-state.js';
import { DEFAULT_STATE_OPTIONS, type KvStateOptions } from './kv-state-options.js';
import { formatLogOps, freshLog } from './log-loader.js';
import { OrderedLogStore } from './log-store.js';
import { MemoryContent, MemoryStore, type Schedule, scheduleMicrotask } from './memory-store.js';
import type { OrderedStore } from './ordered-store.js';
import { formatSide, MemorySideFile } from './side-file.js';
import { formatStateOps, freshState } from './state-loader.js';
import { StateStore } from './state-store.js';
import { verifyLogPart, verifyStatePart } from './verification.js';

/** The state's values have one of their own (state-store.ts). */
export type Database = StorePart | 'values';

/** A disk with one data directory. A test damages it through its public parts. */
export class MemoryDisk {
  readonly stores = new Map<Database, MemoryContent>();
  readonly texts = new Map<Part, string>();
  /** The side file's bytes; null: there is none. */
  side: Buffer | null = null;
  /** What was set aside, with the reasons. */
  readonly aside: { readonly label: string; readonly reason: string }[] = [];
  private process: MemoryProcess | null = null;

  get log(): MemoryContent | undefined {
    return this.stores.get('log');
  }

  /** Without its values. */
  get state(): MemoryContent | undefined {
    return this.stores.get('state');
  }

  /** The process that has it open dies: what it had not synced is gone, and no callback of it is called any more. */
  crash(): void {
    this.process?.crash();
    this.process = null;
  }

  /** A new, empty disk. */
  wipe(): void {
    this.crash();
    this.stores.clear();
    this.texts.clear();
    this.side = null;
    this.aside.length = 0;
  }

  /** @throws DirectoryError locked */
  lock(process: MemoryProcess): void {
    if (this.process !== null) throw new DirectoryError('locked', 'the disk is in use by another process');
    this.process = process;
  }

  unlock(process: MemoryProcess): void {
    if (this.process === process) this.process = null;
  }
}

/**
 * Opens the disk as a process start does. `newIncarnation` is called when it is formatted. After crash() of the disk
 * the result is dead; open it again.
 * @throws DirectoryError, StoreError as openDirectory
 */
export async function openMemoryDirectory(
  disk: MemoryDisk,
  request: DirectoryRequest & { readonly newIncarnation: () => Incarnation },
  schedule: Schedule = scheduleMicrotask,
  stateSchedule: Schedule = schedule,
): Promise<OpenedDirectory> {
  const schedules = { log: schedule, state: stateSchedule };
  const process = new MemoryProcess(disk, schedules, request.newIncarnation);
  disk.lock(process);
  try {
    const opened = await openOnDisk(process, request);
    return {
      ...opened,
      async close() {
        await opened.close();
        disk.unlock(process);
      },
    };
  } catch (error) {
    disk.unlock(process);
    throw error;
  }
}

/** A new log in memory, for tests of a replica. */
export function createMemoryLog(identity: Identity, schedule: Schedule = scheduleMicrotask): OrderedLogStore {
  const content = new MemoryContent();
  content.apply(formatLogOps(identity));
  const loaded = freshLog(identity);
  const side = new MemorySideFile(formatSide(loaded.recovered.marker));
  const store = new MemoryStore(content, schedule);
  const verify = (done: (error: Error | null, result: void) => void): void => {
    verifyLogPart(new MemoryStore(content, schedule), side, done);
  };
  return new OrderedLogStore({ store, side, verify }, loaded);
}

/** A new, empty state in memory, for tests of a replica. */
export function createMemoryState(
  schedule: Schedule = scheduleMicrotask,
  options: KvStateOptions = DEFAULT_STATE_OPTIONS,
): KvState {
  const content = new MemoryContent();
  content.apply(formatStateOps());
  return new KvState(new MemoryStore(content, schedule), freshState(), options);
}

function isDatabase(part: Part): part is Database {
  return part === 'log' || part === 'state' || part === 'values';
}

/** One process's view of a MemoryDisk. */
class MemoryProcess implements DirectoryDisk {
  readonly name = 'the memory disk';
  private readonly disk: MemoryDisk;
  private readonly schedules: Readonly<Record<StorePart, Schedule>>;
  private readonly opened: MemoryStore[] = [];
  readonly newIncarnation: () => Incarnation;

  constructor(
    disk: MemoryDisk,
    schedules: Readonly<Record<StorePart, Schedule>>,
    newIncarnation: () => Incarnation,
  ) {
    this.disk = disk;
    this.schedules = schedules;
    this.newIncarnation = newIncarnation;
  }

  crash(): void {
    for (const store of this.opened) store.crash();
  }

  exists(part: Part): boolean {
    if (isDatabase(part)) return this.disk.stores.has(part);
    if (part === 'acknowledged') return this.disk.side !== null;
    if (part === 'set-aside') return this.disk.aside.length > 0;
    return this.disk.texts.has(part);
  }

  strangers(): readonly string[] {
    return [];
  }

  readText(part: Part): string | null {
    return this.disk.texts.get(part) ?? null;
  }

  writeText(part: Part, text: string): void {
    this.disk.texts.set(part, text);
  }

  remove(parts: readonly Part[]): void {
    for (const part of parts) {
      if (isDatabase(part)) this.disk.stores.delete(part);
      else if (part === 'acknowledged') this.disk.side = null;
      else this.disk.texts.delete(part);
    }
  }

  dropState(): void {
    this.remove(['state', 'values']);
  }

  setAside(parts: readonly Part[], label: string, reason: string): string {
    this.remove(parts);
    this.disk.aside.push({ label, reason });
    return `set-aside/${this.disk.aside.length}-${label}`;
  }

  async openStore(part: StorePart, createIfMissing: boolean): Promise<OrderedStore> {
    return part === 'log' ? this.database('log', createIfMissing) : this.stateStore(createIfMissing, true);
  }

  private stateStore(createIfMissing: boolean, mayCreate: boolean): Promise<OrderedStore> {
    return StateStore.open({
      mayCreate,
      paced: false,
      // Few, so that a simulation sees them go.
      outdatedMax: 8,
      deadBytesMax: 0,
      hasValues: () => this.disk.stores.has('values'),
      openRecords: async () => this.database('state', createIfMissing),
      openValues: async (create) => this.database('values', create),
    });
  }

  private database(name: Database, createIfMissing: boolean): MemoryStore {
    let content = this.disk.stores.get(name);
    if (content === undefined) {
      if (!createIfMissing) throw new StoreError('damaged', `${name} does not exist`);
      content = new MemoryContent();
      this.disk.stores.set(name, content);
    }
    const store = new MemoryStore(content, this.schedules[name === 'log' ? 'log' : 'state']);
    this.opened.push(store);
    return store;
  }

  createSide(bytes: Buffer): void {
    this.disk.side = bytes;
  }

  openSide(): MemorySideFile {
    if (this.disk.side === null) throw new StoreError('damaged', 'the side file is missing');
    return new MemorySideFile(this.disk.side);
  }

  sync(): void {}

  async verify(parts: readonly StorePart[]): Promise<Verdict> {
    const logDamage = parts.includes('log') ? await this.damageOf('log') : null;
    const stateDamage = parts.includes('state') && logDamage === null ? await this.damageOf('state') : null;
    return { logDamage, stateDamage };
  }

  setReserve(): void {}

  private async damageOf(part: StorePart): Promise<string | null> {
    if (!this.disk.stores.has(part)) return `${part} is missing`;
    // As with the child process: a disk that cannot be read has not told us that it is damaged.
    try {
      const store = part === 'log' ? this.database('log', false) : await this.stateStore(false, false);
      await new Promise<void>((resolve, reject) => {
        const done = (error: Error | null): void => (error === null ? resolve() : reject(error));
        if (part === 'state') verifyStatePart(store, true, done);
        else verifyLogPart(store, { read: () => this.openSide().read() }, done);
      });
      return null;
    } catch (error) {
      const { kind, message } = asStoreError(error);
      if (kind === 'damaged') return message;
      throw error;
    }
  }
}
