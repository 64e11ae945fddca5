/** Runs inspect-main.ts in a process of its own; a child that breaks off has found out what it said until then. */
import type { LogEntry, Slot } from '@kvd/paxos';
import { decodeConfigurations, decodeLogEntry } from '@kvd/protocol';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Salvaged } from './salvage.js';

/** The built file, also when this one runs from its source. */
const MAIN = fileURLToPath(new URL('../../dist/recover/inspect-main.js', import.meta.url));
/** How often a child that works says so, at least. */
export const ALIVE_MS = 5_000;
/** A child that says nothing for so long is stuck. */
const SILENCE_MS_MAX = 60_000;

/** A line of the child's. Bytes are base64; an empty one says that it works. */
export interface Finding {
  readonly damage?: string;
  readonly entry?: string;
  readonly log?: Omit<Salvaged, 'configurations'> & { readonly configurations: string };
  readonly end?: true;
}

/** Why the copy's state cannot be believed; null: every record is there and whole. */
export async function scrubCopy(copy: string): Promise<string | null> {
  let damage: string | null = null;
  const broken = await runChild([copy, 'scrub'], (finding) => {
    damage ??= finding.damage ?? null;
  });
  return damage ?? broken;
}

/** What can still be read of the copy's log, from `fromSlot` on. */
export async function salvageCopy(
  copy: string,
  fromSlot: Slot,
): Promise<Salvaged & { readonly accepted: readonly LogEntry[] }> {
  const accepted: LogEntry[] = [];
  let found: Salvaged = { identity: null, promised: null, chosenThrough: 0, configurations: [] };
  await runChild([copy, 'salvage', String(fromSlot)], ({ entry, log }) => {
    if (entry !== undefined) accepted.push(decodeLogEntry(Buffer.from(entry, 'base64')));
    if (log !== undefined) {
      found = { ...log, configurations: decodeConfigurations(Buffer.from(log.configurations, 'base64')) };
    }
  });
  return { ...found, accepted };
}

/** How the child broke off; null: it came to its end. */
async function runChild(
  args: readonly string[],
  onFinding: (finding: Finding) => void,
): Promise<string | null> {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
  const silence = setTimeout(() => child.kill('SIGKILL'), SILENCE_MS_MAX);
  let ended = false;
  const closed = once(child, 'close') as Promise<[code: number | null, signal: NodeJS.Signals | null]>;
  for await (const line of createInterface({ input: child.stdout })) {
    silence.refresh();
    const finding = parse(line);
    ended ||= finding.end ?? false;
    onFinding(finding);
  }
  const [code, signal] = await closed;
  clearTimeout(silence);
  return ended ? null : `reading it broke off (${signal ?? `exit code ${code}`})`;
}

/** The last line of a child that broke off may be half a line. */
function parse(line: string): Finding {
  try {
    return JSON.parse(line) as Finding;
  } catch {
    return {};
  }
}
