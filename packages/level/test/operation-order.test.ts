/** Who waits for whom: told with promises that the test settles. */
import { EventEmitter } from 'node:events';
import t from 'tap';
import { OperationOrder } from '../src/operation-order.js';

/** An operation that begins when it is allowed to and ends when the test says so. */
function operation(log: string[], name: string) {
  const outcome = new EventEmitter();
  const run = (): Promise<string> => {
    log.push(name);
    return new Promise((resolve, reject) => {
      outcome.once('end', () => resolve(name));
      outcome.once('fail', () => reject(new Error(name)));
    });
  };
  return { run, end: () => outcome.emit('end'), fail: () => outcome.emit('fail') };
}

/** Until all that can go on has. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

t.test('a write waits for the reads begun before it, and for no later one', async (t) => {
  const order = new OperationOrder();
  const log: string[] = [];
  const [before, write, after] = ['before', 'write', 'after'].map((name) => operation(log, name));
  if (!before || !write || !after) return;
  const first = order.read(before.run);
  const second = order.write(write.run);
  const third = order.read(after.run);
  t.same(log, ['before', 'after'], 'reads begin at once');
  before.end();
  await first;
  await turn();
  t.same(log, ['before', 'after', 'write']);
  after.end();
  write.end();
  t.same(await Promise.all([second, third]), ['write', 'after']);
});

t.test('without a read under way a write begins at once, and so does a read under a write', async (t) => {
  const order = new OperationOrder();
  const log: string[] = [];
  const [write, read] = ['write', 'read'].map((name) => operation(log, name));
  if (!write || !read) return;
  const writing = order.write(write.run);
  const reading = order.read(read.run);
  await turn();
  t.same(log, ['write', 'read']);
  write.end();
  read.end();
  await Promise.all([writing, reading]);
});

t.test('a read that fails lets the writes go; reads that end out of order hold what they must', async (t) => {
  const order = new OperationOrder();
  const log: string[] = [];
  const [r1, w1, r2, w2] = ['r1', 'w1', 'r2', 'w2'].map((name) => operation(log, name));
  if (!r1 || !w1 || !r2 || !w2) return;
  const reads = [order.read(r1.run)];
  const writes = [order.write(w1.run)];
  reads.push(order.read(r2.run));
  writes.push(order.write(w2.run));
  r2.end();
  await reads[1];
  await turn();
  t.same(log, ['r1', 'r2'], 'both writes are behind r1');
  r1.fail();
  await t.rejects(Promise.resolve(reads[0]), { message: 'r1' });
  await turn();
  t.same(log, ['r1', 'r2', 'w1', 'w2'], 'in their order');
  w1.end();
  w2.fail();
  await writes[0];
  await t.rejects(Promise.resolve(writes[1]), { message: 'w2' });
});

t.test('idle() is when all that was begun has ended, failed or not', async (t) => {
  const order = new OperationOrder();
  await order.idle();
  const log: string[] = [];
  const [read, write] = ['read', 'write'].map((name) => operation(log, name));
  if (!read || !write) return;
  const both = Promise.allSettled([order.read(read.run), order.write(write.run)]);
  let isIdle = false;
  const idle = order.idle().then(() => {
    isIdle = true;
  });
  read.fail();
  await turn();
  t.notOk(isIdle);
  write.end();
  await idle;
  await both;
});
