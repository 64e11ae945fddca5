/** Watches against replicas that tell what a test wants them to: where they are asked for, from when, and what is made of it. */
import { connect, type KvdClient, KvdError, type Watch, type WatchEvent } from '@kvd/client';
import type { KvEvent, WatchMessage } from '@kvd/protocol';
import t, { type Test } from 'tap';
import { FakeCluster, type FakeWatch } from './support/fake-cluster.js';

async function setUp(test: Test, replicas: number): Promise<{ cluster: FakeCluster; kv: KvdClient }> {
  const cluster = await FakeCluster.start(replicas);
  test.teardown(() => cluster.close());
  const kv = await connect({ endpoints: cluster.endpoints, timeoutMs: 5_000 });
  test.teardown(() => kv.close());
  return { cluster, kv };
}

async function until<T>(probe: () => T | undefined | false): Promise<T> {
  for (;;) {
    const found = probe();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The watch that a replica was asked for last. */
function asked(cluster: FakeCluster, id: number): Promise<FakeWatch> {
  return until(() => cluster.replica(id).watches.at(-1));
}

function put(revision: number, value = String(revision), previous: string | null = null): KvEvent {
  return {
    type: 'put',
    entry: entryOf(revision, value),
    previous: previous === null ? null : entryOf(1, previous),
  };
}

function entryOf(revision: number, value: string) {
  const [key, bytes] = [Buffer.from('k'), Buffer.from(value)];
  return { key, value: bytes, createRevision: 1, modRevision: revision, version: revision, lease: 0 };
}

function events(previous: number, revision: number, more: boolean, ...all: KvEvent[]): WatchMessage {
  return { type: 'events', previous, revision, more, events: all };
}

function ended(
  code: 'KVD_COMPACTED' | 'KVD_WATCH_TOO_SLOW' | 'KVD_BAD_REQUEST',
  resumeRevision: number,
): WatchMessage {
  return { type: 'ended', code, message: 'as told', resumeRevision };
}

/** The next events of a watch. */
async function read(iterator: AsyncIterator<WatchEvent, void>, count: number): Promise<string[]> {
  const texts: string[] = [];
  while (texts.length < count) {
    const { value, done } = await iterator.next();
    if (done === true || value === undefined) throw new Error('it ended');
    texts.push(value.text());
  }
  return texts;
}

async function failure(watch: Watch): Promise<KvdError> {
  try {
    for await (const _ of watch);
  } catch (error) {
    if (error instanceof KvdError) return error;
    throw error;
  }
  throw new Error('it ended');
}

t.test('a watch is asked for as it was meant, and told as it happens', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  const watch = kv.watch({ prefix: 'k', previous: true });
  const there = await asked(cluster, 1);
  t.match(there.request, { fromRevision: 0, previous: true });
  t.same([Buffer.from(there.request.from), Buffer.from(there.request.to)].map(String), ['k', 'l']);
  there.tell({ type: 'created', revision: 4 });
  t.equal(await watch.started, 4);
  there.tell(events(4, 5, false, put(5, 'five', 'four')));
  there.tell(
    events(5, 6, false, {
      type: 'delete',
      key: Buffer.from('k'),
      modRevision: 6,
      previous: entryOf(5, 'five'),
    }),
  );
  const iterator = watch[Symbol.asyncIterator]();
  const first = (await iterator.next()).value;
  t.match(first, { type: 'put', modRevision: 5, createRevision: 1, version: 5, lease: 0 });
  t.same([first?.keyText(), first?.text(), first?.previous?.text()], ['k', 'five', 'four']);
  const second = (await iterator.next()).value;
  t.match(second, { type: 'delete', modRevision: 6, value: undefined, version: 0 });
  t.equal(second?.previous?.text(), 'five');
  await iterator.return?.();
  await until(() => cluster.replica(1).watches.length === 0);
});

t.test('a watch whose replica dies goes on at another, from where it was', async (t) => {
  const { cluster, kv } = await setUp(t, 2);
  const watch = kv.watch({ key: 'k' });
  const iterator = watch[Symbol.asyncIterator]();
  const first = await asked(cluster, 1);
  first.tell({ type: 'created', revision: 2 });
  first.tell(events(2, 4, true, put(3), put(4, 'a'), put(4, 'b')));
  t.same(await read(iterator, 3), ['3', 'a', 'b']);
  await cluster.replica(1).kill();
  const second = await asked(cluster, 2);
  t.equal(second.request.fromRevision, 4, 'the revision of which more was to come');
  second.tell({ type: 'created', revision: 3 });
  second.tell(events(3, 5, false, put(4, 'a'), put(4, 'b'), put(4, 'c'), put(5)));
  t.same(await read(iterator, 2), ['c', '5'], 'none twice');
  t.equal(await watch.started, 2, 'it began once');
});

t.test('a watch goes where the client goes', async (t) => {
  const { cluster, kv } = await setUp(t, 2);
  kv.watch({ key: 'k' });
  (await asked(cluster, 1)).tell({ type: 'created', revision: 2 });
  cluster.elect(2);
  // The client goes to the leader when it has something to do there.
  await kv.get('k');
  const moved = await until(() => {
    // The last one may be under way when the client is closed.
    kv.get('k').catch(() => undefined);
    return cluster.replica(2).watches[0];
  });
  t.equal(moved.request.fromRevision, 3);
  await until(() => cluster.replica(1).watches.length === 0);
});

t.test('a gap is never handed on: what is missing is asked for again', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  const iterator = kv.watch({ key: 'k', fromRevision: 1 })[Symbol.asyncIterator]();
  const first = await asked(cluster, 1);
  first.tell({ type: 'created', revision: 0 });
  first.tell(events(0, 1, false, put(1)));
  first.tell(events(2, 3, false, put(3)));
  first.tell(events(3, 4, false, put(4)));
  t.same(await read(iterator, 1), ['1']);
  const second = await until(() => cluster.replica(1).watches.find((watch) => watch !== first));
  t.equal(second.request.fromRevision, 2);
  second.tell({ type: 'created', revision: 1 });
  second.tell(events(1, 4, false, put(2), put(3), put(4)));
  t.same(await read(iterator, 3), ['2', '3', '4']);
});

t.test('who does not read gets no more than the buffer holds, and the rest later', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  const watch = kv.watch({ key: 'k', fromRevision: 1, buffer: 4 });
  const first = await asked(cluster, 1);
  first.tell({ type: 'created', revision: 0 });
  for (let r = 1; r <= 10; r++) first.tell(events(r - 1, r, false, put(r)));
  await until(() => cluster.replica(1).watches.length === 0);
  const iterator = watch[Symbol.asyncIterator]();
  t.same(await read(iterator, 1), ['1']);
  t.equal(cluster.replica(1).watches.length, 0, 'not before half of it was read');
  t.same(await read(iterator, 3), ['2', '3', '4']);
  const second = await asked(cluster, 1);
  t.equal(second.request.fromRevision, 5);
  second.tell({ type: 'created', revision: 4 });
  second.tell(events(4, 6, false, put(5), put(6)));
  t.same(await read(iterator, 2), ['5', '6']);
});

t.test('a watch that a replica ends for the moment resumes by itself', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  const iterator = kv.watch({ key: 'k', fromRevision: 1 })[Symbol.asyncIterator]();
  const first = await asked(cluster, 1);
  first.tell({ type: 'created', revision: 0 });
  first.tell(events(0, 1, false, put(1)));
  first.tell(ended('KVD_WATCH_TOO_SLOW', 2));
  const second = await until(() => cluster.replica(1).watches.find((watch) => watch !== first));
  t.equal(second.request.fromRevision, 2);
  second.tell({ type: 'created', revision: 1 });
  second.tell(events(1, 2, false, put(2)));
  t.same(await read(iterator, 2), ['1', '2']);
});

t.test('a watch whose past is compacted gives what it has, then says where to begin again', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  const watch = kv.watch({ key: 'k', fromRevision: 1 });
  const there = await asked(cluster, 1);
  there.tell({ type: 'created', revision: 0 });
  there.tell(events(0, 1, false, put(1)));
  there.tell(ended('KVD_COMPACTED', 40));
  const iterator = watch[Symbol.asyncIterator]();
  t.same(await read(iterator, 1), ['1']);
  await t.rejects(iterator.next(), { code: 'KVD_COMPACTED', compactRevision: 39, resumeRevision: 40 });
  const refused = kv.watch({ key: 'k' });
  (await asked(cluster, 1)).tell(ended('KVD_BAD_REQUEST', 0));
  await t.rejects(refused.started, { code: 'KVD_BAD_REQUEST' });
  t.match(await failure(refused), { code: 'KVD_BAD_REQUEST' });
});

t.test('a watch ends by close, by its signal, with its loop and with its client', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  const closed = kv.watch({ key: 'a' });
  const abort = new AbortController();
  const aborted = kv.watch({ key: 'b', signal: abort.signal });
  const left = kv.watch({ key: 'c' });
  const open = kv.watch({ key: 'd' });
  await until(() => cluster.replica(1).watches.length === 4);
  closed.close();
  for await (const _ of closed) t.fail('nothing happened');
  await t.rejects(closed.started, { code: 'KVD_CLOSED' });
  abort.abort(new Error('enough'));
  t.match(await failure(aborted), { code: 'KVD_CLOSED', cause: { message: 'enough' } });
  const third = cluster.replica(1).watches[2];
  third?.tell({ type: 'created', revision: 0 });
  third?.tell(events(0, 1, false, put(1)));
  for await (const _ of left) break;
  await until(() => cluster.replica(1).watches.length === 1);
  const end = failure(open);
  await kv.close();
  t.match(await end, { code: 'KVD_CLOSED' });
  t.throws(() => kv.watch({ key: 'e' }), { code: 'KVD_CLOSED' });
});

t.test('a reader that waits ends with its loop, and two readers share what comes', async (t) => {
  const { cluster, kv } = await setUp(t, 1);
  for (const iterate of [
    (watch: Watch): AsyncIterableIterator<unknown> => watch[Symbol.asyncIterator](),
    (watch: Watch): AsyncIterableIterator<unknown> => watch.batches(),
  ]) {
    const watch = kv.watch({ key: 'a' });
    await asked(cluster, 1);
    const iterator = iterate(watch);
    const waiting = iterator.next();
    t.same(await iterator.return?.(), { done: true, value: undefined }, 'it need not wait for an event');
    t.same(await waiting, { done: true, value: undefined });
    t.same(await iterator.next(), { done: true, value: undefined });
    await until(() => cluster.replica(1).watches.length === 0);
  }
  const watch = kv.watch({ key: 'a' });
  const replica = await asked(cluster, 1);
  const [first, second] = [watch[Symbol.asyncIterator](), watch[Symbol.asyncIterator]()];
  const both = [first.next(), second.next(), first.next(), second.next()];
  replica.tell({ type: 'created', revision: 0 });
  replica.tell(events(0, 1, false, put(1)));
  replica.tell(events(1, 2, false, put(2)));
  t.match(await both[0], { done: false });
  watch.close();
  for (const result of await Promise.all(both)) t.type(result.done, 'boolean', 'each has an end');
});

t.test('what can never be watched is refused at the call', async (t) => {
  const { kv } = await setUp(t, 1);
  t.throws(() => kv.watch({}), { code: 'KVD_BAD_REQUEST' });
  t.throws(() => kv.watch({ key: 'a', prefix: 'a' }), { code: 'KVD_BAD_REQUEST' });
  t.throws(() => kv.watch({ key: '' }), { code: 'KVD_BAD_REQUEST' });
  t.throws(() => kv.watch({ key: 'a', fromRevision: -1 }), { code: 'KVD_BAD_REQUEST' });
  t.throws(() => kv.watch({ key: 'a', buffer: 0 }), { code: 'KVD_BAD_REQUEST' });
  t.throws(() => kv.watch({ from: 'x'.repeat(4097) }), { code: 'KVD_TOO_LARGE' });
  t.throws(() => kv.watch({ prefix: 'x'.repeat(4097) }), { code: 'KVD_TOO_LARGE' });
  t.throws(() => kv.watch({ to: 'x'.repeat(5000) }), { code: 'KVD_TOO_LARGE' });
  t.throws(() => kv.watch({ key: 'a', signal: AbortSignal.abort() }), { code: 'KVD_CLOSED' });
});
