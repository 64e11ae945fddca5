/** Where things are in this repository. */
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));

export const kvdBin = path.join(root, 'bin', 'kvd');
export const dataDir = path.join(root, 'data');
export const sampleFile = path.join(root, 'data', 'sample.jsonl');

/** The shell's history: KVCTL_HISTORY, else a file in the user's state directory. */
export function historyFile(env: NodeJS.ProcessEnv = process.env): string {
  if (env.KVCTL_HISTORY) return env.KVCTL_HISTORY;
  const stateHome = env.XDG_STATE_HOME || path.join(homedir(), '.local', 'state');
  return path.join(stateHome, 'kvd', 'kvctl_history');
}
