// kvd from this tree.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ask, askJson } from './probes.mjs';

const root = fileURLToPath(new URL('../../../../..', import.meta.url));

export const kvd = {
  name: 'kvd',
  client: '@kvd/client',
  synced: 'every acknowledged write, on a majority',
  size: 3,
  anySize: true,
  portsEach: 1,
  missing: () => [],
  version: () => JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')).version,

  command(member, members) {
    const peers = members.map(({ id, address }) => `${id}=${address}`).join(',');
    const args = ['--id', member.id, '--peers', peers, '--data', path.join(member.directory, 'data')];
    return {
      command: process.execPath,
      args: [path.join(root, 'bin/kvd'), ...args.map(String), '--log-level', 'error'],
    };
  },

  isReady: async ({ address }) => (await ask(`http://${address}/readyz`)) !== undefined,

  async leader(members) {
    for (const { id, address } of members) {
      const { role } = await askJson(`http://${address}/v1/status`);
      if (role === 'leader') return members.find((member) => member.id === id);
    }
    return undefined;
  },
};
