/**
 * Formats a data directory as that of a member of a cluster that exists already: its log begins above `slot`, cut, with
 * the configuration that names it; its state is the one that is handed in.
 *
 * The side file is written first and identity.json last. So a directory whose seeding was interrupted is a used one
 * without an identity: a kvd that is started on it sets it aside, and founds nothing with what is left.
 */
import type { ClusterId, ConfigurationAt, Identity, Slot } from '@kvd/paxos';
import type { Done, SnapshotInstaller } from '@kvd/replica';
import type { DirectoryDisk } from './directory-disk.js';
import { damaged } from './errors.js';
import { encodeIdentity, FORMAT_VERSION } from './identity-file.js';
import { KvState } from './kv-state.js';
import { formatLogOps, freshLog } from './log-loader.js';
import { OrderedLogStore } from './log-store.js';
import type { OrderedStore } from './ordered-store.js';
import { formatSide } from './side-file.js';
import { formatStateOps, freshState } from './state-loader.js';

export interface DirectorySeed {
  readonly identity: Identity;
  readonly clusterId: ClusterId;
  /** `ID=HOST:PORT,…` of all members. */
  readonly founding: string;
  readonly slot: Slot;
  readonly configurations: readonly ConfigurationAt[];
  /** A witness has a log only. */
  readonly hasState: boolean;
}

export interface StateHashes {
  readonly contentHash: string;
  readonly stateHash: string;
}

/** One directory on its way: begin, write every chunk of the state, finish, release. */
export class SeededDirectory {
  private state: KvState | null = null;
  private installer: SnapshotInstaller | null = null;

  constructor(
    private readonly disk: DirectoryDisk,
    private readonly seed: DirectorySeed,
  ) {}

  /** @throws StoreError */
  async begin(): Promise<void> {
    const { disk, seed } = this;
    disk.createSide(formatSide(freshLog(seed.identity).recovered.marker));
    disk.sync();
    await this.writeLog();
    if (!seed.hasState) return;
    const store = await disk.openStore('state', true);
    await promised<void>((done) => store.batch(formatStateOps(), done));
    this.state = new KvState(store, freshState());
    this.installer = this.state.createInstaller();
  }

  /** A chunk of the state as the new cluster has it. @throws StoreError */
  async write(chunk: Uint8Array): Promise<void> {
    const { installer } = this;
    if (installer !== null) await promised<void>((done) => installer.write(chunk, done));
  }

  /** Checks the whole state, and closes it; null: there is none. @throws StoreError */
  async finish(): Promise<StateHashes | null> {
    const { seed, installer, state } = this;
    if (installer === null || state === null) return null;
    await promised<void>((done) => installer.finish(seed.slot, done));
    const { contentHash, stateHash } = state;
    await this.close();
    return { contentHash, stateHash };
  }

  /** From here on a kvd starts on it. */
  release(): void {
    const { identity, clusterId, founding, hasState } = this.seed;
    this.disk.setReserve(true);
    // Its configuration is known: it has nothing to found, and never will.
    const written = {
      format: FORMAT_VERSION,
      ...identity,
      clusterId,
      founding,
      mayFound: false,
      witness: !hasState,
    };
    this.disk.writeText('identity.json', encodeIdentity(written));
  }

  /** Lets go of what is open; called again, nothing. */
  async close(): Promise<void> {
    const { state } = this;
    this.state = null;
    this.installer = null;
    if (state !== null) await promised<void>((done) => state.close(done));
  }

  private async writeLog(): Promise<void> {
    const { disk, seed } = this;
    const store = await disk.openStore('log', true);
    await promised<void>((done) => store.batch(formatLogOps(seed.identity), done));
    const log = logOf(disk, store, seed.identity);
    const { slot, configurations } = seed;
    try {
      const cut = { entries: [], chosenThrough: slot, cutThrough: slot, configurations };
      await promised<number>((done) => log.write(cut, done));
    } finally {
      await promised<void>((done) => log.close(done));
    }
  }
}

function logOf(disk: DirectoryDisk, store: OrderedStore, identity: Identity): OrderedLogStore {
  // Asked only before a failed log is opened again, which nobody does with this one.
  const verify = (done: Done<void>): void => done(damaged('a log that is being made'), undefined);
  return new OrderedLogStore({ store, side: disk.openSide(), verify }, freshLog(identity));
}

function promised<T>(start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, result) => (error === null ? resolve(result) : reject(error)));
  });
}
