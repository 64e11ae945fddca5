/** The judges of the data model, shown what they must object to and what they must let pass. */
import { type Batch, type Command, encodeCommand, NO_ORIGIN, type Response } from '@kvd/protocol';
import { type Test, test } from 'tap';
import { judgeRead } from '../src/oracle/answers.js';
import { Ledger } from '../src/oracle/ledger.js';
import { Reference } from '../src/reference/reference.js';

const key = Buffer.from('k');
const put = (value: string): Command => ({ type: 'put', origin: NO_ORIGIN, key, value: Buffer.from(value) });

function batch(clusterMs: number, ...commands: Command[]): Batch {
  return {
    ballot: { counter: 1, replicaId: 1 },
    clusterMs,
    wallMs: 0,
    commands: commands.map((command) => encodeCommand(command)),
  };
}

function objects(t: Test, rule: string, judging: () => void, message: string): void {
  try {
    judging();
  } catch (error) {
    t.match(error, { name: 'Violation', kind: 'safety', rule }, message);
    return;
  }
  t.fail(`${message}: nothing was said`);
}

/** Revision 1: k = a; 2: k = b; 3: k is gone. Compacted at 2. */
function told(): Reference {
  const reference = new Reference();
  reference.apply(2, batch(0, put('a'), put('b'), { type: 'delete', origin: NO_ORIGIN, key }));
  reference.apply(3, batch(0, { type: 'compact', revision: 2 }));
  return reference;
}

test('a read of the past is told what was, and refused only for a true reason', (t) => {
  const reference = told();
  const get = (revision: number) =>
    ({ type: 'get', timeoutMs: 1, consistency: 'linearizable', key, revision }) as const;
  const entry = (value: string, revision: number): Response => ({
    type: 'entry',
    revision,
    entry: {
      key,
      value: Buffer.from(value),
      createRevision: 1,
      modRevision: revision,
      version: revision,
      lease: 0,
    },
  });
  const refused = (code: 'KVD_COMPACTED' | 'KVD_FUTURE_REVISION'): Response => ({
    type: 'error',
    code,
    message: '',
    outcome: 'not-done',
  });
  judgeRead(reference, get(2), entry('b', 2), 3);
  objects(t, 'past', () => judgeRead(reference, get(2), entry('a', 2), 3), 'another value');
  objects(
    t,
    'past',
    () => judgeRead(reference, get(2), { type: 'entry', revision: 2, entry: null }, 3),
    'nothing, where there was something',
  );
  judgeRead(reference, get(1), refused('KVD_COMPACTED'), 3);
  objects(
    t,
    'past',
    () => judgeRead(reference, get(2), refused('KVD_COMPACTED'), 3),
    'compacted, though it is not',
  );
  judgeRead(reference, get(9), refused('KVD_FUTURE_REVISION'), 3);
  objects(
    t,
    'past',
    () => judgeRead(reference, get(3), refused('KVD_FUTURE_REVISION'), 3),
    'in the future, though somebody knew it',
  );
  t.end();
});

test('the ledger objects to promises that were not kept', (t) => {
  let nowMs = 0;
  let leaders = 0;
  const time = { nowMs: () => nowMs, fastest: 1, tickMs: 20, leadersSince: () => leaders };
  const reference = told();
  const ledger = new Ledger(reference, { gave: () => true }, time);
  ledger.granted(7, 1000, 0);
  ledger.keptAlive(7, 500);
  nowMs = 1400;
  objects(t, 'lease', () => ledger.onExpired(7), 'a lease that ended 900 ms after its last sign of life');
  leaders = 3;
  ledger.onExpired(7);
  t.pass('but each leader may be a tick ahead');
  ledger.judgeBank([100, 100, 100, 100, 100], 1);
  objects(t, 'bank', () => ledger.judgeBank([100, 100, 100, 100, 99], 1), 'money is lost');
  objects(t, 'bank', () => ledger.judgeBank([100, 100], 1), 'accounts are missing');
  ledger.fateOf(put('a'), 'a', 'never');
  const done: Response = { type: 'result', result: { type: 'put', revision: 1 } };
  objects(
    t,
    'outcome',
    () => ledger.judgeResult(encodeCommand(put('a')), done),
    'done though it never was to be',
  );
  objects(t, 'outcome', () => ledger.fateOf(put('a'), 'a', 'applied'), 'two fates');
  t.end();
});

test('the ledger knows one holder at a time, and counts', (t) => {
  const time = { nowMs: () => 0, fastest: 1, tickMs: 20, leadersSince: () => 0 };
  const ledger = new Ledger(told(), { gave: () => true }, time);
  ledger.tookLock('lock0', 10);
  ledger.wroteGuarded('lock0', 10, 15);
  ledger.tookLock('lock0', 20);
  ledger.judge();
  ledger.wroteGuarded('lock0', 10, 25);
  objects(t, 'fencing', () => ledger.judge(), 'a write of the holder before');
  const counting = new Ledger(told(), { gave: () => true }, time);
  counting.counted('count0', 'unknown');
  counting.judge();
  counting.recounted('count0', true);
  objects(t, 'counter', () => counting.judge(), 'an increment that was acknowledged and is not there');
  const liar = new Ledger(told(), { gave: () => false }, time);
  const done: Response = { type: 'result', result: { type: 'done' } };
  objects(t, 'answers', () => liar.judgeResult(encodeCommand(put('a')), done), 'an answer from nowhere');
  t.end();
});
