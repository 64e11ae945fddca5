import { test } from 'tap';
import { LoopLag } from '../src/loop-lag.js';

test('lag is what a look comes later than it was due, until it is taken', (t) => {
  let nowMs = 1_000;
  const lag = new LoopLag(nowMs);
  t.strictSame(lag.take(), { p50: 0, p99: 0, max: 0 }, 'nothing was looked at yet');
  for (let i = 0; i < 99; i += 1) lag.look(50, (nowMs += 50));
  lag.look(50, (nowMs += 250));
  const { p50, p99, max } = lag.take();
  t.ok(p50 < 0.001, `half of them in time: ${p50} s`);
  t.ok(p99 < 0.001, `99 of 100: ${p99} s`);
  t.ok(Math.abs(max - 0.2) < 0.002, `one 200 ms late: ${max} s`);
  t.strictSame(lag.take(), { p50: 0, p99: 0, max: 0 }, 'and it is forgotten');
  t.end();
});
