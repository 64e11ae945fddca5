/**
 * Transactions, history, watches, leases and locks on real replicas that are killed meanwhile: what a user of @kvd/client
 * relies on.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import {
  type Compare,
  compare,
  connect,
  KvdClient,
  KvdError,
  op,
  type WatchBatch,
  type WatchEvent,
} from '@kvd/client';
import t from 'tap';
import { openSocket } from '../../packages/client/src/socket.js';
import { root, startCluster } from '../support/cluster.js';

const cluster = await startCluster({ replicas: 3 });
t.teardown(() => cluster.close());
const kv = await connect({ endpoints: cluster.endpoints, timeoutMs: 20_000, principal: 'tester' });
t.teardown(() => kv.close());

async function failure(promise: Promise<unknown>): Promise<KvdError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof KvdError) return error;
    throw error;
  }
  throw new Error('it was fulfilled');
}

/** Kill the leader and the others, one after the other, each as soon as `progress` was seen to go on. */
async function killEach(progress: () => number, step: number): Promise<void> {
  const leader = await cluster.leader();
  for (const id of [leader, ...cluster.ids.filter((other) => other !== leader)]) {
    await cluster.kill(id);
    const before = progress();
    await cluster.waitFor('it to go on', () => (progress() >= before + step ? true : undefined));
    await cluster.restart(id);
  }
}

t.test('a transaction does one of its branches, all of it, as one revision', async (t) => {
  await kv.put('txn/a', '1');
  const first = await kv
    .txn()
    .if(compare.value('txn/a', '=', '1'), compare.absent('txn/b'))
    .then(op.put('txn/b', 'new'), op.add('txn/n', 5), op.get('txn/n'), op.delete('txn/a'))
    .else(op.get('txn/a'))
    .commit({ reason: 'to see' });
  t.ok(first.succeeded);
  if (first.succeeded) {
    const [put, added, got, deleted] = first.results;
    t.same(
      [put, added, deleted],
      [{ type: 'put' }, { type: 'added', value: 5n }, { type: 'deleted', deleted: 1 }],
    );
    t.equal(got.entry?.text(), '5');
  }
  for (const key of ['txn/b', 'txn/n']) t.equal((await kv.get(key))?.modRevision, first.revision);
  const second = await kv
    .txn()
    .if(compare.exists('txn/a'))
    .then(op.put('txn/b', 'no'))
    .else(op.get('txn/b'), op.get('txn/a'), op.deletePrefix('txn/'))
    .commit();
  t.notOk(second.succeeded);
  if (!second.succeeded) {
    t.equal(second.results[0].entry?.text(), 'new');
    t.equal(second.results[1].entry, undefined);
    t.equal(second.results[2].deleted, 2);
  }
  const history = [];
  for await (const revision of kv.history({ prefix: 'txn/', fromRevision: first.revision }))
    history.push(revision);
  t.match(history, [
    { revision: first.revision, principal: 'tester', reason: 'to see', operationId: /^\d+\.\d+$/ },
    { revision: second.revision, principal: 'tester', reason: '' },
  ]);
  t.same(
    history.map(({ events }) => events.map((event) => `${event.type} ${event.keyText()}`)),
    [
      ['put txn/b', 'put txn/n', 'delete txn/a'],
      ['delete txn/b', 'delete txn/n'],
    ],
  );
});

t.test('every compare looks at what it says', async (t) => {
  const created = await kv.put('cmp', 'm');
  const { revision } = await kv.put('cmp', 'm');
  const holds = async (...compares: Compare[]) =>
    (
      await kv
        .txn()
        .if(...compares)
        .commit()
    ).succeeded;
  t.ok(await holds(compare.exists('cmp'), compare.absent('none')));
  t.ok(
    await holds(
      compare.value('cmp', '>', 'l'),
      compare.value('cmp', '<', 'n'),
      compare.value('cmp', '!=', 'x'),
    ),
  );
  t.ok(await holds(compare.version('cmp', '=', 2), compare.version('none', '=', 0)));
  t.ok(
    await holds(
      compare.createRevision('cmp', '=', created.revision),
      compare.modRevision('cmp', '=', revision),
    ),
  );
  t.ok(await holds(compare.lease('cmp', '=', 0)));
  t.notOk(await holds(compare.exists('cmp'), compare.exists('none')), 'all must hold');
  t.notOk(await holds(compare.value('none', '<', 'x')), 'an absent key has no value');
});

t.test('what cannot be done says why, and does nothing', async (t) => {
  await kv.put('bad/text', 'no number');
  await kv.put('bad/max', String(2n ** 63n - 1n));
  await kv.put('bad/large', new Uint8Array(700_000));
  const before = await kv.revision();
  const refused = async (promise: Promise<unknown>, code: string) =>
    t.match(await failure(promise), { code, outcome: 'not-done' }, code);
  await refused(kv.put('bad/text', '1', { ifAbsent: true }), 'KVD_CONDITION_FALSE');
  await refused(kv.delete('bad/text', { ifRevision: 1 }), 'KVD_CONDITION_FALSE');
  await refused(kv.add('bad/text', 1), 'KVD_NOT_AN_INTEGER');
  await refused(kv.txn().then(op.put('bad/x', '1'), op.add('bad/max', 1)).commit(), 'KVD_NOT_AN_INTEGER');
  await refused(kv.put('bad/x', '1', { lease: 1 }), 'KVD_LEASE_NOT_FOUND');
  await refused(kv.lease.keepAlive(1), 'KVD_LEASE_NOT_FOUND');
  await refused(kv.lease.revoke(1), 'KVD_LEASE_NOT_FOUND');
  await refused(kv.txn().then(op.put('bad/x', '1'), op.get('bad/large')).commit(), 'KVD_TOO_LARGE');
  await refused(kv.txn().then(op.get('bad/large'), op.get('bad/large')).commit(), 'KVD_TOO_LARGE');
  await refused(kv.txn().then(op.put('bad/x', '1'), op.deletePrefix('bad/')).commit(), 'KVD_BAD_REQUEST');
  await refused(kv.get('bad/text', { revision: before + 1_000_000 }), 'KVD_FUTURE_REVISION');
  await refused(kv.compact(before + 1_000_000), 'KVD_FUTURE_REVISION');
  t.equal(await kv.lease.show(1), undefined);
  t.equal(await kv.revision(), before);
});

t.test('the past stays as it was until it is compacted', async (t) => {
  const names = Array.from({ length: 5_000 }, (_, i) => `past/${String(i).padStart(5, '0')}`);
  await Promise.all(names.map((name) => kv.put(name, 'old')));
  const revision = await kv.revision();
  const seen: string[] = [];
  for await (const entry of kv.scan({ prefix: 'past/', reverse: true })) {
    // More than a page: what comes between its pages is not seen.
    if (seen.length === 0) await kv.delete({ prefix: 'past/' });
    seen.push(entry.key);
  }
  t.same(seen, [...names].reverse());
  t.equal(await kv.count({ prefix: 'past/' }), 0);
  t.equal(await kv.count({ prefix: 'past/', revision }), 5_000);
  t.equal((await kv.get('past/00001', { revision }))?.text(), 'old');
  t.equal((await kv.get('past/00001', { revision, consistency: 'stale' }))?.text(), 'old');
  await kv.compact(revision + 1);
  t.equal((await failure(kv.get('past/00001', { revision }))).code, 'KVD_COMPACTED');
  t.equal((await failure(kv.count({ prefix: 'past/', revision }))).code, 'KVD_COMPACTED');
  const error = await kv
    .watch({ prefix: 'past/', fromRevision: revision })
    [Symbol.asyncIterator]()
    .next()
    .catch((thrown: unknown) => thrown);
  t.match(error, { code: 'KVD_COMPACTED', compactRevision: revision + 1, resumeRevision: revision + 2 });
});

/** A client that can reach this replica only, so that its watch is there. */
function pinned(id: number): Promise<KvdClient> {
  const address = cluster.address(id);
  return KvdClient.connect({ endpoints: address }, (to, options, events) => {
    if (to === address) return openSocket(to, options, events);
    setImmediate(() => events.onClosed(new KvdError('KVD_UNAVAILABLE', 'not this one')));
    return {
      send: () => undefined,
      watch: () => undefined,
      unwatch: () => undefined,
      close: () => undefined,
    };
  });
}

function textOf(event: WatchEvent): string {
  return `${event.modRevision} ${event.type} ${event.keyText()} ${event.text()} < ${event.previous?.text()}`;
}

t.test('watchers see exactly what the history says, though every replica is killed', async (t) => {
  const from = (await kv.revision()) + 1;
  const clients = [kv, ...(await Promise.all(cluster.ids.map(pinned)))];
  const watchers = clients.map(async (client, i) => {
    const told: string[] = [];
    let chain = from - 1;
    // One with a buffer that is always full.
    const buffer = i === 0 ? 8 : 4_096;
    const watch = client.watch({ prefix: 'watched/', fromRevision: from, previous: true, buffer });
    for await (const batch of watch.batches() as AsyncIterable<WatchBatch>) {
      if (batch.previousRevision !== chain) throw new Error(`${batch.previousRevision} after ${chain}`);
      chain = batch.revision;
      for (const event of batch.events) told.push(textOf(event));
      if (batch.events.at(-1)?.keyText() === 'watched/end') return told;
    }
    throw new Error('the watch ended');
  });
  let done = 0;
  let stop = false;
  const writers = [1, 2, 3, 4].map(async (writer) => {
    for (let i = 0; !stop; i++) {
      const key = `watched/${writer}/${i % 7}`;
      if (i % 5 === 4) await kv.delete(key);
      else if (i % 11 === 10)
        await kv
          .txn()
          .then(op.put(key, `${i}`), op.put(`${key}/2`, `${i}`))
          .commit();
      else if (i % 29 === 28) await kv.delete({ prefix: `watched/${writer}/` });
      else await kv.put(key, `${i}`);
      done++;
    }
  });
  await killEach(() => done, 100);
  stop = true;
  await Promise.all(writers);
  await kv.put('watched/end', '');
  const history: WatchEvent[] = [];
  for await (const { events } of kv.history({ prefix: 'watched/', fromRevision: from }))
    history.push(...events);
  const before = new Map<string, string>();
  const expected = history.map((event) => {
    const key = event.keyText();
    const text = `${event.modRevision} ${event.type} ${key} ${event.text()} < ${before.get(key)}`;
    if (event.type === 'put') before.set(key, event.text());
    else before.delete(key);
    return text;
  });
  t.ok(expected.length > 300, `${expected.length} events`);
  for (const [i, told] of (await Promise.all(watchers)).entries()) {
    t.equal(told.length, expected.length, `watcher ${i}`);
    t.equal(
      told.findIndex((text, at) => text !== expected[at]),
      -1,
    );
  }
  await Promise.all(clients.slice(1).map((client) => client.close()));
});

t.test('the keys of a lease end together, and only when nobody keeps it alive', async (t) => {
  const kept = await kv.lease.grant({ ttlMs: 10_000, keepAlive: true });
  // Long enough for what follows on a machine that is busy.
  const left = await kv.lease.grant({ ttlMs: 5_000 });
  const from = (await kv.revision()) + 1;
  await kv.put('leased/kept', '', { lease: kept.id });
  for (let i = 0; i < 5; i++) await kv.put(`leased/left/${i}`, '', { lease: left.id });
  await kv.put('leased/left/0', 'detached by a put without it');
  t.equal((await kv.lease.show(left.id))?.keys.length, 4);
  const ids = [];
  for await (const { id } of kv.lease.list()) ids.push(id);
  t.ok(ids.includes(kept.id) && ids.includes(left.id));
  const deleted: WatchEvent[] = [];
  for await (const event of kv.watch({ prefix: 'leased/', fromRevision: from })) {
    if (event.type === 'delete') deleted.push(event);
    if (deleted.length === 4) break;
  }
  t.equal(new Set(deleted.map((event) => event.modRevision)).size, 1, 'one revision');
  t.same(
    deleted.map((event) => event.keyText()),
    [1, 2, 3, 4].map((i) => `leased/left/${i}`),
  );
  for await (const { reason } of kv.history({
    key: 'leased/left/1',
    fromRevision: deleted[0]?.modRevision ?? 0,
  }))
    t.match(reason, /expired/);
  const leader = await cluster.leader();
  await cluster.kill(leader);
  await kv.put('leased/after', 'the change of leader');
  await cluster.restart(leader);
  t.equal((await kv.get('leased/kept'))?.lease, kept.id, 'a change of leader ends no lease');
  t.notOk(kept.signal.aborted);
  t.equal((await kept.revoke()).deleted, 1);
  t.equal(await kv.get('leased/kept'), undefined);
});

t.test('a lock goes round in the order of asking, one at a time', async (t) => {
  const order: number[] = [];
  let inside = 0;
  const tokens: number[] = [];
  const first = await kv.lock.acquire('queue');
  t.equal((await failure(kv.lock.acquire('queue', { tryOnce: true }))).code, 'KVD_CONDITION_FALSE');
  t.equal((await failure(kv.lock.acquire('queue', { timeoutMs: 200 }))).code, 'KVD_TIMEOUT');
  t.equal(await kv.count({ prefix: 'kvd/lock/queue/' }), 1, 'who gave up left nothing behind');
  const contenders: Promise<void>[] = [];
  for (let i = 0; i < 8; i++) {
    contenders.push(
      kv.lock.acquire('queue').then(async (lock) => {
        t.equal(++inside, 1);
        order.push(i);
        tokens.push(lock.token);
        await lock.put('queue/last', String(i));
        inside--;
        await lock.release();
      }),
    );
    await cluster.waitFor('its place', async () =>
      (await kv.count({ prefix: 'kvd/lock/queue/' })) === i + 2 ? true : undefined,
    );
  }
  await first.release();
  await Promise.all(contenders);
  t.same(order, [0, 1, 2, 3, 4, 5, 6, 7]);
  t.ok(
    tokens.every((token, i) => i === 0 || token > (tokens[i - 1] ?? 0)),
    'tokens go up',
  );
  t.equal((await failure(first.put('queue/last', 'too late'))).code, 'KVD_LOCK_LOST');
  t.equal((await kv.get('queue/last'))?.text(), '7');
});

interface Told {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** The messages of a lock holder, one after the other. */
function messagesOf(child: ChildProcessWithoutNullStreams): () => Promise<Told> {
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return async () => JSON.parse(String((await lines.next()).value)) as Told;
}

t.test('a lock holder that was stopped past its lease writes nothing any more', async (t) => {
  const holder = spawn(process.execPath, [
    path.join(root, 'test', 'support', 'lock-holder.mjs'),
    cluster.endpoints.join(','),
    'stopped',
    '1500',
  ]);
  t.teardown(() => holder.kill('SIGKILL'));
  const next = messagesOf(holder);
  const held = await next();
  t.equal(held.event, 'held');
  holder.stdin.write('stopped/written\n');
  t.match(await next(), { event: 'written', byLock: 'done', byToken: true });
  const waiting = kv.lock.acquire('stopped', { ttlMs: 5_000 });
  holder.kill('SIGSTOP');
  const second = await waiting;
  t.ok(second.token > Number(held['token']), 'the token goes up');
  await second.put('stopped/written', 'second holder');
  holder.stdin.write('stopped/written\n');
  holder.kill('SIGCONT');
  const told = [await next(), await next()];
  t.match(
    told.find(({ event }) => event === 'lost'),
    { code: 'KVD_LOCK_LOST' },
    'its signal fires',
  );
  t.match(
    told.find(({ event }) => event === 'written'),
    { byLock: 'KVD_LOCK_LOST', byToken: false },
    'what it sends is refused, also by the cluster alone',
  );
  t.equal((await kv.get('stopped/written'))?.text(), 'second holder');
  await second.put('stopped/written', 'second holder, again');
  t.notOk(second.signal.aborted);
  await second.release();
  holder.stdin.end();
  await once(holder, 'exit');
});

t.test('a lock whose key somebody deletes is lost, and its fence holds', async (t) => {
  const lock = await kv.lock.acquire('deleted');
  t.same(
    await lock
      .txn()
      .if(compare.exists('nobody'))
      .then(op.put('deleted/x', '1'))
      .else(op.get('nobody'))
      .commit(),
    { revision: await kv.revision(), succeeded: false, results: [{ type: 'entry', entry: undefined }] },
    'a condition that does not hold is no lost lock',
  );
  t.equal((await failure(lock.txn().else(op.delete('x')).commit())).code, 'KVD_BAD_REQUEST');
  await kv.delete(lock.key);
  t.equal((await failure(lock.delete({ prefix: 'deleted/' }))).code, 'KVD_LOCK_LOST');
  t.match(lock.signal, { aborted: true, reason: { code: 'KVD_LOCK_LOST' } });
});

t.test('a lock that could not be released is not free, and may be released again', async (t) => {
  const lock = await kv.lock.acquire('twice', { ttlMs: 60_000 });
  t.match(await failure(lock.release({ signal: AbortSignal.abort() })), {
    code: 'KVD_CLOSED',
    outcome: 'not-done',
  });
  t.equal((await failure(kv.lock.acquire('twice', { tryOnce: true }))).code, 'KVD_CONDITION_FALSE');
  t.equal((await failure(lock.put('twice/x', '1'))).code, 'KVD_LOCK_LOST', 'its holder gave it up');
  await lock.release();
  await (await kv.lock.acquire('twice', { tryOnce: true })).release();
});

t.test('a lease whose revocation was refused goes on, and is kept alive', async (t) => {
  const lease = await kv.lease.grant({ ttlMs: 1_500, keepAlive: true });
  t.equal((await failure(lease.revoke({ reason: 'x'.repeat(5_000) }))).code, 'KVD_BAD_REQUEST');
  let last = Number.POSITIVE_INFINITY;
  let keptAlive = 0;
  await cluster.waitFor('keep-alives', async () => {
    // The cluster's time moves with what is written.
    await kv.put('time', 'goes by');
    const left = (await kv.lease.show(lease.id))?.remainingMs;
    if (left === undefined) throw new Error('it ended');
    if (left > last) keptAlive += 1;
    last = left;
    return keptAlive === 3 ? true : undefined;
  });
  await lease.revoke();
  t.equal(await kv.lease.show(lease.id), undefined);
  t.notOk(lease.signal.aborted, 'it was not lost');
});

t.test('who gives up while the lease is granted leaves nothing behind', async (t) => {
  const count = async (): Promise<number> => {
    let leases = 0;
    for await (const _ of kv.lease.list()) leases += 1;
    return leases;
  };
  const before = await count();
  const given = Array.from({ length: 20 }, (_, i) => {
    const abort = new AbortController();
    setTimeout(() => abort.abort(), i / 4);
    return failure(kv.lock.acquire('given-up', { signal: abort.signal, ttlMs: 60_000 }));
  });
  for (const { code } of await Promise.all(given)) t.equal(code, 'KVD_CLOSED');
  await cluster.waitFor('no lease', async () => ((await count()) === before ? true : undefined));
});

t.test('who leaves an election while nobody leads need not wait for a leader', async (t) => {
  const leaders = kv.election('nobody').observe();
  t.same(await leaders.next(), { done: false, value: undefined });
  const waiting = leaders.next();
  await leaders.return?.();
  t.match(await waiting, { done: true });
});

t.test('an election shows its leaders to everybody', async (t) => {
  const election = kv.election('boss');
  const seen: (string | undefined)[] = [];
  const observer = (async () => {
    for await (const leader of election.observe()) {
      seen.push(leader?.text());
      if (leader?.text() === 'b, again') break;
    }
  })();
  await cluster.waitFor('the observer', () => (seen.length > 0 ? true : undefined));
  const a = await election.campaign('a');
  const campaign = election.campaign('b');
  t.equal((await election.leader())?.token, a.token);
  await a.put('boss/says', 'a');
  await a.resign();
  const b = await campaign;
  await b.proclaim('b, again');
  await observer;
  t.same(seen, [undefined, 'a', 'b', 'b, again']);
  t.equal((await failure(a.put('boss/says', 'a'))).code, 'KVD_LOCK_LOST');
  await b.resign();
  t.equal(await election.leader(), undefined);
});

/** Do it until it was done: what is unknown is asked about, so that nothing is done twice. */
async function certainly(
  client: KvdClient,
  operation: () => Promise<unknown>,
  onUnknown: () => void,
): Promise<void> {
  for (;;) {
    try {
      await operation();
      return;
    } catch (error) {
      if (!(error instanceof KvdError)) throw error;
      if (error.outcome === 'not-done') continue;
      if (error.operationId === undefined) throw error;
      onUnknown();
      const outcome = await client.outcome(error.operationId, { timeoutMs: 30_000 });
      if (outcome.status === 'applied') return;
      if (outcome.status !== 'never') throw new Error(`its outcome is ${outcome.status}`, { cause: error });
    }
  }
}

t.test('a counter that eight clients increment 10,000 times through kills ends at 10,000', async (t) => {
  const clients = await Promise.all(
    Array.from({ length: 8 }, () => connect({ endpoints: cluster.endpoints, timeoutMs: 700 })),
  );
  let done = 0;
  let unknown = 0;
  const loops = clients.flatMap((client) =>
    Array.from({ length: 5 }, async () => {
      for (let i = 0; i < 250; i++) {
        await certainly(
          client,
          () => client.add('counter', 1),
          () => unknown++,
        );
        done++;
      }
    }),
  );
  // While the first half is done, so that they have something to go on with.
  for (let kills = 0; kills < 2; kills++) {
    const target = 2_000 * (kills + 1);
    await cluster.waitFor(`${target} increments`, () => (done >= target ? true : undefined));
    const leader = await cluster.leader();
    await cluster.kill(leader);
    await cluster.restart(leader);
  }
  await Promise.all(loops);
  t.equal((await kv.get('counter'))?.text(), '10000');
  t.comment(`${unknown} increments were unknown, and asked about`);
  await Promise.all(clients.map((client) => client.close()));
});

t.test('a bank of twenty accounts keeps its sum in every scan', async (t) => {
  const account = (i: number) => `bank/${String(i).padStart(2, '0')}`;
  await kv
    .txn()
    .then(...Array.from({ length: 20 }, (_, i) => op.put(account(i), '100')))
    .commit();
  let transfers = 0;
  let conflicts = 0;
  let stop = false;
  const tellers = Array.from({ length: 6 }, async (_, teller) => {
    for (let i = 0; !stop; i++) {
      const [one, other] = [account((teller * 7 + i) % 20), account((teller * 3 + i * 5 + 1) % 20)];
      if (one === other) continue;
      const [from, to] = await Promise.all([kv.get(one), kv.get(other)]);
      if (from === undefined || to === undefined) throw new Error('an account is gone');
      const amount = Math.min(1 + (i % 9), Number(from.text()));
      const { succeeded } = await kv
        .txn()
        .if(compare.modRevision(one, '=', from.modRevision))
        .then(op.put(one, String(Number(from.text()) - amount)), op.add(other, amount))
        .commit();
      if (succeeded) transfers++;
      else conflicts++;
    }
  });
  let scans = 0;
  const auditors = [1, 2].map(async () => {
    while (!stop) {
      const balances: number[] = [];
      for await (const entry of kv.scan({ prefix: 'bank/' })) balances.push(Number(entry.text()));
      if (balances.reduce((a, b) => a + b, 0) !== 2_000 || balances.length !== 20) t.fail(balances.join(' '));
      scans++;
    }
  });
  const leader = await cluster.leader();
  await cluster.kill(leader);
  await cluster.waitFor('200 transfers', () => (transfers >= 200 ? true : undefined));
  await cluster.restart(leader);
  await cluster.waitFor('20 scans', () => (scans >= 20 ? true : undefined));
  stop = true;
  await Promise.all([...tellers, ...auditors]);
  t.pass(`${transfers} transfers, ${conflicts} conflicts, ${scans} scans`);
});

t.test('what became of an operation that got no answer can be known', async (t) => {
  // Of its own: an operation of an earlier test that nobody knows of keeps the results after it from being forgotten.
  const client = await connect({ endpoints: cluster.endpoints, timeoutMs: 20_000 });
  t.teardown(() => client.close());
  const leader = await cluster.leader();
  const others = cluster.ids.filter((id) => id !== leader);
  await client.put('unknown', 'before');
  for (const id of others) cluster.pause(id);
  const error = await failure(client.put('unknown', 'after', { timeoutMs: 1_000 }));
  for (const id of others) cluster.resume(id);
  t.match(error, { code: 'KVD_OUTCOME_UNKNOWN', outcome: 'unknown', operationId: /^\d+\.\d+$/ });
  const outcome = await client.outcome(error.operationId ?? '');
  const value = (await client.get('unknown'))?.text();
  if (outcome.status === 'applied') t.equal(value, 'after');
  else t.same([outcome, value], [{ status: 'never' }, 'before']);
  const { revision } = await client.put('unknown', 'later');
  let asked = '';
  for await (const { operationId } of client.history({ key: 'unknown', fromRevision: revision }))
    asked = operationId ?? '';
  await client.put('unknown', 'later still');
  t.same(
    await client.outcome(asked),
    { status: 'answered' },
    'one that was answered, and its client went on',
  );
  t.same(await client.outcome('1.1'), { status: 'forgotten' });
  t.same(await client.outcome({ idempotencyKey: 'never used' }), { status: 'never' });
});

t.test('the replicas agree on all of it', async (t) => {
  t.ok(await cluster.waitSameState());
});
