// ZooKeeper as Debian's package and the project's own start script set it up: forceSync is on, a heap of 1,000 MB.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { askLine, programPath } from './probes.mjs';

const JAR = '/usr/share/java/zookeeper.jar';

export const zookeeper = {
  name: 'zookeeper',
  client: 'node-zookeeper-client',
  synced: 'every acknowledged write, on a majority',
  size: 3,
  portsEach: 3,
  missing: () => [
    ...(programPath('java') ? [] : ['no java on PATH']),
    ...(existsSync(JAR) ? [] : [`no ${JAR} (Debian: zookeeper)`]),
  ],

  async version(scratch) {
    const args = ['-cp', JAR, 'org.apache.zookeeper.version.VersionInfoMain'];
    return /version (\d[\d.]*\d)/.exec(await scratch.run(programPath('java'), args))?.[1];
  },

  command(member, members) {
    const config = path.join(member.directory, 'zoo.cfg');
    const data = path.join(member.directory, 'data');
    const [clientPort] = member.ports;
    const lines = [
      'tickTime=2000',
      'initLimit=10',
      'syncLimit=5',
      `dataDir=${data}`,
      `clientPort=${clientPort}`,
      'clientPortAddress=127.0.0.1',
      'admin.enableServer=false',
      '4lw.commands.whitelist=srvr',
      ...members.map(({ id, ports }) => `server.${id}=127.0.0.1:${ports[1]}:${ports[2]}`),
    ];
    mkdirSync(data, { recursive: true });
    writeFileSync(path.join(data, 'myid'), String(member.id));
    writeFileSync(config, `${lines.join('\n')}\n`);
    writeFileSync(
      path.join(member.directory, 'log4j.properties'),
      'log4j.rootLogger=WARN, CONSOLE\nlog4j.appender.CONSOLE=org.apache.log4j.ConsoleAppender\n' +
        'log4j.appender.CONSOLE.layout=org.apache.log4j.SimpleLayout\n',
    );
    return {
      command: programPath('java'),
      args: [
        '-Xmx1000m',
        '-cp',
        `${member.directory}:${JAR}`,
        'org.apache.zookeeper.server.quorum.QuorumPeerMain',
        config,
      ],
    };
  },

  isReady: async ({ ports }) => (await modeOf(ports[0])) !== undefined,

  async leader(members) {
    for (const member of members) if ((await modeOf(member.ports[0])) === 'leader') return member;
    return undefined;
  },
};

/** leader, follower, or undefined while it has not joined a quorum. */
async function modeOf(port) {
  return /^Mode: (\w+)/m.exec(await askLine(port, 'srvr'))?.[1];
}
