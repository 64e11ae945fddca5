/** Whom the client tries next, and how keys are bounded: the parts that decide without a socket. */
import { prefixEnd, type Welcome } from '@kvd/protocol';
import t from 'tap';
import { isEmptyRange, toRange } from '../src/bytes.js';
import { Fifo } from '../src/fifo.js';
import { Roster } from '../src/roster.js';

const none = () => false;

function welcome(leaderId: number, ...members: [id: number, address: string][]): Welcome {
  const named = members.map(([id, address]) => ({ id, address }));
  return { type: 'welcome', protocolVersion: 1, clusterId: '', replicaId: 1, leaderId, members: named };
}

t.test('the leader is tried first, then what was given, then what was learned', async (t) => {
  const roster = new Roster(['a:1', 'b:1'], () => 0);
  t.equal(roster.pick(0, none), 'a:1');
  roster.learn(welcome(3, [1, 'a:1'], [2, 'b:1'], [3, 'c:1'], [4, 'd:1']));
  t.equal(roster.leaderAddress, 'c:1');
  const order: string[] = [];
  for (let next = roster.pick(0, none); next !== null; next = roster.pick(0, (a) => order.includes(a)))
    order.push(next);
  t.same(order, ['c:1', 'a:1', 'b:1', 'd:1']);
});

t.test('an address that fails is left alone for longer each time, and forgiven when it works', async (t) => {
  const roster = new Roster(['a:1'], () => 1);
  const waits: number[] = [];
  let nowMs = 0;
  for (let i = 0; i < 10; i++) {
    roster.failed('a:1', nowMs, new Error('refused'));
    t.equal(roster.pick(nowMs, none), null);
    const start = nowMs;
    while (roster.pick(nowMs, none) === null) nowMs += 10;
    waits.push(nowMs - start);
  }
  t.same(waits, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
  t.match(roster.errors().get('a:1'), { message: 'refused' });
  roster.succeeded('a:1');
  t.equal(roster.errors().get('a:1'), undefined);
});

t.test('the one that failed least is preferred, and one that is avoided is not gone back to', async (t) => {
  const roster = new Roster(['a:1', 'b:1'], () => 0);
  roster.failed('a:1', 0, new Error('x'));
  t.equal(roster.pick(10_000, none), 'b:1');
  roster.avoid('b:1', 10_000, 500);
  t.equal(roster.pick(10_000, none), 'a:1');
  roster.failed('b:1', 10_000, new Error('x'));
  t.equal(roster.mayTry('b:1', 10_100), false, 'a failure does not shorten it');
});

t.test('a prefix ends where no key can begin with it any more', async (t) => {
  t.same([...prefixEnd(Buffer.from('ab'))], [...Buffer.from('ac')]);
  t.same([...prefixEnd(new Uint8Array([1, 0xff]))], [2]);
  t.same([...prefixEnd(new Uint8Array([0xff, 0xff]))], [], 'no upper bound');
  t.same([...prefixEnd(new Uint8Array(0))], [], 'every key');
});

t.test('prefix, from and to bound a range together', async (t) => {
  const text = (given: Parameters<typeof toRange>[0]) => {
    const { from, to } = toRange(given);
    return `${Buffer.from(from).toString()}..${Buffer.from(to).toString()}`;
  };
  t.equal(text({}), '..');
  t.equal(text({ prefix: 'a/' }), 'a/..a0');
  t.equal(text({ prefix: 'a/', from: 'a/5' }), 'a/5..a0');
  t.equal(text({ prefix: 'a/', from: 'a', to: 'b' }), 'a/..a0');
  t.equal(text({ prefix: 'a/', to: 'a/7' }), 'a/..a/7');
  t.equal(isEmptyRange(toRange({ from: 'b', to: 'b' })), true);
  t.equal(isEmptyRange(toRange({ from: 'b' })), false);
});

t.test('a queue keeps its order over its compactions', async (t) => {
  const queue = new Fifo<number>();
  let next = 0;
  let expected = 0;
  for (let round = 0; round < 50; round++) {
    for (let i = 0; i < 100 + round; i++) queue.push(next++);
    for (let i = 0; i < 95 + round; i++) if (queue.shift() !== expected++) t.fail(`lost ${expected - 1}`);
  }
  t.equal(queue.length, next - expected);
  queue.filter((item) => item % 2 === 0);
  t.ok([...queue].every((item) => item % 2 === 0));
  t.equal(queue.peek(), expected % 2 === 0 ? expected : expected + 1);
});
