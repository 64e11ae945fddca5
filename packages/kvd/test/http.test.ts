import { connect, type Socket } from 'node:net';
import { test } from 'tap';
import { unavailable } from './fake-replica.js';
import { call } from './http-call.js';
import { serve } from './serve.js';

/** A socket that says `text` and the whole of what came back when the server closed it. */
function raw(port: number, text: string | Buffer): { socket: Socket; closed: Promise<string> } {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  const closed = new Promise<string>((resolve) => {
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(Buffer.concat(chunks).toString()));
  });
  socket.write(text);
  return { socket, closed };
}

test('a key is put, read with its revisions, put again and deleted', async (t) => {
  const { port } = await serve(t);
  const put = await call(port, 'PUT', '/v1/kv/a', '1');
  t.equal(put.status, 200);
  t.equal(put.headers['content-type'], 'application/json');
  t.strictSame(put.json(), { revision: 1 });
  await call(port, 'PUT', '/v1/kv/a', 'two');
  const got = await call(port, 'GET', '/v1/kv/a');
  t.equal(got.status, 200);
  t.equal(got.body.toString(), 'two');
  t.match(got.headers, {
    'kvd-create-revision': '1',
    'kvd-mod-revision': '2',
    'kvd-version': '2',
    'content-type': 'application/octet-stream',
    'content-length': '3',
    'x-content-type-options': 'nosniff',
  });
  const head = await call(port, 'HEAD', '/v1/kv/a');
  t.equal(head.headers['content-length'], '3');
  t.equal(head.body.length, 0);
  t.strictSame((await call(port, 'DELETE', '/v1/kv/a')).json(), { revision: 3, deleted: 1 });
  t.strictSame((await call(port, 'DELETE', '/v1/kv/a')).json(), { revision: 3, deleted: 0 });
  const absent = await call(port, 'GET', '/v1/kv/a');
  t.equal(absent.status, 404);
  t.strictSame(absent.json(), { code: 'KVD_NOT_FOUND', message: 'there is no such key' });
});

test('a key in a path is any bytes; a plus is a plus and a path is not tidied up', async (t) => {
  const { port, replica } = await serve(t);
  const keys: readonly (readonly [string, string])[] = [
    ['%FF%00', 'ff00'],
    ['a+b', Buffer.from('a+b').toString('hex')],
    ['%2B', '2b'],
    ['%e2%82%AC', Buffer.from('€').toString('hex')],
    ['a/b', Buffer.from('a/b').toString('hex')],
    ['../x/./y', Buffer.from('../x/./y').toString('hex')],
    ['%3F', '3f'],
  ];
  for (const [path, hex] of keys) {
    t.equal((await call(port, 'PUT', `/v1/kv/${path}`, 'x')).status, 200, path);
    t.ok(replica.entries.has(hex), `${path} is ${hex}`);
  }
  const bytesAsTheyAre = Buffer.concat([
    Buffer.from('PUT /v1/kv/'),
    Buffer.from([0xc3, 0xa9]),
    Buffer.from(' HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'),
  ]);
  t.match(await raw(port, bytesAsTheyAre).closed, /^HTTP\/1.1 400 .*percent-encoded/s);
  for (const path of ['%', '%F', '%GG', 'a%2', '%%41']) {
    const refused = await call(port, 'PUT', `/v1/kv/${path}`, 'x');
    t.equal(refused.status, 400, path);
    t.match(refused.json(), { code: 'KVD_BAD_REQUEST', message: /no percent-encoded byte/ });
  }
  t.match((await call(port, 'GET', '/v1/kv/')).json(), {
    code: 'KVD_BAD_REQUEST',
    message: 'the key is empty',
  });
});

test('parameters, headers and paths that mean nothing are refused before anything is done', async (t) => {
  const { port, replica } = await serve(t);
  const refused: readonly (readonly [string, string, Record<string, string>, number, RegExp])[] = [
    ['GET', '/v1/kv/a?consistency=eventual', {}, 400, /linearizable or stale, not "eventual"/],
    [
      'GET',
      '/v1/kv/a?consistancy=stale',
      {},
      400,
      /unknown query parameter "consistancy"; consistency, revision are known/,
    ],
    ['GET', '/v1/kv/a?consistency=stale&consistency=stale', {}, 400, /given twice/],
    ['GET', '/v1/kv/a?revision=0', {}, 400, /revision must be an integer from 1 to/],
    ['PUT', '/v1/kv/a?consistency=stale', {}, 400, /lease, if_absent, if_revision are known here/],
    ['DELETE', '/v1/kv/a?x', {}, 400, /unknown query parameter "x"/],
    ['GET', '/v1/kv?limit=0', {}, 400, /limit must be an integer from 1 to/],
    ['GET', '/v1/kv?limit=-1', {}, 400, /limit must be/],
    ['GET', '/v1/kv?limit=1e3', {}, 400, /limit must be/],
    ['GET', '/v1/kv?keys_only=yes', {}, 400, /keys_only must be true or false/],
    ['GET', '/v1/kv?prefix=%zz', {}, 400, /no percent-encoded byte/],
    ['DELETE', '/v1/kv', {}, 400, /needs a prefix/],
    ['DELETE', '/v1/kv?prefix=', {}, 400, /needs a prefix/],
    [
      'GET',
      '/v1/kv/a',
      { 'Kvd-Timeout-Ms': '0' },
      400,
      /Kvd-Timeout-Ms must be an integer from 1 to 3600000/,
    ],
    ['PUT', '/v1/kv/a', { 'Kvd-Timeout-Ms': 'soon' }, 400, /not "soon"/],
    ['PUT', '/v1/kv/a', { 'Idempotency-Key': 'k'.repeat(257) }, 400, /1 to 256 bytes, not 257/],
    ['PUT', '/v1/kv/a', { 'Idempotency-Key': '' }, 400, /1 to 256 bytes, not 0/],
    ['PUT', `/v1/kv/${'k'.repeat(4_097)}`, {}, 413, /4097 bytes; at most 4096/],
    ['POST', '/v1/kv/a', {}, 405, /POST is not possible here/],
    ['PUT', '/v1/kv', {}, 405, /GET, HEAD, DELETE/],
    ['PUT', '/v1/status', {}, 405, /GET, HEAD/],
    ['GET', '/v1/chaos/campaign', {}, 405, /POST/],
    ['GET', '/', {}, 404, /no such path/],
    ['GET', '/v1/kv2', {}, 404, /no such path/],
  ];
  for (const [method, path, headers, status, message] of refused) {
    const reply = await call(port, method, path, undefined, headers);
    t.equal(reply.status, status, `${method} ${path.slice(0, 60)}`);
    t.match(reply.json(), { code: /^KVD_/, message });
  }
  t.equal(replica.requests.length, 0);
});

test('time-outs, consistency and idempotency keys reach the replica', async (t) => {
  const { port, replica } = await serve(t);
  await call(port, 'GET', '/v1/kv/a?consistency=stale', undefined, { 'Kvd-Timeout-Ms': '77' });
  t.match(replica.requests.at(-1), { type: 'get', consistency: 'stale', timeoutMs: 77 });
  await call(port, 'GET', '/v1/kv/a');
  t.match(replica.requests.at(-1), { type: 'get', consistency: 'linearizable', timeoutMs: 5_000 });
  const key = { 'Idempotency-Key': 'order 7' };
  const first = await call(port, 'PUT', '/v1/kv/a', '1', key);
  const again = await call(port, 'PUT', '/v1/kv/a', '1', key);
  t.strictSame(first.json(), again.json(), 'the same result');
  t.equal(replica.revision, 1, 'applied once');
  const other = await call(port, 'PUT', '/v1/kv/a', '2', key);
  t.equal(other.status, 409);
  t.match(other.json(), { code: 'KVD_IDEMPOTENCY_CONFLICT' });
});

test('what the replica cannot do has the status that says whether it was done', async (t) => {
  const { port, replica } = await serve(t);
  replica.forced = unavailable;
  const read = await call(port, 'GET', '/v1/kv/a');
  t.equal(read.status, 503);
  t.equal(read.headers['retry-after'], '1');
  t.strictSame(read.json(), { code: 'KVD_UNAVAILABLE', message: 'no leader' });
  t.equal((await call(port, 'PUT', '/v1/kv/a', '1')).status, 503);
  t.equal((await call(port, 'GET', '/v1/kv')).status, 503);
  replica.forced = { type: 'error', code: 'KVD_OUTCOME_UNKNOWN', message: 'lost', outcome: 'unknown' };
  t.equal((await call(port, 'PUT', '/v1/kv/a', '1')).status, 504);
  t.equal((await call(port, 'DELETE', '/v1/kv/a')).status, 504);
  t.equal((await call(port, 'GET', '/v1/kv/a')).status, 503, 'a read is never unknown');
  replica.forced = { type: 'error', code: 'KVD_TIMEOUT', message: 'late', outcome: 'unknown' };
  const late = await call(port, 'PUT', '/v1/kv/a', '1');
  t.equal(late.status, 504);
  t.match(late.json(), { code: 'KVD_OUTCOME_UNKNOWN' });
  replica.forced = { type: 'error', code: 'KVD_OVERLOADED', message: 'full', outcome: 'not-done' };
  t.equal((await call(port, 'PUT', '/v1/kv/a', '1')).status, 429);
});

test('an answer that never comes ends as unknown for a write and unavailable for a read', async (t) => {
  const { port, replica } = await serve(t);
  replica.forced = 'silence';
  const soon = { 'Kvd-Timeout-Ms': '1' };
  const [write, read] = await Promise.all([
    call(port, 'PUT', '/v1/kv/a', '1', soon),
    call(port, 'GET', '/v1/kv/a', undefined, soon),
  ]);
  t.equal(write.status, 504);
  t.equal(read.status, 503);
  t.match(read.json(), { code: 'KVD_TIMEOUT' });
});

test('a scan is lines in key order, over pages, with what is no text in base64', async (t) => {
  const { port, replica } = await serve(t);
  for (const key of ['b', 'aa', 'a%FF', 'ab', 'a']) await call(port, 'PUT', `/v1/kv/${key}`, `v${key}`);
  await call(port, 'PUT', '/v1/kv/b', Buffer.from([0xff]));
  const lines = async (query: string): Promise<Record<string, unknown>[]> => {
    const reply = await call(port, 'GET', `/v1/kv${query}`);
    t.equal(reply.status, 200, query);
    return reply.body
      .toString()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  };
  t.strictSame(await lines('?prefix=a'), [
    { key: 'a', value: 'va', createRevision: 5, modRevision: 5, version: 1 },
    { key: 'aa', value: 'vaa', createRevision: 2, modRevision: 2, version: 1 },
    { key: 'ab', value: 'vab', createRevision: 4, modRevision: 4, version: 1 },
    { keyBase64: 'Yf8=', value: 'va%FF', createRevision: 3, modRevision: 3, version: 1 },
  ]);
  t.strictSame(await lines('?from=b'), [
    { key: 'b', valueBase64: '/w==', createRevision: 1, modRevision: 6, version: 2 },
  ]);
  t.strictSame(
    (await lines('?limit=3')).map((line) => line['key']),
    ['a', 'aa', 'ab'],
  );
  t.strictSame((await lines('?from=aa&to=b')).length, 3);
  t.strictSame(await lines('?prefix=a%FF&keys_only'), [
    { keyBase64: 'Yf8=', createRevision: 3, modRevision: 3, version: 1 },
  ]);
  t.strictSame(await lines('?prefix=a&to=ab&keys_only=true').then((all) => all.length), 2);
  t.strictSame(await lines('?count_only'), [{ count: 5 }]);
  t.strictSame(await lines('?count_only&limit=3'), [{ count: 3 }]);
  t.strictSame(await lines('?prefix=none'), []);
  const asked = replica.requests.at(-1);
  t.match(asked, { type: 'scan', to: Buffer.from('nonf') });
  t.strictSame((await call(port, 'DELETE', '/v1/kv?prefix=a')).json(), { revision: 7, deleted: 4 });
  t.equal((await lines('')).length, 1);
});

test('a scan that breaks off in the middle ends in a broken answer, not a short one', async (t) => {
  const { port, replica } = await serve(t);
  for (const key of ['a', 'b', 'c', 'd']) await call(port, 'PUT', `/v1/kv/${key}`, 'x');
  const real = replica.request.bind(replica);
  replica.request = (sink, id, request) => {
    if (request.type === 'scan' && request.from.length > 0) replica.forced = unavailable;
    real(sink, id, request);
  };
  await t.rejects(call(port, 'GET', '/v1/kv'), { code: 'ECONNRESET' });
});

test('a client that does not read a scan holds up the scan, not the memory', async (t) => {
  const { port, replica } = await serve(t);
  const value = 'x'.repeat(512 * 1024);
  for (let i = 0; i < 64; i += 1) await call(port, 'PUT', `/v1/kv/${i}`, value);
  const before = replica.requests.length;
  const { socket, closed } = raw(port, 'GET /v1/kv HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n');
  await new Promise((resolve) => socket.once('data', resolve));
  socket.pause();
  await settled(() => replica.requests.length);
  t.ok(replica.requests.length - before < 32, `${replica.requests.length - before} of 32 pages were read`);
  socket.resume();
  t.ok((await closed).length > 32 * 1024 * 1024, 'and it goes on when the client does');
});

/** Until the number has stayed the same for a while. */
async function settled(read: () => number): Promise<void> {
  let last = -1;
  for (let same = 0; same < 20; same += 1) {
    if (read() !== last) same = 0;
    last = read();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test('a value at the limit is taken, one byte more is refused and the client gets to know', async (t) => {
  const { port, replica } = await serve(t);
  const limit = 1024 * 1024;
  t.equal((await call(port, 'PUT', '/v1/kv/a', Buffer.alloc(limit))).status, 200);
  t.equal((await call(port, 'GET', '/v1/kv/a')).body.length, limit);
  const declared = await call(port, 'PUT', '/v1/kv/b', Buffer.alloc(limit + 1));
  t.equal(declared.status, 413);
  t.match(declared.json(), { code: 'KVD_TOO_LARGE', message: /larger than 1048576 bytes/ });
  t.equal(declared.headers.connection, 'close');
  const chunked = await call(port, 'PUT', '/v1/kv/b', Buffer.alloc(3 * limit), {
    'Transfer-Encoding': 'chunked',
  });
  t.equal(chunked.status, 413);
  const patient = raw(
    port,
    'PUT /v1/kv/b HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n\r\n',
  );
  t.match(await patient.closed, /^HTTP\/1.1 413 /, 'refused before the body is sent');
  const invited = raw(
    port,
    'PUT /v1/kv/c HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n',
  );
  await new Promise((resolve) => invited.socket.once('data', resolve));
  invited.socket.write('ok');
  t.match(await invited.closed, /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 /);
  t.equal(replica.entries.has('62'), false);
  const endless = raw(port, 'PUT /v1/kv/b HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n');
  t.match(await endless.closed, /^HTTP\/1.1 413 /, 'and nobody sends for ever');
});

test('a client that sends slowly, or nothing, loses its connection', async (t) => {
  const { port, server } = await serve(t, { headersMs: 100, requestMs: 200, idleMs: 100, checkMs: 20 });
  const slow = raw(port, 'GET /v1/kv/a HTTP/1.1\r\nHost: h\r\nX-');
  const drip = setInterval(() => slow.socket.write('a'), 20);
  t.match(await slow.closed, /^HTTP\/1.1 408 .*KVD_BAD_REQUEST/s, 'headers');
  clearInterval(drip);
  const halfBody = raw(port, 'PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc');
  t.match(await halfBody.closed, /^HTTP\/1.1 408 /, 'body');
  const silent = connect(port, '127.0.0.1');
  await new Promise((resolve) => silent.resume().on('close', resolve));
  t.pass('silent');
  const idle = raw(port, 'GET /livez HTTP/1.1\r\nHost: h\r\n\r\n');
  t.match(await idle.closed, /^HTTP\/1.1 200 /, 'idle after a request');
  t.equal(server.activeRequests, 0);
});

test('what is no HTTP, or has endless headers, is refused and the server goes on', async (t) => {
  const { port } = await serve(t);
  t.match(await raw(port, '\x00\x01\x02garbage\r\n\r\n').closed, /^HTTP\/1.1 400 .*KVD_BAD_REQUEST/s);
  const long = `GET /v1/kv/a HTTP/1.1\r\nHost: h\r\nX: ${'y'.repeat(60_000)}\r\n\r\n`;
  t.match(await raw(port, long).closed, /^HTTP\/1.1 431 .*KVD_TOO_LARGE/s);
  t.equal((await call(port, 'GET', '/livez')).status, 200);
});

test('what follows a write and is no HTTP is not answered in its place', async (t) => {
  const { port, replica, requester } = await serve(t, { headersMs: 100, requestMs: 200, checkMs: 20 });
  const write = (body: string, length = body.length): string =>
    `PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: ${length}\r\n\r\n${body}`;
  t.equal(await raw(port, write('abcdef', 3)).closed, '', 'a body that is longer than it was said to be');
  t.equal((await call(port, 'GET', '/v1/kv/a')).body.toString(), 'abc', 'it was done all the same');
  t.equal(await raw(port, `${write('d')}\x16\x03\x01\r\n\r\n`).closed, '', 'bytes of something else');
  t.equal((await call(port, 'GET', '/v1/kv/a')).body.toString(), 'd');
  replica.forced = 'silence';
  t.equal(await raw(port, `${write('e')}GET /v1`).closed, '', 'half a request, while the write is under way');
  requester.close();
});

test('requests that are sent one behind the other are done in their order', async (t) => {
  const { port, replica } = await serve(t);
  const send = (method: string, body = ''): string =>
    `${method} /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const last = 'GET /v1/kv/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n';
  for (let i = 0; i < 20; i += 1) {
    const answers = await raw(port, `${send('PUT', 'x')}${send('DELETE')}${send('PUT', `v${i}`)}${last}`)
      .closed;
    t.match(answers, new RegExp(`"deleted":1.*\r\n\r\nv${i}$`, 's'));
  }
  replica.forced = 'silence';
  const { socket } = raw(port, send('GET') + send('GET'));
  const gets = (): number => replica.requests.filter(({ type }) => type === 'get').length;
  await settled(gets);
  t.equal(gets(), 22, 'reads do not wait for each other');
  socket.destroy();
});

test('who leaves with requests under way leaves none behind, however many wait behind each other', async (t) => {
  const { port, replica, server, requester } = await serve(t);
  replica.forced = 'silence';
  const send = (method: string): string =>
    `${method} /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: ${method === 'PUT' ? 1 : 0}\r\n\r\n${method === 'PUT' ? 'x' : ''}`;
  for (const requests of [
    ['GET', 'GET', 'GET'],
    ['PUT', 'PUT', 'DELETE', 'GET'],
  ]) {
    const { socket, closed } = raw(port, requests.map(send).join(''));
    await settled(() => server.activeRequests);
    t.equal(server.activeRequests, requests.length);
    const asked = replica.requests.length;
    socket.destroy();
    await closed;
    await settled(() => server.activeRequests);
    t.equal(server.activeRequests, 0);
    t.equal(replica.requests.length, asked, 'and nothing is begun for nobody');
  }
  requester.close();
});

test('an offer of another protocol is not taken up, and what was asked is done', async (t) => {
  const { port } = await serve(t);
  const offer = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n';
  const put = `PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\n${offer}Content-Length: 3\r\n\r\nabc`;
  const chunked = `PUT /v1/kv/b HTTP/1.1\r\nHost: h\r\n${offer}Transfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n`;
  const get = 'GET /v1/kv/b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n';
  const { socket, closed } = raw(port, put);
  await new Promise((resolve) => socket.once('data', resolve));
  socket.write(`${chunked}${get}`);
  t.match(await closed, /^HTTP\/1.1 200 .*HTTP\/1.1 200 .*HTTP\/1.1 200 .*\r\n\r\nxyz$/s);
  t.equal((await call(port, 'GET', '/v1/kv/a')).body.toString(), 'abc');
});

test('another protocol is not begun in the place of an answer', async (t) => {
  const { port, replica, requester } = await serve(t);
  replica.forced = 'silence';
  const put = 'PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx';
  for (const path of ['/client', '/other']) {
    const upgrade = `GET ${path} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
    t.equal(await raw(port, put + upgrade).closed, '', path);
  }
  requester.close();
});

test('a condition of HTTP is refused at a write, for it is not looked at', async (t) => {
  const { port } = await serve(t);
  for (const name of ['If-None-Match', 'If-Match', 'If-Unmodified-Since']) {
    const refused = await call(port, 'PUT', '/v1/kv/a', 'x', { [name]: '*' });
    t.match([refused.status, refused.json()], [400, { code: 'KVD_BAD_REQUEST', message: /if_absent/ }]);
  }
  t.equal((await call(port, 'GET', '/v1/kv/a')).status, 404);
});

test('a target may name the whole address, as to a proxy', async (t) => {
  const { port } = await serve(t);
  const request = (target: string): string =>
    `GET ${target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`;
  t.match(await raw(port, request(`http://127.0.0.1:${port}/livez`)).closed, /^HTTP\/1.1 200 /);
  t.match(await raw(port, request('http://kvd')).closed, /^HTTP\/1.1 404 /);
});

test('so many scans at once, the others wait for their turn, and not for ever', async (t) => {
  const { port, replica } = await serve(t, { listings: 2, listingWaitMs: 300 });
  replica.forced = 'silence';
  const gone = [1, 2].map(() => connect(port, '127.0.0.1'));
  for (const socket of gone) socket.write('GET /v1/kv HTTP/1.1\r\nHost: h\r\n\r\n');
  await settled(() => replica.requests.length);
  const refused = await call(port, 'GET', '/v1/history');
  t.match(refused.json(), { code: 'KVD_OVERLOADED', message: /more than 2 scans/ });
  t.equal(refused.status, 429);
  t.equal(replica.requests.length, 2, 'it was not asked for');
  replica.forced = null;
  const waits = call(port, 'GET', '/v1/kv');
  t.equal((await call(port, 'GET', '/v1/kv/a')).status, 404, 'other requests need not wait');
  for (const socket of gone) socket.destroy();
  t.equal((await waits).status, 200, 'room is what those leave that are gone');
});

test('too many requests at once are refused as overloaded, too many connections dropped', async (t) => {
  const { port, replica, requester } = await serve(t, { requests: 2, connections: 3 });
  replica.forced = 'silence';
  const waiting = [1, 2].map(() => call(port, 'GET', '/v1/kv/a').then((reply) => reply.status));
  await settled(() => replica.requests.length);
  const third = await call(port, 'GET', '/v1/kv/b');
  t.equal(third.status, 429);
  t.match(third.json(), { code: 'KVD_OVERLOADED' });
  t.equal((await call(port, 'GET', '/livez')).status, 200, 'who looks after the process is answered');
  const held = connect(port, '127.0.0.1');
  await new Promise((resolve) => held.once('connect', resolve));
  await t.rejects(call(port, 'GET', '/livez'), 'a fourth connection');
  held.destroy();
  requester.close();
  t.strictSame(await Promise.all(waiting), [503, 503], 'the answers of a replica that stopped');
});

test('status, health and metrics', async (t) => {
  const { port, replica, facts } = await serve(t);
  t.match((await call(port, 'GET', '/v1/status')).json(), {
    id: 1,
    address: '127.0.0.1:15000',
    role: 'leader',
    reachable: true,
    version: '1.2.3',
    uptimeMs: 5,
    chosenThrough: 7,
    stateHash: '0'.repeat(16),
  });
  t.equal((await call(port, 'GET', '/livez')).status, 200);
  t.equal((await call(port, 'GET', '/readyz?verbose')).status, 200);
  replica.ready = false;
  replica.leader = 0;
  const unready = await call(port, 'GET', '/readyz');
  t.equal(unready.status, 503);
  t.strictSame(unready.json(), { code: 'KVD_UNAVAILABLE', message: 'no leader is known' });
  replica.reason = 'this replica lost its disk';
  t.match((await call(port, 'GET', '/readyz')).json(), { message: 'this replica lost its disk' });
  facts.stopping = true;
  t.match((await call(port, 'GET', '/readyz')).json(), { message: 'this replica is stopping' });
  facts.failure = 'the log cannot be written';
  const dead = await call(port, 'GET', '/livez');
  t.equal(dead.status, 503);
  t.match(dead.json(), { code: 'KVD_STORAGE', message: 'the log cannot be written' });
  await call(port, 'GET', '/v1/kv/absent');
  replica.forced = unavailable;
  await call(port, 'PUT', '/v1/kv/a', '1');
  const page = await call(port, 'GET', '/metrics');
  t.match(page.headers['content-type'], /^text\/plain; version=0.0.4/);
  const text = page.body.toString();
  for (const line of [
    /^kvd_request_seconds_count\{replica="1",type="get",result="ok"\} 1$/m,
    /^kvd_request_seconds_bucket\{le="\+Inf",replica="1",type="get",result="ok"\} 1$/m,
    /^kvd_request_seconds_count\{replica="1",type="mutate",result="refused"\} 1$/m,
    /^# TYPE kvd_request_seconds histogram$/m,
    /^kvd_role\{role="leader",replica="1"\} 1$/m,
    /^kvd_chosen_through_slot\{replica="1"\} 7$/m,
    /^kvd_client_bytes_total\{direction="out",replica="1"\} 5$/m,
    /^kvd_peer_frames_total\{peer="2",direction="in",replica="1"\} 6$/m,
    /^kvd_peer_dropped_total\{peer="2",reason="full",replica="1"\} 9$/m,
    /^kvd_http_requests_active\{replica="1"\} 1$/m,
    /^kvd_ready\{replica="1"\} 0$/m,
    /^process_resident_memory_bytes\{replica="1"\} \d+$/m,
    /^nodejs_eventloop_lag_seconds\{quantile="0.99",replica="1"\} [\d.e-]+$/m,
  ]) {
    t.match(text, line);
  }
});

test('chaos is shown and set while the replica runs', async (t) => {
  const { port, replica } = await serve(t);
  const off = { failRate: 0, intervalMs: 1_000, downMs: 1_000, roles: ['acceptor'], down: [] };
  t.strictSame((await call(port, 'GET', '/v1/chaos')).json(), off);
  const set = await call(port, 'PUT', '/v1/chaos', '{"downMs":5,"roles":["learner","learner","proposer"]}');
  t.strictSame(set.json(), { ...off, downMs: 5, roles: ['learner', 'proposer'] });
  replica.down.add('learner');
  t.match((await call(port, 'GET', '/v1/chaos')).json(), { downMs: 5, down: ['learner'] });
  const refused: readonly (readonly [string, RegExp])[] = [
    ['{"failRate":1.5}', /^failRate: .*1.5/],
    ['{"roles":[]}', /^roles/],
    ['{"roles":["leader"]}', /^roles.0: .*"leader"/],
    ['{"rate":1}', /^rate: .*what can be set: failRate, intervalMs, downMs, roles/],
    ['{"__proto__":{"failRate":1}}', /./],
    ['7', /^the body: /],
    ['{', /no JSON/],
  ];
  for (const [body, message] of refused) {
    const reply = await call(port, 'PUT', '/v1/chaos', body);
    t.equal(reply.status, 400, body);
    t.match(reply.json(), { code: 'KVD_BAD_REQUEST', message });
  }
  t.equal((await call(port, 'PUT', '/v1/chaos', ' '.repeat(70_000))).status, 413);
  t.equal((await call(port, 'POST', '/v1/chaos/campaign')).status, 200);
  t.strictSame(replica.calls, ['campaign']);
});

test('upgrades go to whoever owns the path', async (t) => {
  const { port } = await serve(t);
  const upgrade = (path: string) =>
    `GET ${path} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
  t.equal(await raw(port, upgrade('/client')).closed, 'HTTP/1.1 101 Mine\r\n\r\n');
  t.match(await raw(port, upgrade('/other')).closed, /^HTTP\/1.1 404 /);
  t.match(await raw(port, upgrade('/__proto__')).closed, /^HTTP\/1.1 404 /);
});

test('a server that closes lets the answer under way leave', async (t) => {
  const { port, replica, server, requester } = await serve(t);
  replica.forced = 'silence';
  const waiting = call(port, 'GET', '/v1/kv/a');
  await settled(() => replica.requests.length);
  const closed = server.close(5_000);
  requester.close();
  t.equal((await waiting).status, 503);
  await closed;
  await t.rejects(call(port, 'GET', '/livez'), { code: 'ECONNREFUSED' });
});
