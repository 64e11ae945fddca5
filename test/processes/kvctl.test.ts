/** kvctl as its users run it, on real replicas: results, exit codes, scripts, the shell. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t, { type Test } from 'tap';
import {
  jsonLines,
  kvctlBin,
  root,
  type RunResult,
  runProgram,
  startCluster,
  type TestCluster,
} from '../support/cluster.js';

const sample = path.join(root, 'data', 'sample.jsonl');
const script = (name: string) => path.join(root, 'data', 'scripts', name);

type Kvctl = (args: readonly string[], input?: string | Buffer) => Promise<RunResult>;

async function setUp(t: Test, replicas: number): Promise<{ cluster: TestCluster; kvctl: Kvctl }> {
  const cluster = await startCluster({ replicas });
  t.teardown(() => cluster.close());
  const env = {
    KVCTL_ENDPOINTS: cluster.endpoints.join(','),
    KVCTL_HISTORY: path.join(cluster.dir, 'history'),
  };
  const kvctl: Kvctl = (args, input = '') => runProgram(kvctlBin, args, { env, input });
  return { cluster, kvctl };
}

t.test('on one replica', async (t) => {
  const { cluster, kvctl } = await setUp(t, 1);

  /** Run, and compare exit code and stdout. */
  const check = async (
    t: Test,
    args: string[],
    code: number,
    stdout: string | RegExp,
    input?: string | Buffer,
  ) => {
    const result = await kvctl(args, input);
    const shown = args.join(' ').slice(0, 60);
    t.equal(result.code, code, `exit code of kvctl ${shown}: ${result.stderr.slice(0, 200)}`);
    t.match(result.stdout, stdout, `stdout of kvctl ${shown}`);
    t.notMatch(result.stderr, /\n\s+at /, 'no stack');
    if (code > 1) t.not(result.stderr, '', 'it says why');
    return result;
  };

  await t.test('put, get and del', async (t) => {
    await check(t, ['put', 'a', '1', '-o', 'json'], 0, /^\{"revision":1\}\n$/);
    await check(t, ['put', 'a', '2'], 0, /^revision 2\n$/);
    const entry = '{"key":"a","value":"2","createRevision":1,"modRevision":2,"version":2}\n';
    t.equal((await check(t, ['get', 'a', '-o', 'json'], 0, /a/)).stdout, entry);
    t.equal((await check(t, ['get', 'a'], 0, /2/)).stdout, '2\n');
    await check(t, ['get', 'a', '--consistency', 'stale'], 0, /^2\n$/);
    const absent = await check(t, ['get', 'absent', '-o', 'json'], 1, /^$/);
    t.match(JSON.parse(absent.stderr), { code: 'KVD_NOT_FOUND', message: /absent/ });
    await check(t, ['del', 'a', '-o', 'json'], 0, /^\{"revision":3,"deleted":1\}\n$/);
    await check(t, ['del', 'a', '-o', 'json'], 0, /^\{"revision":3,"deleted":0\}\n$/);
    await check(t, ['put', 'p/1', 'x'], 0, /revision/);
    await check(t, ['put', 'p/2', 'x'], 0, /revision/);
    await check(t, ['del', '--prefix', 'p/', '-o', 'json'], 0, /^\{"revision":6,"deleted":2\}\n$/);
  });

  await t.test('values from stdin, bytes in hex and base64, words that look like flags', async (t) => {
    const bytes = Buffer.from([0, 255, 10, 13, 254]);
    await check(t, ['put', 'blob', '-'], 0, /revision/, bytes);
    t.match(jsonLines(await kvctl(['get', 'blob', '-o', 'json'])), [
      { key: 'blob', valueBase64: bytes.toString('base64') },
    ]);
    await check(t, ['--hex', 'put', '00ff', '6869'], 0, /revision/);
    t.match(jsonLines(await kvctl(['--base64', 'get', 'AP8=', '-o', 'json'])), [
      { keyBase64: 'AP8=', value: 'hi' },
    ]);
    await check(t, ['put', 'zero', '007'], 0, /revision/);
    t.equal((await kvctl(['get', 'zero'])).stdout, '007\n', 'a number stays the text it was');
    await check(t, ['put', '--', '-k', '--v'], 0, /revision/);
    t.equal((await kvctl(['get', '--', '-k'])).stdout, '--v\n');
    const refused = await check(t, ['del', '--prefix', ''], 2, /^$/);
    const [, everything = ''] = /echo '(.*)' \| kvctl txn -/.exec(refused.stderr) ?? [];
    await check(t, ['txn', '-'], 0, /deleted 4/, everything);
  });

  await t.test('bad usage is 2, refused is 4, and each says why', async (t) => {
    for (const args of [
      [],
      ['frob'],
      ['put', 'a'],
      ['get', 'a', '--frob'],
      ['get', 'a', 'b'],
      ['--hex', 'get', 'xyz'],
      ['get', 'a', '--endpoints', 'nowhere'],
      ['--hex', '--base64', 'get', 'aa'],
      ['scan', '--limit', 'x'],
      ['scan', '--limit', '-1'],
      ['scan', '--count', '--keys-only'],
      ['del'],
      ['del', 'a', '--prefix', 'a'],
      ['get', 'a', '--timeout', '0'],
      ['get', 'a', '-o', 'xml'],
      ['cluster'],
      ['cluster', 'frob'],
      ['chaos', 'set', '--replica', '1'],
      ['chaos', 'set', '--replica', '1', '--fail-rate', '2'],
      ['chaos', 'set', '--replica', '1', '--roles', 'king'],
      ['run', '/does/not/exist'],
      ['txn'],
    ]) {
      await check(t, args, 2, /^$/);
    }
    await check(t, ['put', '', 'x'], 4, /^$/);
    await check(t, ['put', 'k'.repeat(4097), 'x'], 4, /^$/);
    await check(t, ['put', 'k', '-'], 4, /^$/, Buffer.alloc(1024 * 1024 + 1));
    const json = await check(t, ['put', '', 'x', '-o', 'json'], 4, /^$/);
    t.match(JSON.parse(json.stderr), { code: 'KVD_BAD_REQUEST', outcome: 'not-done' });
  });

  await t.test('help lists what there is, and nothing else', async (t) => {
    const { stdout } = await check(t, ['--help'], 0, /kvctl put/);
    const names = [
      'put',
      'get',
      'del',
      'scan',
      'txn',
      'watch',
      'lease',
      'lock',
      'elect',
      'log',
      'blame',
      'outcome',
      'compact',
      'run',
      'shell',
      'load',
      'dump',
      'status',
      'member',
      'chaos',
      'cluster',
      'drill',
      'bench',
      'check',
      'snapshot',
      'recover',
      'completion',
    ];
    const listed = [...stdout.matchAll(/^ +kvctl (\w+)/gm)].map(([, name]) => name);
    t.same(listed.sort(), names.sort());
    await check(t, ['completion'], 0, /compdef|complete/);
  });

  await t.test('the sample is loaded, scanned and dumped', async (t) => {
    const records = readFileSync(sample, 'utf8').trim().split('\n');
    t.ok(records.length >= 300);
    await check(t, ['load', sample, '-o', 'json'], 0, new RegExp(`"loaded":${records.length},`));
    await check(
      t,
      ['scan', 'trial/', '--count', '-o', 'json'],
      0,
      new RegExp(`^{"count":${records.length}}\n$`),
    );
    t.same((await kvctl(['dump', 'trial/'])).stdout.trim().split('\n').sort(), [...records].sort());
    const keys = jsonLines(
      await kvctl(['scan', 'trial/KVD-101/site/', '--limit', '3', '--keys-only', '-o', 'json']),
    );
    t.match(keys, [{ key: 'trial/KVD-101/site/01' }, { key: /patient/ }, { key: /visit/ }]);
    t.notOk('value' in (keys[0] ?? {}));
    const some = await kvctl([
      'scan',
      '--from',
      'trial/KVD-101/site/02',
      '--to',
      'trial/KVD-101/site/02/patient',
    ]);
    t.match(some.stdout, /^trial\/KVD-101\/site\/02\t\{"name"/);
  });

  await t.test('a bad line stops a load and is named', async (t) => {
    const bads = ['{"key":"q"}', '[]', 'x', '{"key":1,"value":"x"}', '{"keyBase64":"!","value":"x"}'];
    bads.push('{"key":"q","keyBase64":"cQ==","value":"x"}', '{"key":"\\ud800","value":"x"}');
    for (const bad of bads) {
      const result = await check(t, ['load', '-'], 4, /^$/, `{"key":"q","value":"1"}\n\n${bad}\n`);
      t.match(result.stderr, /stdin: line 3: /, bad);
    }
    const latin = Buffer.from('{"key":"q","value":"1"}\n{"key":"q\xe4","value":"x"}\n', 'latin1');
    t.match((await check(t, ['load', '-'], 4, /^$/, latin)).stderr, /stdin: line 2: not UTF-8/);
    const entries = '\uFEFF{"key":"q","value":"1"}\n \n{"key":"q","value":"2"}';
    await check(t, ['load', '-'], 0, /loaded 2/, entries);
    t.equal((await kvctl(['get', 'q'])).stdout, '2\n', 'the later line wins');
  });

  await t.test('scripts run, fail where they should and say where', async (t) => {
    const tour = await check(t, ['run', script('tour.kvd'), '-o', 'json'], 0, /summary/);
    const steps = jsonLines(tour);
    for (const op of ['PUT', 'GET', 'DELETE']) t.ok(steps.filter((step) => step.op === op).length >= 5, op);
    t.match(
      steps.find((step) => step.op === 'GET'),
      { line: Number, op: 'GET', key: 'tour/1/city', value: 'Graz', ms: Number },
    );
    t.match(steps.at(-1), { summary: { failed: 0 } });
    await check(t, ['run', script('trial.kvd')], 0, /0 failed/);
    await check(t, ['run', script('shared.kvd'), '--concurrency', '8', '--repeat', '5'], 0, /, 0 failed/);

    const wrong = 'PUT x 1\nGET x\nEXPECT 2\nPUT x 3\n';
    const stopped = await check(t, ['run', '-'], 1, /1 failed/, wrong);
    t.match(stopped.stderr, /line 3: expected '2', found '1'/);
    t.equal((await kvctl(['get', 'x'])).stdout, '1\n', 'what follows was not done');
    await check(t, ['run', '-', '--keep-going'], 1, /1 failed/, wrong);
    t.equal((await kvctl(['get', 'x'])).stdout, '3\n');
    const early = await check(t, ['run', '-', '-o', 'json'], 1, /"failed":1/, 'EXPECT 2\n');
    t.match(jsonLines(early)[0], { line: 1, op: 'EXPECT', value: '2', ok: false });
    t.match(early.stderr, /there was no GET before it/);
    const syntax = await check(t, ['run', '-'], 2, /^$/, 'PUT x 4\nGET "x\n');
    t.match(syntax.stderr, /stdin: line 2: /);
    t.equal((await kvctl(['get', 'x'])).stdout, '3\n', 'a script with a bad line is not begun');
    const refused = await check(
      t,
      ['run', '-', '-o', 'json'],
      4,
      /KVD_TOO_LARGE/,
      `PUT ${'k'.repeat(5000)} 1\n`,
    );
    t.match(jsonLines(refused)[0], { line: 1, op: 'PUT', error: 'KVD_TOO_LARGE' });
    const empty = await check(t, ['run', '-', '--keep-going'], 4, / 1 failed/, 'PUT "" 1\nPUT x 5\n');
    t.match(empty.stderr, /line 1: KVD_BAD_REQUEST: a key has at least one byte/);
    t.equal((await kvctl(['get', 'x'])).stdout, '5\n', 'and goes on');
    const latin = await check(t, ['run', '-'], 4, /^$/, Buffer.from('PUT x 6\nPUT \xe4 1\n', 'latin1'));
    t.match(latin.stderr, /stdin: line 2: not UTF-8/);
    const unread = spawn(process.execPath, [kvctlBin, 'run', '-', '-e', cluster.endpoints.join(',')]);
    unread.stdin.end('PUT x 7\n'.repeat(2_000));
    unread.stdout.once('data', () => unread.stdout.destroy());
    const [code] = (await once(unread, 'exit')) as [number];
    t.equal(code, 5, 'where nobody listens it ends, and says that not all is done');
  });

  await t.test('the shell reads its commands from a pipe', async (t) => {
    const input = 'PUT sh1 1\nGET sh1\nEXPECT 1\nSCAN sh1\nCOUNT sh1\nSTATUS\nHELP\nEXIT\nPUT sh1 2\n';
    const result = await check(
      t,
      ['shell'],
      0,
      /revision \d+\n1\nas expected\n1 entries\n {2}sh1\t1\n1\n/,
      input,
    );
    t.match(result.stdout, /leader/);
    t.notMatch(result.stdout, /kvd>/, 'no prompt');
    t.equal((await kvctl(['get', 'sh1'])).stdout, '1\n', 'nothing after EXIT');
    await check(t, ['shell'], 2, /^absent|\(absent\)/, 'GET nothing\nFROB\nGET nothing\n');
  });

  await t.test('chaos is shown and set', async (t) => {
    const set = [
      '--fail-rate',
      '0.25',
      '--interval-ms',
      '60000',
      '--roles',
      'learner,acceptor',
      '-o',
      'json',
    ];
    const result = await kvctl(['chaos', 'set', '--replica', '1', ...set]);
    t.match(jsonLines(result), [
      { id: 1, failRate: 0.25, intervalMs: 60_000, roles: ['learner', 'acceptor'] },
    ]);
    await check(t, ['chaos', 'set', '--replica', '1', '--off'], 0, /off/);
    t.match(jsonLines(await kvctl(['chaos', '-o', 'json'])), [{ id: 1, failRate: 0, intervalMs: 60_000 }]);
    await check(t, ['chaos', 'set', '--replica', '9', '--off'], 3, /^$/);
  });

  await t.test('a reader that goes away ends kvctl quietly', async (t) => {
    const child = spawn(process.execPath, [kvctlBin, '-e', cluster.address(1), 'scan'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.stdout.destroy();
    const [code] = await once(child, 'close');
    t.equal(code, 0);
    t.equal(stderr, '');
  });

  const full = '/dev/full';
  await t.test('what was done but cannot be told is unknown', { skip: !existsSync(full) }, async (t) => {
    const stdout = openSync(full, 'w');
    t.teardown(() => closeSync(stdout));
    const child = spawn(process.execPath, [kvctlBin, '-e', cluster.address(1), 'put', 'full', '1'], {
      stdio: ['ignore', stdout, 'pipe'],
    });
    let stderr = '';
    child.stderr?.on('data', (chunk) => {
      stderr += chunk;
    });
    const [code] = await once(child, 'close');
    t.equal(code, 5);
    t.equal(stderr, 'kvctl: cannot write to stdout: ENOSPC\n');
    t.equal((await kvctl(['get', 'full'])).stdout, '1\n');
  });

  // As util-linux has it; elsewhere it takes other arguments.
  const isTerminal = /util-linux/.test(spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout ?? '');
  await t.test('Ctrl-C in the shell interrupts what is under way', { skip: !isTerminal }, async (t) => {
    const endless = path.join(cluster.dir, 'endless.kvd');
    writeFileSync(endless, 'SLEEP 3600000\n');
    const shell = onTerminal(t, cluster.address(1), path.join(cluster.dir, 'history'));
    t.ok(await shell.says(/kvd> /));
    for (const line of ['SLEEP 3600000', 'WATCH endless 1', `run ${endless}`]) {
      shell.type(`${line}\r`);
      // So that it is under way, as a rule; right behind the line it must work, too.
      await setTimeout(300);
      shell.type('\u0003');
      t.ok(await shell.says(/kvctl: interrupted\r\n[\s\S]*kvd> /), line);
    }
    shell.type('PUT after-it 1\rEXIT\r');
    t.ok(await shell.says(/revision \d+/), 'the shell goes on');
    t.equal(await shell.ended, 0);
  });
});

t.test('status tells of every replica, also of one that is gone', async (t) => {
  const { cluster, kvctl } = await setUp(t, 3);
  const all = jsonLines(await kvctl(['-e', cluster.address(2), 'status', '-o', 'json']));
  t.same(
    all.map((line) => line.id),
    [1, 2, 3],
    'members are learned from one',
  );
  const fields = [
    'address',
    'role',
    'reachable',
    'ballot',
    'chosenThrough',
    'appliedThrough',
    'revision',
    'stateHash',
  ];
  for (const line of all) for (const field of [...fields, 'incarnation']) t.ok(field in line, field);
  t.equal(all.filter((line) => line.role === 'leader').length, 1);
  await cluster.kill(3);
  await cluster.leader();
  const after = await kvctl(['status', '-o', 'json']);
  t.equal(after.code, 0);
  t.match(jsonLines(after)[2], { id: 3, reachable: false, role: 'unreachable' });
  const leader = await cluster.leader();
  await cluster.kill(leader);
  const list = await kvctl(['member', 'list', '--timeout', '2000']);
  t.equal(list.code, 3);
  t.match(list.stderr, /no quorum answered/, 'what the one that is left says');
  const change = await kvctl(['member', 'remove', '3', '--timeout', '2000']);
  t.equal(change.code, 3);
  t.match(change.stderr, /nothing was done/);
  const left = jsonLines(await kvctl(['status', '-o', 'json'])).find((line) => line.reachable === true);
  t.match(left, { ready: false, reason: /leader/ });
  await cluster.kill(3 - leader);
  t.equal((await kvctl(['status'])).code, 3);
  const put = await kvctl(['put', 'a', '1', '--timeout', '500']);
  t.equal(put.code, 3, 'nobody there: nothing was done');
  t.match(put.stderr, /no endpoint answered/);
});

t.test('two kvctl run the shared script at the same time', async (t) => {
  const { kvctl } = await setUp(t, 3);
  const results = await Promise.all([1, 2].map(() => kvctl(['run', script('shared.kvd'), '--repeat', '5'])));
  for (const result of results) t.equal(result.code, 0, result.stderr);
});

/** A shell of kvctl on a terminal of its own, which script(1) makes. */
function onTerminal(t: Test, endpoint: string, history: string) {
  // In place of the shell that script starts: it would get the Ctrl-C too, and end as interrupted.
  const command = `exec ${process.execPath} ${kvctlBin} -e ${endpoint} shell`;
  const env = { ...process.env, KVCTL_HISTORY: history };
  const child = spawn('script', ['-qec', command, '/dev/null'], { env });
  t.teardown(() => child.kill('SIGKILL'));
  let said = '';
  let changed = (): void => undefined;
  const ended = new Promise<number | null>((resolve) => {
    child.on('error', () => resolve(null));
    child.on('close', resolve);
  });
  child.stdout.on('data', (chunk) => {
    said += chunk;
    changed();
  });
  child.stdin.on('error', () => undefined);
  /** False: it ended without. What it said until then is forgotten. */
  const says = async (what: RegExp): Promise<boolean> => {
    while (!what.test(said)) {
      const more = new Promise<boolean>((resolve) => {
        changed = () => resolve(true);
      });
      if (!(await Promise.race([more, ended.then(() => false)]))) break;
    }
    const isSaid = what.test(said);
    said = '';
    return isSaid;
  };
  return { says, ended, type: (text: string) => child.stdin.write(text) };
}
