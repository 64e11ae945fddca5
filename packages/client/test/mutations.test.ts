/**
 * What is said of transactions, leases and the like when answers are lost: done once, not done, or unknown and to be asked
 * about. Against replicas that misbehave as told.
 */
import { compare, connect, op } from '@kvd/client';
import { type Command, decodeCommand, type Request, type Response } from '@kvd/protocol';
import t from 'tap';
import { type FakeCluster, type FakeReplica, isUserMutation, refusal } from './support/fake-cluster.js';
import { failure, setUp, until } from './support/set-up.js';

/** Swallow the next mutation, and do it or not. */
function swallowOne(replica: FakeReplica, andDo: boolean): void {
  replica.misbehave = (request) => {
    if (!isUserMutation(request)) return false;
    if (andDo) replica.answer(request);
    replica.misbehave = () => false;
    return true;
  };
}

function originOf(command: Command): number {
  const inner = command.type === 'noted' ? decodeCommand(command.command) : command;
  return 'origin' in inner ? inner.origin.sequence : 0;
}

t.test('a transaction whose answer was lost is sent again elsewhere, and done once', async (t) => {
  const { cluster, kv } = await setUp(t, 2);
  await kv.put('a', '0');
  cluster.replica(1).misbehave = (request, _reply, replica) => {
    if (!isUserMutation(request)) return false;
    replica.answer(request);
    void replica.kill();
    return true;
  };
  const result = await kv.txn().if(compare.exists('a')).then(op.put('a', '1'), op.get('a')).commit();
  t.match(result, { succeeded: true, revision: 2, results: [{ type: 'put' }, { type: 'entry' }] });
  t.same([...cluster.applied.values()], [1, 1]);
  t.same(cluster.replica(2).mutations.map(originOf).filter(Boolean), [2], 'the same number');
});

t.test('a condition that does not hold is an answer, and certain', async (t) => {
  const { kv } = await setUp(t, 1);
  const { revision } = await kv.put('a', '0');
  const code = { code: 'KVD_CONDITION_FALSE', outcome: 'not-done' };
  t.match(await failure(kv.put('a', '1', { ifAbsent: true })), code);
  t.match(await failure(kv.put('a', '1', { ifRevision: revision + 1 })), code);
  t.match(await failure(kv.delete('b', { ifRevision: 1 })), code);
  t.same(await kv.delete('b', { ifRevision: 0 }), { revision, deleted: 0 }, 'absent, as asked for');
  t.match(await kv.put('a', '1', { ifRevision: revision }), { revision: revision + 1 });
  t.match(await kv.put('b', '1', { ifRevision: 0 }), { revision: revision + 2 });
});

/** The first replica ends its connection at the next mutation, and answers nothing. */
function killOnMutation({ cluster }: { readonly cluster: FakeCluster }): void {
  cluster.replica(1).misbehave = (request, _reply, replica) => {
    if (isUserMutation(request)) void replica.kill();
    return isUserMutation(request);
  };
}

const isOutcome = (request: Request): boolean =>
  request.type === 'mutate' && decodeCommand(request.command).type === 'outcome';

t.test(
  'a refusal after an attempt that was lost is made certain: the cluster says that it never will be',
  async (t) => {
    const { cluster, kv } = await setUp(t, 2);
    await kv.put('a', '0');
    const revoke = () => failure(kv.lease.revoke(77));
    t.match(await revoke(), { code: 'KVD_LEASE_NOT_FOUND', outcome: 'not-done' });
    t.notOk(cluster.replica(1).requests.some(isOutcome), 'it was the only attempt');
    killOnMutation({ cluster });
    t.match(await revoke(), { code: 'KVD_LEASE_NOT_FOUND', outcome: 'not-done' });
    t.equal(cluster.replica(2).requests.filter(isOutcome).length, 1);
    await kv.put('a', '1');
    const last = cluster.replica(2).mutations.at(-1);
    t.match(last, { origin: { sequence: 4, lowestUnanswered: 4 } }, 'nobody waits for it any more');
  },
);

t.test('what an attempt that was lost did is the answer, though another one was refused', async (t) => {
  const { cluster, kv } = await setUp(t, 2);
  await kv.put('a', '0');
  killOnMutation({ cluster });
  // The refusal overtakes what the first attempt does.
  cluster.replica(2).misbehave = (request, reply, replica) => {
    if (!isUserMutation(request)) return false;
    replica.answer(request);
    reply(refusal('KVD_TOO_LARGE'));
    return true;
  };
  t.match(await kv.put('a', '1'), { revision: 2 });
});

t.test('what is told while the cluster is asked counts: it may have been done', async (t) => {
  const { cluster, kv } = await setUp(t, 2);
  await kv.put('a', '0');
  let late: ((response: Response) => void) | undefined;
  cluster.replica(1).misbehave = (request, reply) => {
    if (isUserMutation(request)) late = reply;
    return isUserMutation(request);
  };
  cluster.replica(2).misbehave = (request, reply) => {
    if (isUserMutation(request)) reply(refusal('KVD_TOO_LARGE'));
    return isUserMutation(request) || isOutcome(request);
  };
  const error = failure(kv.put('a', '1', { timeoutMs: 4_000 }));
  await until(() => cluster.replica(2).requests.some(isOutcome));
  late?.(refusal('KVD_OUTCOME_UNKNOWN'));
  t.match(await error, { outcome: 'unknown', operationId: /^1\.\d+$/ });
});

t.test('where the cluster cannot say what became of it, a refusal is not certain', async (t) => {
  const { cluster, kv } = await setUp(t, 2);
  await kv.put('a', '0');
  killOnMutation({ cluster });
  cluster.replica(2).misbehave = (request) => isOutcome(request);
  const error = await failure(kv.lease.revoke(77, { timeoutMs: 1_000 }));
  t.match(error, { outcome: 'unknown' });
  t.match(error.operationId, /^1\.\d+$/);
});

t.test('an operation with an unknown outcome can be asked about until it is answered', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  await kv.put('a', '0');
  for (const isDone of [true, false]) {
    swallowOne(cluster.replica(1), isDone);
    const error = await failure(kv.put('a', '1', { timeoutMs: 300 }));
    t.match(error, { code: 'KVD_OUTCOME_UNKNOWN', outcome: 'unknown' });
    const id = error.operationId ?? '';
    const sequence = Number(id.split('.')[1]);
    await kv.put('b', '1');
    await kv.put('b', '2');
    const waited = cluster
      .replica(1)
      .mutations.flatMap((c) => ('origin' in c ? [c.origin.lowestUnanswered] : []));
    t.equal(waited.at(-1), sequence, 'its number is still waited for');
    const outcome = await kv.outcome(id);
    if (isDone) t.match(outcome, { status: 'applied', result: { type: 'put', revision: 2 } });
    else t.match(outcome, { status: 'never' });
    await kv.put('b', '3');
    const last = cluster.replica(1).mutations.at(-1);
    t.ok(
      last !== undefined && 'origin' in last && last.origin.lowestUnanswered > sequence,
      'and then no longer',
    );
  }
  t.equal((await failure(kv.outcome('nonsense'))).code, 'KVD_BAD_REQUEST');
});

t.test('an operation that was fenced while it was under way was certainly not done', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  await kv.put('a', '0');
  const replica = cluster.replica(1);
  const held: (() => void)[] = [];
  replica.misbehave = (request, reply) => {
    if (!isUserMutation(request)) return false;
    replica.misbehave = () => false;
    // The first answer says that it is not known; the client asks again.
    held.push(() => reply(refusal('KVD_OUTCOME_UNKNOWN')));
    return true;
  };
  const put = failure(kv.put('a', '1'));
  await until(() => held.length === 1);
  t.match(await kv.outcome('1.2'), { status: 'never' });
  held[0]?.();
  t.match(await put, { code: 'KVD_FENCED', outcome: 'not-done' });
});

t.test('after an unknown outcome a session goes on for a while, then another one is opened', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  await kv.put('a', '0');
  swallowOne(cluster.replica(1), false);
  await failure(kv.put('a', '1', { timeoutMs: 300 }));
  const sessions = () => cluster.commands.filter((command) => command.type === 'open-session').length;
  await Promise.all(Array.from({ length: 1_000 }, (_, i) => kv.put(`k${i}`, 'x')));
  t.equal(sessions(), 1);
  await Promise.all(Array.from({ length: 1_000 }, (_, i) => kv.put(`k${i}`, 'x')));
  t.equal(sessions(), 2);
  await kv.close();
  const closed = cluster.commands.flatMap((c) => (c.type === 'close-session' ? [c.session] : []));
  t.same(closed, [2], 'the one that may be asked about stays until it expires');
});

t.test('a client with nothing unknown ends its session', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  await kv.put('a', '0');
  swallowOne(cluster.replica(1), true);
  const { operationId = '' } = await failure(kv.put('a', '1', { timeoutMs: 300 }));
  await kv.outcome(operationId);
  await kv.close();
  t.ok(cluster.commands.some((command) => command.type === 'close-session'));
});

t.test('who and why go with the session and with each operation', async (t) => {
  const { cluster, kv } = await setUp(t, 2, { principal: 'ann' });
  await kv.put('a', '0');
  t.match(cluster.commands[0], { type: 'open-session', principal: 'ann' });
  cluster.replica(1).misbehave = (request, _reply, replica) => {
    if (isUserMutation(request)) void replica.kill();
    return isUserMutation(request);
  };
  await kv.put('a', '1', { reason: 'tidying' });
  await kv.put('a', '2', { principal: 'bob', ifRevision: 2 });
  const noted = cluster.commands.filter((command) => command.type === 'noted');
  t.match(noted, [
    { principal: '', reason: 'tidying' },
    { principal: 'bob', reason: '' },
  ]);
  t.same(noted.map(originOf), [2, 3]);
  t.equal((await failure(kv.put('a', '1', { reason: 'x'.repeat(1_025) }))).code, 'KVD_BAD_REQUEST');
  t.equal((await failure(connect({ endpoints: 'a:1', principal: 'x'.repeat(257) }))).code, 'KVD_BAD_REQUEST');
});

t.test('what is as good twice as once is sent again without a number', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  let refusals = 0;
  cluster.replica(1).misbehave = (request, reply) => {
    const first = request.type === 'mutate' && refusals++ === 0;
    if (first) reply(refusal('KVD_OUTCOME_UNKNOWN'));
    return first;
  };
  await kv.compact(1);
  t.same(
    cluster.replica(1).mutations.map(({ type }) => type),
    ['compact', 'compact'],
  );
  cluster.replica(1).misbehave = (request) => request.type === 'mutate';
  t.match(await failure(kv.compact(1, { timeoutMs: 200 })), {
    code: 'KVD_OUTCOME_UNKNOWN',
    outcome: 'unknown',
  });
});

t.test('what can never be done is refused before anything is sent', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  const codeOf = async (promise: Promise<unknown>) => (await failure(promise)).code;
  t.equal(await codeOf(kv.txn().then(op.put('a', '1'), op.delete('a')).commit()), 'KVD_BAD_REQUEST');
  t.equal(
    await codeOf(
      kv
        .txn()
        .if(compare.version('a', '=', -1))
        .commit(),
    ),
    'KVD_BAD_REQUEST',
  );
  const large = op.put('b', new Uint8Array(1024 * 1024));
  t.equal(await codeOf(kv.txn().then(large, op.put('c', large.value)).commit()), 'KVD_TOO_LARGE');
  t.equal(await codeOf(kv.add('a', 0.5)), 'KVD_BAD_REQUEST');
  t.equal(await codeOf(kv.add('a', 2n ** 63n)), 'KVD_BAD_REQUEST');
  t.equal(await codeOf(kv.lease.grant({ ttlMs: 1 })), 'KVD_BAD_REQUEST');
  t.equal(await codeOf(kv.lease.revoke(0)), 'KVD_BAD_REQUEST');
  t.equal(await codeOf(kv.put('a', '1', { lease: -1 })), 'KVD_BAD_REQUEST');
  t.equal(await codeOf(kv.get('a', { revision: 0.5 })), 'KVD_BAD_REQUEST');
  t.equal(await codeOf(kv.delete({ prefix: 'a' }, { ifRevision: 1 })), 'KVD_BAD_REQUEST');
  t.equal(await codeOf(kv.compact(0)), 'KVD_BAD_REQUEST');
  t.equal(await codeOf(kv.setRetention({ keepRevisions: -1, keepMs: 0 })), 'KVD_BAD_REQUEST');
  t.equal(await codeOf(kv.lock.acquire('')), 'KVD_BAD_REQUEST');
  t.equal(await codeOf(kv.lock.acquire('a', { timeoutMs: 0 })), 'KVD_BAD_REQUEST');
  t.equal(cluster.replica(1).requests.length, 0);
});

t.test('a builder that is awaited says what it is for', async (t) => {
  const { kv } = await setUp(t, 1);
  const builder: unknown = kv.txn().then(op.put('a', '1'));
  t.match(await failure((async () => builder)()), { code: 'KVD_BAD_REQUEST', message: /commit\(\)/ });
});

t.test('a transaction keeps its bytes, whatever its caller does to them meanwhile', async (t) => {
  const { kv } = await setUp(t, 1);
  const value = Buffer.from('before');
  const builder = kv.txn().then(op.put('a', value));
  value.fill('!');
  const commit = builder.commit();
  await commit;
  t.equal((await kv.get('a'))?.text(), 'before');
});

t.test('a lease that cannot be kept alive is given up by the clock of its holder', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  const lease = await kv.lease.grant({ ttlMs: 400, keepAlive: true });
  const keepAlives = () => cluster.commands.filter(({ type }) => type === 'lease-keep-alive').length;
  await until(() => keepAlives() > 4);
  t.notOk(lease.signal.aborted, 'it outlived its time by being kept alive');
  cluster.replica(1).misbehave = () => true;
  await new Promise((resolve) => lease.signal.addEventListener('abort', resolve));
  t.match(lease.signal.reason, { code: 'KVD_LEASE_NOT_FOUND' });
});

t.test('a lease that the cluster no longer knows is given up at once', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  const lease = await kv.lease.grant({ ttlMs: 300_000 });
  cluster.leases.clear();
  t.match(await failure(lease.keepAliveOnce()), { code: 'KVD_LEASE_NOT_FOUND' });
  t.ok(lease.signal.aborted);
});

t.test('a closed client keeps nothing alive, and says so', async (t) => {
  const { kv } = await setUp(t, 1);
  const lease = await kv.lease.grant({ ttlMs: 300_000, keepAlive: true });
  await kv.close();
  t.match(lease.signal.reason, { code: 'KVD_CLOSED' });
});
