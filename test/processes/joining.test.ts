import { join } from 'node:path';
import { type Test, test } from 'tap';
import { freePorts, http, KvdProcess, peersOf, status, until, untilReady } from '../support/kvd-process.js';

const FAST = { KVD_ELECTION_TIMEOUT_MS: '300', KVD_HEARTBEAT_MS: '40' };

interface Members {
  readonly slot: number;
  readonly done: boolean;
  readonly leader: number;
  readonly members: readonly {
    readonly id: number;
    readonly address: string;
    readonly role: string;
    readonly incarnation: string;
    readonly note: string;
  }[];
  readonly waiting: readonly { readonly id: number }[];
}

/** What the leader says, asked at any replica; null: nobody leads, or it has only just begun. */
async function members(port: number): Promise<Members | null> {
  const { status: code, text } = await http(port, 'GET', '/v1/members');
  return code === 200 ? (JSON.parse(text) as Members) : null;
}

async function change(port: number, what: object): Promise<void> {
  const body = JSON.stringify({ change: what });
  let last = '';
  await until(
    async () => {
      const reply = await http(port, 'POST', '/v1/members', { body });
      last = reply.text;
      return reply.status === 200;
    },
    `the change ${body}`,
    () => last,
  );
}

async function untilRole(port: number, id: number, role: string): Promise<Members> {
  let found: Members | null = null;
  await until(
    async () => {
      found = await members(port);
      return found?.done === true && found.members.find((member) => member.id === id)?.role === role;
    },
    `replica ${id} being a ${role}`,
    () => JSON.stringify(found),
  );
  return found as unknown as Members;
}

/** Stderr without log lines: what a person at a terminal is told. */
function told(kvd: KvdProcess): string[] {
  return kvd.stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
}

async function ends(t: Test, kvd: KvdProcess, exitCode: number, why: RegExp): Promise<void> {
  t.equal(await kvd.ended, exitCode, kvd.stderr.slice(-2_000));
  t.match(told(kvd).join('\n'), why);
  t.equal(told(kvd).length, 1, 'one line');
}

test('a replica joins a running cluster, becomes a voter, moves, is removed, and stays away', async (t) => {
  const directory = t.testdir({});
  const ports = await freePorts(5);
  const [first = 0, , , fourth = 0, elsewhere = 0] = ports;
  const founders = ports.slice(0, 3);
  const data = (id: number): string => join(directory, `${id}`);
  const run = (id: number, ...more: readonly string[]): KvdProcess =>
    new KvdProcess(t, ['--id', `${id}`, '--data', data(id), ...more], FAST);
  const asked = founders.map((port) => `127.0.0.1:${port}`).join(',');

  const early = run(4, '--join', asked, '--listen', `127.0.0.1:${fourth}`);
  await until(() => early.stderr.includes('join-waits'), 'its log saying that nobody answers');
  t.equal(early.stdout, '', 'it is not ready before it has found its cluster');
  t.equal(await early.kill('SIGTERM'), 0, 'and can be stopped while it waits');
  await ends(
    t,
    run(4, '--listen', `127.0.0.1:${fourth}`),
    2,
    /knows none of its members yet: --join must be given/,
  );

  await Promise.all(founders.map((_, i) => run(i + 1, '--peers', peersOf(founders)).ready()));
  await untilReady(first);
  for (let i = 0; i < 20; i += 1) await http(first, 'PUT', `/v1/kv/k${i}`, { body: `v${i}` });
  const joined = run(4, '--join', asked, '--listen', `127.0.0.1:${fourth}`);
  await joined.ready();
  t.equal(joined.stdout, `kvd ready: replica 4, 127.0.0.1:${fourth}\n`);
  const { clusterId } = await status(first);
  t.equal((await http(first, 'PUT', '/v1/kv/late', { body: 'x' })).status, 200);
  await until(
    async () => (await http(fourth, 'GET', '/v1/kv/late?consistency=stale')).status === 200,
    'a stranger that catches up',
    () => joined.stderr.slice(-2_000),
  );
  t.match(await status(fourth), { role: 'learner', clusterId, revision: 21 });
  const waiting = await members(first);
  t.match(waiting?.waiting, [{ id: 4 }]);
  t.strictSame(
    waiting?.members.map(({ id }) => id),
    [1, 2, 3],
    'it is no member',
  );

  await change(first, { type: 'add', id: 4 });
  const { incarnation } = (await untilRole(first, 4, 'voter')).members[3] ?? {};
  t.equal(incarnation, (await status(fourth))['incarnation']);
  await untilReady(fourth);
  t.equal((await http(fourth, 'PUT', '/v1/kv/at4', { body: 'y' })).status, 200);
  t.match((await http(fourth, 'GET', '/metrics')).text, /^kvd_members\{role="voter",replica="4"\} 4$/m);

  t.equal(await joined.kill('SIGTERM'), 0);
  const again = await run(4).ready();
  t.equal(
    again.stdout,
    `kvd ready: replica 4, 127.0.0.1:${fourth}\n`,
    'its log says where it is, and who else',
  );
  await untilReady(fourth);
  t.match(await status(fourth), { incarnation, role: /follower|candidate|leader/ });
  t.equal(await again.kill('SIGTERM'), 0);

  const moved = await run(
    4,
    '--listen',
    `127.0.0.1:${elsewhere}`,
    '--advertise',
    `127.0.0.1:${elsewhere}`,
  ).ready();
  await until(
    async () =>
      (await members(first))?.members.some(({ address }) => address.endsWith(`:${elsewhere}`)) ?? false,
    'the configuration having its new address',
  );
  t.match((await untilRole(first, 4, 'voter')).members[3], { incarnation });
  await untilReady(elsewhere);

  await change(first, { type: 'remove', id: 4 });
  const why = /^kvd: replica 4 was removed from the cluster \(configuration of slot \d+\)$/;
  await ends(t, moved, 6, why);
  const before = await status(first);
  await ends(t, run(4, '--join', asked, '--listen', `127.0.0.1:${elsewhere}`), 6, why);
  const { leader, ballot } = before;
  t.match(await status(first), { leader, ballot }, 'nobody was disturbed');
  t.strictSame(
    (await members(first))?.members.map(({ id }) => id),
    [1, 2, 3],
  );
});
