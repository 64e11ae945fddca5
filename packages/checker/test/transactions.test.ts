/** Transactions, additions, and whatever else happens on the keys that they connect. */
import {
  checkHistory,
  checkLinearizability,
  formatOperation,
  type History,
  type Operation,
  parseHistory,
  textReport,
  type Violation,
} from '@kvd/checker';
import { test } from 'tap';
import { Random } from './support/random.js';
import {
  bruteForceTransactions,
  spoilTransactions,
  transactionalHistory,
  type TxnShape,
} from './support/transactions.js';

const baseSeed = Number(process.env['KVD_CHECKER_SEED'] ?? 1);

function shapeOf(random: Random, operations: number, versions: boolean): TxnShape {
  return {
    operations,
    clients: 1 + random.below(6),
    keys: 1 + random.below(4),
    values: 1 + random.below(4),
    unknownShare: random.pick([0, 0.05, 0.3]),
    overlap: random.pick([0.1, 1, 5, 30]),
    txnShare: random.pick([0.2, 0.6, 1]),
    toldShare: random.pick([0.3, 1]),
    versions,
  };
}

test('whatever a store with transactions answers is accepted', (t) => {
  let undecided = 0;
  for (let seed = baseSeed; seed < baseSeed + 300; seed++) {
    const random = new Random(seed);
    const shape = shapeOf(random, 100, true);
    const result = checkLinearizability(transactionalHistory(random, shape), { stepLimit: 200_000 });
    if (result.verdict === 'violated') t.fail(`seed ${seed}`, { shape, violations: result.violations });
    if (result.verdict === 'undecided') undecided++;
  }
  t.ok(undecided < 30, `${undecided} of 300 are too hard`);
  t.end();
});

test('spoiled transactions get the verdict of trying every order, and so does the piece that is shown', (t) => {
  const verdicts = { linearizable: 0, violated: 0, undecided: 0 };
  for (let seed = baseSeed; seed < baseSeed + 2_000; seed++) {
    const random = new Random(seed);
    const history = spoilTransactions(
      random,
      transactionalHistory(random, shapeOf(random, 4 + random.below(6), false)),
      1 + random.below(4),
    );
    const result = checkLinearizability(history);
    const expected = bruteForceTransactions(history) ? 'linearizable' : 'violated';
    verdicts[result.verdict]++;
    if (result.verdict !== expected) {
      t.fail(`seed ${seed}: ${result.verdict}, trying every order: ${expected}`, { history });
      break;
    }
    const [violation] = result.violations;
    if (violation !== undefined && bruteForceTransactions(pieceOf(history, violation))) {
      t.fail(`seed ${seed}: the piece can be ordered`, { history, violation });
      break;
    }
  }
  t.ok(
    verdicts.linearizable > 300 && verdicts.violated > 300,
    `both verdicts occur: ${JSON.stringify(verdicts)}`,
  );
  t.end();
});

/** The operations of the piece alone. They demand all that they were told: more than the piece needs, so no order has less. */
function pieceOf(history: History, { operations, open }: Violation): History {
  return {
    ...history,
    operations: operations.map((index) => {
      const operation = history.operations[index] as Operation;
      return open.includes(index) ? ({ ...operation, outcome: 'unknown' } as const) : operation;
    }),
  };
}

/** Operations one after the other by one client, from JSON lines without what all have. */
function inOrder(...lines: string[]): Operation[] {
  const text = lines.map((line, i) => {
    const fields = line.replaceAll(/\n */g, '');
    return `{"client":"a","start":${2 * i},"end":${2 * i + 1},"outcome":"ok",${fields}}`;
  });
  return [...parseHistory(text.join('\n')).operations];
}

const verdictOf = (...lines: string[]) => checkLinearizability({ operations: inOrder(...lines) }).verdict;

const OPEN = `"op":"txn","success":[{"op":"put","key":"a","value":"5"},{"op":"put","key":"b","value":"5"}],"succeeded":true`;
const TRANSFER = `"op":"txn","compares":[{"key":"a","target":"value","comparison":"=","value":"5"}],
  "success":[{"op":"put","key":"a","value":"4"},{"op":"put","key":"b","value":"6"}],"succeeded":true`;
const readBoth = (a: string, b: string) =>
  `"op":"txn","success":[{"op":"get","key":"a"},{"op":"get","key":"b"}],"succeeded":true,
  "results":[{"value":"${a}"},{"value":"${b}"}]`;

test('a bank: a read that finds half of a transfer is refused, though each key by itself is in order', (t) => {
  const torn = inOrder(OPEN, TRANSFER, readBoth('4', '5'));
  const during = torn.map((operation, i) => (i === 1 ? { ...operation, end: 9 } : operation));
  const report = checkHistory({ operations: during });
  t.equal(
    textReport({ operations: during }, report),
    [
      '3 operations on 2 keys: 3 ok, 0 failed, 0 unknown',
      'NOT LINEARIZABLE: 2 keys',
      '',
      'Keys "a", "b": 3 operations in no order',
      '  txn [get "a" -> "4", get "b" -> "5"] -> succeeded (client a, line 3) found values of "a", "b" that no order of the others leaves there at one moment',
      '',
      '  a       |txn [put "a" "5", pu…| |txn if "a" = "5": [put "a" "4", …..',
      '  a                                           [txn [get "a" -> "4",…]',
      '',
      '  client a  txn [put "a" "5", put "b" "5"] -> succeeded  from 0 to 1 (line 1)',
      '  client a  txn if "a" = "5": [put "a" "4", put "b" "6"] -> succeeded  from 2 to 9 (line 2, had not ended yet)',
      '> client a  txn [get "a" -> "4", get "b" -> "5"] -> succeeded  from 4 to 5 (line 3)',
    ].join('\n'),
  );
  t.equal(verdictOf(OPEN, TRANSFER, readBoth('4', '6')), 'linearizable');
  t.equal(verdictOf(OPEN, TRANSFER, readBoth('5', '5')), 'violated');
  t.end();
});

test('a scan of keys that transactions connect is one moment', (t) => {
  const scan = (b: string) =>
    `"op":"scan","prefix":"","entries":[{"key":"a","value":"4"},{"key":"b","value":"${b}"}]`;
  t.equal(verdictOf(OPEN, TRANSFER, scan('6')), 'linearizable');
  t.equal(verdictOf(OPEN, TRANSFER, scan('5')), 'violated');
  t.end();
});

test('a transaction that took the wrong branch', (t) => {
  const put = '"op":"put","key":"a","value":"5"';
  const compare = (succeeded: boolean, target: string, rest: string) =>
    `"op":"txn","compares":[{"key":"a","target":"${target}",${rest}}],"succeeded":${succeeded}`;
  const wrong: [boolean, string, string][] = [
    [false, 'value', '"comparison":"=","value":"5"'],
    [true, 'value', '"comparison":"!=","value":"5"'],
    [true, 'value', '"comparison":"<","value":"5"'],
    [false, 'value', '"comparison":">","value":"10"'],
    [false, 'exists', '"exists":true'],
    [true, 'version', '"comparison":"=","number":0'],
    [false, 'mod-revision', '"comparison":">","number":0'],
  ];
  for (const [succeeded, target, rest] of wrong) {
    t.equal(verdictOf(put, compare(succeeded, target, rest)), 'violated', `${target} ${rest}`);
    t.equal(verdictOf(put, compare(!succeeded, target, rest)), 'linearizable', `${target} ${rest}`);
  }
  const unknown = compare(true, 'lease', '"comparison":"=","number":7');
  t.equal(verdictOf(put, unknown), 'linearizable', 'of leases nothing is known');
  t.equal(verdictOf(compare(true, 'value', '"comparison":"!=","value":"5"')), 'linearizable', 'absent');
  t.end();
});

test('additions: each counts once, and what they are told shows it', (t) => {
  const add = (value: string) => `"op":"add","key":"n","delta":1,"value":"${value}"`;
  const get = (value: string) => `"op":"get","key":"n","value":"${value}"`;
  t.equal(verdictOf(add('1'), add('2'), get('2')), 'linearizable');
  t.equal(verdictOf(add('1'), add('1')), 'violated', 'one was lost');
  t.equal(verdictOf(add('1'), add('3')), 'violated', 'one was done twice');
  t.equal(verdictOf('"op":"put","key":"n","value":"x"', add('1')), 'violated', 'to what is no number');
  const big = '"op":"add","key":"n","delta":"9007199254740993","value":"9007199254740994"';
  t.equal(verdictOf(add('1'), big), 'linearizable', 'no number is too large to be exact');
  const operations = inOrder(add('1'), add('2'));
  const finds = (value: string) =>
    checkHistory({ operations, finals: [{ replica: '1', key: 'n', value }] }).lost.list.map(
      ({ kind }) => kind,
    );
  t.strictSame(finds('2'), []);
  t.strictSame(finds('1'), ['lost-write', 'sum-wrong']);
  t.strictSame(finds('3'), ['lost-write', 'sum-wrong']);
  const silent = operations.map((operation) => ({
    ...operation,
    outcome: 'unknown' as const,
    value: undefined,
  }));
  const ends = (value: string) =>
    checkHistory({
      operations: silent as unknown as Operation[],
      finals: [{ replica: '1', key: 'n', value }],
    }).lost.list.map(({ kind }) => kind);
  t.strictSame(['0', '1', '2'].flatMap(ends), [], 'unknown ones count or do not');
  t.strictSame(ends('3'), ['sum-wrong']);
  t.end();
});

test('revisions of transactions are judged as those of single operations', (t) => {
  const kinds = (...lines: string[]) => {
    const { revisions, repeated } = checkHistory({ operations: inOrder(...lines) });
    return [...revisions.list, ...repeated.list].map(({ kind }) => kind);
  };
  const put = (key: string, revision: number) =>
    `"op":"put","key":"${key}","value":"v${revision}","revision":${revision}`;
  const swap = (found: number, revision: number) =>
    `"op":"txn","compares":[{"key":"a","target":"mod-revision","comparison":"=","number":${found}}],
    "success":[{"op":"put","key":"a","value":"new"}],"succeeded":true,"revision":${revision}`;
  t.strictSame(kinds(put('a', 1), put('b', 2), swap(1, 3)), []);
  t.strictSame(kinds(put('a', 1), put('a', 2), swap(1, 3)), ['revision-mismatch'], 'written in between');
  t.strictSame(kinds(put('a', 5), swap(5, 4)), ['revision-went-back']);
  t.strictSame(kinds(put('a', 5), put('b', 6), swap(5, 6)), ['revision-shared']);
  const read =
    '"op":"txn","success":[{"op":"get","key":"a"}],"succeeded":true,"results":[{"value":"v1","modRevision":1}],"revision":2';
  t.strictSame(kinds(put('a', 1), put('b', 2), read), [], 'who only reads takes none');
  t.end();
});

test('more transactions at the same time than a call has arguments', (t) => {
  const operations = Array.from({ length: 150_000 }, (_, i): Operation => {
    const success = [{ op: 'put', key: 'k', value: String(i) }] as const;
    const common = { client: String(i), start: i, end: 1e9 + i, outcome: 'ok', revision: i + 1 } as const;
    return { ...common, op: 'txn', compares: [], success, failure: [], succeeded: true };
  });
  t.equal(checkLinearizability({ operations }, { stepLimit: 1 }).verdict, 'undecided');
  t.end();
});

test('transactions as JSON lines: what is written is read back, and what is wrong is told', (t) => {
  const { operations } = transactionalHistory(new Random(5), {
    ...shapeOf(new Random(5), 300, true),
    keys: 3,
  });
  const history = parseHistory(operations.map(formatOperation).join('\n'));
  t.strictSame(
    history.operations,
    operations.map((operation, i) => ({ ...operation, line: i + 1 })),
  );
  const common = '{"client":"a","start":0,"end":1,"outcome":"ok",';
  const bad: [string, RegExp][] = [
    ['"op":"txn"}', /"succeeded" is missing/],
    ['"op":"txn","succeeded":true,"compares":1}', /"compares" is not an array/],
    [
      '"op":"txn","succeeded":true,"compares":[{"key":"a","target":"size"}]}',
      /"target" is not one of exists/,
    ],
    ['"op":"txn","succeeded":true,"compares":[{"key":"a","target":"exists"}]}', /"exists" is missing/],
    [
      '"op":"txn","succeeded":true,"compares":[{"key":"a","target":"value","comparison":"~"}]}',
      /not one of = != < >/,
    ],
    [
      '"op":"txn","succeeded":true,"compares":[{"key":"a","target":"lease","comparison":"="}]}',
      /"number" is missing/,
    ],
    ['"op":"txn","succeeded":true,"success":[{"op":"cas","key":"a"}]}', /"op" is not one of get/],
    ['"op":"txn","succeeded":true,"success":[7]}', /an action is not an object/],
    ['"op":"txn","succeeded":true,"success":[],"results":[{}]}', /"results" has 1 of the 0 actions/],
    ['"op":"add","key":"a","delta":1.5}', /"delta" is neither a whole number/],
    ['"op":"add","key":"a","delta":"007"}', /"delta" is neither a whole number/],
  ];
  for (const [rest, what] of bad)
    t.throws(() => parseHistory(common + rest), { line: 1, message: what }, rest);
  t.end();
});
