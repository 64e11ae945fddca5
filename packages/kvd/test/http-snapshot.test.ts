/** GET /v1/snapshot: a whole backup, no faster than it is taken, few at once, and nothing of a state not to be believed. */
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { test } from 'tap';
import type { Value } from '@kvd/paxos';
import { encodeBatch, encodeCommand, NO_ORIGIN } from '@kvd/protocol';
import { BackupDecoder, checkBackup, createMemoryState, type KvState } from '@kvd/store';
import type { BackupState } from '../src/http/snapshot-routes.js';
import { unavailable } from './fake-replica.js';
import { call } from './http-call.js';
import { serve } from './serve.js';

const CLUSTER = 'cd'.repeat(16);
const VOTER = { replicaId: 1, role: 'voter', incarnation: 'ab'.repeat(16), address: '127.0.0.1:1' } as const;
const FOUNDED: Value = {
  type: 'configuration',
  configuration: { clusterId: CLUSTER, alpha: 16, replaces: 0, members: [VOTER], acceptQuorum: 0 },
};

function puts(from: number, count: number, valueBytes: number): Value {
  const commands = Array.from({ length: count }, (_, i) =>
    encodeCommand({
      type: 'put',
      origin: NO_ORIGIN,
      key: Buffer.from(`key ${from + i}`),
      value: Buffer.alloc(valueBytes, from + i),
    }),
  );
  return {
    type: 'batch',
    bytes: encodeBatch({ ballot: { counter: 1, replicaId: 1 }, clusterMs: 0, wallMs: 0, commands }),
  };
}

async function write(state: KvState, value: Value): Promise<void> {
  state.apply(state.appliedThrough + 1, value);
  state.freeze();
  await new Promise<void>((resolve, reject) => {
    state.writeFrozen((error) => (error === null ? resolve() : reject(error)));
  });
}

async function stateOf(count: number, valueBytes: number): Promise<KvState> {
  const state = createMemoryState();
  await write(state, FOUNDED);
  for (let i = 0; i < count; i += 5) await write(state, puts(i, Math.min(5, count - i), valueBytes));
  return state;
}

async function asked(port: number, path = '/v1/snapshot'): Promise<IncomingMessage> {
  const request = get({ host: '127.0.0.1', port, path, agent: false });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return response;
}

/** Turns of the event loop, until it is so. */
async function turnsUntil(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

test('a snapshot is a backup of what is on disk, with its revision and hash', async (t) => {
  const state = await stateOf(300, 1000);
  const { port, replica } = await serve(t, {}, state);
  replica.revision = 300;
  const response = await asked(port);
  t.equal(response.statusCode, 200);
  t.match(response.headers, { 'kvd-revision': '300', 'kvd-content-hash': state.contentHash });
  t.equal(response.headers['transfer-encoding'], 'chunked');
  const { header } = await checkBackup(response);
  t.match(header, { replicaId: 1, wallMs: 7, head: { keys: 300, revision: 300 } });
  t.equal(header.head.contentHash.toString(), state.contentHash);
  t.match(
    replica.requests.map((request) => [request.type, 'consistency' in request && request.consistency]),
    [
      ['scan', 'linearizable'],
      ['scan', 'stale'],
    ],
  );
  await checkBackup(await asked(port, '/v1/snapshot?consistency=stale'));
  t.match(replica.requests.slice(2), [{ type: 'scan', consistency: 'stale' }], 'no quorum is asked');
});

test('it waits until the disk has what the cluster had acknowledged, and says so when that takes too long', async (t) => {
  const state = await stateOf(3, 10);
  const { port, replica } = await serve(t, {}, state);
  replica.revision = 5;
  const late = await call(port, 'GET', '/v1/snapshot', undefined, { 'Kvd-Timeout-Ms': '30' });
  t.match(late.json(), { code: 'KVD_TIMEOUT', message: /at revision 3, the cluster at 5/ });
  const waiting = asked(port);
  await turnsUntil(() => replica.requests.length === 2);
  await write(state, puts(3, 1, 10));
  await write(state, puts(4, 1, 10));
  t.equal((await checkBackup(await waiting)).header.head.revision, 5);
});

test('a client that does not read is waited for, and nothing is read ahead for it', async (t) => {
  const state = await stateOf(400, 200_000);
  let parts = 0;
  const counted: BackupState = {
    durableRevision: 400,
    openDurable: (extent, done) =>
      state.openDurable(extent, (error, snapshot) => {
        const next = snapshot?.next.bind(snapshot);
        if (snapshot && next) {
          snapshot.next = (bytesMax, then) => {
            parts += 1;
            next(bytesMax, then);
          };
        }
        done(error, snapshot);
      }),
  };
  const { port } = await serve(t, {}, counted);
  const response = await asked(port);
  let before = -1;
  while (before < parts) {
    before = parts;
    // Longer than any part takes: who reads ahead would be seen.
    for (let turn = 0; turn < 500; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }
  t.ok(parts < 300, `${parts} of 400 parts were read for a client that reads none`);
  t.equal((await checkBackup(response)).header.head.keys, 400);
  t.ok(parts > 400);
});

test('two at once; a client that goes away makes room', async (t) => {
  const state = await stateOf(400, 200_000);
  const { port } = await serve(t, {}, state);
  const [one, two] = await Promise.all([asked(port), asked(port)]);
  t.match((await call(port, 'GET', '/v1/snapshot')).json(), { code: 'KVD_OVERLOADED' });
  one.destroy();
  let third = await asked(port);
  while (third.statusCode === 429) third = await asked(port);
  t.equal(third.statusCode, 200);
  third.destroy();
  t.equal((await checkBackup(two)).header.head.keys, 400, 'the other one is whole');
});

test('a state that is not to be believed, not there, or not yet founded gives no snapshot', async (t) => {
  const { port: witness } = await serve(t);
  t.match((await call(witness, 'GET', '/v1/snapshot')).json(), {
    code: 'KVD_UNAVAILABLE',
    message: /witness/,
  });
  const { port: young } = await serve(t, {}, createMemoryState());
  t.match((await call(young, 'GET', '/v1/snapshot')).json(), { message: /no configuration/ });
  const { port, replica } = await serve(t, {}, await stateOf(1, 1));
  replica.forced = unavailable;
  t.equal((await call(port, 'GET', '/v1/snapshot?consistency=stale')).status, 503);
  replica.forced = { type: 'error', code: 'KVD_STATE_DIVERGED', message: 'other', outcome: 'not-done' };
  t.match((await call(port, 'GET', '/v1/snapshot')).json(), { code: 'KVD_STATE_DIVERGED' });
  replica.forced = null;
  t.equal((await call(port, 'GET', '/v1/snapshot?x=1')).status, 400);
  t.equal((await call(port, 'POST', '/v1/snapshot')).status, 405);
  t.equal((await call(port, 'HEAD', '/v1/snapshot')).status, 405);
});

test('a state that turns out damaged in the middle breaks the answer off', async (t) => {
  const state = await stateOf(50, 100_000);
  const broken: BackupState = {
    durableRevision: 50,
    openDurable: (extent, done) =>
      state.openDurable(extent, (error, snapshot) => {
        let left = 5;
        const next = snapshot?.next.bind(snapshot);
        if (snapshot && next) {
          snapshot.next = (bytesMax, then) => {
            left -= 1;
            if (left === 0) setImmediate(() => then(new Error('a flipped bit'), null));
            else next(bytesMax, then);
          };
        }
        done(error, snapshot);
      }),
  };
  const { port } = await serve(t, {}, broken);
  const decoder = new BackupDecoder();
  const response = await asked(port);
  const reading = (async () => {
    for await (const chunk of response) decoder.push(chunk as Buffer);
  })();
  await t.rejects(reading, { code: 'ECONNRESET' });
  t.throws(() => decoder.finish(), /cut short/);
});
