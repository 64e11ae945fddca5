/** The data model over HTTP, on a real replica: the past, conditions, transactions, leases, history and outcomes. */
/* oxlint-disable unicorn/no-thenable -- the `then` of a transaction in JSON is a list, which nobody awaits */
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { startDaemon } from '../src/daemon.js';
import { freePorts, optionsOf, ports, untilReady } from './daemons.js';
import { call, type Reply } from './http-call.js';

type Send = (
  method: string,
  path: string,
  body?: string | Uint8Array | object,
  headers?: Record<string, string>,
) => Promise<Reply>;

/** A cluster of one, and how to talk to it: an object as body is sent as JSON. */
async function serve(t: Test): Promise<Send> {
  const [port = 0] = await freePorts(1);
  const options = await optionsOf(1, `1=127.0.0.1:${port}`, join(t.testdir({}), 'data'));
  const daemon = await startDaemon(options, ports);
  t.teardown(() => daemon.stop());
  await untilReady(t, daemon);
  return (method, path, body, headers) => {
    const isRaw = body === undefined || typeof body === 'string' || body instanceof Uint8Array;
    return call(port, method, path, isRaw ? body : JSON.stringify(body), headers);
  };
}

const linesOf = (reply: Reply): Record<string, unknown>[] =>
  reply.body
    .toString()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

interface Error {
  readonly method?: string;
  readonly path: string;
  readonly body?: string | object;
  readonly headers?: Record<string, string>;
  readonly status: number;
  readonly code: string;
  readonly message?: RegExp;
}

async function refuses(
  t: Test,
  send: Send,
  { method = 'POST', path, body, headers, ...error }: Error,
): Promise<void> {
  const reply = await send(method, path, body, headers);
  const asked = `${method} ${path} ${JSON.stringify(body ?? '').slice(0, 60)}`;
  t.equal(reply.status, error.status, asked);
  t.match(reply.json(), { code: error.code, message: error.message ?? /./ }, asked);
}

test('the past is read until it is compacted', async (t) => {
  const send = await serve(t);
  await send('PUT', '/v1/kv/a', '1');
  await send('PUT', '/v1/kv/b', '1');
  await send('PUT', '/v1/kv/a', '2');
  await send('DELETE', '/v1/kv/b');
  t.equal((await send('GET', '/v1/kv/a?revision=2')).body.toString(), '1');
  t.equal((await send('GET', '/v1/kv/a?revision=3')).body.toString(), '2');
  t.match((await send('GET', '/v1/kv/b?revision=1')).json(), {
    code: 'KVD_NOT_FOUND',
    message: /was no such key/,
  });
  const past = await send('GET', '/v1/kv?revision=3');
  t.equal(past.headers['kvd-revision'], '3');
  t.match(linesOf(past), [
    { key: 'a', value: '2' },
    { key: 'b', value: '1' },
  ]);
  t.match(linesOf(await send('GET', '/v1/kv?revision=3&reverse')), [{ key: 'b' }, { key: 'a' }]);
  t.match(linesOf(await send('GET', '/v1/kv?revision=3&reverse&limit=1')), [{ key: 'b' }]);
  t.same((await send('GET', '/v1/kv?revision=3&count_only')).json(), { count: 2 });
  t.same((await send('GET', '/v1/kv?count_only')).json(), { count: 1 });
  const future = { status: 400, code: 'KVD_FUTURE_REVISION' };
  await refuses(t, send, { method: 'GET', path: '/v1/kv/a?revision=99', ...future });
  await refuses(t, send, { method: 'GET', path: '/v1/kv?revision=99', ...future });
  await refuses(t, send, { path: '/v1/compact', body: { revision: 99 }, ...future });
  t.same((await send('POST', '/v1/compact', { revision: 3 })).json(), { status: 'ok' });
  t.match((await send('GET', '/v1/status')).json(), { compactRevision: 3 });
  const compacted = { status: 410, code: 'KVD_COMPACTED', message: /the oldest that can be read is 3/ };
  await refuses(t, send, { method: 'GET', path: '/v1/kv/a?revision=2', ...compacted });
  await refuses(t, send, { method: 'GET', path: '/v1/kv?revision=2', ...compacted });
  await refuses(t, send, { method: 'GET', path: '/v1/history?from_revision=3', ...compacted });
  t.equal((await send('GET', '/v1/kv/a?revision=3')).status, 200);
  t.same((await send('POST', '/v1/compact', { keepRevisions: 10, keepMs: 1_000 })).json(), { status: 'ok' });
});

test('a scan of many pages is of one revision, in either direction, whatever is written meanwhile', async (t) => {
  const send = await serve(t);
  const value = 'x'.repeat(300_000);
  for (let i = 0; i < 10; i += 1) await send('PUT', `/v1/kv/${i}`, value);
  for (const query of ['', '?reverse']) {
    const scanning = send('GET', `/v1/kv${query}`);
    const writing = Promise.all([0, 9].map((i) => send('PUT', `/v1/kv/${i}`, 'new')));
    const reply = await scanning;
    await writing;
    const revision = Number(reply.headers['kvd-revision']);
    const entries = linesOf(reply);
    const keys = entries.map((entry) => entry['key']);
    const all = Array.from({ length: 10 }, (_, i) => `${i}`);
    t.same(keys, query === '' ? all : all.reverse());
    for (const entry of entries)
      t.ok(Number(entry['modRevision']) <= revision, `${String(entry['key'])} is old`);
    t.same(entries, linesOf(await send('GET', `/v1/kv?revision=${revision}${query.replace('?', '&')}`)));
  }
});

test('a put may ask that the key is absent, or as a revision left it', async (t) => {
  const send = await serve(t);
  t.same((await send('PUT', '/v1/kv/a?if_absent', '1')).json(), { revision: 1 });
  const refused = { method: 'PUT', status: 409, code: 'KVD_CONDITION_FALSE' };
  await refuses(t, send, { path: '/v1/kv/a?if_absent', body: 'x', ...refused, message: /the key exists/ });
  await refuses(t, send, {
    path: '/v1/kv/a?if_revision=0',
    body: 'x',
    ...refused,
    message: /the key exists/,
  });
  t.same((await send('PUT', '/v1/kv/a?if_revision=1', '2')).json(), { revision: 2 });
  await refuses(t, send, { path: '/v1/kv/a?if_revision=1', body: 'x', ...refused, message: /by revision 1/ });
  t.equal((await send('GET', '/v1/kv/a')).body.toString(), '2');
  await refuses(t, send, { ...refused, method: 'DELETE', path: '/v1/kv/a?if_revision=1' });
  t.same((await send('DELETE', '/v1/kv/a?if_revision=2')).json(), { revision: 3, deleted: 1 });
  t.same((await send('DELETE', '/v1/kv/a?if_revision=0')).json(), { revision: 3, deleted: 0 });
  const key = { 'Idempotency-Key': 'k' };
  t.equal((await send('PUT', '/v1/kv/b?if_absent', '1', key)).status, 200);
  t.equal(
    (await send('PUT', '/v1/kv/b?if_absent', '1', key)).status,
    200,
    'the same request: the same answer',
  );
  const bad = { method: 'PUT', status: 400, code: 'KVD_BAD_REQUEST', body: 'x' };
  await refuses(t, send, { ...bad, path: '/v1/kv/a?if_absent&if_revision=1', message: /exclude each other/ });
  await refuses(t, send, {
    ...bad,
    path: '/v1/kv/a?if_revision=-1',
    message: /if_revision must be an integer from 0/,
  });
  await refuses(t, send, { ...bad, path: '/v1/kv/a?if_absent=perhaps', message: /true or false/ });
  await refuses(t, send, { ...bad, path: '/v1/kv/a?lease=x', message: /"x" is not the number of a lease/ });
  const { body: _, ...bare } = bad;
  await refuses(t, send, { ...bare, method: 'DELETE', path: '/v1/kv/a?if_absent', message: /unknown query/ });
});

test('a transaction takes one of two branches, whole, under one revision', async (t) => {
  const send = await serve(t);
  const transfer = {
    if: [{ key: 'lock', exists: false }],
    then: [
      { put: { key: 'lock', value: 'me' } },
      { add: { key: 'n', delta: 5 } },
      { put: { key: 'p/1', value: '' } },
      { get: { key: 'n' } },
    ],
    else: [{ get: { key: 'lock' } }, { deletePrefix: { prefix: 'p/' } }],
  };
  const n = { key: 'n', value: '5', createRevision: 1, modRevision: 1, version: 1 };
  t.equal(
    (await send('POST', '/v1/txn', transfer)).body.toString(),
    `{"revision":1,"succeeded":true,"results":[{"put":true},{"add":"5"},{"put":true},{"get":${JSON.stringify(n)}}]}\n`,
  );
  t.match((await send('POST', '/v1/txn', transfer)).json(), {
    revision: 2,
    succeeded: false,
    results: [{ get: { key: 'lock', value: 'me' } }, { deleted: 1 }],
  });
  const add = { then: [{ add: { key: 'n', delta: '1' } }] };
  const key = { 'Idempotency-Key': 'once' };
  const first = (await send('POST', '/v1/txn', add, key)).json();
  t.match(first, { revision: 3, results: [{ add: '6' }] });
  t.same((await send('POST', '/v1/txn', add, key)).json(), first, 'done once');
  const path = '/v1/txn';
  const latin = Buffer.from('{"then":[{"put":{"key":"\xe4","value":"1"}}]}', 'latin1');
  t.match((await send('POST', path, latin)).json(), { code: 'KVD_BAD_REQUEST', message: /no UTF-8/ });
  const bad = { path, status: 400, code: 'KVD_BAD_REQUEST' };
  await refuses(t, send, { ...bad, body: '{', message: /no JSON/ });
  await refuses(t, send, { ...bad, body: [], message: /must be an object/ });
  await refuses(t, send, {
    ...bad,
    body: { then: [{ put: { key: 'a' } }] },
    message: /^then\[0\]\.put\.value/,
  });
  const twice = { then: [{ delete: { key: 'a' } }, { put: { key: 'a', value: '' } }] };
  await refuses(t, send, { ...bad, body: twice, message: /a key at most once/ });
  await refuses(t, send, { ...bad, path: '/v1/txn?x', body: add, message: /unknown query/ });
  const many = { then: Array.from({ length: 1_025 }, (_, i) => ({ delete: { key: `${i}` } })) };
  await refuses(t, send, { path, body: many, status: 413, code: 'KVD_TOO_LARGE' });
  await refuses(t, send, { path, body: ' '.repeat(4 << 20), status: 413, code: 'KVD_TOO_LARGE' });
  const text = { then: [{ put: { key: 'a', value: '' } }, { add: { key: 'lock', delta: 1 } }] };
  await refuses(t, send, { path, body: text, status: 409, code: 'KVD_NOT_AN_INTEGER' });
  t.equal((await send('GET', '/v1/kv/a')).status, 404, 'nothing of it was done');
  await refuses(t, send, { method: 'GET', path, status: 405, code: 'KVD_METHOD_NOT_ALLOWED' });
});

test('a lease is granted, kept alive, shown, listed and revoked, and its keys end with it', async (t) => {
  const send = await serve(t);
  const grant = (await send('POST', '/v1/leases', { ttlMs: 60_000 })).json() as {
    lease: string;
    ttlMs: number;
  };
  t.match(grant, { lease: /^\d+$/, ttlMs: 60_000 });
  const { lease } = grant;
  t.same((await send('PUT', `/v1/kv/a?lease=${lease}`, '1')).json(), { revision: 1 });
  await send('POST', '/v1/txn', { then: [{ put: { keyBase64: '/w==', value: '1', lease } }] });
  await send('PUT', '/v1/kv/free', '1');
  const entry = await send('GET', '/v1/kv/a');
  t.equal(entry.headers['kvd-lease'], lease);
  t.equal((await send('GET', '/v1/kv/free')).headers['kvd-lease'], undefined);
  t.match(linesOf(await send('GET', '/v1/kv?prefix=a')), [{ key: 'a', lease }]);
  t.same((await send('POST', `/v1/leases/${lease}/keep-alive`)).json(), grant);
  const shown = (await send('GET', `/v1/leases/${lease}`)).json() as { remainingMs: number };
  t.match(shown, { lease, ttlMs: 60_000, keys: [{ key: 'a' }, { keyBase64: '/w==' }] });
  t.ok(shown.remainingMs > 0 && shown.remainingMs <= 60_000);
  const other = (await send('POST', '/v1/leases', { ttlMs: 1_000_000 }, { 'Idempotency-Key': 'l' })).json();
  t.same((await send('POST', '/v1/leases', { ttlMs: 1_000_000 }, { 'Idempotency-Key': 'l' })).json(), other);
  const listed = linesOf(await send('GET', '/v1/leases?consistency=stale'));
  t.match(listed, [{ lease, ttlMs: 60_000 }, other]);
  t.notOk('keys' in (listed[0] ?? {}));
  t.same((await send('DELETE', `/v1/leases/${lease}`)).json(), { revision: 4, deleted: 2 });
  t.equal((await send('GET', '/v1/kv/a')).status, 404);
  const gone = { status: 404, code: 'KVD_LEASE_NOT_FOUND', message: new RegExp(lease) };
  await refuses(t, send, { method: 'DELETE', path: `/v1/leases/${lease}`, ...gone });
  await refuses(t, send, { method: 'GET', path: `/v1/leases/${lease}`, ...gone });
  await refuses(t, send, { path: `/v1/leases/${lease}/keep-alive`, ...gone });
  await refuses(t, send, { method: 'PUT', path: `/v1/kv/a?lease=${lease}`, body: 'x', ...gone });
  const bad = { path: '/v1/leases', status: 400, code: 'KVD_BAD_REQUEST' };
  await refuses(t, send, { ...bad, body: {}, message: /^ttlMs: is missing/ });
  await refuses(t, send, { ...bad, body: { ttlMs: 1.5 }, message: /^ttlMs: must be a whole number/ });
  await refuses(t, send, { ...bad, body: { ttlMs: 99 }, message: /lives 100 to/ });
  await refuses(t, send, { ...bad, body: { ttlMs: 1_000, key: 'a' }, message: /^key: is unknown here/ });
  await refuses(t, send, {
    ...bad,
    method: 'GET',
    path: '/v1/leases/0',
    message: /not the number of a lease/,
  });
  await refuses(t, send, { ...bad, method: 'GET', path: '/v1/leases?prefix=a', message: /unknown query/ });
  const other405 = { status: 405, code: 'KVD_METHOD_NOT_ALLOWED' };
  await refuses(t, send, { ...other405, method: 'PUT', path: '/v1/leases' });
  await refuses(t, send, { ...other405, path: `/v1/leases/${lease}` });
  await refuses(t, send, { ...other405, method: 'GET', path: `/v1/leases/${lease}/keep-alive` });
});

test('a lease that nobody keeps alive ends by itself', async (t) => {
  const send = await serve(t);
  const { lease } = (await send('POST', '/v1/leases', { ttlMs: 100 })).json() as { lease: string };
  await send('PUT', `/v1/kv/a?lease=${lease}`, '1');
  while ((await send('GET', '/v1/kv/a')).status !== 404)
    await new Promise((resolve) => setTimeout(resolve, 10));
  t.match(linesOf(await send('GET', '/v1/history?key=a')), [
    { revision: 1, events: [{ type: 'put', key: 'a' }] },
    { revision: 2, reason: `lease ${lease} expired`, events: [{ type: 'delete', key: 'a' }] },
  ]);
});

test('the history says what was done, by whom and why', async (t) => {
  const send = await serve(t);
  const began = Date.now();
  const ada = { 'Kvd-Principal': 'ada', 'Kvd-Reason': Buffer.from('größer').toString('latin1') };
  await send('PUT', '/v1/kv/a', '1', { ...ada, 'Idempotency-Key': 'k1' });
  await send('PUT', '/v1/kv/b', '1', { 'Kvd-Reason': 'because' });
  await send('PUT', '/v1/kv/a', '2');
  await send('DELETE', '/v1/kv/a', undefined, { 'Kvd-Principal': 'bob' });
  const all = linesOf(await send('GET', '/v1/history'));
  t.match(all, [
    {
      revision: 1,
      principal: 'ada',
      reason: 'größer',
      idempotencyKey: 'k1',
      events: [{ type: 'put', value: '1' }],
    },
    { revision: 2, reason: 'because' },
    {
      revision: 3,
      events: [{ type: 'put', key: 'a', value: '2', previous: { value: '1', modRevision: 1 } }],
    },
    { revision: 4, principal: 'bob', events: [{ type: 'delete', key: 'a', previous: { value: '2' } }] },
  ]);
  for (const { time } of all) t.ok(Math.abs(Date.parse(String(time)) - began) < 60_000, 'the leader’s time');
  t.notOk('principal' in (all[2] ?? {}), 'what nobody said is not there');
  const revisions = async (query: string): Promise<unknown[]> =>
    linesOf(await send('GET', `/v1/history${query}`)).map(({ revision }) => revision);
  t.same(await revisions('?key=a'), [1, 3, 4]);
  t.same(await revisions('?prefix=b'), [2]);
  t.same(await revisions('?from=a&to=b&from_revision=2'), [3, 4]);
  t.same(await revisions('?limit=2'), [1, 2]);
  t.same(await revisions('?from_revision=99'), [], 'nothing was done yet');
  const bad = { method: 'GET', status: 400, code: 'KVD_BAD_REQUEST' };
  await refuses(t, send, { ...bad, path: '/v1/history?key=a&prefix=a', message: /key goes with none/ });
  await refuses(t, send, { ...bad, path: '/v1/history?key=', message: /the key is empty/ });
  await refuses(t, send, { ...bad, path: '/v1/history?from_revision=0', message: /from 1 to/ });
  await refuses(t, send, { ...bad, path: '/v1/history?since=1', message: /unknown query/ });
  await refuses(t, send, {
    method: 'POST',
    path: '/v1/history',
    status: 405,
    code: 'KVD_METHOD_NOT_ALLOWED',
  });
  const put = { ...bad, method: 'PUT', path: '/v1/kv/a', body: 'x' };
  await refuses(t, send, {
    ...put,
    headers: { 'Kvd-Principal': 'p'.repeat(257) },
    message: /Kvd-Principal has at most/,
  });
  await refuses(t, send, {
    ...put,
    headers: { 'Kvd-Reason': '\u00ff' },
    message: /Kvd-Reason is not valid UTF-8/,
  });
  for (const body of [
    {},
    { revision: -1 },
    { revision: 1, keep: 2 },
    { keepMs: '1' },
    { keepMs: 1, revision: 1 },
  ]) {
    await refuses(t, send, { path: '/v1/compact', body, status: 400, code: 'KVD_BAD_REQUEST' });
  }
});

test('a revision of many events comes whole, and counts once', async (t) => {
  const send = await serve(t);
  const value = 'x'.repeat(40_000);
  for (let page = 0; page < 2; page += 1) {
    const then = Array.from({ length: 30 }, (_, i) => ({ put: { key: `${page}${i}`, value } }));
    t.equal((await send('POST', '/v1/txn', { then })).status, 200);
  }
  await send('DELETE', '/v1/kv?prefix=0');
  for (const [query, wanted] of [
    ['', [30, 30, 30]],
    ['?limit=1', [30]],
    ['?limit=2', [30, 30]],
    ['?from_revision=2&limit=1', [0, 30]],
    ['?from_revision=3', [0, 0, 30]],
  ] as const) {
    const lines = linesOf(await send('GET', `/v1/history${query}`)) as {
      revision: number;
      events: object[];
    }[];
    const counts = wanted.map((_, i) =>
      lines.filter(({ revision }) => revision === i + 1).reduce((sum, { events }) => sum + events.length, 0),
    );
    t.same(counts, wanted, `?${query}: ${lines.length} lines`);
  }
});

test('what became of a request is asked by its key, and a request that was not done never will be', async (t) => {
  const send = await serve(t);
  await send('PUT', '/v1/kv/a', '1', { 'Idempotency-Key': 'done' });
  const outcome = async (body: object): Promise<unknown> => (await send('POST', '/v1/outcome', body)).json();
  t.same(await outcome({ idempotencyKey: 'done' }), { status: 'applied', result: { revision: 1 } });
  t.same(await outcome({ idempotencyKeyBase64: 'bmV2ZXI=' }), { status: 'never' });
  const fenced = { status: 409, code: 'KVD_FENCED', headers: { 'Idempotency-Key': 'never' } };
  await refuses(t, send, { method: 'PUT', path: '/v1/kv/a', body: '2', ...fenced });
  t.equal((await send('GET', '/v1/kv/a')).body.toString(), '1');
  t.same(await outcome({ operation: '65536.1' }), { status: 'forgotten' });
  const bad = { path: '/v1/outcome', status: 400, code: 'KVD_BAD_REQUEST' };
  await refuses(t, send, { ...bad, body: {}, message: /^operation: must be SESSION.NUMBER/ });
  await refuses(t, send, { ...bad, body: { operation: 7 }, message: /^operation/ });
  await refuses(t, send, {
    ...bad,
    body: { operation: '1.1', idempotencyKey: 'k' },
    message: /^operation: is unknown/,
  });
  await refuses(t, send, { ...bad, body: { idempotencyKey: '' }, message: /at least one byte/ });
});
