/**
 * Runs verify-main.ts in a process of its own, because LevelDB may abort over a damaged table, and tells damage from
 * what is none: a directory in use, a disk that cannot be read at all, a signal meant for us.
 *
 * The child prints one JSON object a line: {"part":"log"} when it begins a part, {"alive":true} while it works, and
 * {"part":"log","kind":"ok"} with its verdict.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { StorePart, Verdict } from './directory-disk.js';
import { asStoreError, DirectoryError, StoreError } from './errors.js';

/** The built file, also when this one runs from its source. */
const MAIN = fileURLToPath(new URL('../dist/verify-main.js', import.meta.url));
/**
 * What it may take of memory, whatever the daemon is allowed: V8 ends without any as it does over a bug, and neither must be
 * taken for damage. What else NODE_OPTIONS says is not for it either.
 */
const HEAP_MIB_MAX = 4_096;
const OUT_OF_MEMORY = /out of memory|heap limit|allocation failed|bad_alloc|cannot allocate/i;
const STDERR_CHARS_MAX = 64 * 1024;
/** A child that says nothing for so long is stuck. */
const SILENCE_MS_MAX = 60_000;
/** What a bug or the kernel's refusal of a bad access ends with; other signals come from people. */
const CRASHES: readonly (NodeJS.Signals | null)[] = [
  'SIGABRT',
  'SIGSEGV',
  'SIGBUS',
  'SIGILL',
  'SIGFPE',
  'SIGTRAP',
];

/** A line of the child's. */
export interface Report {
  readonly part?: StorePart;
  readonly kind?: 'ok' | 'damaged' | 'locked' | 'io';
  readonly reason?: string;
}

interface Ended {
  readonly reports: readonly Report[];
  readonly exit: 'ended' | 'crashed' | 'stuck' | 'interrupted';
  readonly how: string;
}

/** @throws DirectoryError locked; StoreError io: it could not be found out */
export async function verifyInChild(
  directory: string,
  parts: readonly StorePart[],
  heapMib = HEAP_MIB_MAX,
): Promise<Verdict> {
  let ended = await runChild(directory, parts, heapMib);
  // Once may be a computer that slept.
  if (ended.exit === 'stuck') ended = await runChild(directory, parts, heapMib);
  // What ended before it looked at the disk, or was ended by somebody, says nothing about the disk.
  if (ended.exit === 'interrupted' || ended.reports.length === 0) {
    throw new StoreError('io', `the verification of ${directory} did not take place (${ended.how})`);
  }
  return {
    logDamage: damageOf(directory, 'log', parts, ended),
    stateDamage: damageOf(directory, 'state', parts, ended),
  };
}

function damageOf(
  directory: string,
  part: StorePart,
  parts: readonly StorePart[],
  ended: Ended,
): string | null {
  if (!parts.includes(part)) return null;
  const verdict = ended.reports.find((report) => report.part === part && report.kind !== undefined);
  switch (verdict?.kind) {
    case 'ok':
      return null;
    case 'damaged':
      return `${part}/: ${verdict.reason ?? 'damaged'}`;
    case 'locked':
      throw new DirectoryError('locked', `${directory} is in use by another process`);
    case 'io':
      // Perhaps only a matter of room.
      throw asStoreError(new Error(`${part}/: ${verdict.reason ?? 'cannot be read'}`));
    case undefined:
      // A child that never came to the state broke over the log, whose verdict says so.
      return `${part}/: the verification ${ended.exit === 'stuck' ? 'got stuck' : 'broke off'} (${ended.how})`;
  }
}

function runChild(directory: string, parts: readonly StorePart[], heapMib: number): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const { NODE_OPTIONS: _, ...env } = process.env;
    const args = [`--max-old-space-size=${heapMib}`, MAIN, directory, ...parts];
    // Its stdin ends when we do, however that is, and so does it: it would keep the directory locked.
    const child = spawn(process.execPath, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    const reports: Report[] = [];
    let stuck = false;
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (stderr.length < STDERR_CHARS_MAX) stderr += text;
    });
    const silence = setTimeout(() => {
      stuck = true;
      child.kill('SIGKILL');
    }, SILENCE_MS_MAX);
    createInterface({ input: child.stdout }).on('line', (line) => {
      silence.refresh();
      const report = parseReport(line);
      if (report?.part !== undefined) reports.push(report);
    });
    child.on('error', (error) => {
      clearTimeout(silence);
      reject(new StoreError('io', `the verification of ${directory} could not be started: ${error.message}`));
    });
    child.on('close', (code, signal) => {
      clearTimeout(silence);
      const outOfMemory = OUT_OF_MEMORY.test(stderr);
      const how = `${signal ?? `exit code ${code}`}${outOfMemory ? ', out of memory' : ''}`;
      const exit = outOfMemory ? 'interrupted' : exitOf(code, signal);
      resolve({ reports, exit: stuck ? 'stuck' : exit, how });
    });
  });
}

function exitOf(code: number | null, signal: NodeJS.Signals | null): Ended['exit'] {
  if (code === 0) return 'ended';
  return signal === null || CRASHES.includes(signal) ? 'crashed' : 'interrupted';
}

function parseReport(line: string): Report | null {
  try {
    const parsed: unknown = JSON.parse(line);
    return isReport(parsed) ? parsed : null;
  } catch {
    return null;
  }
}

function isReport(value: unknown): value is Report {
  if (typeof value !== 'object' || value === null) return false;
  return !('part' in value) || value.part === 'log' || value.part === 'state';
}
