import {
  type Entry,
  decodeServerFrame,
  encodeClientHello,
  encodeCommand,
  encodeRequest,
  encodeUnwatch,
  encodeWatch,
  type KvdError,
  NO_ORIGIN,
  type Request,
  type Response,
  type WatchMessage,
  type WatchRequest,
  type Welcome,
} from '@kvd/protocol';
import type { ReplySink, WatchSink } from '@kvd/replica';
import { type Test, test } from 'tap';
import { WebSocketServer } from 'ws';
import {
  ClientListener,
  type ClientListenerLimits,
  ClientSocket,
  type ClientSocketOptions,
} from '../src/index.js';
import { bareUpgraded, clientFrame, incarnation, listen, Logbook, Stranger, turn, until } from './harness.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const CLUSTER = incarnation('c');
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const get = (key: string): Request => ({
  type: 'get',
  timeoutMs: 1_000,
  consistency: 'stale',
  key: utf8(key),
  revision: 0,
});
const put = (value: Uint8Array): Request => ({
  type: 'mutate',
  timeoutMs: 1_000,
  command: encodeCommand({ type: 'put', origin: NO_ORIGIN, key: utf8('k'), value }),
});
const watchA: WatchRequest = { from: utf8('a'), to: utf8('b'), fromRevision: 7, previous: true };
const eventsOf = (bytes: number): WatchMessage => ({
  type: 'events',
  previous: 6,
  revision: 7,
  more: false,
  events: [{ type: 'put', entry: largeEntry(bytes), previous: null }],
});
const done: Response = { type: 'result', result: { type: 'done' } };
function largeEntry(bytes: number): Entry {
  const numbers = { createRevision: 1, modRevision: 7, version: 1, lease: 0 };
  return { key: utf8('k'), value: new Uint8Array(bytes), ...numbers };
}
const entryOf = (bytes: number): Response => ({ type: 'entry', entry: largeEntry(bytes), revision: 7 });
const helloBytes = (clusterId = ''): Uint8Array =>
  encodeClientHello({ type: 'client-hello', protocolVersion: 1, clusterId, name: 'test' });

interface Asked {
  readonly sink: ReplySink;
  readonly requestId: number;
  readonly request: Request;
}

interface Watching {
  readonly sink: WatchSink;
  readonly watchId: number;
  readonly request: WatchRequest;
}

/** A listener whose replica is the test: it answers by `answer`, or keeps what was asked. */
async function startListener(
  t: Test,
  limits: Partial<ClientListenerLimits> = {},
  answer: (asked: Asked) => void = () => {},
) {
  const asked: Asked[] = [];
  const closed: ReplySink[] = [];
  const watching: Watching[] = [];
  const unwatched: number[] = [];
  const log = new Logbook();
  const state = { leaderId: 1 };
  const listener = new ClientListener({
    handler: {
      onRequest: (sink, requestId, request) => {
        asked.push({ sink, requestId, request });
        answer({ sink, requestId, request });
      },
      onWatch: (sink, watchId, request) => watching.push({ sink, watchId, request }),
      onUnwatch: (_sink, watchId) => unwatched.push(watchId),
      onClosed: (sink) => closed.push(sink),
    },
    welcome: (): Welcome => ({
      type: 'welcome',
      protocolVersion: 1,
      clusterId: CLUSTER,
      replicaId: 1,
      leaderId: state.leaderId,
      members: [{ id: 1, address: 'h:1' }],
    }),
    trace: log,
    limits,
  });
  const server = await listen(t, (request, socket, head) => listener.handleUpgrade(request, socket, head));
  t.teardown(() => listener.close());
  return {
    listener,
    asked,
    closed,
    watching,
    unwatched,
    log,
    state,
    address: server.address,
    url: `ws://${server.address}/client`,
  };
}

/** A client socket that writes down what it is told. */
function dial(t: Test, address: string, options: Partial<ClientSocketOptions> = {}) {
  const welcomes: Welcome[] = [];
  const responses: [number, Response][] = [];
  const told: [number, WatchMessage][] = [];
  const errors: KvdError[] = [];
  const socket = new ClientSocket(
    address,
    { name: 'test', handshakeTimeoutMs: 5_000, ...options },
    {
      onWelcome: (welcome) => welcomes.push(welcome),
      onResponse: (requestId, response) => responses.push([requestId, response]),
      onWatchMessage: (watchId, message) => told.push([watchId, message]),
      onClosed: (error) => errors.push(error),
    },
  );
  t.teardown(() => socket.close());
  return { socket, welcomes, responses, told, errors };
}

async function dialled(t: Test, address: string) {
  const client = dial(t, address);
  await until('it is welcome', () => client.welcomes.length > 0);
  return client;
}

test('requests of one turn arrive in one ws message, and so do their answers', async (t) => {
  const { listener, asked, address, url } = await startListener(t);
  const client = await dialled(t, address);
  t.match(client.welcomes[0], { replicaId: 1, leaderId: 1, clusterId: CLUSTER });
  for (let id = 1; id <= 500; id += 1) client.socket.send(id, get(`k${id}`));
  t.ok(client.socket.bufferedAmount > 500);
  await until('all are asked', () => asked.length === 500);
  t.strictSame(
    asked.map(({ requestId }) => requestId),
    Array.from({ length: 500 }, (_, i) => i + 1),
  );
  t.strictSame(asked[2]?.request, get('k3'));
  t.equal(listener.stats().unansweredRequests, 500);
  for (const { sink, requestId } of asked) sink.reply(requestId, done);
  await until('all are answered', () => client.responses.length === 500);
  t.strictSame(client.responses[499], [500, done]);
  t.equal(listener.stats().unansweredRequests, 0);

  const raw = await Stranger.open(t, url);
  raw.ws.send(helloBytes());
  await until('it is welcome', () => raw.received.length === 1);
  raw.ws.send(Buffer.concat([1, 2, 3].map((id) => encodeRequest(id, get('k')))));
  await until('they are asked', () => asked.length === 503);
  for (const { sink, requestId } of asked.slice(500)) sink.reply(requestId, done);
  await until('there is an answer', () => raw.received.length > 1);
  await turn();
  t.equal(raw.received.length, 2, 'three answers, one ws message');
});

test('an answer counts once, and none goes to a client that left', async (t) => {
  const { listener, asked, closed, address } = await startListener(t);
  const client = await dialled(t, address);
  client.socket.send(1, put(new Uint8Array(1_000)));
  client.socket.send(2, get('b'));
  await until('both are asked', () => asked.length === 2);
  const sink = asked[0]?.sink;
  sink?.reply(1, done);
  sink?.reply(1, done);
  sink?.reply(77, done);
  await until('it is answered', () => client.responses.length === 1);
  client.socket.close();
  await until('the replica is told', () => closed.length === 1);
  t.equal(closed[0], sink);
  sink?.reply(2, done);
  t.match(listener.stats(), { connections: 0, unansweredRequests: 0, unansweredBytes: 0, bufferedBytes: 0 });
  await turn();
  t.equal(client.responses.length, 1);
  t.equal(client.errors.length, 0, 'nothing is said after the client itself closed');
});

test('watches and what they are told travel with requests and answers, in order', async (t) => {
  const { listener, asked, watching, unwatched, url, address } = await startListener(t);
  const client = await dialled(t, address);
  client.socket.watch(5, watchA);
  client.socket.send(1, get('a'));
  client.socket.watch(6, { ...watchA, fromRevision: 0 });
  await until('both watch', () => watching.length === 2);
  t.strictSame(watching[0]?.request, watchA);
  t.equal(asked.length, 1);
  t.equal(listener.stats().watches, 2);
  const sink = watching[0]?.sink;
  t.equal(sink, asked[0]?.sink, 'one sink for all of a connection');
  sink?.tell(5, { type: 'created', revision: 6 });
  sink?.tell(5, eventsOf(100));
  asked[0]?.sink.reply(1, done);
  sink?.tell(5, { type: 'progress', revision: 9, behind: true });
  await until('all is told', () => client.told.length === 3 && client.responses.length === 1);
  t.strictSame(client.told, [
    [5, { type: 'created', revision: 6 }],
    [5, eventsOf(100)],
    [5, { type: 'progress', revision: 9, behind: true }],
  ]);

  const raw = await Stranger.open(t, url);
  raw.ws.send(Buffer.concat([helloBytes(), encodeWatch(1, watchA), encodeRequest(1, get('k'))]));
  await until('it watches and is welcome', () => watching.length === 3 && raw.received.length === 1);
  watching[2]?.sink.tell(1, { type: 'created', revision: 6 });
  asked[1]?.sink.reply(1, done);
  watching[2]?.sink.tell(1, eventsOf(10));
  await until('there is something', () => raw.received.length > 1);
  await turn();
  t.equal(raw.received.length, 2, 'three items, one ws message');

  client.socket.unwatch(5);
  client.socket.unwatch(99);
  client.socket.unwatch(6);
  await until('they are given up', () => unwatched.length === 2);
  t.strictSame(unwatched, [5, 6], 'what was never there is not asked of the replica');
  sink?.tell(5, eventsOf(1));
  client.socket.watch(5, watchA);
  await until('the id is used again', () => watching.length === 4);
  sink?.tell(5, { type: 'created', revision: 8 });
  await until('it is told', () => client.told.length === 4);
  t.strictSame(client.told[3], [5, { type: 'created', revision: 8 }], 'and nothing between');
});

test('a watch that has ended frees its place; one more than may be is ended at once', async (t) => {
  const { listener, watching, unwatched, closed, address } = await startListener(t, { watchesMax: 2 });
  const client = await dialled(t, address);
  for (const id of [1, 2, 3]) client.socket.watch(id, watchA);
  await until('one is refused', () => client.told.length === 1);
  t.match(client.told, [[3, { type: 'ended', code: 'KVD_OVERLOADED', resumeRevision: 7 }]]);
  t.strictSame(
    watching.map(({ watchId }) => watchId),
    [1, 2],
  );
  const sink = watching[0]?.sink;
  sink?.tell(1, { type: 'ended', code: 'KVD_COMPACTED', message: 'restart at 9', resumeRevision: 9 });
  sink?.tell(1, eventsOf(1));
  await until('it is told', () => client.told.length === 2);
  client.socket.unwatch(1);
  client.socket.watch(1, watchA);
  await until('there is room', () => watching.length === 3);
  t.strictSame(unwatched, [], 'it had ended before');
  client.socket.close();
  await until('the replica is told', () => closed.length === 1);
  t.equal(closed[0], sink);
  sink?.tell(2, eventsOf(1));
  t.match(listener.stats(), { watches: 0, bufferedBytes: 0 });
  await turn();
  t.equal(client.told.length, 2);
});

test('the largest event goes through; what waits to be read can be seen, and has a bound of its own', async (t) => {
  const { watching, log, closed, url, address } = await startListener(t, { bufferedHardBytes: 4 * MIB });
  const client = await dialled(t, address);
  client.socket.watch(1, watchA);
  await until('it watches', () => watching.length === 1);
  const entry = { ...largeEntry(MIB), key: new Uint8Array(4 * KIB) };
  const largest: WatchMessage = {
    type: 'events',
    previous: 1,
    revision: 7,
    more: false,
    events: [{ type: 'put', entry, previous: entry }],
  };
  watching[0]?.sink.tell(1, largest);
  await until('it is told', () => client.told.length === 1);
  t.strictSame(client.told[0], [1, largest]);
  t.equal(client.errors.length, 0);

  const deaf = await Stranger.open(t, url);
  deaf.ws.send(Buffer.concat([helloBytes(), encodeWatch(1, watchA)]));
  await until('it watches', () => watching.length === 2);
  deaf.ws.pause();
  const sink = watching[1]?.sink;
  t.ok((sink?.bufferedBytes ?? 0) < KIB);
  let sent = 0;
  // Whoever tells should have stopped long before; a client must not cost more than this even then.
  for (; sent < 1_000 && closed.length === 0; sent += 1) {
    sink?.tell(1, eventsOf(MIB));
    await turn();
  }
  t.ok(sent < 100, `cut after ${sent} MiB`);
  t.match(log.named('client-cut')[0]?.fields['reason'], /bytes of answers unread/);
  t.equal(client.errors.length, 0, 'the other one goes on');
});

test('clients are told when leader or members change', async (t) => {
  const { listener, state, address } = await startListener(t);
  const clients = [await dialled(t, address), await dialled(t, address)];
  state.leaderId = 3;
  listener.broadcastWelcome();
  await until('all know', () => clients.every(({ welcomes }) => welcomes[1]?.leaderId === 3));
  t.pass('they know');
});

test('who does not speak the protocol is told why, with a code, and let go; the others go on', async (t) => {
  const { log, asked, address, url } = await startListener(t);
  const other = await dialled(t, address);
  const helloAnd = (...bytes: Uint8Array[]) => Buffer.concat([helloBytes(), ...bytes]);
  const cases = [
    ['another version', Buffer.from('930102c0', 'hex'), 'KVD_PROTOCOL_VERSION', 4001],
    ['another cluster', helloBytes(incarnation('d')), 'KVD_WRONG_CLUSTER', 4002],
    ['random bytes', Buffer.from('c1c1c1', 'hex'), 'KVD_BAD_FRAME', 4005],
    ['a text', 'hello', 'KVD_BAD_FRAME', 4005],
    ['a request before the hello', encodeRequest(1, get('a')), 'KVD_BAD_FRAME', 4005],
    ['a second hello', helloAnd(helloBytes()), 'KVD_BAD_FRAME', 4005],
    ['an array of gigabytes', helloAnd(Buffer.from('930201ddffffffff', 'hex')), 'KVD_BAD_FRAME', 4005],
    ['a map', helloAnd(Buffer.from('8102', 'hex')), 'KVD_BAD_FRAME', 4005],
    ['a watch before the hello', encodeWatch(1, watchA), 'KVD_BAD_FRAME', 4005],
    ['an unwatch before the hello', encodeUnwatch(1), 'KVD_BAD_FRAME', 4005],
    [
      'a watch id twice',
      helloAnd(encodeWatch(1, watchA), encodeWatch(1, { ...watchA, fromRevision: 9 })),
      'KVD_BAD_FRAME',
      4005,
    ],
    [
      'a request id twice',
      helloAnd(encodeRequest(1, get('a')), encodeRequest(1, get('a'))),
      'KVD_BAD_FRAME',
      4005,
    ],
  ] as const;
  for (const [what, bytes, code, closeCode] of cases) {
    const stranger = await Stranger.open(t, url);
    stranger.ws.send(bytes);
    t.equal((await stranger.ended()).code, closeCode, what);
    t.equal(lastError(stranger), code, what);
  }
  const huge = await Stranger.open(t, url);
  huge.ws.send(new Uint8Array(2.5 * MIB + 1));
  t.equal((await huge.ended()).code, 1009, 'a message above the bound');
  const pieces = await Stranger.open(t, url);
  pieces.ws.send(helloBytes().subarray(0, 3), { fin: false });
  pieces.ws.send(helloBytes().subarray(3), { fin: true });
  t.equal((await pieces.ended()).code, 1008, 'a message in pieces');
  t.equal(log.named('client-refused').length, 1, 'within a second they share a line');
  const before = asked.length;
  other.socket.send(1, get('a'));
  await until('the other is served', () => asked.length === before + 1);
});

/** The code of the error item (request id 0) that came last. */
function lastError(stranger: Stranger): string {
  let code = '';
  for (const frame of stranger.received) {
    const client = {
      onWelcome: () => {},
      onWatchMessage: () => {},
      onResponse: (id: number, r: Response) => (code = codeOf(id, r)),
    };
    decodeServerFrame(frame, client);
  }
  return code;
}

const codeOf = (id: number, response: Response): string =>
  id === 0 && response.type === 'error' ? response.code : '';

test('a request that is no good is answered with its error, and the others of its message are served', async (t) => {
  const { asked, url } = await startListener(t, {}, ({ sink, requestId }) => sink.reply(requestId, done));
  const client = await Stranger.open(t, url);
  const emptyKey = Buffer.from('93020995020501c40000', 'hex');
  client.ws.send(
    Buffer.concat([helloBytes(), encodeRequest(1, get('a')), emptyKey, encodeRequest(2, get('b'))]),
  );
  await until('there are answers', () => client.received.length === 1);
  const answers: [number, string][] = [];
  decodeServerFrame(client.received[0] ?? new Uint8Array(), {
    onWelcome: () => {},
    onWatchMessage: () => {},
    onResponse: (id, response) =>
      answers.push([id, response.type === 'error' ? response.code : response.type]),
  });
  t.strictSame(answers, [
    [1, 'result'],
    [9, 'KVD_BAD_REQUEST'],
    [2, 'result'],
  ]);
  t.equal(asked.length, 2);
  t.equal(client.closed, null);
});

test('no hello, half a message, no sign of life: each ends in bounded time', async (t) => {
  const limits = { handshakeMs: 60, tickMs: 20, pingAfterMs: 40, silentMaxMs: 200 };
  const { listener, closed, url, address, log } = await startListener(t, limits);
  const mute = await Stranger.open(t, url);
  t.equal((await mute.ended()).code, 4007);
  const half = await bareUpgraded(t, address, '/client');
  half.write(clientFrame(helloBytes()));
  half.write(clientFrame(new Uint8Array(100), 10_000));
  const trickle = setInterval(() => half.write(Uint8Array.of(0)), 5);
  await until('it is given up, trickle or not', () => closed.length === 2);
  clearInterval(trickle);
  t.match(log.named('client-cut')[0]?.fields, { client: 'test', reason: /nothing whole heard for 200 ms/ });
  const idle = await dialled(t, address);
  const pinged = await Stranger.open(t, url);
  let pings = 0;
  pinged.ws.on('ping', () => (pings += 1));
  pinged.ws.send(helloBytes());
  await until('both were asked often', () => pings > 15);
  t.equal(listener.stats().connections, 2, 'who answers pings may idle');
  t.equal(idle.errors.length, 0);
});

test('half-sent messages of many clients together are bounded', async (t) => {
  const limits = { tickMs: 20, pingAfterMs: 60_000, silentMaxMs: 60_000, unfinishedBytesMax: 3 * MIB };
  const { listener, address, log } = await startListener(t, limits);
  const senders = [];
  for (let i = 0; i < 5; i += 1) {
    const sender = await bareUpgraded(t, address, '/client');
    sender.write(clientFrame(helloBytes()));
    senders.push(sender);
  }
  await until('all are in', () => listener.stats().connections === 5);
  for (const sender of senders) sender.write(clientFrame(new Uint8Array(MIB), 2 * MIB));
  await until('the excess is cut', () => listener.stats().connections <= 3);
  t.match(log.named('client-cut')[0]?.fields['reason'], /too many unfinished messages/);
  await turn();
  t.ok(listener.stats().connections >= 2, 'and no more than that');
});

test('a client that asks and never reads is held back, then told so, then cut; memory stays bounded', async (t) => {
  const limits = {
    bufferedSoftBytes: 256 * KIB,
    bufferedHardBytes: 4 * MIB,
    tickMs: 20,
    pingAfterMs: 100,
    silentMaxMs: 400,
    requestsMax: 100_000,
  };
  let most = 0;
  const { listener, closed, asked, address, log } = await startListener(t, limits, ({ sink, requestId }) => {
    sink.reply(requestId, entryOf(256 * KIB));
    most = Math.max(most, listener.stats().bufferedBytes);
  });
  const deaf = await bareUpgraded(t, address, '/client');
  deaf.pause();
  deaf.write(clientFrame(helloBytes()));
  for (let message = 0; message < 20; message += 1) {
    const requests = Array.from({ length: 100 }, (_, i) => encodeRequest(message * 100 + i + 1, get('k')));
    deaf.write(clientFrame(Buffer.concat(requests)));
    await turn();
  }
  await until('it is cut', () => closed.length === 1);
  t.match(log.named('client-cut')[0]?.fields['reason'], /has not read for 400 ms/);
  t.ok(asked.length < 2_000, `${asked.length} of 2000 were read from it`);
  t.ok(most < 2 * limits.bufferedHardBytes, `${most} bytes waited at most`);
  t.equal(listener.stats().bufferedBytes, 0);
});

test('a client that reads late gets what it can, and KVD_OVERLOADED for the rest', async (t) => {
  const limits = { bufferedSoftBytes: 256 * KIB, bufferedHardBytes: 2 * MIB };
  const { asked, url } = await startListener(t, limits, ({ sink, requestId, request }) => {
    sink.reply(requestId, request.type === 'get' ? entryOf(512 * KIB) : done);
  });
  const slow = await Stranger.open(t, url);
  slow.ws.send(helloBytes());
  await until('it is welcome', () => slow.received.length === 1);
  slow.ws.pause();
  const requests = Array.from({ length: 40 }, (_, i) =>
    encodeRequest(i + 1, i % 2 === 0 ? get('k') : put(utf8('v'))),
  );
  slow.ws.send(Buffer.concat(requests));
  await until('all are asked', () => asked.length === 40);
  slow.ws.resume();
  const kinds = new Map<string, number>();
  const count = (kind: string) => kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  const answered = (): number => [...kinds.values()].reduce((a, b) => a + b, 0);
  await until('all are answered', () => {
    for (const frame of slow.received.splice(0)) {
      decodeServerFrame(frame, {
        onWelcome: () => {},
        onWatchMessage: () => {},
        onResponse: (_, response) => count(response.type === 'error' ? response.code : response.type),
      });
    }
    return answered() === 40;
  });
  t.equal(kinds.get('result'), 20, 'no result of a mutation is lost');
  t.ok((kinds.get('entry') ?? 0) >= 3 && (kinds.get('KVD_OVERLOADED') ?? 0) > 0, JSON.stringify([...kinds]));
  slow.ws.send(encodeRequest(99, get('k')));
  await until('it is served again', () => slow.received.length === 1);
});

test('a flood of small answers is cut too, once the replica is done with answering', async (t) => {
  const order: string[] = [];
  const { asked, closed, log, address } = await startListener(t, { bufferedHardBytes: 10 * KIB });
  const client = await dialled(t, address);
  for (let id = 1; id <= 5_000; id += 1) client.socket.send(id, put(utf8('v')));
  await until('all are asked', () => asked.length === 5_000);
  for (const { sink, requestId } of asked) {
    sink.reply(requestId, done);
    if (closed.length > 0) order.push('told in the middle');
  }
  await until('it is cut', () => closed.length === 1);
  t.strictSame(order, []);
  t.match(log.named('client-cut')[0]?.fields['reason'], /bytes of answers unread/);
});

test('unanswered requests are bounded by number and by bytes, of one connection and of all', async (t) => {
  const overloaded = async (limits: Partial<ClientListenerLimits>, ...requests: Request[]) => {
    const { listener, asked, address } = await startListener(t, limits);
    const client = await dialled(t, address);
    requests.forEach((request, i) => client.socket.send(i + 1, request));
    await until('one is refused', () => client.responses.length === 1);
    t.match(client.responses, [
      [requests.length, { type: 'error', code: 'KVD_OVERLOADED', outcome: 'not-done' }],
    ]);
    for (const { sink, requestId } of asked) sink.reply(requestId, done);
    client.socket.send(100, put(new Uint8Array(500)));
    await until('there is room again', () => asked.length === requests.length);
    t.equal(listener.stats().unansweredBytes, 500 + 11);
  };
  await overloaded({ requestsMax: 3 }, get('a'), get('b'), get('c'), get('d'));
  await overloaded(
    { requestBytesMax: 1_200 },
    put(new Uint8Array(500)),
    put(new Uint8Array(500)),
    put(new Uint8Array(500)),
  );
  await overloaded(
    { allRequestBytesMax: 1_200 },
    put(new Uint8Array(500)),
    put(new Uint8Array(500)),
    put(new Uint8Array(500)),
  );
});

test('a thousand idle clients are served, one more than may be is refused', async (t) => {
  const { listener, asked, state, address } = await startListener(t, { connectionsMax: 1_000 });
  const clients = Array.from({ length: 1_000 }, () => dial(t, address, { handshakeTimeoutMs: 15_000 }));
  await until('all are welcome', () => clients.every(({ welcomes }) => welcomes.length === 1));
  t.equal(listener.stats().connections, 1_000);
  const oneMore = dial(t, address);
  await until('it is refused', () => oneMore.errors.length === 1);
  t.match(oneMore.errors[0], { code: 'KVD_OVERLOADED', message: /answered 503/ });
  state.leaderId = 2;
  listener.broadcastWelcome();
  await until('all know the new leader', () => clients.every(({ welcomes }) => welcomes[1]?.leaderId === 2));
  clients[999]?.socket.send(1, get('a'));
  await until('one of them is served', () => asked.length === 1);
  for (const { socket } of clients) socket.close();
  await until('all are gone', () => listener.stats().connections === 0);
});

test('a listener that closes says so, and takes no more', async (t) => {
  const { listener, asked, address } = await startListener(t);
  const client = await dialled(t, address);
  client.socket.send(1, get('a'));
  await until('it is asked', () => asked.length === 1);
  asked[0]?.sink.reply(1, done);
  listener.close();
  await until('the client knows', () => client.errors.length === 1);
  t.strictSame(client.responses, [[1, done]], 'what was answered before is sent');
  t.match(client.errors[0], { code: 'KVD_UNAVAILABLE', message: /closed the connection \(1001 stopping\)/ });
  const late = dial(t, address);
  await until('it is refused', () => late.errors.length === 1);
  t.equal(late.errors[0]?.code, 'KVD_OVERLOADED');
});

test('a client socket says once why it could not connect', async (t) => {
  const gone = await listen(t, () => {});
  await gone.kill();
  const garbage = new WebSocketServer({ noServer: true });
  const talker = await listen(t, (request, socket, head) => {
    garbage.handleUpgrade(request, socket, head, (ws) => ws.send(request.url === '/client' ? 'text' : ''));
  });
  const silent = await listen(t, (request, socket, head) =>
    garbage.handleUpgrade(request, socket, head, () => {}),
  );
  const { address } = await startListener(t);
  const cases = [
    [dial(t, gone.address), 'KVD_UNAVAILABLE', /ECONNREFUSED/],
    [dial(t, 'not an address'), 'KVD_BAD_REQUEST', /is no address/],
    [dial(t, talker.address), 'KVD_BAD_FRAME', /a text message/],
    [dial(t, silent.address, { handshakeTimeoutMs: 100 }), 'KVD_UNAVAILABLE', /did not answer in 100 ms/],
    [dial(t, address, { clusterId: incarnation('d') }), 'KVD_WRONG_CLUSTER', /cluster c+, not d+/],
  ] as const;
  t.ok(
    cases.every(([client]) => client.errors.length === 0),
    'not before the constructor returned',
  );
  for (const [client, code, message] of cases) {
    await until('it ended', () => client.errors.length === 1);
    t.match(client.errors[0], { code, message });
    client.socket.send(1, get('a'));
    t.equal(client.socket.bufferedAmount, 0);
  }
  await turn();
  t.ok(cases.every(([client]) => client.errors.length === 1));
});
