/** Verdicts: on histories that others have judged, on the smallest history of each anomaly, and at the limits. */
import {
  checkLinearizability,
  type CheckOptions,
  type History,
  type Operation,
  parseHistory,
} from '@kvd/checker';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { linearizableHistory, Random } from './support/random.js';

const data = fileURLToPath(new URL('data', import.meta.url));

type Fields = { readonly op: Operation['op'] } & Readonly<Record<string, unknown>>;

/** An operation that was answered, unless it says otherwise. */
function op(client: string, [start, end]: readonly [number, number], fields: Fields): Operation {
  return { client, start, end, outcome: 'ok', ...fields } as unknown as Operation;
}

const put = (client: string, times: [number, number], value: string, more = {}) =>
  op(client, times, { op: 'put', key: 'k', value, ...more });
const get = (client: string, times: [number, number], value: string | null) =>
  op(client, times, { op: 'get', key: 'k', value });
const cas = (
  client: string,
  times: [number, number],
  expected: string | null,
  value: string,
  swapped: boolean,
) => op(client, times, { op: 'cas', key: 'k', expected, value, swapped });
const del = (client: string, times: [number, number], deleted?: number) =>
  op(client, times, { op: 'delete', key: 'k', ...(deleted === undefined ? {} : { deleted }) });

const judge = (operations: readonly Operation[], more: Partial<History> = {}, options: CheckOptions = {}) =>
  checkLinearizability({ operations, ...more }, options);

test('agrees with the verdicts that come with the histories', (t) => {
  const verdicts = JSON.parse(fs.readFileSync(path.join(data, 'verdicts.json'), 'utf8')) as Record<
    string,
    boolean
  >;
  t.equal(Object.keys(verdicts).length, 64);
  for (const [file, isLinearizable] of Object.entries(verdicts)) {
    const history = parseHistory(fs.readFileSync(path.join(data, file), 'utf8'));
    const result = checkLinearizability(history, { stepLimit: 1_000_000 });
    t.equal(result.verdict, isLinearizable ? 'linearizable' : 'violated', file);
    for (const { operations, culprit, minimal } of result.violations) {
      t.ok(operations.includes(culprit) && minimal, `${file}: a minimal piece with its culprit`);
    }
  }
  t.end();
});

/** The smallest histories that must be refused: [name, operations, indices of the piece, part of the explanation]. */
const anomalies: [string, Operation[], number[], RegExp][] = [
  [
    'a stale read',
    [put('a', [0, 1], '1'), put('a', [2, 3], '2'), get('b', [4, 5], '1')],
    [0, 1, 2],
    /found "1", although put "k" "2" .* was done before it began and after that was written/,
  ],
  [
    'two reads that go back, of writes under way',
    [put('a', [0, 1], '1'), put('b', [2, 9], '2'), get('c', [3, 4], '2'), get('d', [5, 6], '1')],
    [0, 1, 2, 3],
    /although get "k" -> "2" .* before it had already found "2"/,
  ],
  [
    'a read from the future',
    [get('b', [0, 1], '1'), put('a', [2, 3], '1')],
    [0],
    /which nobody had begun to write/,
  ],
  [
    'a read of a value that only a failed write wrote',
    [put('a', [0, 1], '1', { outcome: 'fail' }), get('b', [2, 3], '1')],
    [1],
    /which only put "k" "1" -> failed \(client a, operation 0\) wrote, and that failed/,
  ],
  [
    'a write that was acknowledged and is not there',
    [put('a', [0, 1], '1'), get('b', [2, 3], null)],
    [0, 1],
    /found absent, although put/,
  ],
  [
    'a write of unknown outcome that was read, and then is not there',
    [put('a', [0, 1], '1', { outcome: 'unknown' }), get('b', [2, 3], '1'), get('b', [4, 5], null)],
    [0, 1, 2],
    /found absent/,
  ],
  [
    'a lost update: two swaps of the same value',
    [put('a', [0, 1], '0'), cas('a', [2, 5], '0', '1', true), cas('b', [3, 6], '0', '2', true)],
    [0, 1, 2],
    /cas "k" "0" to "2" -> swapped/,
  ],
  [
    'a swap that succeeded with another value there',
    [put('a', [0, 1], '1'), put('a', [2, 3], '2'), cas('b', [4, 5], '1', '3', true)],
    [0, 1, 2],
    /found "1", although put "k" "2"/,
  ],
  [
    'a swap that failed with the expected value there',
    [put('a', [0, 1], '1'), cas('b', [2, 3], '1', '2', false)],
    [0, 1],
    /found another value than "1"/,
  ],
  [
    'a swap that failed and was done all the same',
    [put('a', [0, 1], '1'), cas('b', [2, 3], '0', '2', false), get('b', [4, 5], '2')],
    [2],
    /nobody had begun to write/,
  ],
  [
    'a delete that found nothing though there was something',
    [put('a', [0, 1], '1'), del('b', [2, 3], 0)],
    [0, 1],
    /found absent/,
  ],
  [
    'a delete that found something though there was nothing',
    [del('b', [2, 3], 1)],
    [0],
    /found another value than absent/,
  ],
  [
    'a read of what was deleted before',
    [put('a', [0, 1], '1'), del('a', [2, 3]), get('b', [4, 5], '1')],
    [0, 1, 2],
    /although delete "k"/,
  ],
  [
    'a phantom: a scan shows an entry that was deleted',
    [
      put('a', [0, 1], '1'),
      del('a', [2, 3]),
      op('b', [4, 5], { op: 'scan', prefix: '', entries: [{ key: 'k', value: '1' }] }),
    ],
    [0, 1, 2],
    /scan ""\* -> \{"k": "1"\}/,
  ],
  [
    'a scan that leaves out an entry',
    [put('a', [0, 1], '1'), op('b', [4, 5], { op: 'scan', prefix: 'k', entries: [] })],
    [0, 1],
    /found absent/,
  ],
  [
    'an entry that survives the deletion of its prefix',
    [
      put('a', [0, 1], '1'),
      op('a', [2, 3], { op: 'delete-prefix', prefix: 'k', deleted: 1 }),
      get('b', [4, 5], '1'),
    ],
    [0, 1, 2],
    /although delete-prefix/,
  ],
  [
    'appends in another order than was read before',
    [
      op('a', [0, 9], { op: 'append', key: 'k', value: 'x' }),
      op('b', [0, 9], { op: 'append', key: 'k', value: 'y' }),
      get('c', [10, 11], 'xy'),
      get('c', [12, 13], 'yx'),
    ],
    [0, 1, 2, 3],
    /no order explains all answers/,
  ],
];

for (const [name, operations, piece, explanation] of anomalies) {
  test(`refused: ${name}`, (t) => {
    const result = judge(operations);
    t.equal(result.verdict, 'violated');
    t.strictSame(result.violations[0]?.operations, piece);
    t.match(result.violations[0]?.explanation, explanation);
    t.ok(result.violations[0]?.minimal);
    t.end();
  });
}

test('refused: a scan that is not what was asked for, whatever is there', (t) => {
  const puts = ['a1', 'a2', 'a3', 'b1'].map((key) => op('a', [0, 1], { op: 'put', key, value: '1' }));
  const scanned = (limit: number, ...keys: string[]) => {
    const entries = keys.map((key) => ({ key, value: '1' }));
    const asked = { op: 'scan', prefix: 'a', limit } as const;
    const action = { op: 'txn', compares: [], success: [asked], failure: [], succeeded: true } as const;
    const single = judge([...puts, op('b', [2, 3], { ...asked, entries })]);
    const inside = judge([...puts, op('b', [2, 3], { ...action, results: [{ entries }] })]);
    t.equal(single.verdict, inside.verdict, 'the same in a transaction');
    t.equal(single.keys, 4);
    return single.violations[0]?.explanation ?? single.verdict;
  };
  t.equal(scanned(2, 'a1', 'a2'), 'linearizable');
  t.equal(scanned(0, 'a1', 'a2', 'a3'), 'linearizable');
  t.match(
    scanned(2, 'a3', 'a1'),
    /^scan "a"\* .*\(client b, operation 4\) found "a1" after "a3", out of order$/,
  );
  t.match(scanned(0, 'a1', 'a1', 'a2', 'a3'), /found "a1" twice$/);
  t.match(scanned(0, 'a1', 'a2', 'a3', 'b1'), /found "b1", which has another prefix$/);
  t.match(scanned(1, 'a1', 'a2'), /found 2 entries, more than its limit of 1$/);
  t.match(scanned(1, 'a1', 'a1', 'b1'), /found "a1" twice$/);
  t.end();
});

test('refused: a deletion of a prefix that was told a number of keys that were not there', (t) => {
  const write = (key: string, times: [number, number], more = {}) =>
    op('a', times, { op: 'put', key, value: '1', ...more });
  const clear = (deleted: number) => op('b', [4, 5], { op: 'delete-prefix', prefix: 'k', deleted });
  const counts = (...operations: Operation[]) =>
    [0, 1, 2, 3, 7].filter((deleted) => judge([...operations, clear(deleted)]).verdict === 'linearizable');
  const drop = (key: string, more = {}) => op('a', [2, 3], { op: 'delete', key, ...more });
  t.strictSame(counts(), [0]);
  t.strictSame(counts(write('k', [0, 1])), [1]);
  t.strictSame(counts(write('k1', [0, 1]), write('k2', [0, 1]), write('l', [0, 1])), [2]);
  t.strictSame(counts(write('k1', [0, 1]), write('k2', [0, 1]), drop('k1')), [1]);
  t.strictSame(counts(write('k1', [0, 1]), write('k2', [6, 7])), [1], 'not yet there');
  t.strictSame(counts(write('k1', [0, 1]), write('k2', [0, 9])), [1, 2], 'under way');
  t.strictSame(counts(write('k1', [0, 1]), write('k2', [0, 1]), drop('k1', { outcome: 'unknown' })), [1, 2]);
  t.strictSame(counts(write('k1', [0, 1]), write('k2', [0, 1]), clear(2)), [0, 1, 2], 'two at the same time');
  const [violation] = judge([write('k1', [0, 1]), write('k2', [0, 1]), clear(1)]).violations;
  t.match(
    violation?.explanation,
    /^delete-prefix "k"\* .* deleted 1, where at least 2 of 2 keys can have been there$/,
  );
  t.match(
    judge([clear(7)]).violations[0]?.explanation,
    /deleted 7, where nobody ever named more than 0 keys$/,
  );
  t.equal(judge([write('k', [0, 1]), del('b', [2, 3], 2)]).verdict, 'violated', 'a delete is of one key');
  t.end();
});

test('accepted: what looks like an anomaly and is none', (t) => {
  const accepted: [string, Operation[]][] = [
    ['a read of the old value while the write is under way', [put('a', [0, 9], '1'), get('b', [1, 2], null)]],
    [
      'reads on both sides of a write under way',
      [put('a', [0, 9], '1'), get('b', [1, 2], null), get('b', [3, 4], '1')],
    ],
    [
      'an unknown write that takes effect long after',
      [put('a', [0, 1], '1', { outcome: 'unknown' }), get('b', [5, 6], null), get('b', [7, 8], '1')],
    ],
    [
      'an unknown write that never does',
      [put('a', [0, 1], '1', { outcome: 'unknown' }), get('b', [5, 6], null)],
    ],
    [
      'an unknown swap between two reads',
      [
        put('a', [0, 1], '1'),
        op('b', [2, 3], { op: 'cas', key: 'k', expected: '1', value: '2', outcome: 'unknown' }),
        get('c', [4, 5], '1'),
        get('c', [6, 7], '2'),
      ],
    ],
    ['a read that failed', [op('b', [0, 1], { op: 'get', key: 'k', outcome: 'fail' })]],
    ['times that are equal order nothing', [put('a', [0, 1], '1'), get('b', [1, 2], null)]],
    [
      'a scan says nothing of keys behind its limit',
      [
        op('a', [0, 1], { op: 'put', key: 'a', value: '1' }),
        op('a', [0, 1], { op: 'put', key: 'b', value: '1' }),
        op('b', [4, 5], { op: 'scan', prefix: '', limit: 1, entries: [{ key: 'a', value: '1' }] }),
      ],
    ],
  ];
  for (const [name, operations] of accepted) t.equal(judge(operations).verdict, 'linearizable', name);
  const limited = op('b', [4, 5], { op: 'scan', prefix: '', limit: 1, entries: [{ key: 'b', value: '1' }] });
  const skipping = [...['a', 'b'].map((key) => op('a', [0, 1], { op: 'put', key, value: '1' })), limited];
  t.equal(judge(skipping).verdict, 'violated', 'but of those before its last entry it does');
  t.equal(judge([get('a', [0, 1], '')], { initial: '' }).verdict, 'linearizable', 'an initial value');
  t.equal(judge([]).verdict, 'linearizable', 'nothing at all');
  t.end();
});

test('keys are judged each for itself, and all violated ones are named', (t) => {
  const operations = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((key) =>
    op('x', [0, 1], { op: 'get', key, value: '1' }),
  );
  const result = judge([...operations, op('x', [0, 1], { op: 'get', key: 'fine', value: null })]);
  t.strictSame(result.violatedKeys, ['a', 'b', 'c', 'd', 'e', 'f', 'g']);
  t.equal(result.violations.length, 5);
  t.equal(result.keys, 8);
  t.end();
});

test('a stale read among thousands of operations is shown with the two writes that it is about', (t) => {
  const history = linearizableHistory(new Random(7), {
    operations: 5_000,
    clients: 8,
    keys: 1,
    values: 0,
    unknownShare: 0.05,
    overlap: 2,
    kinds: ['get', 'put', 'cas', 'delete'],
  });
  const last = Math.max(...history.operations.map(({ end }) => end ?? 0));
  const stale = [
    put('w', [last + 1, last + 2], 'old'),
    put('w', [last + 3, last + 4], 'new'),
    get('r', [last + 5, last + 6], 'old'),
  ];
  const { violations } = judge([...history.operations, ...stale]);
  t.strictSame(violations[0]?.operations, [5_000, 5_001, 5_002]);
  t.end();
});

test('of a swap whose own cause is left out, only the effect is said to count', (t) => {
  const chain = [put('a', [0, 1], '0')];
  for (let i = 1; i <= 20; i++) chain.push(cas('a', [2 * i, 2 * i + 1], String(i - 1), String(i), true));
  const [violation] = judge([...chain, get('b', [100, 101], '18')]).violations;
  t.strictSame(violation?.operations, [18, 20, 21]);
  t.strictSame(violation?.effectOnly, [18, 20]);
  t.end();
});

test('limits: undecided, and never by a clock of its own', (t) => {
  const history = linearizableHistory(new Random(3), {
    operations: 1_000,
    clients: 10,
    keys: 1,
    values: 3,
    unknownShare: 0.1,
    overlap: 30,
    kinds: ['get', 'put', 'cas', 'delete'],
  });
  const bySteps = checkLinearizability(history, { stepLimit: 10 });
  t.equal(bySteps.verdict, 'undecided');
  t.strictSame(bySteps.undecidedKeys, ['k0']);
  let looks = 0;
  const byTime = checkLinearizability(history, { timeLimitMs: 1, now: () => looks++ });
  t.equal(byTime.verdict, 'undecided', 'time is what now says');
  t.throws(() => checkLinearizability(history, { timeLimitMs: 1 }), TypeError);
  const wrong = [...history.operations, op('x', [0, 1], { op: 'get', key: 'other', value: 'never written' })];
  t.equal(judge(wrong, {}, { stepLimit: 10 }).verdict, 'violated', 'a violation outweighs what is undecided');
  t.end();
});
