import type { Request, Response } from '@kvd/protocol';
import type { ReplySink } from '@kvd/replica';
import { Registry } from 'prom-client';
import { test } from 'tap';
import { RequestMeter } from '../src/request-meter.js';

const GET: Request = { type: 'get', timeoutMs: 1, consistency: 'stale', key: new Uint8Array(1), revision: 0 };
const FOUND: Response = { type: 'entry', entry: null, revision: 1 };
const REFUSED: Response = {
  type: 'result',
  result: { type: 'error', code: 'KVD_IDEMPOTENCY_CONFLICT', message: '' },
};
const UNKNOWN: Response = { type: 'error', code: 'KVD_OUTCOME_UNKNOWN', message: '', outcome: 'unknown' };

/** A replica that keeps what it is asked, to be answered by the test. */
function meterOf(): { meter: RequestMeter; waiting: { sink: ReplySink; id: number }[]; gone: ReplySink[] } {
  const waiting: { sink: ReplySink; id: number }[] = [];
  const gone: ReplySink[] = [];
  const meter = new RequestMeter({
    request: (sink, id) => void waiting.push({ sink, id }),
    forgetSink: (sink) => void gone.push(sink),
  });
  return { meter, waiting, gone };
}

/** Requests by type and result, where there were any. */
async function counts(meter: RequestMeter): Promise<Record<string, number>> {
  const registry = new Registry();
  registry.registerMetric(meter.histogram);
  const found: Record<string, number> = {};
  for (const line of (await registry.metrics()).split('\n')) {
    const match = /^kvd_request_seconds_count\{type="(.*)",result="(.*)"\} (.*)$/.exec(line);
    if (match !== null && match[3] !== '0') found[`${match[1]} ${match[2]}`] = Number(match[3]);
  }
  return found;
}

test('every request is counted once, by what came of it, in whatever order they are answered', async (t) => {
  const { meter, waiting } = meterOf();
  const answered: number[] = [];
  const sink: ReplySink = { reply: (id) => void answered.push(id) };
  for (let id = 0; id < 5_000; id += 1) meter.request(sink, id * 3, GET);
  for (const { sink: timed, id } of waiting.splice(0).reverse()) {
    timed.reply(id, id % 2 === 0 ? FOUND : UNKNOWN);
    timed.reply(id, FOUND);
  }
  t.equal(answered.length, 10_000, 'passed on as they are; who asked knows what to do with a second one');
  t.strictSame(await counts(meter), { 'get ok': 2_500, 'get unknown': 2_500 });
  meter.request(sink, 1, { type: 'mutate', timeoutMs: 1, command: new Uint8Array(1) });
  waiting[0]?.sink.reply(1, REFUSED);
  t.match(await counts(meter), { 'mutate refused': 1 });
  const nothing = new Uint8Array(0);
  const range = { from: nothing, to: nothing, start: { revision: 0, index: 0 }, limit: 0 };
  meter.request(sink, 2, { type: 'history', timeoutMs: 1, consistency: 'stale', ...range });
  waiting[1]?.sink.reply(2, { type: 'history', revisions: [], next: null, revision: 1, compactRevision: 0 });
  t.match(await counts(meter), { 'mutate refused': 1, 'history ok': 1 }, 'the last type is no other one');
});

test('two clients with the same numbers do not meet, and one that is gone is forgotten', async (t) => {
  const { meter, waiting, gone } = meterOf();
  const heard: string[] = [];
  const one: ReplySink = { reply: (id) => void heard.push(`one ${id}`) };
  const two: ReplySink = { reply: (id) => void heard.push(`two ${id}`) };
  meter.request(one, 7, GET);
  meter.request(two, 7, GET);
  waiting[1]?.sink.reply(7, FOUND);
  t.strictSame(heard, ['two 7']);
  t.strictSame(await counts(meter), { 'get ok': 1 });
  meter.forgetSink(one);
  meter.forgetSink(one);
  t.strictSame(gone, [waiting[0]?.sink], 'as the replica knows it, once');
});
