// The peers' Node clients: a package of its own, outside of the workspace, that is installed the first time it is needed.
// So nobody who builds or tests kvd installs the clients of other systems.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const directory = fileURLToPath(new URL('.', import.meta.url));
const stampFile = path.join(directory, 'node_modules/.installed');

/** Throws when they cannot be installed. */
export async function installClients(scratch, say) {
  const wanted = createHash('sha256')
    .update(readFileSync(path.join(directory, 'pnpm-lock.yaml')))
    .digest('hex');
  if (stamp() === wanted) return;
  say('installing the clients of the peers');
  const pnpm = ['--yes', 'pnpm@12', '--dir', directory, 'install'];
  await scratch.run('npx', [...pnpm, '--ignore-workspace', '--ignore-scripts', '--frozen-lockfile'], {
    limitMs: 300_000,
  });
  writeFileSync(stampFile, wanted);
}

function stamp() {
  try {
    return readFileSync(stampFile, 'utf8');
  } catch {
    return undefined;
  }
}
