import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import type { Trace } from '@kvd/replica';
import { pino } from 'pino';
import { type Test, test } from 'tap';
import { type Daemon, startDaemon } from '../src/daemon.js';
import { findCluster } from '../src/joining.js';
import { freePorts, optionsFrom, ports, untilReady } from './daemons.js';

const CLUSTER = 'c'.repeat(32);
const MEMBER = { id: 1, address: 'db1:1', incarnation: 'a'.repeat(32), connected: true, role: 'voter' };

/** HOST:PORT of a server that answers like that. */
async function answering(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const address = server.address();
  return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
}

const saying = (t: Test, body: unknown, status = 200): Promise<string> =>
  answering(t, (_request, response) => {
    response.writeHead(status, { Connection: 'close' }).end(JSON.stringify(body));
  });

test('who joins asks until a replica can say who the members are, and says once what is in the way', async (t) => {
  let founded = false;
  const paths = new Set<string>();
  const late = await answering(t, ({ url = '' }, response) => {
    paths.add(url);
    const known = { clusterId: CLUSTER, members: [MEMBER] };
    const status = founded ? known : { clusterId: '', members: [] };
    response.writeHead(200, { Connection: 'close' }).end(JSON.stringify(status));
  });
  const asked: Record<string, RegExp> = {
    [await saying(t, { code: 'KVD_UNAVAILABLE' }, 503)]: /status 503/,
    [await saying(t, { hello: 'world' })]: /is no kvd/,
    [await saying(t, { clusterId: 'C', members: [MEMBER] })]: /is no kvd/,
    [await saying(t, 'x'.repeat(1_100_000))]: /more than 1048576 bytes/,
    [late]: /knows no cluster yet/,
  };
  // Last: a port that is free would be given to one of them.
  const [nobody = 0] = await freePorts(1);
  asked[`127.0.0.1:${nobody}`] = /ECONNREFUSED/;
  const said: { address: string; reason: string }[] = [];
  let rounds = 0;
  const trace: Trace = {
    event: (_level, name, fields) => {
      if (name === 'join-waits') said.push(fields as { address: string; reason: string });
    },
  };
  const found = findCluster(Object.keys(asked), trace);
  const counting = await answering(t, (_request, response) => {
    rounds += 1;
    response.writeHead(503, { Connection: 'close' }).end();
  });
  const counted = findCluster([counting, late], { event: () => undefined });
  while (said.length < 6 || rounds < 3) await new Promise((resolve) => setTimeout(resolve, 5));
  founded = true;
  t.match(await found, { clusterId: CLUSTER, members: [{ id: 1, address: 'db1:1' }] });
  t.match(await counted, { clusterId: CLUSTER });
  t.strictSame([...paths], ['/v1/status']);
  t.equal(said.length, 6, 'after several rounds, each thing once');
  for (const [address, why] of Object.entries(asked))
    t.match(said.find((line) => line.address === address)?.reason, why, String(why));
});

/** A daemon that the test ends. */
async function start(t: Test, ...argv: readonly string[]): Promise<Daemon> {
  const timing = ['--election-timeout-ms', '300', '--heartbeat-ms', '40'];
  const daemon = await startDaemon(await optionsFrom(...argv, ...timing), ports);
  t.teardown(() => daemon.stop());
  return daemon;
}

interface Members {
  readonly members: readonly { readonly id: number; readonly role: string; readonly incarnation: string }[];
  readonly waiting: readonly { readonly id: number; readonly witness: boolean }[];
}

/** What the leader says of them, once it is like that. */
async function membersOnce(daemon: Daemon, isSo: (members: Members) => boolean): Promise<Members> {
  for (;;) {
    const response = await fetch(`http://${daemon.address}/v1/members`);
    const members = (await response.json()) as Members;
    if (response.ok && isSo(members)) return members;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('a directory stays what it was formatted as, and where it belongs', async (t) => {
  const directory = t.testdir({});
  const [first = 0, second = 0, third = 0, fourth = 0, fifth = 0, alone = 0] = await freePorts(6);
  const data = (name: string): string[] => ['--data', join(directory, name)];
  const peers = `1=127.0.0.1:${first},2=127.0.0.1:${second},3=127.0.0.1:${third}/witness`;
  const [one, two, three] = await Promise.all(
    ['1', '2', '3'].map((id) => start(t, '--id', id, '--peers', peers, ...data(id))),
  );
  if (one === undefined || two === undefined || three === undefined) throw new Error('not started');
  const founding = ['--peers', `1=127.0.0.1:${alone}`, '--accept-quorum', '1', '--readmit', 'manual'];
  const other = await start(t, '--id', '1', ...founding, ...data('other'));
  await untilReady(t, one);
  const { members } = await membersOnce(one, () => true);
  t.strictSame(
    members.map(({ role }) => role),
    ['voter', 'voter', 'witness'],
  );
  await untilReady(t, three);
  t.equal((await fetch(`http://${three.address}/v1/kv/a`, { method: 'PUT', body: 'x' })).status, 200);
  t.equal(await (await fetch(`http://${three.address}/v1/kv/a`)).text(), 'x', 'it passes requests on');
  t.equal((await fetch(`http://${three.address}/v1/kv/a?consistency=stale`)).status, 503, 'it has no state');
  t.equal(await three.stop(), 0);
  await t.rejects(start(t, '--id', '3', '--peers', peers.replace('/witness', ''), ...data('3')), {
    exitCode: 2,
    message: /the founding members written down in .*\/witness', given are/,
  });
  const again = await start(t, '--id', '3', ...data('3'));
  t.equal(again.status().role, 'witness', 'it need not be told');

  const joins = ['--id', '4', '--listen', `127.0.0.1:${fourth}`, ...data('4')];
  const waits = await start(t, ...joins, '--join', `127.0.0.1:${first}`, '--witness');
  await membersOnce(one, ({ waiting }) => waiting.some(({ id, witness }) => id === 4 && witness));
  t.equal(await waits.stop(), 0);
  await t.rejects(start(t, '--id', '4', ...data('4')), {
    exitCode: 2,
    message:
      /the address of replica 4 is not known, for it is in no configuration known here: give --advertise/,
  });
  await t.rejects(start(t, ...joins, '--join', `127.0.0.1:${first}`), {
    exitCode: 3,
    message: /is a witness's and keeps no state, this replica is no witness/,
  });
  await untilReady(t, other);
  t.match(await membersOnce(other, () => true), { acceptQuorum: 1, readmit: 'manual' });
  await t.rejects(start(t, ...joins, '--join', `127.0.0.1:${alone}`, '--witness'), {
    exitCode: 3,
    message: /belongs to cluster [0-9a-f]{32}, not [0-9a-f]{32}/,
  });

  const lines: string[] = [];
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      lines.push(chunk.toString());
      done();
    },
  });
  const namesake = ['--id', '2', '--listen', `127.0.0.1:${fifth}`, '--join', `127.0.0.1:${first}`];
  const log = { logger: pino(stream), flush: () => undefined };
  const twin = await startDaemon(await optionsFrom(...namesake, ...data('twin')), { log, version: '1.2.3' });
  t.teardown(() => twin.stop());
  t.ok(
    lines.some((line) => line.includes('number-in-use')),
    'it says that there is another process with its number',
  );
  const { incarnation } = two.status();
  t.match((await membersOnce(one, () => true)).members[1], { id: 2, incarnation }, 'which stays the member');
});
