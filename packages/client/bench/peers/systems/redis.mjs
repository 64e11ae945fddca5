// Redis, one process: no replication, what a single log synced before every answer can do.
import { askLine, programPath } from './probes.mjs';

export const redis = {
  name: 'redis',
  client: 'redis',
  synced: 'every acknowledged write, in one process that nothing replicates (appendfsync always)',
  size: 1,
  portsEach: 1,
  missing: () => (programPath('redis-server') ? [] : ['no redis-server on PATH (Debian: redis-server)']),
  version: async (scratch) =>
    /v=(\S+)/.exec(await scratch.run(programPath('redis-server'), ['--version']))?.[1],

  command({ directory, ports }) {
    const settings = { port: ports[0], bind: '127.0.0.1', dir: directory, appendonly: 'yes' };
    const synced = { appendfsync: 'always', save: '' };
    return {
      command: programPath('redis-server'),
      args: Object.entries({ ...settings, ...synced }).flatMap(([name, value]) => [
        `--${name}`,
        String(value),
      ]),
    };
  },

  isReady: async ({ ports }) => (await askLine(ports[0], 'PING\r\n', '\r\n')).startsWith('+PONG'),

  leader: ([only]) => Promise.resolve(only),
};
