/**
 * What one leader leaves behind for the next: values in slots that only itself accepted, requests that were passed on to it or
 * held for it, a disk that hangs. Driven by hand, for it takes an hour, or an order that chance does not find.
 */
import { type KvdOptions, parseCommandLine } from '@kvd/kvd';
import type { ReplicaId } from '@kvd/paxos';
import {
  type Command,
  decodePeerFrame,
  encodeCommand,
  encodePeerMessage,
  type LeaderBallot,
  NO_ORIGIN,
} from '@kvd/protocol';
import { test } from 'tap';
import { type Answer, HandCluster } from './support/hand-cluster.js';

const HOUR_MS = 3_600_000;

async function started(): Promise<HandCluster> {
  const argv = ['--id', '1', '--peers', '1=127.0.0.1:1', '--data', 'unused'];
  const parsed = await parseCommandLine(argv, {}, '0.0.0');
  if (parsed.type !== 'run') throw new Error('there are no defaults');
  const options: KvdOptions = parsed.options;
  return HandCluster.start(options);
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
const put = (key: string): Command => ({
  type: 'put',
  origin: NO_ORIGIN,
  key: bytes(key),
  value: bytes('1'),
});

/** Under an Idempotency-Key. */
function keyed(key: string, command: Command): Command {
  return { type: 'keyed', idempotencyKey: bytes(key), command: encodeCommand(command) };
}

/** Adds 1 to the counter, once. */
const COUNT = keyed('K', {
  type: 'txn',
  origin: NO_ORIGIN,
  compares: [],
  success: [{ type: 'add', key: bytes('counter'), delta: 1n }],
  failure: [],
});

function counterAt(cluster: HandCluster, id: ReplicaId): string {
  return Buffer.from(cluster.at(id).state.get(bytes('counter'))?.value ?? bytes('')).toString();
}

/** So many slots are proposed by a leader that is cut off, the last of which holds a put, and COUNT. */
function proposeAlone(
  cluster: HandCluster,
  leader: ReplicaId,
  slots: number,
): { readonly write: Answer; readonly count: Answer } {
  let write = cluster.mutate(leader, put('a'));
  cluster.settle();
  // A slot is worth another when as much waits as is under way.
  for (let underWay = 1; underWay < 2 ** (slots - 2); underWay *= 2) {
    for (let i = 0; i < underWay; i += 1) cluster.mutate(leader, put('a'));
    cluster.settle();
  }
  for (let i = 0; i < 2 ** (slots - 2); i += 1) write = cluster.mutate(leader, put('a'), 5_000);
  const count = cluster.mutate(leader, COUNT);
  cluster.settle();
  return { write, count };
}

/** `first` is cut off with slots under way; the next leader, and the third. */
function successors(cluster: HandCluster, first: ReplicaId): [second: ReplicaId, third: ReplicaId] {
  const others = cluster.others(first);
  cluster.until(() => cluster.leaders(others).length > 0, others);
  const [second] = cluster.leaders(others);
  return [second as ReplicaId, others.find((id) => id !== second) as ReplicaId];
}

/** `second` is cut off, `first` is back: one of the two others leads, and knows what `first` has accepted. */
function passOn(cluster: HandCluster, first: ReplicaId, second: ReplicaId, third: ReplicaId): ReplicaId {
  cluster.isolate(second);
  cluster.join(first, third);
  // It has heard of no higher ballot in between.
  cluster.at(third).replica.campaign();
  cluster.until(() => cluster.leaders([third]).length > 0, [third, first]);
  cluster.pass(1_000, [third, first]);
  return third;
}

test('what a leader proposed alone, after an hour in which nothing was written, ends no lease of its successor early', async (t) => {
  const cluster = await started();
  const [first] = cluster.leaders() as [ReplicaId];
  cluster.done(cluster.mutate(first, put('x')));
  cluster.pass(1.1 * HOUR_MS);
  t.strictSame(cluster.leaders(), [first]);
  cluster.isolate(first);
  proposeAlone(cluster, first, 7);
  const [second, third] = successors(cluster, first);
  const rest = [second, third];
  t.match(cluster.done(cluster.mutate(second, COUNT), rest), { type: 'txn' }, 'the client sends it again');
  const granted = cluster.done(
    cluster.mutate(second, keyed('L', { type: 'lease-grant', origin: NO_ORIGIN, ttlMs: 60_000 })),
    rest,
  );
  const opened = cluster.done(cluster.mutate(second, { type: 'open-session' }), rest);
  cluster.pass(500, rest);
  const leader = passOn(cluster, first, second, third);
  const left = [leader, first];
  t.equal(counterAt(cluster, leader), '1', 'it counts once');
  const lease = granted.type === 'lease' ? granted.lease : 0;
  t.match(cluster.done(cluster.mutate(leader, { type: 'lease-keep-alive', lease }), left), {
    type: 'lease',
    lease,
  });
  const session = opened.type === 'session' ? opened.session : 0;
  t.match(cluster.done(cluster.mutate(leader, { type: 'keep-alive', session }), left), { type: 'done' });
});

test('what a leader proposed alone is not done an hour later, when its key is forgotten', async (t) => {
  const cluster = await started();
  const [first] = cluster.leaders() as [ReplicaId];
  cluster.isolate(first);
  proposeAlone(cluster, first, 7);
  const [second, third] = successors(cluster, first);
  const rest = [second, third];
  t.match(cluster.done(cluster.mutate(second, COUNT), rest), { type: 'txn' });
  cluster.pass(1.1 * HOUR_MS, rest);
  cluster.done(cluster.mutate(second, put('y')), rest);
  cluster.pass(1_000, rest);
  const leader = passOn(cluster, first, second, third);
  t.equal(counterAt(cluster, leader), '1');
  t.equal(counterAt(cluster, first), '1');
});

test('what was held for a leader is not sent after a sleep, when its key may be forgotten', async (t) => {
  const cluster = await started();
  const [leader] = cluster.leaders() as [ReplicaId];
  const [follower] = cluster.others(leader) as [ReplicaId];
  const rest = cluster.others(follower);
  cluster.isolate(follower);
  cluster.until(() => cluster.at(follower).replica.status().leader === 0);
  const held = cluster.mutate(follower, COUNT, 30_000);
  cluster.done(cluster.mutate(leader, COUNT), rest);
  cluster.pass(1.1 * HOUR_MS, rest);
  cluster.done(cluster.mutate(leader, put('y')), rest);
  for (const id of rest) cluster.join(follower, id);
  cluster.until(() => held.response !== null);
  t.match(held.response, { type: 'error', code: 'KVD_UNAVAILABLE', outcome: 'not-done' });
  t.equal(counterAt(cluster, leader), '1');
});

test('what was passed on to a leader that fell silent goes to the next one as soon as there is one', async (t) => {
  const cluster = await started();
  const [first] = cluster.leaders() as [ReplicaId];
  const others = cluster.others(first);
  const [follower] = others as [ReplicaId];
  cluster.isolate(first);
  const write = cluster.mutate(follower, keyed('W', put('w')));
  const read = cluster.request(follower, {
    type: 'get',
    timeoutMs: 60_000,
    consistency: 'linearizable',
    key: bytes('w'),
    revision: 0,
  });
  cluster.until(() => cluster.leaders(others).length > 0, others);
  cluster.pass(150, others);
  t.match(write.response, { type: 'result', result: { type: 'put' } });
  t.match(read.response, { type: 'entry' });
});

test('what a leader had in a slot that nobody else fills is sent again as soon as there is another leader', async (t) => {
  const cluster = await started();
  const [first] = cluster.leaders() as [ReplicaId];
  cluster.isolate(first);
  // In the last of its slots; its successor, of whom nobody wants anything, proposes in the first one.
  const { write, count } = proposeAlone(cluster, first, 4);
  const others = cluster.others(first);
  cluster.until(() => cluster.leaders(others).length > 0, others);
  for (const id of others) cluster.join(first, id);
  cluster.pass(500);
  t.match(count.response, { type: 'result', result: { type: 'txn' } });
  t.equal(counterAt(cluster, first), '1');
  t.equal(write.response, null, 'what must not be done twice waits for what becomes of its slot');
  cluster.pass(5_000);
  t.match(write.response, { type: 'error', code: 'KVD_OUTCOME_UNKNOWN' });
});

test('a leader whose disk hangs hands over, however short it has led', async (t) => {
  const cluster = await started();
  cluster.pass(2_000);
  const [first] = cluster.leaders() as [ReplicaId];
  const member = cluster.at(first);
  member.hangs = true;
  const hungMs = cluster.nowMs;
  t.match(cluster.done(cluster.mutate(first, put('x'))), { type: 'put' }, 'two disks are enough');
  // The next one waits for the write to end that is under way.
  const waiting = cluster.mutate(first, put('y'));
  cluster.until(() => {
    member.replica.slowMs = cluster.nowMs - hungMs;
    for (const id of cluster.others(first)) cluster.at(id).replica.slowMs = 1;
    return waiting.response !== null;
  });
  t.match(waiting.response, { type: 'result', result: { type: 'put' } });
  t.ok(cluster.nowMs - hungMs < 10_000, `after ${cluster.nowMs - hungMs} ms`);
  t.not(cluster.leaders(cluster.others(first)).length, 0);
});

test('the first batch of a leadership goes by the time of the state, whatever comes with the promise', async (t) => {
  const cluster = await started();
  const [first] = cluster.leaders() as [ReplicaId];
  const [second] = cluster.others(first) as [ReplicaId];
  cluster.done(cluster.mutate(first, put('x')));
  cluster.pass(120_000);
  cluster.at(second).replica.campaign();
  cluster.until(() => cluster.leaders([second]).length > 0);
  const granted = cluster.done(
    cluster.mutate(second, keyed('L', { type: 'lease-grant', origin: NO_ORIGIN, ttlMs: 60_000 })),
  );
  cluster.pass(400);
  // The promise that makes it leader shares its frame with a request that was passed on.
  let joined = false;
  cluster.onFrame = (to, frame) => {
    if (to !== first || joined) return frame;
    let forward: Uint8Array | null = null;
    decodePeerFrame(frame, ({ marker, message }) => {
      const request = { type: 'mutate', timeoutMs: 5_000, command: encodeCommand(put('y')) } as const;
      if (message.type === 'promise')
        forward = encodePeerMessage(marker, { type: 'forward', forwardId: 424_242, request });
    });
    if (forward === null) return frame;
    joined = true;
    return Buffer.concat([frame, forward]);
  };
  cluster.at(first).replica.campaign();
  cluster.until(() => cluster.leaders([first]).length > 0);
  cluster.pass(500);
  t.ok(joined);
  t.ok(cluster.at(first).state.get(bytes('y')), 'it was written');
  const lease = granted.type === 'lease' ? granted.lease : 0;
  t.match(cluster.done(cluster.mutate(first, { type: 'lease-keep-alive', lease })), { type: 'lease', lease });
});

test('a leader whose ballot is below one in the state prepares a higher one: its batches count', async (t) => {
  const cluster = await started();
  // As if all members had been replaced, and the new ones had never heard of the old ones' ballots.
  for (const id of cluster.others())
    (cluster.at(id).state as unknown as { model: { leader: LeaderBallot } }).model.leader = {
      counter: 50,
      replicaId: 9,
    };
  const [leader] = cluster.leaders() as [ReplicaId];
  t.match(cluster.done(cluster.mutate(leader, COUNT)), { type: 'txn' });
  t.equal(counterAt(cluster, leader), '1');
  t.match(cluster.at(leader).state.leader, { counter: 51 });
});
