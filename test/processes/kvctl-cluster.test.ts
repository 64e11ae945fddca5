/** Local clusters as `kvctl cluster` and `npm start` make them: started, hurt, stopped, and there again. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import { freePortRange, jsonLines, kvctlBin, root, runProgram } from '../support/cluster.js';

t.test('a local cluster is started, hurt and stopped', async (t) => {
  const dir = path.join(t.testdir(), 'data');
  const port = await freePortRange(2);
  const cluster = (...args: string[]) =>
    runProgram(kvctlBin, ['-o', 'json', 'cluster', '--dir', dir, ...args]);
  t.teardown(() => cluster('down'));
  t.equal((await cluster('status')).code, 4, 'there is none');
  const founding = ['--replicas', '1', '--port', String(port)];
  const up = await cluster('up', ...founding, '--', '--log-level', 'warn');
  t.match(jsonLines(up), [{ id: 1, state: 'running', pid: Number }], up.stderr);
  t.equal((await cluster('up')).code, 4, 'already up');
  t.equal((await cluster('up', '--replicas', '3')).code, 2, 'not what it was founded with');
  t.equal((await cluster('kill', '2')).code, 2, 'no such replica');
  t.equal((await runProgram(kvctlBin, ['-e', `127.0.0.1:${port}`, 'put', 'a', '1'])).code, 0);
  t.match(jsonLines(await cluster('pause', '1')), [{ state: 'paused' }]);
  t.equal((await cluster('status')).code, 1);
  t.match(jsonLines(await cluster('resume', '1')), [{ state: 'running' }]);
  t.match(jsonLines(await cluster('status')), [{ id: 1, state: 'running', ready: true }]);
  t.match(jsonLines(await cluster('kill', '1')), [{ state: 'stopped', pid: null }]);
  t.equal((await cluster('kill', '1')).code, 4, 'it does not run');
  t.equal((await cluster('restart', '1')).code, 0);
  t.equal((await runProgram(kvctlBin, ['-e', `127.0.0.1:${port}`, 'get', 'a'])).stdout, '1\n');
  const member = (...args: string[]) => runProgram(kvctlBin, ['-e', `127.0.0.1:${port}`, 'member', ...args]);
  t.match(jsonLines(await cluster('add')), [{ id: 2, state: 'running', address: `127.0.0.1:${port + 1}` }]);
  const added = await member('add', '2');
  t.match(added, { code: 0, stdout: /^replica 2 is a voter\nsurvives the crash of 0/ }, added.stderr);
  t.match(jsonLines(await cluster('restart', '2')), [{ id: 2, state: 'running' }]);
  const removed = await member('remove', '2');
  t.match(removed, { code: 0, stdout: /^replica 2 is no member any more\n/ }, removed.stderr);
  t.equal((await cluster('status')).code, 0, 'who was removed is not missed');
  t.equal((await cluster('restart', '2')).code, 2, 'and cannot be started again');
  const other = path.join(dir, 'other');
  const taken = await runProgram(kvctlBin, ['cluster', 'up', ...founding, '--dir', other]);
  t.equal(taken.code, 4);
  t.match(taken.stderr, new RegExp(`port ${port} is taken`));
  t.match(jsonLines(await cluster('down')), [{ state: 'stopped' }]);
  t.match(jsonLines(await cluster('wipe', '1')), [{ state: 'stopped' }]);
});

t.test('flags that kvd refuses are bad usage, and what was asked for besides is kept', async (t) => {
  const dir = path.join(t.testdir(), 'data');
  const port = await freePortRange(1);
  const up = (...args: string[]) => runProgram(kvctlBin, ['cluster', 'up', '--dir', dir, ...args]);
  const bogus = await up('--replicas', '1', '--port', String(port), '--', '--bogus', '1');
  t.equal(bogus.code, 2);
  t.match(bogus.stderr, /replica 1 ended: exit 2 .*\n.*bogus/);
  // Its directory is gone before a teardown could stop it.
  const good = await up('--');
  t.equal((await runProgram(kvctlBin, ['cluster', 'down', '--dir', dir])).code, 0);
  t.match(good, { code: 0, stdout: `replica 1  127.0.0.1:${port}  running` });
});

t.test('npm start: ready line, sample, clean stop, and everything there the second time', async (t) => {
  const dir = path.join(t.testdir(), 'data');
  const port = await freePortRange(3);
  const main = path.join(root, 'packages', 'kvctl', 'dist', 'start.js');
  const args = [main, '--dir', dir, '--replicas', '3', '--port', String(port)];
  const start = () => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    t.teardown(() => child.kill('SIGTERM'));
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    const waitFor = async (pattern: RegExp) => {
      while (!pattern.test(stdout)) {
        if (child.exitCode !== null) throw new Error(`it ended: ${stdout}${stderr}`);
        await setTimeout(20);
      }
      return pattern.exec(stdout);
    };
    return { child, waitFor, stderr: () => stderr };
  };
  const ready = new RegExp(`^kvd cluster ready: 3 replicas, leader ([123]), http://127.0.0.1:${port}\n`);
  const kvctl = (...more: string[]) => runProgram(kvctlBin, ['-e', `127.0.0.1:${port}`, ...more]);

  const first = start();
  const leader = (await first.waitFor(ready))?.[1] ?? '';
  t.match(first.stderr(), /loaded \d+ entries/);
  t.equal((await kvctl('put', 'mine', 'kept')).code, 0);
  const again = await runProgram(main, ['--dir', dir]);
  t.equal(again.code, 4, 'one at a time');
  await runProgram(kvctlBin, ['cluster', 'kill', leader, '--dir', dir]);
  await first.waitFor(new RegExp(`replica ${leader} ended`));
  await first.waitFor(/leader is replica/);
  first.child.kill('SIGTERM');
  t.same(await once(first.child, 'exit'), [0, null]);
  const stopped = await runProgram(kvctlBin, ['-o', 'json', 'cluster', 'status', '--dir', dir]);
  t.same(
    jsonLines(stopped).map((line) => line.state),
    ['stopped', 'stopped', 'stopped'],
  );
  t.match(await runProgram(main, ['--dir', dir, '--replicas', '5']), {
    code: 2,
    stderr: /cluster of 3 replicas, not 5/,
  });

  const second = start();
  await second.waitFor(ready);
  t.notMatch(second.stderr(), /loaded/);
  t.equal((await kvctl('get', 'mine')).stdout, 'kept\n');
  second.child.kill('SIGINT');
  t.same(await once(second.child, 'exit'), [0, null]);
  writeFileSync(path.join(dir, 'cluster.json'), '{');
  t.match(await runProgram(main, ['--dir', dir]), { code: 4, stderr: /damaged/ });
});
