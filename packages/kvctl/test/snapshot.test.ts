/**
 * kvctl snapshot against replicas that fail: what is left on disk, whom it turns to, how it ends. With real replicas it is
 * in test/processes/backup.test.ts.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { makeCli, shield } from '../src/cli.js';
import { exitCodeOf } from '../src/errors.js';
import { parseMembers } from '../src/peers.js';

const backup = readFileSync(new URL('../../store/test/fixtures/format-1.backup', import.meta.url));
const kvctlBin = fileURLToPath(new URL('../../../bin/kvctl', import.meta.url));

/** A replica that answers what it is made to; its address. */
async function replica(t: Test, answer: (response: ServerResponse, url: string) => void): Promise<string> {
  const server = createServer((request, response) => answer(response, request.url ?? ''));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const whole = (response: ServerResponse): void => void response.end(backup);
const breakingOff = (response: ServerResponse): void => {
  response.write(backup.subarray(0, 300), () => response.destroy());
};
const overloaded = (response: ServerResponse): void => {
  response.statusCode = 429;
  response.end('{"code":"KVD_OVERLOADED","message":"more than 2 snapshots at once"}\n');
};

async function kvctl(
  endpoints: readonly string[],
  ...words: readonly string[]
): Promise<{ exitCode: number; message: string }> {
  const all = ['-e', endpoints.join(','), '--timeout', '200', '-o', 'json', 'snapshot', ...words];
  let exitCode = -1;
  try {
    await makeCli((code) => {
      exitCode = code;
    }, []).parseAsync(shield(all));
    return { exitCode, message: '' };
  } catch (error) {
    return { exitCode: exitCodeOf(error), message: error instanceof Error ? error.message : '' };
  }
}

test('a backup is there whole or not at all, for its owner alone', async (t) => {
  const directory = t.testdir({});
  const file = path.join(directory, 'mine.backup');
  const good = await replica(t, whole);
  t.match(await kvctl([await replica(t, breakingOff)], 'save', file), { exitCode: 3, message: /broke off/ });
  t.same(readdirSync(directory), [], 'nothing is left of one that broke off');
  const altered = Buffer.from(backup);
  altered[400] = (altered[400] ?? 0) ^ 8;
  const liar = await replica(t, (response) => void response.end(altered));
  t.match(await kvctl([liar], 'save', file), { exitCode: 4, message: /damaged/ });
  const short = await replica(t, (response) => void response.end(backup.subarray(0, -1)));
  t.match(await kvctl([short], 'save', file), { exitCode: 4, message: /cut short/ });
  t.same(readdirSync(directory), [], 'nor of one that is not whole');
  t.equal((await kvctl([good], 'save', file)).exitCode, 0);
  t.same(readdirSync(directory), ['mine.backup']);
  t.same(readFileSync(file), backup);
  t.equal(statSync(file).mode & 0o777, 0o600);
});

test('a file that is there is replaced only if that is asked for, and only by a whole one', async (t) => {
  const directory = t.testdir({ 'mine.backup': 'yesterday' });
  const file = path.join(directory, 'mine.backup');
  let asked = 0;
  const good = await replica(t, (response) => {
    asked += 1;
    whole(response);
  });
  t.match(await kvctl([good], 'save', file), { exitCode: 4, message: /exists; --overwrite/ });
  t.equal(asked, 0, 'nobody was asked for it');
  await kvctl([await replica(t, breakingOff)], 'save', file, '--overwrite');
  t.equal(readFileSync(file, 'utf8'), 'yesterday');
  t.equal((await kvctl([good], 'save', file, '--overwrite')).exitCode, 0);
  t.same(readFileSync(file), backup);
  const nowhere = path.join(directory, 'no', 'such');
  t.match(await kvctl([good], 'save', nowhere), {
    exitCode: 2,
    message: `cannot write ${nowhere}: no such file or directory`,
  });
});

test('when a replica fails, the next one is asked, from the beginning', async (t) => {
  const file = path.join(t.testdir({}), 'a.backup');
  const urls: string[] = [];
  const good = await replica(t, (response, url) => {
    urls.push(url);
    whole(response);
  });
  const silent = await replica(t, () => undefined);
  const endpoints = [
    '127.0.0.1:1',
    await replica(t, overloaded),
    await replica(t, breakingOff),
    silent,
    good,
  ];
  t.equal((await kvctl(endpoints, '--consistency', 'stale', 'save', file)).exitCode, 0);
  t.same(readFileSync(file), backup, 'without what the one that broke off had sent');
  t.same(urls, ['/v1/snapshot?consistency=stale']);
  t.match(await kvctl([await replica(t, overloaded)], 'save', `${file}2`), {
    exitCode: 3,
    message: /at once/,
  });
  const old = await replica(t, (response) => {
    response.statusCode = 404;
    response.end('not here');
  });
  t.match(await kvctl([old], 'save', `${file}2`), { message: /HTTP 404 not here/ });
});

test('a save that is interrupted leaves nothing', async (t) => {
  const directory = t.testdir({});
  const slow = await replica(t, (response) => void response.write(backup.subarray(0, 300)));
  const words = ['-e', slow, 'snapshot', 'save', path.join(directory, 'a.backup')];
  const child = spawn(process.execPath, [kvctlBin, ...words], { stdio: ['ignore', 'ignore', 'pipe'] });
  const sizes = () => readdirSync(directory).map((name) => statSync(path.join(directory, name)).size);
  while (!sizes().includes(300)) await new Promise((turn) => setImmediate(turn));
  child.kill('SIGINT');
  const [code] = (await once(child, 'close')) as [number | null];
  t.equal(code, 130);
  t.same(readdirSync(directory), []);
});

test('status: exit 0 for a whole backup, 1 for any other, 2 for none', async (t) => {
  const directory = t.testdir({});
  const file = path.join(directory, 'x');
  writeFileSync(file, backup);
  t.equal((await kvctl([], 'status', file)).exitCode, 0);
  writeFileSync(file, backup.subarray(0, 700));
  t.equal((await kvctl([], 'status', file)).exitCode, 1);
  writeFileSync(file, '');
  t.equal((await kvctl([], 'status', file)).exitCode, 1);
  t.equal((await kvctl([], 'status', path.join(directory, 'y'))).exitCode, 2);
});

test('restore: what cannot be a cluster is refused, and the directory stays as it was', async (t) => {
  const directory = t.testdir({ 'a.backup': '', used: { mine: '1' } });
  const file = path.join(directory, 'a.backup');
  writeFileSync(file, backup);
  const data = path.join(directory, 'new');
  const restore = (...words: string[]) => kvctl([], 'restore', file, '--data', data, ...words);
  for (const peers of [
    '',
    'a',
    '1=',
    '1=h',
    '1=h:0',
    '1=h:70000',
    '0=h:1',
    '1=h:1,1=h:2',
    '1=h:1,2=h:1',
    '1=h:1/x',
  ])
    t.match(await restore('--peers', peers), { exitCode: 2, message: /--peers/ }, peers);
  t.equal((await restore()).exitCode, 2, 'without members');
  t.equal((await restore('--peers', '1=h:1', '--revision-step', '0')).exitCode, 2);
  t.equal((await restore('--peers', '1=h:1/witness')).exitCode, 4, 'without a voter');
  t.notOk(existsSync(data) && readdirSync(data).length > 0);
  const used = path.join(directory, 'used');
  t.match(await kvctl([], 'restore', file, '--data', used, '--peers', '1=h:1'), {
    exitCode: 4,
    message: /holds/,
  });
  t.same(readdirSync(used), ['mine']);
  t.equal((await restore('--peers', '2=h:2,1=h:1,3=h:3/witness', '--revision-step', '5')).exitCode, 0);
  t.same(readdirSync(data).sort(), ['replica-1', 'replica-2', 'replica-3']);
  t.notOk(existsSync(path.join(data, 'replica-3', 'state')), 'a witness has no state');
  t.match(await restore('--peers', '1=h:1'), { exitCode: 4 });
});

test('members are read as kvd reads them', async (t) => {
  t.same(parseMembers('3=[::1]:5/witness, 1=db-1.example:15000'), [
    { replicaId: 1, address: 'db-1.example:15000', role: 'voter' },
    { replicaId: 3, address: '[::1]:5', role: 'witness' },
  ]);
});
