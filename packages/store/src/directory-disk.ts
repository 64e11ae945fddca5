/**
 * What opening a data directory needs of a disk. Implemented by file-disk.ts and, for the simulator, memory-disk.ts, so
 * that directory.ts decides alike in both what is new, foreign, damaged or fine.
 */
import type { Incarnation } from '@kvd/paxos';
import type { OrderedStore } from './ordered-store.js';
import type { SideFile } from './side-file.js';

export type StorePart = 'log' | 'state';

/**
 * log/ and state/ are stores, values/ belongs to the latter (state-store.ts), `acknowledged` is the side file, `identity.json` the identity, `set-aside` holds what was
 * damaged, `formatting` is there while a format is under way, `state-condemned` and
 * `log-condemned` say why the state is to be dropped or all is to be set aside, `removed` that the replica is no member any
 * more, `state-dropped` is the state dropped last.
 */
export type Part =
  | StorePart
  | 'values'
  | 'acknowledged'
  | 'identity.json'
  | 'set-aside'
  | 'formatting'
  | 'state-condemned'
  | 'log-condemned'
  | 'removed'
  | 'state-dropped';

/** What the verification found; a null reason: all is well. */
export interface Verdict {
  readonly logDamage: string | null;
  readonly stateDamage: string | null;
}

export interface DirectoryDisk {
  /** For messages. */
  readonly name: string;
  exists(part: Part): boolean;
  /** Names of folders in it that no replica made. */
  strangers(): readonly string[];
  readText(part: Part): string | null;
  /** Whole or not at all, and synced. */
  writeText(part: Part, text: string): void;
  remove(parts: readonly Part[]): void;
  /** Moves state/, if there is one, to state-dropped/, in place of what was there, and values/ into it. */
  dropState(): void;
  /** Moves what there is of `parts` into a new folder of set-aside/, beside a copy of the identity, and returns its name. */
  setAside(parts: readonly Part[], label: string, reason: string): string;
  /** @throws StoreError */
  openStore(part: StorePart, createIfMissing: boolean): Promise<OrderedStore>;
  createSide(bytes: Buffer): void;
  /** @throws StoreError damaged */
  openSide(): SideFile;
  /** Syncs the directory's own entries. */
  sync(): void;
  /** Both stores closed. @throws DirectoryError locked or io */
  verify(parts: readonly StorePart[]): Promise<Verdict>;
  newIncarnation(): Incarnation;
  /** A file whose room is given back when the disk is full. */
  setReserve(held: boolean): void;
}
