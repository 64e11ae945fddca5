/** GET /v1/watch, over real sockets: the stream itself with a test as replica, then all of it on a real one. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, request as httpRequest, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import type { Entry, WatchMessage, WatchRequest } from '@kvd/protocol';
import type { WatchSink } from '@kvd/replica';
import { type Test, test } from 'tap';
import { startDaemon } from '../src/daemon.js';
import { answerTo, sendAnswer } from '../src/http/respond.js';
import { WatchStreams } from '../src/http/watch-routes.js';
import { freePorts, optionsOf, ports, untilReady } from './daemons.js';
import { call } from './http-call.js';

const DEADLINE_MS = 20_000;
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

async function until(what: string, condition: () => boolean): Promise<void> {
  const startedMs = performance.now();
  while (!condition()) {
    if (performance.now() - startedMs > DEADLINE_MS) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

interface Watching {
  readonly sink: WatchSink;
  /** With its bytes as text. */
  readonly request: { from: string; to: string; fromRevision: number; previous: boolean };
}

/** The routes behind a server of its own, and a replica that is the test. */
async function serve(t: Test, streamsMax?: number) {
  const watching: Watching[] = [];
  const gone: WatchSink[] = [];
  /** What every watch is told at once. */
  const first: { message: WatchMessage } = { message: { type: 'created', revision: 6 } };
  const replica = {
    watch: (sink: WatchSink, watchId: number, request: WatchRequest): void => {
      const [from, to] = [request.from, request.to].map((bytes) => Buffer.from(bytes).toString('latin1'));
      watching.push({ sink, request: { ...request, from: from ?? '', to: to ?? '' } });
      sink.tell(watchId, first.message);
    },
    forgetWatches: (sink: WatchSink): void => void gone.push(sink),
  };
  const streams = new WatchStreams(replica, streamsMax);
  const server: Server = createServer((request, response) => {
    try {
      streams.serve({ request, response, expectsContinue: false }, (request.url ?? '').split('?')[1] ?? '');
    } catch (error) {
      sendAnswer(request, response, answerTo(error));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { watching, gone, first, port: (server.address() as AddressInfo).port };
}

interface Stream {
  readonly response: IncomingMessage;
  readonly text: () => string;
  readonly hasEnded: () => boolean;
  readonly close: () => void;
}

async function open(
  t: Test,
  port: number,
  path: string,
  headers: Record<string, string> = {},
): Promise<Stream> {
  const sent = httpRequest({ host: '127.0.0.1', port, path, headers, agent: false });
  sent.on('error', () => {});
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  let ended = false;
  response.on('data', (chunk: Buffer) => (text += chunk.toString()));
  response.on('end', () => (ended = true));
  response.on('error', () => {});
  const close = (): void => void sent.destroy();
  t.teardown(close);
  return { response, text: () => text, hasEnded: () => ended, close };
}

interface Sent {
  readonly id?: string;
  readonly type: string;
  readonly data: Record<string, unknown>;
}

/** As a browser reads it: what has data is an event, with the last id that was seen so far. */
function eventsOf(text: string): Sent[] {
  const events: Sent[] = [];
  let id: string | undefined;
  for (const block of text.split('\n\n').slice(0, -1)) {
    let data: string | undefined;
    let type = 'message';
    for (const line of block.split('\n')) {
      if (line.startsWith('id: ')) id = line.slice(4);
      if (line.startsWith('event: ')) type = line.slice(7);
      if (line.startsWith('data: ')) data = line.slice(6);
    }
    if (data === undefined) continue;
    events.push({ ...(id === undefined ? {} : { id }), type, data: JSON.parse(data) as Sent['data'] });
  }
  return events;
}

const entry = (key: string, modRevision: number, value: Uint8Array = utf8('v')): Entry => {
  return { key: utf8(key), value, createRevision: 1, modRevision, version: 2, lease: 0 };
};
const put = (key: string, revision: number) =>
  ({ type: 'put', entry: entry(key, revision), previous: null }) as const;

test('events, marks and the end, byte by byte', async (t) => {
  const { watching, port } = await serve(t);
  const stream = await open(t, port, '/v1/watch?prefix=a&from_revision=7&previous=true');
  t.match(stream.response, {
    statusCode: 200,
    headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'kvd-revision': '6' },
  });
  t.strictSame(watching[0]?.request, { from: 'a', to: 'b', fromRevision: 7, previous: true });
  const tell = (message: WatchMessage) => watching[0]?.sink.tell(1, message);
  const deleted = {
    type: 'delete',
    key: Uint8Array.of(0xff),
    modRevision: 8,
    previous: entry('a', 7),
  } as const;
  tell({ type: 'events', previous: 6, revision: 8, more: true, events: [put('a', 7), put('b', 8), deleted] });
  tell({ type: 'progress', revision: 7, behind: true });
  tell({ type: 'events', previous: 8, revision: 8, more: false, events: [put('c', 8)] });
  tell({ type: 'progress', revision: 9, behind: false });
  tell({ type: 'ended', code: 'KVD_COMPACTED', message: 'restart at 20', resumeRevision: 20 });
  await until('it has ended', () => stream.hasEnded());
  const entryText = '"value":"v","createRevision":1,"modRevision"';
  t.equal(
    stream.text(),
    [
      ': all that follows is above revision 6\nid: 6',
      `id: 7\ndata: {"type":"put","key":"a",${entryText}:7,"version":2}`,
      `data: {"type":"put","key":"b",${entryText}:8,"version":2}`,
      `data: {"type":"delete","keyBase64":"/w==","modRevision":8,"previous":{"key":"a",${entryText}:7,"version":2}}`,
      ': all through revision 7 was sent, and more waits until this is read\nid: 7',
      `id: 8\ndata: {"type":"put","key":"c",${entryText}:8,"version":2}`,
      ': all through revision 9 was sent\nid: 9',
      'event: ended\ndata: {"code":"KVD_COMPACTED","message":"restart at 20","resumeRevision":20}',
      '',
    ].join('\n\n'),
  );
});

test('after a break in the middle of a revision all of it comes again, after its end nothing of it', async (t) => {
  const { watching, port } = await serve(t);
  const ids = async (count: number): Promise<string[]> => {
    const stream = await open(t, port, '/v1/watch');
    const tell = (message: WatchMessage) => watching.at(-1)?.sink.tell(1, message);
    tell({ type: 'events', previous: 6, revision: 7, more: true, events: [put('a', 7), put('b', 7)] });
    if (count > 2) tell({ type: 'events', previous: 7, revision: 7, more: false, events: [put('c', 7)] });
    await until('they are there', () => eventsOf(stream.text()).length === count);
    stream.close();
    return eventsOf(stream.text()).map(({ id }) => id ?? '');
  };
  t.strictSame(await ids(2), ['6', '6'], 'comes back with 6');
  t.strictSame(await ids(3), ['6', '6', '7']);
  await open(t, port, '/v1/watch?from_revision=3', { 'Last-Event-ID': '6' });
  t.equal(watching.at(-1)?.request.fromRevision, 7, 'how far it got goes before what it asked for at first');
  await open(t, port, '/v1/watch?from_revision=3', { 'Last-Event-ID': '0' });
  t.equal(watching.at(-1)?.request.fromRevision, 1);
});

test('ranges as elsewhere; what makes no sense is refused before anything is watched', async (t) => {
  const { watching, port } = await serve(t);
  for (const [query, from, to, fromRevision] of [
    ['', '', '', 0],
    ['?key=a', 'a', 'a\0', 0],
    ['?key=%00', '\0', '\0\0', 0],
    ['?prefix=a&from=ab', 'ab', 'b', 0],
    ['?from=b&to=d&from_revision=12', 'b', 'd', 12],
  ] as const) {
    await open(t, port, `/v1/watch${query}`);
    t.strictSame(watching.at(-1)?.request, { from, to, fromRevision, previous: false });
  }
  const before = watching.length;
  for (const [query, status, code, headers = {}] of [
    ['?key=', 400, 'KVD_BAD_REQUEST'],
    ['?key=a&prefix=a', 400, 'KVD_BAD_REQUEST'],
    ['?from_revision=0', 400, 'KVD_BAD_REQUEST'],
    ['?from_revision=-1', 400, 'KVD_BAD_REQUEST'],
    ['?from_revision=x', 400, 'KVD_BAD_REQUEST'],
    ['?previous=1', 400, 'KVD_BAD_REQUEST'],
    ['?consistency=stale', 400, 'KVD_BAD_REQUEST'],
    ['?key=%zz', 400, 'KVD_BAD_REQUEST'],
    [`?key=${'k'.repeat(4_097)}`, 413, 'KVD_TOO_LARGE'],
    ['', 400, 'KVD_BAD_REQUEST', { 'Last-Event-ID': 'x' }],
    ['', 400, 'KVD_BAD_REQUEST', { 'Last-Event-ID': '9007199254740991' }],
  ] as const) {
    const reply = await call(port, 'GET', `/v1/watch${query}`, undefined, { ...headers });
    t.match(reply, { status }, query);
    t.match(reply.json(), { code }, query);
  }
  t.equal(watching.length, before);
});

test('a watch that the replica does not take is an ordinary error, which says where to go on', async (t) => {
  const { first, port, gone } = await serve(t);
  for (const [code, status] of [
    ['KVD_COMPACTED', 410],
    ['KVD_OVERLOADED', 429],
    ['KVD_BAD_REQUEST', 400],
    ['KVD_UNAVAILABLE', 503],
  ] as const) {
    first.message = { type: 'ended', code, message: 'why', resumeRevision: 9 };
    const reply = await call(port, 'GET', '/v1/watch?from_revision=2');
    t.equal(reply.status, status);
    t.strictSame(reply.json(), { code, message: 'why', resumeRevision: 9 });
    t.equal(reply.headers['retry-after'], status === 429 || status === 503 ? '1' : undefined);
  }
  await until('all are forgotten', () => gone.length === 4);
});

test('a client that leaves is forgotten, and there is room for another', async (t) => {
  const { watching, gone, port } = await serve(t, 2);
  const streams = [await open(t, port, '/v1/watch'), await open(t, port, '/v1/watch')];
  const reply = await call(port, 'GET', '/v1/watch');
  t.equal(reply.status, 429);
  t.match(reply.json(), { code: 'KVD_OVERLOADED', message: 'more than 2 watches over HTTP at once' });
  streams[0]?.close();
  await until('it is forgotten', () => gone.length === 1);
  t.equal(gone[0], watching[0]?.sink);
  watching[0]?.sink.tell(1, { type: 'progress', revision: 9, behind: false });
  const third = await open(t, port, '/v1/watch');
  t.equal(third.response.statusCode, 200);
});

test('what a client does not read can be seen by who tells it', async (t) => {
  const { watching, port } = await serve(t);
  const socket = connect(port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  socket.on('error', () => {});
  socket.write('GET /v1/watch HTTP/1.1\r\nHost: x\r\n\r\n');
  await until('it watches', () => watching.length === 1);
  await once(socket, 'readable');
  const sink = watching[0]?.sink;
  const large = entry('k', 7, new Uint8Array(1024 * 1024).fill(0x61));
  let told = 0;
  for (; (sink?.bufferedBytes ?? 0) <= 1024 * 1024 && told < 100; told += 1) {
    const events = [{ type: 'put', entry: large, previous: null }] as const;
    sink?.tell(1, { type: 'events', previous: 6 + told, revision: 7 + told, more: false, events });
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.ok(told < 100, `after ${told} MiB it is seen`);
  let read = 0;
  socket.on('data', (chunk: Buffer) => (read += chunk.length));
  await until('it was read', () => sink?.bufferedBytes === 0);
  t.ok(read >= told * 1024 * 1024 - 1024 * 1024);
});

test('on a real replica: from the past into the present, across a break, until it stops', async (t) => {
  const [port = 0] = await freePorts(1);
  const options = await optionsOf(1, `1=127.0.0.1:${port}`, join(t.testdir({}), 'data'));
  const daemon = await startDaemon(options, ports);
  t.teardown(() => daemon.stop());
  await untilReady(t, daemon);
  const write = async (method: string, path: string, body?: string): Promise<number> => {
    const { revision } = (await call(port, method, path, body)).json() as { revision: number };
    return revision;
  };
  const first = await write('PUT', '/v1/kv/a1', 'one');
  await write('PUT', '/v1/kv/b', 'other');
  const stream = await open(t, port, `/v1/watch?prefix=a&from_revision=${first}&previous=true`);
  await until('the past is there', () => eventsOf(stream.text()).length === 1);
  const second = await write('PUT', '/v1/kv/a1', 'two');
  const third = await write('DELETE', '/v1/kv/a1');
  await until('the present is there', () => eventsOf(stream.text()).length === 3);
  stream.close();
  const events = eventsOf(stream.text());
  t.match(events, [
    { id: `${first}`, data: { type: 'put', key: 'a1', value: 'one', modRevision: first, version: 1 } },
    { id: `${second}`, data: { type: 'put', value: 'two', previous: { value: 'one', modRevision: first } } },
    { id: `${third}`, data: { type: 'delete', key: 'a1', modRevision: third, previous: { value: 'two' } } },
  ]);
  const fourth = await write('PUT', '/v1/kv/a2', 'late');
  const again = await open(t, port, `/v1/watch?prefix=a&from_revision=${first}`, {
    'Last-Event-ID': `${third}`,
  });
  await until('it goes on', () => eventsOf(again.text()).length === 1);
  t.match(eventsOf(again.text()), [{ id: `${fourth}`, data: { type: 'put', key: 'a2', value: 'late' } }]);
  t.equal(daemon.status().watches, 1);
  // Behind a watch, which never ends, no other one of the connection is ever answered.
  const impatient = connect(port, '127.0.0.1');
  for (let i = 0; i < 5; i += 1) impatient.write('GET /v1/watch?prefix=a HTTP/1.1\r\nHost: h\r\n\r\n');
  await until('they are open', () => daemon.status().watches === 6);
  impatient.destroy();
  await until('they are gone with the connection', () => daemon.status().watches === 1);
  t.equal((await call(port, 'HEAD', '/v1/watch')).status, 405);
  t.equal((await call(port, 'POST', '/v1/watch')).headers['allow'], 'GET');
  await call(port, 'POST', '/v1/compact', JSON.stringify({ revision: third }));
  const compacted = await call(port, 'GET', `/v1/watch?from_revision=${first}`);
  t.equal(compacted.status, 410);
  t.match(compacted.json(), { code: 'KVD_COMPACTED', resumeRevision: third + 1 });
  t.equal(await daemon.stop(), 0);
  await until('it has ended', () => again.hasEnded());
  t.match(eventsOf(again.text()).at(-1), {
    type: 'ended',
    data: { code: 'KVD_UNAVAILABLE', resumeRevision: fourth + 1 },
  });
});
