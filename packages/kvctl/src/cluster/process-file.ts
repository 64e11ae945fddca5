/**
 * Pid files that survive the reuse of pids: beside the pid they hold when that process started, and a process that
 * started at another time is another one. Never signals anything.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import process from 'node:process';

export interface RunningProcess {
  readonly pid: number;
  readonly state: 'running' | 'paused';
}

/** Note that `pid` runs. @throws Error when it ended already */
export function writeProcessFile(file: string, pid: number): void {
  const found = lookUp(pid);
  if (found === null) throw new Error(`process ${pid} ended at once`);
  writeFileSync(file, `${JSON.stringify({ pid, startTime: found.startTime })}\n`);
}

/** The process noted in `file`, null when it is gone (or never was). */
export function readProcessFile(file: string): RunningProcess | null {
  let noted: unknown;
  try {
    noted = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
  if (typeof noted !== 'object' || noted === null) return null;
  const pid: unknown = Reflect.get(noted, 'pid');
  if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid <= 1) return null;
  const found = lookUp(pid);
  if (found === null || found.startTime !== Reflect.get(noted, 'startTime')) return null;
  return { pid, state: found.paused ? 'paused' : 'running' };
}

export function removeProcessFile(file: string): void {
  rmSync(file, { force: true });
}

interface Found {
  readonly startTime: string;
  readonly paused: boolean;
}

function lookUp(pid: number): Found | null {
  const found = process.platform === 'linux' ? lookUpInProc(pid) : lookUpByPs(pid);
  // A zombie has ended; only its parent has not noticed.
  return found === null || found.state === 'Z'
    ? null
    : { startTime: found.startTime, paused: found.state === 'T' };
}

/** proc(5): state is the 3rd field, start time (in ticks since boot) the 22nd; the 2nd is a name in parentheses. */
function lookUpInProc(pid: number): { state: string; startTime: string } | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', startTime: fields[19] ?? '' };
  } catch {
    return null;
  }
}

function lookUpByPs(pid: number): { state: string; startTime: string } | null {
  try {
    const options = { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' }, stdio: 'pipe' } as const;
    const line = execFileSync('ps', ['-o', 'state=,lstart=', '-p', String(pid)], options).trim();
    const [state = '', ...startTime] = line.split(/\s+/);
    return { state: state.charAt(0), startTime: startTime.join(' ') };
  } catch {
    return null;
  }
}
