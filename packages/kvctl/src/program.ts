/** Runs a program for a command: `kvctl lock NAME -- CMD`, `kvctl watch KEY -- CMD`. It inherits what kvctl writes to. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Output } from './output.js';
import { exitCodeOfSignal, type Stop } from './stop.js';

/** How a shell says that there is no such program, and that it cannot be run. */
const NOT_FOUND = 127;
const NOT_RUNNABLE = 126;
/** Between SIGTERM and SIGKILL. */
const KILL_MS = 5_000;

export interface ProgramOptions {
  readonly words: readonly string[];
  /** Beside what kvctl's own environment has. */
  readonly env: Readonly<Record<string, string>>;
  /** What its stdin has; undefined: kvctl's own stdin. */
  readonly input?: string;
  /** It is killed when this fires. */
  readonly kill?: AbortSignal;
  /** SIGTERM and SIGHUP are passed on, SIGINT where no terminal has told it already. */
  readonly stop: Stop;
  readonly out: Output;
}

/** How it ended: its exit code, or 128 and the number of the signal that ended it. */
export function runProgram({ words, env, input, kill, stop, out }: ProgramOptions): Promise<number> {
  const [file = '', ...args] = words;
  return new Promise((resolve) => {
    const child = spawn(file, args, {
      stdio: [input === undefined ? 'inherit' : 'pipe', 'inherit', 'inherit'],
      env: { ...process.env, ...env },
    });
    const killer = new Killer(child);
    const onKill = (): void => killer.kill();
    const onStop = (): void => {
      if (stop.by !== 'SIGINT' || process.stdin.isTTY !== true) child.kill(stop.by ?? 'SIGTERM');
    };
    const settle = (exitCode: number): void => {
      killer.end();
      kill?.removeEventListener('abort', onKill);
      stop.signal.removeEventListener('abort', onStop);
      resolve(exitCode);
    };
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (child.pid !== undefined) return;
      out.note(`kvctl: cannot run ${file}: ${error.message}`);
      settle(error.code === 'ENOENT' ? NOT_FOUND : NOT_RUNNABLE);
    });
    child.on('exit', (code, signal) => settle(code ?? exitCodeOfSignal(signal ?? 'SIGKILL')));
    // It need not read what it is given.
    child.stdin?.on('error', () => undefined).end(input);
    kill?.addEventListener('abort', onKill);
    stop.signal.addEventListener('abort', onStop);
    if (kill?.aborted) onKill();
    if (stop.signal.aborted) onStop();
  });
}

class Killer {
  private timer: NodeJS.Timeout | null = null;

  constructor(private readonly child: ChildProcess) {}

  kill(): void {
    this.child.kill('SIGTERM');
    this.timer ??= setTimeout(() => this.child.kill('SIGKILL'), KILL_MS);
  }

  end(): void {
    if (this.timer !== null) clearTimeout(this.timer);
  }
}
