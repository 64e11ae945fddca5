// Runs programs for the other scripts, and makes sure that none outlives us when we are told to stop.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** What a shell would report for a process that ended like this. */
export function exitCodeOf(code, signal) {
  return code ?? 128 + (constants.signals[signal] ?? 0);
}

/**
 * Runs a program in a process group of its own and resolves with its exit code. A SIGINT, SIGTERM or SIGHUP
 * that we get goes to that whole group once, with SIGKILL behind it `killAfterMs` later.
 */
export function run(
  command,
  args,
  { env = process.env, stdio = 'inherit', killAfterMs = 10_000, onSpawn } = {},
) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, env, stdio, detached: true });
    const killGroup = (signal) => {
      try {
        process.kill(-child.pid, signal);
      } catch {
        // The group is gone already.
      }
    };
    let killer;
    const stop = (signal) => {
      if (killer) return;
      killGroup(signal);
      killer = setTimeout(() => killGroup('SIGKILL'), killAfterMs);
    };
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
    for (const signal of signals) process.on(signal, stop);
    const done = () => {
      clearTimeout(killer);
      for (const signal of signals) process.off(signal, stop);
    };
    child.on('error', (error) => {
      done();
      reject(error);
    });
    child.on('close', (code, signal) => {
      done();
      resolve({ exitCode: exitCodeOf(code, signal), interrupted: killer !== undefined });
    });
    onSpawn?.(child);
  });
}
