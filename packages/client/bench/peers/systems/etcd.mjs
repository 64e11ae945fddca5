// etcd with its defaults: its log is synced before a write is acknowledged.
import { askJson, programPath } from './probes.mjs';

export const etcd = {
  name: 'etcd',
  client: 'etcd3',
  synced: 'every acknowledged write, on a majority',
  size: 3,
  anySize: true,
  portsEach: 2,
  missing: () => (programPath('etcd') ? [] : ['no etcd on PATH (Debian: etcd-server)']),
  version: async (scratch) =>
    /Version: (\S+)/.exec(await scratch.run(programPath('etcd'), ['--version']))?.[1],

  command(member, members) {
    const [clientPort, peerPort] = member.ports;
    const peers = members.map(({ id, ports }) => `m${id}=http://127.0.0.1:${ports[1]}`).join(',');
    const args = {
      name: `m${member.id}`,
      'data-dir': `${member.directory}/data`,
      'listen-client-urls': `http://127.0.0.1:${clientPort}`,
      'advertise-client-urls': `http://127.0.0.1:${clientPort}`,
      'listen-peer-urls': `http://127.0.0.1:${peerPort}`,
      'initial-advertise-peer-urls': `http://127.0.0.1:${peerPort}`,
      'initial-cluster': peers,
      'log-level': 'error',
    };
    return {
      command: programPath('etcd'),
      args: Object.entries(args).flatMap(([name, value]) => [`--${name}`, value]),
    };
  },

  isReady: async ({ address }) => (await askJson(`http://${address}/health`)).health === 'true',

  async leader(members) {
    for (const member of members) {
      const { header, leader } = await askJson(`http://${member.address}/v3/maintenance/status`, {
        method: 'POST',
        body: '{}',
      });
      if (leader !== undefined && leader === header.member_id) return member;
    }
    return undefined;
  },
};
