/** The data model with kvctl, on real replicas: what each command answers, how it ends, and what it says to bad input. */
/* oxlint-disable unicorn/no-thenable -- the `then` of a transaction in JSON is a list, which nobody awaits */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
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

type Kvctl = (args: readonly string[], input?: string | Buffer) => Promise<RunResult>;

interface Served {
  readonly cluster: TestCluster;
  readonly kvctl: Kvctl;
  /** Run, compare exit code and stdout. */
  readonly check: (
    t: Test,
    args: readonly string[],
    code: number,
    stdout: string | RegExp,
    input?: string | Buffer,
  ) => Promise<RunResult>;
  /** A kvctl that goes on, with an open stdin. */
  readonly start: (t: Test, args: readonly string[]) => Running;
}

async function setUp(t: Test, replicas: number): Promise<Served> {
  const cluster = await startCluster({ replicas });
  t.teardown(() => cluster.close());
  const env = {
    KVCTL_ENDPOINTS: cluster.endpoints.join(','),
    KVCTL_HISTORY: path.join(cluster.dir, 'history'),
    KVCTL_PRINCIPAL: 'tester',
  };
  const kvctl: Kvctl = (args, input = '') => runProgram(kvctlBin, args, { env, input });
  const check: Served['check'] = async (t, args, code, stdout, input) => {
    const result = await kvctl(args, input);
    const shown = args.join(' ').slice(0, 70);
    t.equal(result.code, code, `exit code of kvctl ${shown}: ${result.stderr.slice(0, 200)}`);
    if (typeof stdout === 'string') t.equal(result.stdout, stdout, `stdout of kvctl ${shown}`);
    else t.match(result.stdout, stdout, `stdout of kvctl ${shown}`);
    t.notMatch(result.stderr, /\n\s+at /, 'no stack');
    if (code !== 0) t.not(result.stderr, '', 'it says why');
    return result;
  };
  const start: Served['start'] = (t, args) => new Running(t, args, env);
  return { cluster, kvctl, check, start };
}

/** A process of kvctl, and what it has said so far. */
class Running {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  private changed: () => void = () => undefined;
  private readonly closed: Promise<[number | null, NodeJS.Signals | null]>;

  constructor(t: Test, args: readonly string[], env: NodeJS.ProcessEnv) {
    const child = spawn(process.execPath, [kvctlBin, ...args], { env: { ...process.env, ...env } });
    this.child = child;
    this.closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
    child.stdout.on('data', (chunk) => this.heard(() => (this.stdout += chunk)));
    child.stderr.on('data', (chunk) => this.heard(() => (this.stderr += chunk)));
    child.on('close', () => this.changed());
    t.teardown(() => child.kill('SIGKILL'));
  }

  /** Until it has said so. */
  async says(what: RegExp): Promise<void> {
    while (!what.test(this.stdout + this.stderr)) {
      const { exitCode } = this.child;
      if (exitCode !== null) throw new Error(`it ended with ${exitCode}: ${this.stdout}${this.stderr}`);
      await new Promise<void>((resolve) => {
        this.changed = resolve;
      });
    }
  }

  async ended(): Promise<number | null> {
    const [code] = await this.closed;
    return code;
  }

  private heard(keep: () => void): void {
    keep();
    this.changed();
  }
}

const json = (stdout: string): Record<string, unknown>[] => jsonLines({ stdout });

t.test('on one replica', async (t) => {
  const { cluster, kvctl, check, start } = await setUp(t, 1);
  const wait = { timeoutMs: 30_000 };
  t.setTimeout(280_000);

  await t.test('conditions and the past', async (t) => {
    await check(t, ['put', 'a', '1', '--if-absent', '-o', 'json'], 0, '{"revision":1}\n');
    const refused = await check(t, ['put', 'a', '2', '--if-absent', '-o', 'json'], 1, '');
    t.match(JSON.parse(refused.stderr), { code: 'KVD_CONDITION_FALSE', outcome: 'not-done' });
    await check(t, ['put', 'a', '2', '--if-revision', '1', '--reason', 'better'], 0, 'revision 2\n');
    await check(t, ['put', 'a', '3', '--if-revision', '1'], 1, '');
    await check(t, ['del', 'a', '--if-revision', '1'], 1, '');
    await check(t, ['get', 'a', '--revision', '1'], 0, '1\n');
    await check(t, ['put', 'b', '1'], 0, 'revision 3\n');
    await check(t, ['scan', '--revision', '1'], 0, 'a\t1\n');
    await check(t, ['scan', '--reverse', '--keys-only'], 0, 'b\na\n');
    await check(t, ['scan', '--count', '--revision', '2', '-o', 'json'], 0, '{"count":1}\n');
    await check(t, ['get', 'b', '--revision', '2'], 1, '');
    const future = await check(t, ['get', 'a', '--revision', '99'], 4, '');
    t.match(future.stderr, /KVD_FUTURE_REVISION/);
    await check(t, ['del', 'b', '--if-revision', '3', '-o', 'json'], 0, '{"revision":4,"deleted":1}\n');
  });

  await t.test('transactions', async (t) => {
    const txn = {
      if: [{ key: 'a', value: '2' }],
      then: [{ add: { key: 'n', delta: 5 } }, { get: { key: 'x' } }],
    };
    await check(
      t,
      ['txn', '-', '-o', 'json'],
      0,
      '{"revision":5,"succeeded":true,"results":[{"add":"5"},{"get":null}]}\n',
      JSON.stringify(txn),
    );
    const file = path.join(cluster.dir, 'txn.json');
    writeFileSync(
      file,
      JSON.stringify({ if: [{ key: 'a', exists: false }], then: [], else: [{ delete: { key: 'n' } }] }),
    );
    await check(t, ['txn', file], 0, 'else, revision 6\n  deleted 1\n');
    for (const [input, code, message] of [
      ['{', 4, /no JSON/],
      ['{"then":[{"put":{"key":"a"}}]}', 4, /then\[0\]\.put\.value: is missing/],
      ['{"then":[{"put":{"key":"a","value":"","lease":"77"}}]}', 1, /KVD_LEASE_NOT_FOUND/],
      [
        '{"then":[{"put":{"key":"q","value":"x"}},{"add":{"key":"a","delta":1e3}},{"delete":{"key":"q"}}]}',
        4,
        /at most once/,
      ],
      [`{"then":[{"add":{"key":"a","delta":"${'9'.repeat(19)}"}}]}`, 4, /64 bits/],
    ] as const) {
      const result = await check(t, ['txn', '-'], code, '', input);
      t.match(result.stderr, message);
    }
    await check(t, ['put', 'word', 'x'], 0, /revision/);
    const text = await check(t, ['txn', '-'], 4, '', '{"then":[{"add":{"key":"word","delta":1}}]}');
    t.match(text.stderr, /KVD_NOT_AN_INTEGER/);
  });

  await t.test('leases', async (t) => {
    const { stdout } = await check(
      t,
      ['lease', 'grant', '60', '-o', 'json'],
      0,
      /^\{"lease":"\d+","ttlMs":60000\}\n$/,
    );
    const lease = String(json(stdout)[0]?.['lease']);
    await check(t, ['put', 'leased', '1', '--lease', lease], 0, /revision/);
    t.match(json((await kvctl(['get', 'leased', '-o', 'json'])).stdout), [{ key: 'leased', lease }]);
    const shown = json((await kvctl(['lease', 'show', lease, '-o', 'json'])).stdout);
    t.match(shown, [{ lease, ttlMs: 60_000, remainingMs: Number, keys: [{ key: 'leased' }] }]);
    await check(t, ['lease', 'keep-alive', lease, '-o', 'json'], 0, `{"lease":"${lease}","ttlMs":60000}\n`);
    t.match(json((await kvctl(['lease', 'list', '-o', 'json'])).stdout), [{ lease }]);
    await check(t, ['lease', 'revoke', lease, '-o', 'json'], 0, /^\{"revision":\d+,"deleted":1\}\n$/);
    await check(t, ['get', 'leased'], 1, '');
    for (const command of ['revoke', 'keep-alive', 'show']) await check(t, ['lease', command, lease], 1, '');
    await check(t, ['put', 'leased', '1', '--lease', lease], 1, '');
  });

  await t.test('log, blame and outcome', async (t) => {
    const log = json((await kvctl(['log', 'a', '-o', 'json'])).stdout);
    t.match(log, [
      {
        revision: 1,
        principal: 'tester',
        time: /^\d{4}-/,
        operation: /^\d+\.1$/,
        events: [{ type: 'put', key: 'a' }],
      },
      { revision: 2, reason: 'better', events: [{ value: '2', previous: { value: '1' } }] },
    ]);
    t.equal(log.length, 2);
    t.match(json((await kvctl(['log', '--prefix', 'b', '--limit', '1', '-o', 'json'])).stdout), [
      { revision: 3 },
    ]);
    t.match(json((await kvctl(['log', '--from-revision', '4', '--limit', '1', '-o', 'json'])).stdout), [
      { revision: 4, events: [{ type: 'delete', key: 'b' }] },
    ]);
    t.match(
      (await kvctl(['log', 'a'])).stdout,
      /^1\t.* tester\n {2}put {4}a\t1\n2\t.* tester {2}\(better\)\n/,
    );
    t.match(json((await kvctl(['blame', 'a', '-o', 'json'])).stdout), [
      { key: 'a', value: '2', modRevision: 2, principal: 'tester', reason: 'better' },
    ]);
    t.match(json((await kvctl(['blame', 'b', '--all', '-o', 'json'])).stdout), [
      { type: 'put', key: 'b', principal: 'tester' },
      { type: 'delete', key: 'b', previous: { value: '1' } },
    ]);
    await check(t, ['blame', 'b'], 1, '');
    await check(t, ['blame', 'nobody', '--all'], 1, '');
    const nobody = ['--principal', '', 'put', 'anonymous', '1'];
    await check(t, nobody, 0, /revision/);
    t.notOk('principal' in (json((await kvctl(['blame', 'anonymous', '-o', 'json'])).stdout)[0] ?? {}));
    const operation = String(log[0]?.['operation']);
    t.match(await kvctl(['outcome', operation, '-o', 'json']), {
      code: 5,
      stdout: '{"status":"forgotten"}\n',
    });
    const keyed = { method: 'PUT', headers: { 'Idempotency-Key': 'k' }, body: '1' };
    await fetch(`http://${cluster.address(1)}/v1/kv/keyed`, keyed);
    t.match(json((await kvctl(['outcome', '--idempotency-key', 'k', '-o', 'json'])).stdout), [
      { status: 'applied', result: { revision: Number } },
    ]);
    t.match(await kvctl(['outcome', '--idempotency-key', 'never', '-o', 'json']), {
      code: 1,
      stdout: '{"status":"never"}\n',
    });
  });

  await t.test('a watch tells what was, what is, and runs a program for it', async (t) => {
    const past = await check(
      t,
      ['watch', 'a', '--from-revision', '1', '--previous', '--limit', '2', '-o', 'json'],
      0,
      /put/,
    );
    t.match(json(past.stdout), [
      { type: 'put', key: 'a', value: '1', modRevision: 1 },
      { type: 'put', key: 'a', value: '2', modRevision: 2, previous: { value: '1' } },
    ]);
    const watch = start(t, ['watch', '--prefix', 'w/', '-o', 'json']);
    await watch.says(/watching from revision/);
    await kvctl(['put', 'w/1', '1']);
    await kvctl(['put', 'other', '1']);
    await kvctl(['del', 'w/1']);
    await watch.says(/"delete"/);
    watch.child.kill('SIGINT');
    t.equal(await watch.ended(), 130, 'as a shell tells it');
    t.match(json(watch.stdout), [
      { type: 'put', key: 'w/1', value: '1' },
      { type: 'delete', key: 'w/1' },
    ]);
    const script = 'echo "$KVD_EVENT_TYPE $KVD_EVENT_KEY $KVD_EVENT_VALUE $KVD_EVENT_REVISION"; cat';
    const run = ['watch', 'a', '--from-revision', '1'];
    await check(
      t,
      [...run, '--limit', '1', '--', 'sh', '-c', script],
      0,
      /^put a 1 1\n\{"type":"put","key":"a",.*\}\n$/,
    );
    const failed = await check(t, [...run, '--', 'sh', '-c', 'echo x; exit 7'], 7, 'x\n');
    t.match(failed.stderr, /sh ended with 7 at revision 1/);
    await check(t, [...run, '--limit', '2', '--keep-going', '--', 'sh', '-c', 'echo x; exit 7'], 7, 'x\nx\n');
    await check(t, [...run, '--', '/no/such/program'], 127, '');
    await kvctl(['--hex', 'put', '7700', 'ff']);
    const bytes = ['--hex', 'watch', '7700', '--from-revision', '1', '--limit', '1', '--', 'sh', '-c'];
    await check(
      t,
      [...bytes, 'echo "$KVD_EVENT_KEY_BASE64 $KVD_EVENT_VALUE_BASE64 $KVD_EVENT_KEY"'],
      0,
      'dwA= /w== \n',
    );
  });

  await t.test('a lock is held by one, as long as its program runs or stdin is open', async (t) => {
    const holder = start(t, ['lock', 'm', '-o', 'json']);
    await holder.says(/"token"/);
    t.match(json(holder.stdout), [{ lock: 'm', token: Number, key: /^kvd\/lock\/m\/[0-9a-f]{16}$/ }]);
    const busy = await check(t, ['lock', 'm', '--try', '--', 'echo', 'mine'], 1, '');
    t.match(busy.stderr, /KVD_CONDITION_FALSE/);
    const late = await check(t, ['lock', 'm', '--timeout', '3000', '--', 'echo', 'mine'], 3, '');
    t.match(late.stderr, /KVD_TIMEOUT/);
    const next = start(t, ['lock', 'm', '--', 'sh', '-c', 'echo "$KVD_LOCK_NAME $KVD_LOCK_TOKEN"; exit 3']);
    await cluster.waitFor(
      'the next in the queue',
      async () => {
        const { stdout } = await kvctl(['scan', 'kvd/lock/m/', '--count']);
        return stdout === '2\n' ? true : undefined;
      },
      wait.timeoutMs,
    );
    t.equal(next.stdout, '');
    holder.child.stdin?.end();
    t.equal(await holder.ended(), 0);
    t.equal(await next.ended(), 3, 'the exit code of the program');
    t.match(next.stdout, /^m \d+\n$/);
    t.ok(Number(next.stdout.split(' ')[1]) > Number(json(holder.stdout)[0]?.['token']), 'tokens go up');
    await check(t, ['scan', 'kvd/lock/', '--count'], 0, '0\n');
  });

  await t.test(
    'a program is killed when its lock is lost, and what it writes with the token is refused',
    async (t) => {
      const script = 'echo "$KVD_LOCK_KEY $KVD_LOCK_TOKEN"; exec sleep 600';
      const holder = start(t, ['lock', 'lost', '--', 'sh', '-c', script]);
      await holder.says(/kvd\/lock\/lost\/\w+ \d+\n/);
      const [key = '', token = ''] = holder.stdout.trim().split(' ');
      const fenced = JSON.stringify({
        if: [{ key, createRevision: Number(token) }],
        then: [{ put: { key: 'guarded', value: '1' } }],
      });
      t.match(json((await kvctl(['txn', '-', '-o', 'json'], fenced)).stdout), [{ succeeded: true }]);
      const lease = String(json((await kvctl(['get', key, '-o', 'json'])).stdout)[0]?.['lease']);
      await check(t, ['lease', 'revoke', lease], 0, /deleted 1/);
      t.equal(await holder.ended(), 1);
      t.match(holder.stderr, /KVD_LOCK_LOST/);
      t.match(json((await kvctl(['txn', '-', '-o', 'json'], fenced)).stdout), [{ succeeded: false }]);
    },
  );

  await t.test('an election has a leader that others see', async (t) => {
    await check(t, ['elect', 'e'], 1, '');
    const leader = start(t, ['elect', 'e', 'host-1', '-o', 'json']);
    await leader.says(/"token"/);
    await check(t, ['elect', 'e', '-o', 'json'], 0, /^\{"election":"e","value":"host-1","token":\d+\}\n$/);
    const observer = start(t, ['elect', 'e', '--observe', '-o', 'json']);
    await observer.says(/host-1/);
    leader.child.kill('SIGTERM');
    t.equal(await leader.ended(), 143);
    await check(t, ['elect', 'e', 'host-2', '--', 'echo', 'led'], 0, 'led\n');
    await observer.says(/host-2/);
    observer.child.kill('SIGINT');
    t.equal(await observer.ended(), 130);
  });

  await t.test('scripts compare, add, transact and watch', async (t) => {
    const script = path.join(root, 'data', 'scripts', 'cas.kvd');
    await check(t, ['run', script, '-o', 'json'], 0, /"failed":0/);
    await check(t, ['run', script, '--repeat', '2'], 0, / 0 failed/);
    const lost = await check(
      t,
      ['run', '-', '-o', 'json'],
      1,
      /"swapped":false/,
      'PUT s 1\nCAS s 2 3\nPUT s 9\n',
    );
    t.match(lost.stderr, /line 2: s is not '2' but '1'/);
    await check(t, ['get', 's'], 0, '1\n');
    await check(t, ['run', '-', '--keep-going'], 1, / 1 failed/, 'CAS s NONE 3\nCAS s 1 4\n');
    const watched = await check(
      t,
      ['run', '-', '--timeout', '3000', '-o', 'json'],
      3,
      /KVD_TIMEOUT/,
      'WATCH s 1\n',
    );
    t.match(watched.stderr, /0 of 1 events/);
    await check(t, ['run', '-'], 2, '', 'TXN {"then":[{"frob":{}}]}\n');
    await check(t, ['run', '-'], 4, /KVD_NOT_AN_INTEGER/, 'PUT s x\nADD s 1\n');
  });

  await t.test('the shell has every command', async (t) => {
    const input = [
      'PUT sh 1',
      'CAS sh 1 2',
      'TXN {"if":[{"key":"sh","value":"2"}],"then":[{"get":{"key":"sh"}}]}',
      'WATCH sh 2',
      'put sh 3 --if-absent',
      'get sh --revision 1 -o json',
      'blame sh -o json',
      'lease grant 5 -o json',
      'lock in-shell -- echo locked',
      'lock in-shell',
      'get - --hex',
      'shell',
      'EXIT',
    ].join('\n');
    const result = await check(t, ['shell'], 1, /then, revision \d+\n {2}get: sh\t2\n2 events\n/, input);
    t.match(result.stdout, /"principal":"tester"/);
    t.match(result.stdout, /\{"lease":"\d+","ttlMs":5000\}\nlocked\n$/);
    for (const message of [
      /KVD_CONDITION_FALSE/,
      /no such key at revision 1: sh/,
      /in the shell this needs --/,
      /shell's own/,
    ])
      t.match(result.stderr, message);
  });

  await t.test('history is kept as long as it is wanted', async (t) => {
    await check(
      t,
      ['compact', '--keep-revisions', '1000', '--keep-hours', '2'],
      0,
      /last 1000 revisions, and the last 7200000 ms/,
    );
    await check(t, ['compact', '2', '-o', 'json'], 0, '{"status":"ok"}\n');
    const past = await check(t, ['get', 'a', '--revision', '1'], 4, '');
    t.match(past.stderr, /KVD_COMPACTED/);
    const watch = await check(t, ['watch', 'a', '--from-revision', '1'], 4, '');
    t.match(watch.stderr, /KVD_COMPACTED: .*restart at 3/);
    await check(t, ['log', '--from-revision', '2'], 4, '');
    const blame = await check(t, ['blame', 'a'], 1, '');
    t.match(blame.stderr, /compacted/);
    await check(t, ['compact', '999999'], 4, '');
    t.match(json((await kvctl(['status', '-o', 'json'])).stdout), [{ compactRevision: 2, watches: 0 }]);
  });

  await t.test('what is too long is refused, and bad usage said before anybody is asked', async (t) => {
    await check(t, ['put', 'a', '1', '--if-absent', '--if-revision', '1'], 2, '');
    await check(t, ['lock', 'm', 'true'], 2, '');
    const long = await check(t, ['--reason', 'r'.repeat(1025), 'put', 'a', '1'], 4, '');
    t.match(long.stderr, /KVD_BAD_REQUEST: reason: .* 1024 bytes/);
    await check(t, ['--principal', 'p'.repeat(257), 'put', 'a', '1'], 4, '');
  });
});

t.test('an unknown outcome names its operation, and what became of it can be asked', async (t) => {
  const { cluster, kvctl, start } = await setUp(t, 3);
  const leader = await cluster.leader();
  const others = cluster.ids.filter((id) => id !== leader);
  const shell = start(t, ['shell', '--timeout', '3000', '-e', cluster.address(leader)]);
  shell.child.stdin?.write('PUT a 1\n');
  await shell.says(/revision 1/);
  // The leader alone takes the write, and can neither finish it nor say that it never will be.
  for (const id of others) cluster.pause(id);
  shell.child.stdin?.end('PUT a 2\n');
  t.equal(await shell.ended(), 5, shell.stderr);
  const [, operation = ''] = /kvctl outcome (\d+\.\d+)/.exec(shell.stderr) ?? [];
  t.not(operation, '', shell.stderr);
  for (const id of others) cluster.resume(id);
  await cluster.waitReady();
  const told = await kvctl(['outcome', operation, '-o', 'json', '--timeout', '20000']);
  const [{ status } = {}] = json(told.stdout);
  const present = (await kvctl(['get', 'a'])).stdout;
  if (status === 'applied') t.equal(present, '2\n');
  else t.same([status, present], ['never', '1\n']);
  const again = await kvctl(['outcome', operation, '-o', 'json']);
  t.equal(again.stdout, told.stdout, 'asked again: the same');
});
