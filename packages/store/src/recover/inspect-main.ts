/**
 * A process that looks at a private copy, because LevelDB may abort over a damaged table: `node inspect-main.js COPY scrub`
 * reads a whole state, `… COPY salvage SLOT` what can be read of a damaged log from a slot on. What it finds goes to stdout,
 * an object a line (inspect-child.ts); the last line says that it came to its end.
 */
import { encodeConfigurations, encodeLogEntry } from '@kvd/protocol';
import { Level } from 'level';
import { join } from 'node:path';
import { asStoreError } from '../errors.js';
import { levelOptions, openStateStore } from '../file-disk.js';
import { LevelStore } from '../level-store.js';
import { verifyStatePart } from '../verification.js';
import { ALIVE_MS, type Finding } from './inspect-child.js';
import { salvageLog } from './salvage.js';

const [copy = '', task, from = '1'] = process.argv.slice(2);

// Ctrl-C goes to the whole process group; the parent decides what becomes of us.
process.on('SIGINT', () => {});

function report(finding: Finding): void {
  process.stdout.write(`${JSON.stringify(finding)}\n`);
}

async function scrub(): Promise<void> {
  try {
    const store = await openStateStore(copy, { createIfMissing: false, mayCreate: false });
    await new Promise<void>((resolve, reject) => {
      verifyStatePart(store, true, (error) => (error === null ? resolve() : reject(error)));
    });
  } catch (error) {
    report({ damage: asStoreError(error).message });
  }
}

async function salvage(fromSlot: number): Promise<void> {
  const location = join(copy, 'log');
  const store = await openAnyhow(location);
  await new Promise<void>((resolve) => {
    salvageLog(
      store,
      fromSlot,
      (entry) => report({ entry: base64(encodeLogEntry(entry)) }),
      (_error, { configurations, ...found }) => {
        report({ log: { ...found, configurations: base64(encodeConfigurations(configurations)) } });
        resolve();
      },
    );
  });
}

/** A copy may be repaired, as an original never is: what LevelDB puts together is looked at record by record. */
async function openAnyhow(location: string): Promise<LevelStore> {
  try {
    return await LevelStore.open(location, levelOptions('log'));
  } catch {
    // The types of `level` leave it out, for browsers have none.
    await (Level as unknown as { repair(location: string): Promise<void> }).repair(location);
    return LevelStore.open(location, levelOptions('log'));
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

const alive = setInterval(() => report({}), ALIVE_MS);
if (task === 'scrub') await scrub();
else await salvage(Number(from));
clearInterval(alive);
report({ end: true });
