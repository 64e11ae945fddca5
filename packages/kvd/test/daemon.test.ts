import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'tap';
import { startDaemon } from '../src/daemon.js';
import { freePorts, optionsOf, ports, untilReady } from './daemons.js';

test('three daemons live in one process, each with its own metrics, and leave nothing running', async (t) => {
  const directory = t.testdir({});
  const found = await freePorts(3);
  const peers = found.map((port, i) => `${i + 1}=127.0.0.1:${port}`).join(',');
  const daemons = await Promise.all(
    found.map(async (_, i) => startDaemon(await optionsOf(i + 1, peers, join(directory, `${i}`)), ports)),
  );
  for (const daemon of daemons) await untilReady(t, daemon);
  const put = await fetch(`http://${daemons[0]?.address}/v1/kv/a`, { method: 'PUT', body: 'x' });
  t.strictSame(await put.json(), { revision: 1 });
  for (const daemon of daemons) {
    const got = await fetch(`http://${daemon.address}/v1/kv/a`);
    t.equal(await got.text(), 'x');
    const metrics = await (await fetch(`http://${daemon.address}/metrics`)).text();
    t.match(metrics, `kvd_peers_connected{replica="${daemon.status().id}"} 2`);
  }
  t.strictSame(await Promise.all(daemons.map((daemon) => daemon.stop())), [0, 0, 0]);
  t.equal(await daemons[0]?.ended, 0);
  t.equal(await daemons[0]?.stop(), 0, 'stopped again: the same end');
});

test('a daemon whose port is taken lets go of its directory', async (t) => {
  const data = join(t.testdir({}), 'data');
  const blocker = createServer().listen(0, '127.0.0.1');
  await once(blocker, 'listening');
  const address = blocker.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const options = await optionsOf(1, `1=127.0.0.1:${port}`, data);
  await t.rejects(startDaemon(options, ports), {
    exitCode: 5,
    message: `127.0.0.1:${port} is taken by another process`,
  });
  await new Promise((resolve) => blocker.close(resolve));
  const daemon = await startDaemon(options, ports);
  await untilReady(t, daemon);
  t.equal(await daemon.stop(), 0);
});
