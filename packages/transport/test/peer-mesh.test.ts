import { type Test, test } from 'tap';
import { type WebSocket, WebSocketServer } from 'ws';
import { DEFAULT_PEER_LIMITS } from '../src/index.js';
import {
  bareUpgraded,
  clientFrame,
  hello,
  incarnation,
  listen,
  type Node,
  startNode,
  Stranger,
  turn,
  until,
} from './harness.js';

const peersOf = (...nodes: Node[]) => nodes.map(({ id, address }) => ({ id, address }));

async function pair(t: Test, options: Parameters<typeof startNode>[2] = {}): Promise<[Node, Node]> {
  const a = await startNode(t, 1, options);
  const b = await startNode(t, 2, options);
  for (const node of [a, b]) node.mesh.setPeers(peersOf(a, b));
  await until('both send', () => [a, b].every((node) => node.mesh.stats().every((peer) => peer.connected)));
  return [a, b];
}

const stats = (node: Node) => {
  const [peer] = node.mesh.stats();
  if (peer === undefined) throw new Error('no peer');
  return peer;
};

/** A connection on which `bytes` is the first message. */
async function stranger(t: Test, node: Node, bytes: Uint8Array): Promise<Stranger> {
  const opened = await Stranger.open(t, `ws://${node.address}/peer`);
  opened.ws.send(bytes);
  return opened;
}

/** A peer with id 2 that shakes hands and then does what the test wants. */
async function fakePeer(t: Test, onConnection: (ws: WebSocket) => void) {
  const server = new WebSocketServer({ noServer: true });
  return listen(t, (request, socket, head) => {
    server.handleUpgrade(request, socket, head, onConnection);
  });
}

test('replicas find each other, and what is sent in one turn arrives as one ws message, in order', async (t) => {
  const [a, b] = await pair(t);
  t.strictSame([a.told.links, b.told.links], [['+22'], ['+11']]);
  const sent = Array.from({ length: 100 }, (_, i) => Uint8Array.of(0x91, i));
  for (const bytes of sent) t.equal(a.mesh.send(2, bytes), true);
  await until('b has them', () => b.told.frames.length > 0);
  t.strictSame(
    b.told.frames.map((f) => [f.from, Buffer.from(f.bytes)]),
    [[1, Buffer.concat(sent)]],
  );
  const { framesSent, messagesSent, bytesSent } = stats(a);
  t.strictSame({ framesSent, messagesSent, bytesSent }, { framesSent: 1, messagesSent: 100, bytesSent: 200 });
  t.equal(stats(b).framesReceived, 1);
});

test('a large message goes alone, and order is kept round it', async (t) => {
  const [a, b] = await pair(t);
  const large = new Uint8Array(3_000_000).fill(1);
  for (const bytes of [Uint8Array.of(0), large, Uint8Array.of(2), Uint8Array.of(3)]) a.mesh.send(2, bytes);
  await until('b has them', () => b.told.frames.length === 3);
  t.strictSame(
    b.told.frames.map((f) => [f.bytes.length, f.bytes[0]]),
    [
      [1, 0],
      [3_000_000, 1],
      [2, 2],
    ],
  );
  t.equal(a.mesh.send(2, new Uint8Array(4 * 1024 * 1024 + 1)), false, 'too large to be sent at all');
  t.equal(a.mesh.send(3, Uint8Array.of(1)), false, 'to nobody');
});

test('a peer that knows the same members at other addresses is welcome', async (t) => {
  const node = await startNode(t, 1, { founding: '1=h:1,2=h:2' });
  const stranger = await Stranger.open(t, `ws://${node.address}/peer`);
  stranger.ws.send(hello(2, { founding: '2=moved:2,1=moved:1' }));
  await until('it is a peer', () => node.told.links.length === 1);
});

test('a handshake that does not fit is refused with a code, a reason and one line in the log', async (t) => {
  const clusterId = incarnation('c');
  const founding = '1=h:1,2=h:2';
  const node = await startNode(t, 1, { clusterId, founding });
  const cases = [
    ['another cluster', hello(2, { clusterId: incarnation('d') }), 4002, /belongs to cluster d+, not c+/],
    ['another founding list', hello(2, { founding: '1=h:1,3=h:3' }), 4003, /was founded with 1=h:1,3=h:3/],
    ['a second process with our id', hello(1, { incarnation: incarnation('e') }), 4004, /a second replica 1/],
    ['ourselves', hello(1), 4004, /dialled by itself/],
    [
      'another protocol version',
      Buffer.from('930002c0', 'hex'),
      4001,
      /protocol version 2 is spoken there, 1 here/,
    ],
    ['garbage', Buffer.from('ffff', 'hex'), 4005, /an array expected/],
  ] as const;
  for (const [what, bytes, code, reason] of cases) {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const stranger = await Stranger.open(t, `ws://${node.address}/peer`);
      stranger.ws.send(bytes);
      const ended = await stranger.ended();
      t.equal(ended.code, code, what);
      t.match(ended.reason, reason, what);
    }
  }
  const lines = node.log.named('peer-refused');
  t.equal(lines.length, cases.length, 'three attempts, one line');
  t.ok(lines.every((line) => line.level === 'error'));
  t.strictSame(node.told.links, []);
});

test('an unknown cluster or founding list fits any', async (t) => {
  const a = await startNode(t, 1, { clusterId: incarnation('c'), founding: '1=h:1,2=h:2' });
  const b = await startNode(t, 2);
  for (const node of [a, b]) node.mesh.setPeers(peersOf(a, b));
  await until('both send', () => stats(a).connected && stats(b).connected);
  b.mesh.setCluster(incarnation('c'));
  await turn();
  t.ok(stats(b).connected, 'it is the same cluster');
  b.mesh.setCluster(incarnation('d'));
  await until('they part', () => !stats(a).connected && !stats(b).connected);
  t.strictSame(b.told.links, ['+11', '-11']);
});

test('a peer that answers with another id than the one dialled is left again', async (t) => {
  const a = await startNode(t, 1);
  const b = await startNode(t, 2);
  a.mesh.setPeers([{ id: 3, address: b.address }]);
  await until('it is logged', () => a.log.named('peer-refused').length === 1);
  t.match(a.log.named('peer-refused')[0]?.fields['reason'], /replica 2 answers where 3 was dialled/);
  t.equal(stats(a).connected, false);
});

test('garbage from a peer closes its connection, and the others go on', async (t) => {
  const [a, b] = await pair(t);
  const stranger = await Stranger.open(t, `ws://${a.address}/peer`);
  stranger.ws.send(hello(7));
  await until('it is a peer', () => a.told.links.includes('+77'));
  stranger.ws.send(Uint8Array.of(0xff));
  t.equal((await stranger.ended()).code, 4005);
  t.ok(a.told.links.includes('-77'));
  const text = await Stranger.open(t, `ws://${a.address}/peer`);
  text.ws.send('hello');
  t.equal((await text.ended()).code, 4005, 'a text message');
  const huge = await Stranger.open(t, `ws://${a.address}/peer`);
  huge.ws.send(new Uint8Array(4 * 1024 * 1024 + 1));
  t.equal((await huge.ended()).code, 1009, 'a message above the bound');
  t.equal(a.log.named('peer-refused').length, 2);
  b.mesh.send(1, Uint8Array.of(5));
  await until('b is heard', () => a.told.frames.length === 1);
});

test('a peer that closes each connection at once is dialled with growing pauses', async (t) => {
  let dials = 0;
  const garbage = await fakePeer(t, (ws) => {
    dials += 1;
    ws.on('message', () => ws.send(Uint8Array.of(0xff)));
  });
  const startedMs = performance.now();
  const limits = { backoffMinMs: 5, backoffMaxMs: 80 };
  const node = await startNode(t, 1, { limits, random: () => 1 });
  node.mesh.setPeers([{ id: 2, address: garbage.address }]);
  await until('it was dialled often', () => dials === 8);
  // 5 + 10 + 20 + 40 + 80 + 80 + 80 ms
  t.ok(performance.now() - startedMs > 300, 'the pauses grew, up to their bound');
  t.equal(node.log.named('peer-refused').length, 1);
});

test('a peer that never says hello, and one that stops in the middle of it, are cut', async (t) => {
  const limits = { handshakeMs: 50, tickMs: 20, pingAfterMs: 20, silentMaxMs: 200 };
  const node = await startNode(t, 1, { limits });
  const mute = await Stranger.open(t, `ws://${node.address}/peer`);
  t.equal((await mute.ended()).code, 4007);
  const half = await bareUpgraded(t, node.address, '/peer');
  half.write(clientFrame(hello(2).subarray(0, 5), 40));
  await until('it is cut', () => half.closed || half.readableEnded);
  t.strictSame(node.told.links, []);
});

test('a half-sent message and a half-open connection end in bounded time', async (t) => {
  const limits = { tickMs: 20, pingAfterMs: 20, silentMaxMs: 200 };
  const node = await startNode(t, 1, { limits });
  const half = await bareUpgraded(t, node.address, '/peer');
  half.write(clientFrame(hello(2)));
  await until('it is a peer', () => node.told.links.includes('+22'));
  half.write(clientFrame(new Uint8Array(10), 1_000));
  const trickle = setInterval(() => half.write(Uint8Array.of(0)), 10);
  await until('it is given up, trickle or not', () => node.told.links.includes('-22'));
  clearInterval(trickle);
  const silent = await bareUpgraded(t, node.address, '/peer');
  silent.write(clientFrame(hello(3)));
  await until('the silent one is given up', () => node.told.links.includes('-33'));
  t.match(node.log.named('peer-silent')[0]?.fields, { peer: 2, reason: /nothing whole heard for 200 ms/ });
  const alive = await Stranger.open(t, `ws://${node.address}/peer`);
  alive.ws.send(hello(4));
  let pings = 0;
  alive.ws.on('ping', () => (pings += 1));
  await until('it was asked for many signs of life', () => pings > 20);
  t.equal(alive.closed, null, 'who answers pings stays');
});

test('a killed peer is known as gone at once, and back as soon as it is there', async (t) => {
  const [a, b] = await pair(t);
  b.mesh.close();
  await b.server.kill();
  await until('a knows', () => a.told.links.includes('-22') && !stats(a).connected);
  t.equal(a.mesh.send(2, Uint8Array.of(1)), false);
  const again = await startNode(
    t,
    2,
    { identity: { replicaId: 2, incarnation: incarnation('2') } },
    b.server.port,
  );
  again.mesh.setPeers(peersOf(a, again));
  await until('a sends again', () => stats(a).connected && stats(again).connected);
  t.equal(a.mesh.send(2, Uint8Array.of(1)), true);
  await until('it arrives', () => again.told.frames.length === 1);
});

test('a peer that dials us is dialled at once, whatever pause was left', async (t) => {
  const limits = { backoffMinMs: 600_000, backoffMaxMs: 600_000 };
  const a = await startNode(t, 1, { limits });
  const gone = await startNode(t, 2);
  gone.mesh.close();
  await gone.server.kill();
  a.mesh.setPeers([{ id: 2, address: gone.address }]);
  await until('a has failed', () => a.log.named('peer-unreachable').length === 1);
  const b = await startNode(t, 2, {}, gone.server.port);
  b.mesh.setPeers(peersOf(a, b));
  await until('a sends', () => stats(a).connected);
  t.pass('ten minutes before its time');
});

test('the newest connection of an incarnation takes the place of an older one', async (t) => {
  const node = await startNode(t, 1);
  const first = await stranger(t, node, hello(2));
  await until('the first is in', () => node.told.links.length === 1);
  const second = await stranger(t, node, hello(2));
  t.equal((await first.ended()).code, 4006);
  t.strictSame(node.told.links, ['+22', '-22', '+22']);
  first.ws.terminate();
  second.ws.close();
  await until('the second is out', () => node.told.links.length === 4);
  t.equal(node.told.links[3], '-22');
});

test('two processes with the same id are connected at once, and both are heard', async (t) => {
  const [a, b] = await pair(t);
  const elsewhere = await startNode(t, 2, { identity: { replicaId: 2, incarnation: incarnation('b') } });
  elsewhere.mesh.setPeers(peersOf(a));
  await until('a knows of both', () => a.told.links.length === 2);
  t.strictSame(a.told.links, ['+22', '+2b']);
  t.equal(a.log.named('peer-other-incarnation').length, 1);
  await until('each can send to it', () => stats(b).connected && stats(elsewhere).connected);
  b.mesh.send(1, Uint8Array.of(1));
  elsewhere.mesh.send(1, Uint8Array.of(2));
  await until('a has both frames', () => a.told.frames.length === 2);
  t.strictSame(a.told.frames.map((frame) => frame.incarnation).sort(), [incarnation('2'), incarnation('b')]);
  t.match(stats(a), { incoming: true, framesReceived: 2, connected: true }, 'the one link is left alone');
  a.mesh.send(2, Uint8Array.of(3));
  await until('it goes where setPeers said', () => b.told.frames.length === 1);
  t.equal(elsewhere.told.frames.length, 0);

  elsewhere.mesh.close();
  await until('the second is gone', () => a.told.links.includes('-2b'));
  t.strictSame(a.told.links, ['+22', '+2b', '-2b'], 'and the first is not');
});

test('a peer that was named with another address is dialled there', async (t) => {
  const [a, b] = await pair(t);
  const moved = await startNode(t, 2, { identity: { replicaId: 2, incarnation: incarnation('b') } });
  a.mesh.setPeers(peersOf(a, moved));
  await until('the old connection is left', () => b.told.links.includes('-11'));
  await until('the new one stands', () => stats(a).connected);
  t.equal(stats(a).address, moved.address);
  a.mesh.send(2, Uint8Array.of(7));
  await until('it arrives there', () => moved.told.frames.length === 1);
  t.equal(b.told.frames.length, 0);
});

test('strangers are heard, but only so many; peers always', async (t) => {
  const node = await startNode(t, 1, { limits: { strangersMax: 2 } });
  node.mesh.setPeers([{ id: 2, address: '127.0.0.1:1' }]);
  const fourth = await stranger(t, node, hello(4));
  await until('one is in', () => node.told.links.length === 1);
  await stranger(t, node, hello(5));
  await until('both are in', () => node.told.links.length === 2);
  node.mesh.setPeers([2, 4, 5].map((id) => ({ id, address: '127.0.0.1:1' })));
  const reason = /is one stranger too many; 2 are connected/;
  t.match(await (await stranger(t, node, hello(6))).ended(), { code: 4008, reason });
  await stranger(t, node, hello(2));
  await until('a peer is in', () => node.told.links.length === 3);
  const second = hello(2, { incarnation: incarnation('b') });
  t.match(await (await stranger(t, node, second)).ended(), { code: 4008, reason }, 'a second one of its id');
  await stranger(t, node, hello(5));
  await until('a stranger that comes again is let in', () => node.told.links.length === 5);
  t.strictSame(node.told.links, ['+44', '+55', '+22', '-55', '+55']);
  fourth.ws.close();
  await until('one is out', () => node.told.links.length === 6);
  await stranger(t, node, second);
  await until('there is room again', () => node.told.links.includes('+2b'));
});

test('a peer that does not read costs a bounded amount of memory; what is too much is dropped', async (t) => {
  const deaf = await fakePeer(t, (ws) => {
    ws.once('message', () => {
      ws.send(hello(2));
      ws.pause();
    });
  });
  const bufferedBytesMax = 1024 * 1024;
  const node = await startNode(t, 1, { limits: { bufferedBytesMax } });
  node.mesh.setPeers([{ id: 2, address: deaf.address }]);
  await until('the link is up', () => stats(node).connected);
  const message = new Uint8Array(100_000);
  let dropped = 0;
  for (let i = 0; i < 500; i += 1) {
    if (!node.mesh.send(2, message)) dropped += 1;
    if (i % 50 === 0) await turn();
  }
  const { droppedFull, bufferedBytes, messagesSent } = stats(node);
  t.ok(bufferedBytes <= bufferedBytesMax, `${bufferedBytes} bytes wait`);
  t.ok(dropped > 100, `${dropped} dropped`);
  t.strictSame([droppedFull, messagesSent], [dropped, 500 - dropped]);
  t.equal(node.log.named('peer-link-full').length, 1, 'logged once, not for each');
});

test('connections from strangers are bounded', async (t) => {
  const node = await startNode(t, 1, { limits: { incomingMax: 2, handshakeMs: 60_000 } });
  await Stranger.open(t, `ws://${node.address}/peer`);
  await Stranger.open(t, `ws://${node.address}/peer`);
  const third = new Stranger(t, `ws://${node.address}/peer`);
  await until('it has an answer', () => third.status !== 0);
  t.equal(third.status, 503);
});

test('peers that are no longer named are left, moved ones are dialled anew, impossible addresses do no harm', async (t) => {
  const [a, b] = await pair(t);
  const c = await startNode(t, 3);
  a.mesh.setPeers([...peersOf(a, c), { id: 4, address: 'not an address' }]);
  await until('a sends to c', () => a.mesh.stats().some((peer) => peer.id === 3 && peer.connected));
  await until('b is told', () => b.told.links.includes('-11'));
  t.strictSame(
    a.mesh.stats().map((peer) => peer.id),
    [3, 4],
  );
  t.equal(a.log.named('peer-address-invalid').length, 1);
  a.mesh.setPeers([{ id: 3, address: b.address }]);
  await until('it is another replica there', () => a.log.named('peer-refused').length === 1);
});

test('a closed mesh sends what it has, then says and does nothing', async (t) => {
  const [a, b] = await pair(t, { limits: { ...DEFAULT_PEER_LIMITS } });
  a.mesh.send(2, Uint8Array.of(9));
  a.mesh.close();
  const links = a.told.links.length;
  await until(
    'b has the last message, and knows',
    () => b.told.frames.length === 1 && b.told.links.includes('-11'),
  );
  t.equal(a.mesh.send(2, Uint8Array.of(9)), false);
  a.mesh.setPeers(peersOf(a, b));
  const late = new Stranger(t, `ws://${a.address}/peer`);
  await until('it is refused', () => late.status === 503);
  t.equal(a.told.links.length, links);
});
