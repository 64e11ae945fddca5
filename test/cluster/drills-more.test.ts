/** Drills with five and nine replicas, what a person sees of them, bad usage, and an end before the end. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'tap';
import { kvctlBin, runProgram } from '../support/cluster.js';

test('two of five are killed, and a person reads what came of it', async (t) => {
  const dir = t.testdir();
  const args = ['drill', 'run', 'crash-two-of-five', '--duration', '2', '--clients', '4', '--seed', '5'];
  const { code, stdout, stderr } = await runProgram(kvctlBin, args, { env: { TMPDIR: dir } });
  t.equal(code, 0, stdout);
  t.match(stdout, /^crash-two-of-five: PASSED {2}5 replicas, 4 clients, seed 5, [\d.]+ s of load$/m);
  t.match(stdout, /operations +[\d,]+ tried: [\d,]+ acknowledged, [\d,]+ refused, [\d,]+ unknown/);
  t.match(stdout, /longest break +\d+ ms without a success of anybody, at \+[\d.]+ s/);
  t.match(stdout, /injected +\+[\d.]+ s {2}kill -9 of replicas \d and \d/);
  t.match(stdout, /linearizable +yes, \d+ keys/);
  t.match(stdout, /exactly once +lost 0, repeated 0, revisions in order/);
  t.match(
    stdout,
    /bank +2,000 on 20 accounts: [\d,]+ transfers, [\d,]+ in conflict.*; added up after each, and in \d/,
  );
  t.match(stdout, /counter +counted to [\d,]+: [\d,]+ acknowledged/);
  t.match(
    stdout,
    /watchers +all 6 saw the [\d,]+ revisions of the history, in order, once; went on \d+ times/,
  );
  t.match(stdout, /all replicas hold the same: [0-9a-f]{16}/);
  t.match(
    stderr,
    /^crash-two-of-five {2}\+[\d.]+ s {2}kill -9 of replicas \d and \d$/m,
    'and sees it while it runs',
  );
  t.notOk((stdout + stderr).includes('\u001b'), 'no colours where nobody sees them');
});

test('nine replicas, two of them competing for leadership', async (t) => {
  const args = ['drill', 'run', 'duelling-proposers', '--duration', '3', '-o', 'json'];
  const { code, stdout } = await runProgram(kvctlBin, args, { env: { TMPDIR: t.testdir() } });
  t.equal(code, 0, stdout);
  t.match(JSON.parse(stdout), { drill: 'duelling-proposers', replicas: 9, verdict: 'passed' });
});

test('drill list explains every drill', async (t) => {
  const text = await runProgram(kvctlBin, ['drill', 'list']);
  t.equal(text.code, 0);
  t.match(text.stdout, /^crash-leader +kill -9 of the leader/m);
  const json = await runProgram(kvctlBin, ['drill', 'list', '-o', 'json']);
  const drills = json.stdout.trimEnd().split('\n');
  t.equal(drills.length, 23);
  for (const drill of drills)
    t.match(JSON.parse(drill), { name: /^[a-z0-9-]+$/, about: /.{40}/, replicas: Number });
});

test('bad usage is exit 2, and says what is wrong before anything is started', async (t) => {
  const cases: readonly [readonly string[], RegExp][] = [
    [['drill'], /say which/],
    [['drill', 'run'], /need at least 1/],
    [['drill', 'run', 'earthquake'], /there is no drill 'earthquake'/],
    [['drill', 'run', 'crash-two-of-five', '--replicas', '3'], /needs at least 5 replicas/],
    [['drill', 'run', 'crash-leader', '--replicas', '2'], /from 3 to 9/],
    [['drill', 'run', 'crash-leader', '--duration', '0'], /--duration/],
    [['drill', 'run', 'crash-leader', '--clients', 'many'], /--clients/],
    [
      ['drill', 'run', 'crash-leader', '--report', path.join(t.testdir(), 'no', 'such', 'r.html')],
      /cannot write/,
    ],
  ];
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await runProgram(kvctlBin, args);
    t.equal(code, 2, args.join(' '));
    t.match(stderr, message);
    t.equal(stdout, '');
  }
});

test('ended by a signal, a drill leaves no process and no data', async (t) => {
  const dir = t.testdir();
  const args = [kvctlBin, 'drill', 'run', 'pause-leader', '--replicas', '3', '--duration', '60'];
  const child = spawn(process.execPath, args, {
    env: { ...process.env, TMPDIR: dir },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let told = '';
  child.stderr.on('data', (chunk: Buffer) => (told += chunk.toString()));
  // A paused replica hears no signal but the last.
  while (!/the leader, paused/.test(told)) await once(child.stderr, 'data');
  const pids = processesOf(dir);
  t.equal(pids.length, 3, 'three replicas run');
  // As the terminal that it runs in does, when its window is closed.
  child.kill('SIGHUP');
  t.same(await once(child, 'exit'), [129, null]);
  while (processesOf(dir).length > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  t.same(readdirSync(dir), []);
});

/** Of kvd processes whose data is in `dir`; empty where there is no /proc. */
function processesOf(dir: string): string[] {
  if (!existsSync('/proc/self/cmdline')) return [];
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && isReplica(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), dir);
    } catch {
      return false;
    }
  });
}

function isReplica(commandLine: string, dir: string): boolean {
  const words = commandLine.split('\0');
  return words.includes('--id') && words.some((word) => word.startsWith(dir));
}
