// NATS JetStream: a key-value bucket of three replicas in files, which this version syncs every two minutes.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { ask, askJson, programPath } from './probes.mjs';

export const nats = {
  name: 'nats',
  client: 'nats',
  synced: 'not before a write is acknowledged (sync_interval is 2 min)',
  size: 3,
  portsEach: 3,
  missing: () =>
    programPath('nats-server') ? [] : ['no nats-server on PATH (Debian: nats-server, in /usr/sbin)'],
  version: async (scratch) =>
    /v(\d\S+)/.exec(await scratch.run(programPath('nats-server'), ['--version']))?.[1],

  command(member, members) {
    const [clientPort, routePort, httpPort] = member.ports;
    const config = path.join(member.directory, 'nats.conf');
    const routes = members.map(({ ports }) => `"nats://127.0.0.1:${ports[1]}"`).join(', ');
    const text = `
server_name: m${member.id}
listen: "127.0.0.1:${clientPort}"
http: "127.0.0.1:${httpPort}"
jetstream { store_dir: "${member.directory}/data" }
cluster { name: peers, listen: "127.0.0.1:${routePort}", routes: [ ${routes} ] }
logfile: "${member.directory}/nats.log"
`;
    writeFileSync(config, text);
    return { command: programPath('nats-server'), args: ['-c', config] };
  },

  isReady: async ({ ports }) => (await ask(`http://127.0.0.1:${ports[2]}/healthz`)) !== undefined,

  /** That of the bucket once there is one, else that of the cluster. */
  async leader(members) {
    const { account_details: accounts = [], meta_cluster: meta } = await askJson(
      `http://127.0.0.1:${members[0].ports[2]}/jsz?accounts=true&streams=true`,
    );
    const [stream] = accounts.flatMap(({ stream_detail: streams = [] }) => streams);
    const name = (stream?.cluster ?? meta)?.leader;
    return members.find(({ id }) => `m${id}` === name);
  },
};
