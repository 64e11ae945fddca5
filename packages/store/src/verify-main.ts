/**
 * The verification process: `node verify-main.js DIRECTORY log|state …`. Opens each part's LevelDB, checks it, reports
 * on stdout (verify-child.ts). A crash here is a finding, not an accident. It must never create or mend anything.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { StorePart } from './directory-disk.js';
import { asStoreError, damaged, StoreError } from './errors.js';
import { levelOptions, openStateStore } from './file-disk.js';
import { LevelStore } from './level-store.js';
import type { OrderedStore } from './ordered-store.js';
import { DiskSideFile } from './side-file.js';
import type { Report } from './verify-child.js';
import { verifyLogPart, verifyStatePart } from './verification.js';

/** A state up to this size is checked record by record; a larger one is, after the start, by the scrub. */
const WHOLE_STATE_BYTES_MAX = 16 * 1024 * 1024;
const ALIVE_MS = 5_000;
/**
 * Failures of the file system that are about what is there: a file is missing, is none, or is shorter than LevelDB
 * believes (it maps tables, and to read beyond their end is an invalid argument). All others are about the disk and what
 * is allowed on it, and say nothing of the data: a quota that is used up must not cost a replica its vote.
 */
const DAMAGE = /no such file|invalid argument|is a directory|not a directory/i;
const CURRENT = /^MANIFEST-\d{1,20}\n$/;

const [directory, ...parts] = process.argv.slice(2);

// Whoever wants to know is gone, and a new one may be waiting for the directory. Nothing else comes this way.
const onOrphaned = (): void => process.exit(1);
process.stdin.on('close', onOrphaned).resume();
// Ctrl-C goes to the whole process group; the parent decides what becomes of us.
process.on('SIGINT', () => {});

function report(line: Report | { readonly alive: true }): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function verifyPart(path: string, part: StorePart): Promise<void> {
  const location = join(path, part);
  checkCurrent(location);
  const store =
    part === 'state' ? await openState(path) : await LevelStore.open(location, levelOptions(part));
  await new Promise<void>((resolve, reject) => {
    const done = (error: Error | null): void => (error === null ? resolve() : reject(error));
    if (part === 'state') return verifyStatePart(store, isSmall(path), done);
    verifyLogPart(store, { read: () => readSide(path) }, done);
  });
  await new Promise<void>((resolve) => store.close(() => resolve()));
}

function openState(path: string): Promise<OrderedStore> {
  const values = join(path, 'values');
  if (existsSync(join(values, 'CURRENT'))) checkCurrent(values);
  return openStateStore(path, { createIfMissing: false, mayCreate: false });
}

function readSide(path: string): number {
  const side = new DiskSideFile(join(path, 'acknowledged'));
  try {
    return side.read();
  } finally {
    side.close();
  }
}

/** LevelDB believes whatever name it finds there, up to a zero byte. */
function checkCurrent(directory: string): void {
  if (!CURRENT.test(readFileSync(join(directory, 'CURRENT'), 'latin1')))
    throw damaged('CURRENT names no file of descriptors');
}

/** Thrown by what reads a record that is no record: not the disk's error, nor LevelDB's. */
function isOurs(error: unknown): boolean {
  return !(error instanceof StoreError) && error instanceof Error && !('errno' in error);
}

function isSmall(path: string): boolean {
  return sizeOf(join(path, 'state')) + sizeOf(join(path, 'values')) <= WHOLE_STATE_BYTES_MAX;
}

function sizeOf(path: string): number {
  if (!existsSync(path)) return 0;
  return readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0);
}

async function main(path: string): Promise<void> {
  const alive = setInterval(() => report({ alive: true }), ALIVE_MS);
  for (const part of ['log', 'state'] as const) {
    if (!parts.includes(part)) continue;
    report({ part });
    try {
      await verifyPart(path, part);
      report({ part, kind: 'ok' });
    } catch (error) {
      const { kind, message } = asStoreError(error);
      const isDamage = kind === 'damaged' || (kind === 'io' && (DAMAGE.test(message) || isOurs(error)));
      report({ part, kind: isDamage ? 'damaged' : kind === 'locked' ? 'locked' : 'io', reason: message });
      // With its log gone the state goes too, and nobody needs to know more.
      if (part === 'log') break;
    }
  }
  clearInterval(alive);
}

if (directory !== undefined) await main(directory);
process.stdin.off('close', onOrphaned).destroy();
