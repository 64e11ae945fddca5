/** The client against replicas that misbehave as told, on real sockets: what it sends, where, how often, and what it says. */
import { compare, connect, op } from '@kvd/client';
import { type Response, SESSION_IN_FLIGHT_MAX } from '@kvd/protocol';
import t from 'tap';
import { FakeCluster, isUserMutation, refusal } from './support/fake-cluster.js';
import { failure, setUp, until } from './support/set-up.js';

t.test('close rejects what is under way and leaves nothing behind', async (t) => {
  const held = () =>
    process.getActiveResourcesInfo().filter((name) => ['Timeout', 'TCPSocketWrap'].includes(name)).length;
  const before = held();
  const { cluster, kv } = await setUp(t, 1);
  await kv.put('a', '0');
  t.ok(held() > before);
  cluster.replica(1).misbehave = (request) => isUserMutation(request) || request.type === 'get';
  const put = failure(kv.put('a', '1'));
  const get = failure(kv.get('a'));
  await until(() => cluster.replica(1).requests.length === 4);
  await kv.close();
  t.match(await put, { code: 'KVD_CLOSED', outcome: 'unknown' });
  t.match(await get, { code: 'KVD_CLOSED', outcome: 'not-done' });
  t.match(await failure(kv.get('a')), { code: 'KVD_CLOSED', outcome: 'not-done' });
  t.notOk(
    cluster.commands.some((command) => command.type === 'close-session'),
    'the session stays: somebody may ask what became of the put',
  );
  await cluster.close();
  await until(() => held() <= before);
});

t.test('what is put is got, counted, scanned and deleted', async (t) => {
  const { kv } = await setUp(t, 1);
  t.same(await kv.put('a', '1'), { revision: 1 });
  t.same(await kv.put('a', Buffer.from('zwölf')), { revision: 2 });
  const entry = await kv.get('a');
  t.match(entry, { key: 'a', createRevision: 1, modRevision: 2, version: 2 });
  t.equal(entry?.text(), 'zwölf');
  t.equal(await kv.get('b'), undefined);
  for (let i = 0; i < 8; i++) await kv.put(`p/${i}`, String(i));
  const keys: string[] = [];
  for await (const { key } of kv.scan({ prefix: 'p/' })) keys.push(key);
  t.same(keys, ['p/0', 'p/1', 'p/2', 'p/3', 'p/4', 'p/5', 'p/6', 'p/7'], 'over several pages');
  const some: string[] = [];
  for await (const found of kv.scan({ from: 'p/2', to: 'p/9', limit: 4, keysOnly: true })) {
    t.equal(found.value.length, 0);
    some.push(found.key);
  }
  t.same(some, ['p/2', 'p/3', 'p/4', 'p/5']);
  t.equal(await kv.count({ prefix: 'p/' }), 8);
  t.equal(await kv.count({ from: 'p/6' }), 2);
  t.same(await kv.delete('a'), { revision: 11, deleted: 1 });
  t.same(await kv.delete('a'), { revision: 11, deleted: 0 });
  t.match(await kv.delete({ prefix: 'p/' }), { deleted: 8 });
  t.equal(await kv.count(), 0);
});

t.test('a key that is no UTF-8 comes back byte for byte', async (t) => {
  const { kv } = await setUp(t, 1);
  const key = new Uint8Array([0xff, 0x00, 0xfe]);
  await kv.put(key, new Uint8Array(0));
  t.same(Buffer.from((await kv.get(key))?.keyBytes ?? []), Buffer.from(key));
});

t.test('what can never be done is refused before anything is sent', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  t.equal((await failure(kv.put('', 'x'))).code, 'KVD_BAD_REQUEST');
  t.equal((await failure(kv.get('k'.repeat(5000)))).code, 'KVD_TOO_LARGE');
  t.equal((await failure(kv.put('k', new Uint8Array(1024 * 1024 + 1)))).code, 'KVD_TOO_LARGE');
  t.match(await failure(kv.put('a\ud800', 'x')), { code: 'KVD_BAD_REQUEST', message: /surrogate/ });
  t.match(await failure(kv.put('a', '\udc00')), { code: 'KVD_BAD_REQUEST', message: /surrogate/ });
  t.equal((await failure(kv.deleteRange({}))).code, 'KVD_BAD_REQUEST');
  t.equal((await failure(kv.get('k', { timeoutMs: -1 }))).code, 'KVD_BAD_REQUEST');
  t.equal(cluster.replica(1).requests.length, 0);
  t.equal((await failure(connect({ endpoints: [] }))).code, 'KVD_BAD_REQUEST');
  // From JavaScript, which has no types to be told by.
  const untyped = kv as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
  for (const [name, ...args] of [
    ['put', 'a'],
    ['put', 5, '1'],
    ['put', 'a', '1', { ifAbsent: 'true' }],
    ['get'],
    ['delete', null],
    ['put', 'a', '1', null],
    ['put', 'a', '1', { signal: {} }],
    ['transact'],
    ['transact', { success: [{ type: 'swap', key: 'a' }] }],
    ['outcome'],
    ['deleteRange'],
    ['count', null],
    ['setRetention'],
    // What is forgotten must not mean everything.
    ['delete', { prefix: null }],
    ['delete', { prefix: undefined }],
    ['deleteRange', { prefix: null }],
    ['deleteRange', { from: null, to: 'b' }],
    ['deleteRange', { from: 'a', to: '' }],
  ] as [string, ...unknown[]][]) {
    const error = await failure((untyped[name] as (...args: unknown[]) => Promise<unknown>).apply(kv, args));
    t.match(error, { code: 'KVD_BAD_REQUEST', outcome: 'not-done' }, `${name}(${args.join(', ')})`);
  }
  t.equal((await failure((connect as () => Promise<unknown>)())).code, 'KVD_BAD_REQUEST');
  t.equal((await failure(connect({ endpoints: 'no-port' }))).code, 'KVD_BAD_REQUEST');
  const unnamed = { endpoints: cluster.endpoints, name: 5 as unknown as string };
  t.equal((await failure(connect(unnamed))).code, 'KVD_BAD_REQUEST');
  t.throws(() => op.deletePrefix(undefined as unknown as string), { code: 'KVD_BAD_REQUEST' });
  t.throws(() => compare.value('a', '==' as '=', '1'), { code: 'KVD_BAD_REQUEST' });
  t.equal((await failure(kv.lock.acquire(undefined as unknown as string))).code, 'KVD_BAD_REQUEST');
  t.equal((await failure(kv.lock.acquire('a', { value: 'x'.repeat(40_000) }))).code, 'KVD_TOO_LARGE');
  t.equal((await failure(kv.scan({ prefix: 'x'.repeat(5000) }).next())).code, 'KVD_TOO_LARGE');
});

t.test('a put whose answer was lost is sent again elsewhere, and done once', async (t) => {
  const { cluster, kv } = await setUp(t, 3);
  await kv.put('a', '0');
  const leader = cluster.replica(1);
  leader.misbehave = (request, _reply, replica) => {
    if (!isUserMutation(request)) return false;
    replica.answer(request);
    void replica.kill();
    return true;
  };
  t.same(await kv.put('a', '1'), { revision: 2 }, 'the stored result');
  t.same([...cluster.applied.values()], [1, 1]);
  const elsewhere = [...cluster.replica(2).mutations, ...cluster.replica(3).mutations];
  t.same(
    elsewhere.map((command) => ('origin' in command ? command.origin.sequence : 0)),
    [2],
    'the same number, not another',
  );
});

t.test('a put that was sent and never answered is unknown', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  await kv.put('a', '0');
  cluster.replica(1).misbehave = isUserMutation;
  const error = await failure(kv.put('a', '1', { timeoutMs: 300 }));
  t.match(error, { code: 'KVD_OUTCOME_UNKNOWN', outcome: 'unknown' });
});

t.test('a put refused for the moment after one attempt was lost stays unknown', async (t) => {
  const { cluster, kv } = await setUp(t, 2);
  await kv.put('a', '0');
  cluster.replica(1).misbehave = (request, _reply, replica) => {
    if (isUserMutation(request)) void replica.kill();
    return isUserMutation(request);
  };
  cluster.replica(2).misbehave = (request, reply) => {
    if (request.type === 'mutate') reply(refusal('KVD_UNAVAILABLE'));
    return request.type === 'mutate';
  };
  t.match(await failure(kv.put('a', '1', { timeoutMs: 500 })), {
    code: 'KVD_OUTCOME_UNKNOWN',
    outcome: 'unknown',
  });
});

t.test('a put that was never sent is not done', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  cluster.replica(1).misbehave = (request) => request.type === 'mutate';
  const error = await failure(kv.put('a', '1', { timeoutMs: 300 }));
  t.match(error, { code: 'KVD_UNAVAILABLE', outcome: 'not-done' }, 'no session could be opened');
});

t.test('a put that every replica refuses is not done', async (t) => {
  const { cluster, kv } = await setUp(t, 2);
  await kv.put('a', '0');
  for (const replica of cluster.replicas.values()) {
    replica.misbehave = (request, reply) => {
      if (isUserMutation(request)) reply(refusal('KVD_UNAVAILABLE'));
      return isUserMutation(request);
    };
  }
  const error = await failure(kv.put('a', '1', { timeoutMs: 700 }));
  t.match(error, { code: 'KVD_UNAVAILABLE', outcome: 'not-done' });
});

t.test('what is refused for the moment is tried again', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  const codes = ['KVD_UNAVAILABLE', 'KVD_OVERLOADED', 'KVD_OUTCOME_UNKNOWN', 'KVD_STORAGE'] as const;
  let refusals = 0;
  cluster.replica(1).misbehave = (request, reply) => {
    const code = isUserMutation(request) ? codes[refusals++] : undefined;
    if (code !== undefined) reply(refusal(code));
    return code !== undefined;
  };
  t.same(await kv.put('a', '1'), { revision: 1 });
  t.equal(refusals, 5);
});

t.test(
  'an expired session is an error for what is in flight; the next put has another session',
  async (t) => {
    const { cluster, kv } = await setUp(t, 1);
    await kv.put('a', '0');
    cluster.expireSessions();
    const errors = await Promise.all([failure(kv.put('a', '1')), failure(kv.put('b', '1'))]);
    for (const error of errors) t.match(error, { code: 'KVD_SESSION_EXPIRED', outcome: 'unknown' });
    t.same(await kv.put('a', '2'), { revision: 2 });
  },
);

t.test('mutations are numbered, and say what is still waited for', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  const held: (() => void)[] = [];
  await kv.put('a', '0');
  cluster.replica(1).misbehave = (request, reply, replica) => {
    if (!isUserMutation(request) || held.length > 0) return false;
    held.push(() => reply(replica.answer(request)));
    return true;
  };
  const second = kv.put('a', '1');
  await until(() => held.length === 1);
  await kv.put('b', '2');
  held[0]?.();
  await second;
  await kv.put('c', '3');
  const origins = cluster.replica(1).mutations.flatMap((c) => ('origin' in c ? [c.origin] : []));
  t.same(
    origins.map(({ sequence, lowestUnanswered }) => [sequence, lowestUnanswered]),
    [
      [1, 1],
      [2, 2],
      [3, 2],
      [4, 4],
    ],
  );
});

t.test('the client goes to the leader, also when it changes', async (t) => {
  const cluster = await FakeCluster.start(3);
  t.teardown(() => cluster.close());
  cluster.leaderId = 2;
  const kv = await connect({ endpoints: cluster.replica(1).address });
  t.teardown(() => kv.close());
  await kv.put('a', '0');
  await until(() => cluster.replica(2).requests.length > 0 || (void kv.get('a'), false));
  cluster.elect(3);
  await until(() => cluster.replica(3).requests.length > 0 || (void kv.get('a'), false));
  const before = cluster.replica(1).requests.length;
  await kv.put('a', '1');
  t.equal(cluster.replica(1).requests.length, before);
});

t.test(
  'a leader whose address leads nowhere does not keep the client from a replica that answers',
  async (t) => {
    const { cluster, kv } = await setUp(t, 2);
    cluster.replica(2).address = '127.0.0.1:1';
    cluster.elect(2);
    t.same(await kv.put('a', '1'), { revision: 1 });
    t.equal((await kv.get('a'))?.text(), '1');
  },
);

t.test('a replica that falls silent is left, and what it swallowed is done elsewhere', async (t) => {
  const { cluster, kv } = await setUp(t, 2);
  await kv.put('a', '0');
  cluster.replica(1).misbehave = () => true;
  const startMs = performance.now();
  t.same(await kv.put('a', '1'), { revision: 2 });
  t.ok(performance.now() - startMs < 3_000, 'within three seconds');
  t.equal(cluster.replica(2).mutations.length > 0, true);
});

t.test('a replica that is alive but answers nothing useful is left', async (t) => {
  const { cluster, kv } = await setUp(t, 2);
  await kv.put('a', '0');
  cluster.replica(1).misbehave = isUserMutation;
  t.same(await kv.put('a', '1'), { revision: 2 });
});

t.test('reads are sent again when the connection breaks', async (t) => {
  const { cluster, kv } = await setUp(t, 2);
  await kv.put('a', '0');
  cluster.replica(1).misbehave = (request, _reply, replica) => {
    if (request.type === 'get') void replica.kill();
    return request.type === 'get';
  };
  t.equal((await kv.get('a'))?.text(), '0');
  cluster.replica(2).misbehave = (request) => request.type === 'get';
  t.match(await failure(kv.get('a', { timeoutMs: 200 })), { code: 'KVD_TIMEOUT', outcome: 'not-done' });
});

t.test('a client outlives all replicas and their return', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  await kv.put('a', '0');
  await cluster.replica(1).kill();
  const late = kv.put('a', '1');
  await cluster.replica(1).restart();
  t.same(await late, { revision: 2 });
});

t.test('above the bounds operations wait, then are refused', async (t) => {
  const { cluster, kv } = await setUp(t, 1, { inFlightMax: 4, queueMax: 4 });
  await kv.put('a', '0');
  const replies: (() => void)[] = [];
  const replica = cluster.replica(1);
  replica.unansweredMax = 0;
  replica.misbehave = (request, reply) => {
    replies.push(() => reply(replica.answer(request)));
    return true;
  };
  const puts = Array.from({ length: 8 }, (_, i) => kv.put(`k${i}`, 'x'));
  t.match(await failure(kv.put('k9', 'x')), { code: 'KVD_OVERLOADED', outcome: 'not-done' });
  await until(() => replies.length === 4);
  replica.misbehave = () => false;
  for (const reply of replies) reply();
  await Promise.all(puts);
  t.equal(replica.unansweredMax, 4);
  await kv.put('k9', 'x');
});

t.test('an operation that waits does not see what its caller does to its bytes', async (t) => {
  const { kv } = await setUp(t, 1, { inFlightMax: 1 });
  const value = Buffer.from('before');
  const puts = [kv.put('a', 'x'), kv.put('b', value)];
  value.fill('!');
  await Promise.all(puts);
  t.equal((await kv.get('b'))?.text(), 'before');
});

t.test('an aborted operation ends at once and says what may have happened', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  await kv.put('a', '0');
  cluster.replica(1).misbehave = () => true;
  const early = AbortSignal.abort(new Error('enough'));
  t.match(await failure(kv.put('a', '1', { signal: early })), { code: 'KVD_CLOSED', outcome: 'not-done' });
  const abort = new AbortController();
  const put = failure(kv.put('a', '1', { signal: abort.signal }));
  const get = failure(kv.get('a', { signal: abort.signal }));
  abort.abort(new Error('enough'));
  t.match(await put, { code: 'KVD_OUTCOME_UNKNOWN', outcome: 'unknown', cause: { message: 'enough' } });
  t.match(await get, { code: 'KVD_CLOSED', outcome: 'not-done' });
});

t.test('many operations share one signal, which ends them all, and Node.js warns of no leak', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  const warnings: string[] = [];
  const onWarning = ({ name }: Error) => warnings.push(name);
  process.on('warning', onWarning);
  t.teardown(() => process.off('warning', onWarning));
  const aborting = new AbortController();
  const { signal } = aborting;
  await Promise.all(Array.from({ length: 100 }, (_, i) => kv.put(`key${i}`, '0', { signal })));
  cluster.replica(1).misbehave = () => true;
  const gets = Array.from({ length: 100 }, () => failure(kv.get('a', { signal })));
  aborting.abort();
  for (const error of await Promise.all(gets)) t.match(error, { code: 'KVD_CLOSED', outcome: 'not-done' });
  // Warnings come in a turn of their own.
  await new Promise((resolve) => setImmediate(resolve));
  t.same(warnings, []);
});

t.test('connect says what each endpoint did when none answers', async (t) => {
  const error = await failure(connect({ endpoints: ['127.0.0.1:1', '127.0.0.1:2'], connectTimeoutMs: 200 }));
  t.equal(error.code, 'KVD_UNAVAILABLE');
  t.match(error.message, /127\.0\.0\.1:1: .*127\.0\.0\.1:2: /);
});

t.test('an answer of the wrong kind is an error, not a crash', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  await kv.put('a', '0');
  const page: Response = { type: 'page', entries: [], count: 0, next: null, revision: 1 };
  cluster.replica(1).misbehave = (_request, reply) => {
    reply(page);
    return true;
  };
  t.match(await failure(kv.get('a')), { code: 'KVD_INTERNAL' });
  t.match(await failure(kv.put('a', '1')), { code: 'KVD_INTERNAL', outcome: 'unknown' });
  cluster.replica(1).misbehave = () => false;
});

t.test('more puts than a session holds numbers for go through', async (t) => {
  const { kv } = await setUp(t, 1, { inFlightMax: SESSION_IN_FLIGHT_MAX * 2 });
  const count = SESSION_IN_FLIGHT_MAX + 1000;
  const results = await Promise.all(Array.from({ length: count }, (_, i) => kv.put(`k${i % 100}`, 'x')));
  t.equal(new Set(results.map((result) => result.revision)).size, count);
});
