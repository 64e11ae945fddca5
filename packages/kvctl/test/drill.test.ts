/** The parts of drills without a cluster: the proxies of links, what clients make of answers, measures, reports. */
import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkHistory, type History } from '@kvd/checker';
import t, { type Test } from 'tap';
import { FaithfulClient } from '../src/drill/drill-client.js';
import { LinkProxy } from '../src/drill/link-proxy.js';
import { Load } from '../src/drill/load.js';
import { Network } from '../src/drill/network.js';
import { pick, seededRandom } from '../src/drill/random.js';
import { reportPage } from '../src/drill/report-html.js';
import { resultText, summaryText } from '../src/drill/report-text.js';
import { type DrillResult, type FinishedDrill, resultLine } from '../src/drill/result.js';
import { SHARED_KEYS, Workload } from '../src/drill/workload.js';

const PEER = 'GET /peer HTTP/1.1\r\n';
const CLIENT = 'GET /client HTTP/1.1\r\n';

t.test('a link that is held lets nothing through and loses nothing', async (t) => {
  const { proxy, target } = await startLink(t);
  const near = await dial(t, proxy);
  near.write(PEER);
  const far = await target.accepted();
  await far.until(PEER);
  proxy.set({ type: 'held' });
  near.write('one ');
  near.write('two ');
  const other = await dial(t, proxy);
  other.write(CLIENT);
  await (await target.accepted()).until(CLIENT);
  t.equal(far.text, PEER, 'nothing came through, while a client beside it passed');
  proxy.set({ type: 'open' });
  near.write('three');
  await far.until(`${PEER}one two three`);
  t.equal(far.text, `${PEER}one two three`);
});

t.test('an end that comes while a link is held is known only when it is healed', async (t) => {
  const { proxy, target } = await startLink(t);
  const near = await dial(t, proxy);
  near.write(PEER);
  const far = await target.accepted();
  await far.until(PEER);
  proxy.set({ type: 'held' });
  near.write('last words');
  near.end();
  const other = await dial(t, proxy);
  other.write(CLIENT);
  await (await target.accepted()).until(CLIENT);
  t.equal(far.ended, false);
  proxy.set({ type: 'open' });
  await far.until(`${PEER}last words`);
  await far.end();
});

t.test('a slow link is late, and keeps the order', async (t) => {
  const { proxy, target } = await startLink(t);
  const near = await dial(t, proxy);
  near.write(PEER);
  const far = await target.accepted();
  await far.until(PEER);
  proxy.set({ type: 'slow', delayMs: 60, jitterMs: 60 });
  const sentMs = performance.now();
  let sent = PEER;
  for (let i = 0; i < 20; i++) {
    sent += `${i} `;
    near.write(`${i} `);
    await sleep(2);
  }
  await far.until(sent);
  t.ok(performance.now() - sentMs >= 60, 'it was late');
  t.equal(far.text, sent, 'and in order');
});

t.test('a reset ends what is between replicas, and leaves clients alone', async (t) => {
  const { proxy, target } = await startLink(t);
  const peer = await dial(t, proxy);
  peer.write(PEER);
  await (await target.accepted()).until(PEER);
  const client = await dial(t, proxy);
  client.write(CLIENT);
  const far = await target.accepted();
  await far.until(CLIENT);
  proxy.reset();
  await once(peer, 'close');
  client.write('still here');
  await far.until(`${CLIENT}still here`);
});

t.test('where nobody listens, the one who dials is told', async (t) => {
  const { proxy, target } = await startLink(t);
  target.server.close();
  const near = connect({ host: '127.0.0.1', port: portOf(proxy.address) });
  near.on('error', () => undefined);
  await once(near, 'close');
});

t.test('a replica is told the proxies of its own links', async (t) => {
  const addressOf = (id: number): string => `127.0.0.1:${9_000 + id}`;
  const network = await Network.open([1, 2, 3], addressOf, Math.random);
  t.teardown(() => network.close());
  const lists = [1, 2, 3].map((id) => network.dialOf(id).split(','));
  t.same(
    lists.map((list) => list.map((entry) => entry.split('=')[0])),
    [
      ['2', '3'],
      ['1', '3'],
      ['1', '2'],
    ],
  );
  t.equal(new Set(lists.flat()).size, 6, 'no two share a link');
  t.equal(network.dialOf(4), '', 'who joined talks to all directly');
  t.throws(() => network.reset(1, 4), /no link from 1 to 4/);
});

t.test('a client over HTTP says "not done" only when that is certain', async (t) => {
  const keys: unknown[] = [];
  const answers = [504, 503, 200];
  const server = await serve(t, (request, response) => {
    keys.push(request.headers['idempotency-key']);
    const status = answers.shift() ?? 500;
    response.writeHead(status).end(status === 200 ? '{"revision":7}' : '{"code":"KVD_X","message":"x"}');
  });
  const client = new FaithfulClient(() => server, 'c1');
  t.teardown(() => client.close());
  const done = await client.perform({ op: 'put', key: 'a', value: '1' });
  t.same(done, { outcome: 'ok', revision: 7 }, 'after an unknown outcome it asks again until it knows');
  t.equal(keys.length, 3);
  t.equal(new Set(keys).size, 1, 'under the same key');

  answers.push(503);
  t.match(await client.perform({ op: 'put', key: 'a', value: '2' }), { outcome: 'fail', error: /HTTP 503/ });
  t.equal(keys.length, 4, 'what was certainly not done is not tried again');
  t.not(keys[3], keys[0], 'another operation, another key');
});

t.test('a client whose request got no answer does not know', async (t) => {
  const server = await serve(t, (request) => request.socket.destroy());
  const client = new FaithfulClient(() => server, 'c1');
  t.teardown(() => client.close());
  t.match(await client.perform({ op: 'delete', key: 'a' }), { outcome: 'unknown' });
  t.match(await client.perform({ op: 'get', key: 'a' }), { outcome: 'fail' }, 'a read is never unknown');
});

t.test('a client that could not even connect knows that nothing was done', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  const client = new FaithfulClient(() => `127.0.0.1:${port}`, 'c1');
  t.match(await client.perform({ op: 'put', key: 'a', value: '1' }), {
    outcome: 'fail',
    error: /ECONNREFUSED/,
  });
});

t.test('reads over HTTP carry all that the checker can use', async (t) => {
  const server = await serve(t, (request, response) => {
    if (request.url === '/v1/kv/none') response.writeHead(404).end('{}');
    else if (request.url?.startsWith('/v1/kv?'))
      response.end('{"key":"a","value":"1","modRevision":3,"version":2}\n');
    else response.writeHead(200, { 'Kvd-Mod-Revision': '3', 'Kvd-Version': '2' }).end('ä');
  });
  const client = new FaithfulClient(() => server, 'c1');
  t.teardown(() => client.close());
  t.same(await client.perform({ op: 'get', key: 'a' }), {
    outcome: 'ok',
    value: 'ä',
    modRevision: 3,
    version: 2,
  });
  t.same(await client.perform({ op: 'get', key: 'none' }), { outcome: 'ok', value: null });
  t.same(await client.perform({ op: 'scan', prefix: 'a' }), {
    outcome: 'ok',
    entries: [{ key: 'a', value: '1', modRevision: 3, version: 2 }],
  });
});

t.test('the same seed asks for the same, and no value is written twice', (t) => {
  const make = (client: string) => new Workload(client, 8, seededRandom(7));
  const [one, same, other] = [make('c1'), make('c1'), make('c2')].map((workload) =>
    Array.from({ length: 5_000 }, () => workload.next()),
  );
  t.same(one, same);
  const puts = [...(one ?? []), ...(other ?? [])].filter((call) => call.op === 'put');
  t.equal(new Set(puts.map((call) => call.value)).size, puts.length);
  t.same([...new Set(one?.map((call) => call.op))].sort(), ['delete', 'get', 'put', 'scan']);
  const touched = puts.map((call) => call.key).filter((key) => !SHARED_KEYS.includes(key));
  t.ok(
    touched.length > 100 && new Set(touched).size === touched.length,
    'keys of their own are written once',
  );
  t.same(
    pick(seededRandom(1), [1, 2, 3], 5).sort((a, b) => a - b),
    [1, 2, 3],
    'all there are, when there are no more',
  );
  t.end();
});

t.test('the longest time without a success has a beginning and an end', (t) => {
  const options = { clients: 2, seed: 1, endpoints: ['127.0.0.1:1'], now: () => 0 };
  const load = new Load(options);
  t.same(load.longestGap(0, 1_000), { ms: 1_000, atMs: 0 }, 'nothing ever succeeded');
  load.successes.push(100, 150, 700, 900);
  t.same(load.longestGap(0, 1_000), { ms: 550, atMs: 150 });
  t.same(load.longestGap(0, 2_000), { ms: 1_100, atMs: 900 }, 'nor did it after the last one');
  t.equal(load.allSucceededSince(0), false);
  t.end();
});

const HOSTILE = '<script>alert("x")</script>';

t.test('a report shows the counterexample, and escapes what came from outside', (t) => {
  const page = reportPage([finished(), { ...setting, verdict: 'skipped', reason: HOSTILE }], HOSTILE);
  t.match(page, /3 operations in no order/);
  t.ok(page.includes('&#60;script&#62;alert(&#34;x&#34;)&#60;/script&#62;'), 'as text');
  t.notOk(page.includes('<script'), 'nothing of it is taken for HTML');
  t.match(page, /1 failed/);
  t.end();
});

t.test('a verdict for a person says why', (t) => {
  const text = resultText(finished(), false);
  t.match(text, /^storm: FAILED {2}3 replicas, 2 clients, seed 4, 3\.0 s of load$/m);
  t.match(text, /linearizable +NO: 1 of 1 keys cannot be ordered/);
  t.match(text, /^ +> client c2 +get .* -> "old"/m, 'the operation whose answer cannot be');
  t.match(
    text,
    /bank +WRONG: not always 2,000 on 20 accounts: 5 transfers, 1 in conflict, 2 unknown of which 1 were done; added up after each, and in 3 scans/,
  );
  t.match(text, /counter +counted to 5: 4 acknowledged, 1 unknown of which 1 were done/);
  t.match(text, /watchers +all 1 saw the 12 revisions of the history, in order, once; went on 2 times/);
  t.match(text, /wrong +bank: after revision 7/);
  t.match(text, /NOT OK +all replicas hold the same: a, b/);
  t.match(text, /kept +logs, data and the history \(for kvctl check\) are in \/scratch\/storm/);
  t.ok(resultText(finished(), true).includes('\u001b[31mFAILED'));
  t.match(
    resultText({ ...setting, verdict: 'skipped', reason: 'no rain' }, false),
    /^storm: SKIPPED {2}no rain$/,
  );
  t.equal(summaryText([finished()]), '0 drills passed, 1 failed, 0 skipped');
  t.end();
});

t.test('a result for programs is one object with everything in it', (t) => {
  const line = JSON.parse(JSON.stringify(resultLine(finished()))) as Record<string, unknown>;
  t.match(line, {
    drill: 'storm',
    verdict: 'failed',
    operations: 3,
    acknowledged: 3,
    unknown: 0,
    longestGapMs: 512,
    injected: [{ atMs: 1_000, what: HOSTILE }],
    linearizable: false,
    lost: 0,
    repeated: 1,
    revisions: 12,
    bank: { ok: false, transfers: 5, audits: 3 },
    counter: { ok: true, acknowledged: 4, unknownDone: 1, value: 5 },
    watchers: { ok: true, list: [{ name: 'w', events: 14, moves: 2 }] },
    findings: [/^bank: after revision 7/],
    hashesEqual: false,
    errors: { KVD_UNAVAILABLE: 2 },
  });
  const skipped: DrillResult = { ...setting, verdict: 'skipped', reason: 'no rain' };
  t.match(resultLine(skipped), { drill: 'storm', verdict: 'skipped', reason: 'no rain' });
  t.end();
});

const setting = {
  name: 'storm',
  about: HOSTILE,
  replicas: 3,
  clients: 2,
  seed: 4,
  durationMs: 3_000,
};

/** A drill whose last read finds what was overwritten before it began. */
function finished(): FinishedDrill {
  const key = HOSTILE;
  const history: History = {
    operations: [
      { client: 'c1', op: 'put', key, value: 'old', start: 1, end: 2, outcome: 'ok' },
      { client: 'c1', op: 'put', key, value: 'new', start: 3, end: 4, outcome: 'ok' },
      { client: 'c2', op: 'get', key, value: 'old', start: 5, end: 6, outcome: 'ok' },
    ],
  };
  return {
    ...setting,
    verdict: 'failed',
    tookMs: 3_000,
    injections: [{ atMs: 1_000, what: HOSTILE }],
    longestGap: { ms: 512, atMs: 1_010 },
    checks: [{ name: 'all replicas hold the same', ok: false, detail: 'a, b' }],
    history,
    report: checkHistory(history),
    data: {
      isJudged: true,
      revision: 12,
      repeated: 1,
      bank: { transfers: 5, conflicts: 1, refused: 0, unknown: 2, unknownDone: 1, audits: 3 },
      counter: { acknowledged: 4, unknown: 1, unknownDone: 1, open: 0, value: 5 },
      watchers: [{ name: 'w', events: 14, moves: 2 }],
      findings: [{ about: 'bank', text: `after revision 7 ${HOSTILE} is gone` }],
    },
    errors: new Map([['KVD_UNAVAILABLE', 2]]),
    stateHash: null,
    scratch: '/scratch/storm',
  };
}

/** The far end of a connection, and what it has heard. */
class FarEnd {
  text = '';
  ended = false;

  constructor(private readonly socket: Socket) {
    socket.on('data', (bytes: Buffer) => {
      this.text += bytes.toString();
    });
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('error', () => undefined);
  }

  async until(text: string): Promise<void> {
    while (!this.text.includes(text)) await once(this.socket, 'data');
  }

  async end(): Promise<void> {
    if (!this.ended) await once(this.socket, 'end');
  }
}

class Target {
  private readonly waiting: FarEnd[] = [];

  constructor(readonly server: Server) {
    server.on('connection', (socket) => {
      this.waiting.push(new FarEnd(socket));
      server.emit('taken');
    });
  }

  async accepted(): Promise<FarEnd> {
    for (;;) {
      const next = this.waiting.shift();
      if (next !== undefined) return next;
      await once(this.server, 'taken');
    }
  }
}

async function startLink(t: Test): Promise<{ proxy: LinkProxy; target: Target }> {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy = await LinkProxy.open((server.address() as AddressInfo).port, Math.random);
  t.teardown(() => {
    proxy.close();
    server.close();
  });
  return { proxy, target: new Target(server) };
}

async function dial(t: Test, proxy: LinkProxy): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: portOf(proxy.address), noDelay: true });
  socket.on('error', () => undefined);
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

function portOf(address: string): number {
  return Number(address.split(':')[1]);
}

async function serve(t: Test, listener: RequestListener): Promise<string> {
  const server = createHttpServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
