/**
 * A private copy of a data directory. To open a LevelDB is to write to it, so a recovery never opens an original: it reads
 * its files, while it holds the lock that a replica would hold, and works on the copy.
 *
 * The lock is taken through a database of our own whose LOCK is a symbolic link to the original's: LevelDB locks the file
 * behind it, and neither bytes nor times of the original change.
 */
import { existsSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { asStoreError } from '../errors.js';
import { LevelStore } from '../level-store.js';
import { RecoverError } from './recover-error.js';

/** Of a database that is nothing but a lock. */
const LOCK_OPTIONS = { createIfMissing: true, writeBufferBytes: 65_536, cacheBytes: 0, compression: false };
const PARTS = ['log', 'state'] as const;
/** Any of these makes a directory a replica's. */
const SIGNS = ['identity.json', 'acknowledged', ...PARTS];
/** Large, and of no use here; and LOCK, which must not even be read: closing it would give up our lock (POSIX). */
const LEFT_OUT = new Set(['reserve', 'set-aside', 'state-dropped', 'LOCK', 'LOG', 'LOG.old']);

/**
 * Copies `directory` to `target`, which does not exist.
 * @throws RecoverError no-directory, locked, io
 */
export async function copyPrivately(directory: string, target: string): Promise<void> {
  const original = resolve(directory);
  if (!SIGNS.some((name) => existsSync(join(original, name))))
    throw new RecoverError('no-directory', `${directory} is not the data directory of a replica`);
  mkdirSync(target, { recursive: true });
  const locks: LevelStore[] = [];
  try {
    for (const part of PARTS) {
      const lock = join(original, part, 'LOCK');
      // Without one nobody has it open, and LevelDB would make one.
      if (existsSync(lock)) locks.push(await holdLock(directory, lock, `${target}-${part}-lock`));
    }
    for (const name of readdirSync(original)) {
      if (LEFT_OUT.has(name)) continue;
      await cp(join(original, name), join(target, name), {
        recursive: true,
        dereference: true,
        filter: (file) => !LEFT_OUT.has(basename(file)),
      });
    }
  } catch (error) {
    if (error instanceof RecoverError) throw error;
    throw new RecoverError('io', `${directory} cannot be copied: ${messageOf(error)}`);
  } finally {
    for (const lock of locks) await new Promise<void>((done) => lock.close(() => done()));
  }
}

async function holdLock(directory: string, lock: string, place: string): Promise<LevelStore> {
  mkdirSync(place);
  symlinkSync(lock, join(place, 'LOCK'));
  try {
    return await LevelStore.open(place, LOCK_OPTIONS);
  } catch (error) {
    const { kind, message } = asStoreError(error);
    if (kind === 'locked') throw new RecoverError('locked', `${directory} is in use by another process`);
    throw new RecoverError('io', `${directory} cannot be locked: ${message}`);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
