/**
 * Members come, go and lose their disks while clients write: real processes, real disks, `kvctl member` as people type
 * it. What was acknowledged stays, and clients see no error.
 */
import { rmSync } from 'node:fs';
import path from 'node:path';
import type { MemberReport, MembersReport } from '@kvd/protocol';
import { type Test, test } from 'tap';
import {
  jsonLines,
  kvctlBin,
  type RunResult,
  runProgram,
  startCluster,
  type ClusterOptions,
  type TestCluster,
} from '../support/cluster.js';
import { assertNothingLost, Writers } from '../support/writers.js';
import { freePorts, KvdProcess } from '../support/kvd-process.js';

const WRITERS = 2;
const REMOVED = { code: 6, signal: null };

test('five replicas lose one disk after the other, and admit each again by themselves', async (t) => {
  const { cluster, writers } = await underLoad(t, { replicas: 5 });
  const first = await cluster.leader();
  const [one = 0, other = 0] = cluster.ids.filter((id) => id !== first);
  for (const victim of [async () => one, async () => other, async () => cluster.leader()]) {
    const id = await victim();
    const before = await memberNow(cluster, id);
    await cluster.kill(id);
    cluster.wipe(id);
    const fromMs = performance.now();
    await cluster.start(id);
    const member = await untilMember(
      cluster,
      id,
      ({ role, incarnation, reachable }) =>
        role === 'voter' && incarnation !== before.incarnation && reachable,
    );
    const ms = (performance.now() - fromMs).toFixed(0);
    t.comment(`replica ${id}${before.leader ? ', the leader' : ''}: a voter again ${ms} ms after its start`);
    const logs = cluster.ids.map((other) => cluster.log(other));
    t.ok(
      logs.some((log) => log.includes(`"what":"admit replica ${id} again"`)),
      "the leader's log says so",
    );
    const named = `"incarnation":"${member.incarnation}","role":"voter"`;
    t.ok(cluster.log(id).includes(named), 'and so does its own');
  }
  const listed = jsonLines(await kvctl(cluster, 'member', 'list', '-o', 'json'));
  t.same(
    listed.map(({ id, role, note }) => [id, role, note]),
    cluster.ids.map((id) => [id, 'voter', '']),
    'kvctl member list: five voters',
  );

  // Who leads has changed meanwhile, and the leader is the one that says who is refused.
  const leader = await cluster.leader();
  const [id = 0, moved = 0] = cluster.ids.filter((follower) => follower !== leader);
  await t.test('a second process of one of them is not admitted while the first one lives', async (t) => {
    const before = await memberNow(cluster, id);
    const double = await startDouble(t, cluster, id);
    const refused = await untilMember(cluster, id, ({ note }) => /still answers/.test(note));
    t.equal(refused.incarnation, before.incarnation);
    t.match((await kvctl(cluster, 'status')).stdout, /not admitted again/, 'and kvctl status says so');

    await cluster.kill(id);
    const successor = await untilMember(cluster, id, ({ role, incarnation, address, reachable }) => {
      return role === 'voter' && incarnation !== before.incarnation && address === double && reachable;
    });
    t.pass('once the first one is gone, it is');
    await cluster.start(id);
    const present = await untilMember(cluster, id, ({ note }) => /still answers/.test(note));
    t.equal(present.incarnation, successor.incarnation, 'the old disk beside its successor is refused');
  });

  const rest = cluster.ids.filter((other) => other !== id);
  await t.test('a replica comes back at another address', async (t) => {
    await cluster.stop(moved);
    await cluster.move(moved);
    await cluster.start(moved);
    const address = cluster.address(moved);
    await untilMember(cluster, moved, (member) => member.address === address && member.reachable);
    t.pass('the others find it there, and the configuration says so');
  });
  await assertNothingLost(t, cluster, writers, rest);
  t.same(writers.errors, [], 'no writer saw an error');
});

test('from one replica to five, to three, and to three others', async (t) => {
  const { cluster, writers } = await underLoad(t, { replicas: 1 });
  const fromMs = performance.now();
  const since = (): string => `${((performance.now() - fromMs) / 1_000).toFixed(1)} s`;
  for (const id of [await cluster.join(), await cluster.join(), await cluster.join(), await cluster.join()]) {
    await untilWaiting(cluster, id);
    await change(t, cluster, 'add', String(id));
  }
  t.comment(`five voters after ${since()}`);
  t.match((await cluster.members())?.tolerance, { voters: 5, crashes: 2, lostDisks: 2, crashesNow: 2 });

  await t.test('a removed replica stops, comes back in vain, and disturbs nobody', async (t) => {
    const leader = await cluster.leader();
    const [stopped = 0, away = 0] = cluster.ids.filter((id) => id !== leader);
    await change(t, cluster, 'remove', String(stopped));
    t.same(await cluster.ended(stopped), REMOVED, 'it ends with 6');
    await cluster.kill(away);
    await change(t, cluster, 'remove', String(away));
    const before = await cluster.status(leader);
    for (const id of [stopped, away]) {
      await cluster.start(id);
      t.same(await cluster.ended(id), REMOVED, `replica ${id}, started again, ends with 6`);
      t.match(cluster.log(id), new RegExp(`replica ${id} was removed from the cluster`));
    }
    const after = await cluster.status(leader);
    t.equal(after?.role, 'leader', 'the leader leads on');
    t.equal(after?.ballot, before?.ballot, 'with the same ballot');
  });
  t.comment(`three voters after ${since()}`);

  await t.test('a learner serves stale reads, and can become a voter', async (t) => {
    const id = await cluster.join();
    await untilWaiting(cluster, id);
    await change(t, cluster, 'add', String(id), '--learner');
    const goal = (await cluster.members())?.chosenThrough ?? 0;
    await cluster.waitFor(
      'a read',
      async () => ((await cluster.status(id))?.appliedThrough ?? 0) >= goal || undefined,
    );
    const read = await kvctlAt(cluster.address(id), 'get', 'w0/0', '--consistency', 'stale');
    t.match(read, { code: 0, stdout: /^value \d+\n$/ });
    t.match((await cluster.members())?.tolerance, { voters: 3 }, 'it does not vote');
    await change(t, cluster, 'promote', String(id));
    t.match((await cluster.members())?.tolerance, { voters: 4 });
    await change(t, cluster, 'demote', String(id));
    await change(t, cluster, 'remove', String(id));
    t.same(await cluster.ended(id), REMOVED);
  });

  const old = cluster.running;
  const successors = [await cluster.join(), await cluster.join(), await cluster.join()];
  for (const [index, young] of successors.entries()) {
    const id = old[index] ?? 0;
    await untilWaiting(cluster, young);
    await change(t, cluster, 'replace', String(id), String(young));
    t.same(await cluster.ended(id), REMOVED, `replica ${id} was replaced, and ended with 6`);
  }
  t.comment(`three other voters after ${since()}`);
  const members = (await cluster.members())?.members ?? [];
  t.same(
    members.map(({ id, role }) => [id, role]),
    successors.map((id) => [id, 'voter']),
  );
  await assertNothingLost(t, cluster, writers, successors);
  t.same(writers.errors, [], 'no writer saw an error');
});

test('a change that would lose the quorum is refused, unless it is forced', async (t) => {
  const cluster = await startCluster({ replicas: 3, flags: ['--readmit', 'manual'] });
  t.teardown(() => cluster.close());
  const leader = await cluster.leader();
  const [away = 0, there = 0] = cluster.ids.filter((id) => id !== leader);
  const before = await memberNow(cluster, away);
  await cluster.kill(away);
  await untilMember(cluster, away, ({ reachable }) => !reachable);

  const plan = await kvctl(cluster, 'member', 'plan', 'remove', String(there));
  t.equal(plan.code, 1, 'the plan of what would be refused');
  t.match(plan.stdout, /REFUSED: it would leave no quorum.*--force/);
  const refused = await kvctl(cluster, 'member', 'remove', String(there));
  t.equal(refused.code, 4);
  t.match(refused.stderr, /KVD_MEMBERS_REFUSED.*no quorum/);
  t.equal((await kvctl(cluster, 'member', 'plan', 'remove', String(away))).code, 0, 'who is away may leave');
  t.equal((await kvctl(cluster, 'member', 'add', '9')).code, 4, 'and who is not there may not come');

  await t.test('with --readmit manual a lost disk waits for a person', async (t) => {
    cluster.wipe(away);
    await cluster.start(away);
    await untilMember(cluster, away, ({ note }) => /kvctl member readmit/.test(note));
    await change(t, cluster, 'readmit', String(away));
    const member = await memberNow(cluster, away);
    t.not(member.incarnation, before.incarnation);
    t.equal(member.role, 'voter');
  });

  await t.test('the leadership moves where it is told to, and quorums change', async (t) => {
    await change(t, cluster, 'move-leader', String(there));
    t.equal(await cluster.leader(), there);
    await change(t, cluster, 'quorum', '3');
    t.match((await cluster.members())?.tolerance, { acceptQuorum: 3, prepareQuorum: 1, crashes: 0 });
    t.equal((await kvctl(cluster, 'member', 'quorum', '4')).code, 4, 'more than there are voters');
    await change(t, cluster, 'quorum', 'majority');
  });

  await t.test('forced, it goes on when there is a quorum again', async (t) => {
    const now = await cluster.leader();
    const [down = 0, leaving = 0] = cluster.ids.filter((id) => id !== now);
    await cluster.kill(down);
    await untilMember(cluster, down, ({ reachable }) => !reachable);
    const forced = await kvctl(cluster, 'member', 'remove', String(leaving), '--force', '--no-wait');
    t.equal(forced.code, 0, forced.stderr);
    await cluster.start(down);
    t.same(await cluster.ended(leaving), REMOVED);
    t.equal((await kvctl(cluster, 'put', 'after', 'all')).code, 0);
  });
});

test('two data replicas and a witness survive the loss of each in turn', async (t) => {
  const { cluster, writers } = await underLoad(t, { replicas: 3, witnesses: [3] });
  t.match(await cluster.status(3), { role: 'witness' });
  for (const id of [3, 1, 2]) {
    const before = await memberNow(cluster, id);
    await cluster.kill(id);
    const killedMs = performance.now();
    await cluster.waitFor('a write without it', () => writers.firstAfter(killedMs + 50));
    cluster.wipe(id);
    const startedMs = performance.now();
    await cluster.start(id);
    const member = await untilMember(cluster, id, ({ incarnation }) => incarnation !== before.incarnation);
    t.comment(`replica ${id}: a ${member.role} again after ${(performance.now() - startedMs).toFixed(0)} ms`);
    t.equal(member.role, id === 3 ? 'witness' : 'voter');
  }
  t.match((await kvctl(cluster, 'status')).stdout, /3 .*witness/);
  await assertNothingLost(t, cluster, writers, [1, 2]);
  t.same(writers.errors, [], 'no writer saw an error');
});

async function underLoad(
  t: Test,
  options: ClusterOptions,
): Promise<{ cluster: TestCluster; writers: Writers }> {
  const cluster = await startCluster(options);
  t.teardown(() => cluster.close());
  const writers = new Writers(cluster, WRITERS);
  await cluster.waitFor('a write', () => writers.firstAfter(0));
  return { cluster, writers };
}

/** `kvctl member …`, which has to do it. */
async function change(t: Test, cluster: TestCluster, ...words: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await kvctl(cluster, 'member', ...words, '--wait', '30');
  t.equal(code, 0, `kvctl member ${words.join(' ')}: ${code === 0 ? stdout.split('\n')[0] : stderr}`);
}

function kvctl(cluster: TestCluster, ...words: readonly string[]): Promise<RunResult> {
  return kvctlAt(cluster.running.map((id) => cluster.address(id)).join(','), ...words);
}

function kvctlAt(endpoints: string, ...words: readonly string[]): Promise<RunResult> {
  return runProgram(kvctlBin, words, { env: { KVCTL_ENDPOINTS: endpoints } });
}

async function memberNow(cluster: TestCluster, id: number): Promise<MemberReport> {
  return untilMember(cluster, id, () => true);
}

/** Until the leader says so of a member, and the last change is done. */
function untilMember(
  cluster: TestCluster,
  id: number,
  isSo: (member: MemberReport) => boolean,
): Promise<MemberReport> {
  return cluster.waitFor(`member ${id} to be as wanted`, async () => {
    const report = await cluster.members();
    const member = report?.members.find((candidate) => candidate.id === id);
    return report?.done && member !== undefined && isSo(member) ? member : undefined;
  });
}

/** Until the leader has heard of a replica that is no member. */
function untilWaiting(cluster: TestCluster, id: number): Promise<MembersReport> {
  return cluster.waitFor(`replica ${id} to wait`, async () => {
    const report = await cluster.members();
    return report?.waiting.some((replica) => replica.id === id) ? report : undefined;
  });
}

/** A second process with the flags of replica `id`, on another port and an empty directory; resolves with its address. */
async function startDouble(t: Test, cluster: TestCluster, id: number): Promise<string> {
  const [port = 0] = await freePorts(1);
  const address = `127.0.0.1:${port}`;
  const peers = cluster.ids.map((peer) => `${peer}=${peer === id ? address : cluster.address(peer)}`);
  const data = path.join(cluster.dir, 'double');
  t.teardown(() => rmSync(data, { recursive: true, force: true }));
  const argv = ['--id', String(id), '--peers', peers.join(','), '--data', data];
  await new KvdProcess(t, argv).ready();
  return address;
}
