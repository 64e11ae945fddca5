/** Histories in and out: the JSON lines, the two foreign formats, and the recorder. */
import {
  bytesOf,
  checkHistory,
  formatFinal,
  formatHeader,
  formatOperation,
  HistoryError,
  HistoryRecorder,
  type Operation,
  parseHistory,
  textOf,
} from '@kvd/checker';
import fc from 'fast-check';
import { test } from 'tap';
import { linearizableHistory, Random } from './support/random.js';

test('what is written as JSON lines is read back alike', (t) => {
  const { operations } = linearizableHistory(new Random(1), {
    operations: 500,
    clients: 5,
    keys: 3,
    values: 0,
    unknownShare: 0.2,
    overlap: 3,
    kinds: ['get', 'put', 'cas', 'delete', 'append', 'scan', 'delete-prefix'],
  });
  const final = { replica: '2', key: 'k', value: null };
  const header = { initial: 'x', baseRevision: 7 };
  const text = [formatHeader(header), ...operations.map(formatOperation), '', formatFinal(final)].join('\n');
  const history = parseHistory(text);
  const numbered = operations.map((operation, i) => ({ ...operation, line: i + 2 }));
  t.strictSame(history.operations, JSON.parse(JSON.stringify(numbered)));
  t.strictSame(history.finals, [{ ...final, line: 503 }]);
  t.match(history, header);
  t.end();
});

test('bytes that are no UTF-8 survive as base64, and distinct bytes stay distinct', (t) => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
      if (!bytesOf(textOf(a)).equals(a)) return false;
      return (textOf(a) === textOf(b)) === Buffer.from(a).equals(b);
    }),
  );
  const key = textOf(Uint8Array.of(0xff, 0));
  const line = formatOperation({ client: 'a', op: 'put', key, value: '1', start: 0, end: 1, outcome: 'ok' });
  t.match(JSON.parse(line), { keyBase64: '/wA=', value: '1' });
  t.match(parseHistory(line).operations[0], { key });
  const scan =
    '{"client":"a","op":"scan","prefixBase64":"/w==","start":2,"end":3,"outcome":"ok","entries":[]}';
  t.equal(checkHistory(parseHistory(`${line}\n${scan}`)).verdict, 'violated', 'a prefix is one of bytes');
  t.end();
});

test('a malformed line is told with its number and what is wrong', (t) => {
  const good = '{"client":"a","op":"put","key":"k","value":"1","start":0,"end":1,"outcome":"ok"}';
  const bad: [string, RegExp][] = [
    ['{', /not JSON/],
    ['[]', /not a JSON object/],
    ['{}', /"outcome"/],
    [good.replace('"put"', '"steal"'), /"op" is "steal"/],
    [good.replace('"op":"put",', ''), /"op" is missing/],
    [good.replace('"ok"', '"perhaps"'), /"outcome" is not one of ok, fail, unknown/],
    [good.replace('"end":1', '"end":-1'), /"end" is before "start"/],
    [good.replace('"start":0', '"start":"0"'), /"start" is not a number/],
    [good.replace('"end":1,', ''), /"end" is missing/],
    [good.replace('"key":"k",', ''), /"key" is missing/],
    [good.replace('"k"', '7'), /"key" is neither a string nor null/],
    [good.replace('"k"', 'null'), /"key" is null/],
    [good.replace('"k"', '"\\udc00"'), /"key" holds half a surrogate pair/],
    [good.replace('"key":"k"', '"keyBase64":"?"'), /"keyBase64" is not base64/],
    [good.replace('"client":"a"', '"client":{}'), /"client" is neither/],
    [good.replace('"ok"', '"ok","revision":1.5'), /"revision" is not a whole number/],
    [good.replace('"put"', '"get"').replace('"value":"1",', ''), /"value" is missing/],
    [good.replace('"put"', '"scan","prefix":"k"'), /"entries" is missing/],
    [good.replace('"put"', '"scan","prefix":"k","entries":[1]'), /an entry is not an object/],
    [good.replace('"put"', '"cas","expected":null'), /"swapped" is missing/],
    [good.replace('"put"', '"cas","expected":null,"swapped":1'), /"swapped" is neither true nor false/],
    ['{"op":"history","baseRevision":1}', /a "history" line is not the first/],
    ['{"op":"final","key":"k","value":null}', /"replica" is neither/],
  ];
  const header = '{"op":"history","baseRevision":1}';
  t.match(errorOf(`${header}\n${header}`), { line: 2, message: /a "history" line is not the first/ });
  for (const [line, what] of bad) {
    const error = errorOf(`${good}\n\n${line}`);
    t.match(error, { code: 'HISTORY_MALFORMED', line: 3 }, line);
    t.match(error?.message, what);
  }
  t.match(errorOf('\n \n')?.message, /no operation/);
  t.end();
});

function errorOf(text: string, format: 'auto' | 'edn' | 'jepsen' = 'auto'): HistoryError | undefined {
  try {
    parseHistory(text, format);
  } catch (error) {
    if (error instanceof HistoryError) return error;
    throw error;
  }
  return undefined;
}

test("a log of Jepsen's etcd test", (t) => {
  const text = [
    'INFO  jepsen.util - 0\t:invoke\t:write\t1',
    'INFO  jepsen.util - :nemesis\t:info\t:start\tnil',
    'INFO  jepsen.util - 1\t:invoke\t:cas\t[1 2]',
    'INFO  jepsen.util - 0\t:ok\t:write\t1',
    'INFO  jepsen.util - 1\t:fail\t:cas\t[1 2]',
    'INFO  jepsen.util - 0\t:invoke\t:read\tnil',
    'INFO  jepsen.util - 2\t:invoke\t:read\tnil',
    'INFO  jepsen.util - 0\t:ok\t:read\tnil',
    'INFO  jepsen.util - 2\t:fail\t:read\t:timed-out',
    'INFO  jepsen.util - 3\t:invoke\t:cas\t[1 4]',
    'INFO  jepsen.util - 3\t:info\t:cas\t:timed-out',
    'INFO  jepsen.util - 4\t:invoke\t:write\t5',
  ].join('\n');
  const key = 'register';
  t.strictSame(parseHistory(text).operations, [
    { client: '0', start: 1, end: 4, outcome: 'ok', line: 1, op: 'put', key, value: '1' },
    {
      client: '1',
      start: 3,
      end: 5,
      outcome: 'ok',
      line: 3,
      op: 'cas',
      key,
      expected: '1',
      value: '2',
      swapped: false,
    },
    { client: '0', start: 6, end: 8, outcome: 'ok', line: 6, op: 'get', key, value: null },
    { client: '2', start: 7, end: 9, outcome: 'fail', line: 7, error: ':timed-out', op: 'get', key },
    {
      client: '3',
      start: 10,
      end: 11,
      outcome: 'unknown',
      line: 10,
      error: ':timed-out',
      op: 'cas',
      key,
      expected: '1',
      value: '4',
    },
    { client: '4', start: 12, end: null, outcome: 'unknown', line: 12, op: 'put', key, value: '5' },
  ]);
  t.match(errorOf('INFO jepsen.util - 0 :invoke :read nil\nsomething else'), { line: 2 });
  t.match(errorOf('INFO jepsen.util - 0 :ok :read 1'), { line: 1, message: /did not begin/ });
  t.match(errorOf('INFO jepsen.util - 0 :invoke :cas 1'), { line: 1, message: /not \[from to\]/ });
  t.end();
});

test('maps in EDN', (t) => {
  const text = [
    '{:process 0, :type :invoke, :f :append, :key "a \\"b\\" \\u0041", :value "x\\n"} ; a comment',
    '{:f :append :process 0 :type :ok :key "a \\"b\\" A" :value "x\\n" :more {:deep [1 2.5 (true false)]}}',
    '{:process :nemesis, :type :info, :f :kill}',
    '{:process 1, :type :invoke, :f :get, :key 7, :value nil}',
  ].join('\n');
  const history = parseHistory(text);
  t.equal(history.initial, '');
  t.match(history.operations, [
    { client: '0', op: 'append', key: 'a "b" A', value: 'x\n', start: 1, end: 2, outcome: 'ok' },
    { client: '1', op: 'get', key: '7', outcome: 'unknown' },
  ]);
  const bad = [
    '{:process 0',
    '{:process 0 :type :invoke :f}',
    '{:a "b',
    '[1] 2',
    '{:process "x"}',
    '{:process 1 :type :what}',
    '{:process 1 :type :ok :f :fly}',
    '}',
    '"\\q"',
  ];
  for (const line of bad) t.match(errorOf(line, 'edn'), { code: 'HISTORY_MALFORMED', line: 1 }, line);
  t.match(errorOf('['.repeat(10_000), 'edn'), { message: /nested too deeply/ });
  t.end();
});

test('in EDN nil and the empty string are the same, and what a key begins as', (t) => {
  const told = (...operations: string[]) => {
    const lines = operations.flatMap((fields) => [
      `{:process 0, :type :invoke, ${fields}}`,
      `{:process 0, :type :ok, ${fields}}`,
    ]);
    return checkHistory(parseHistory(lines.join('\n'))).verdict;
  };
  t.equal(told(':f :read, :value nil'), 'ok');
  t.equal(told(':f :read, :value ""'), 'ok');
  t.equal(told(':f :cas, :value [nil 1]', ':f :read, :value 1'), 'ok');
  t.equal(told(':f :write, :value 1', ':f :delete', ':f :read, :value ""'), 'ok');
  t.equal(told(':f :write, :value 1', ':f :delete', ':f :read, :value nil'), 'ok');
  t.equal(told(':f :write, :value 1', ':f :read, :value nil'), 'violated');
  const log = [':write nil', ':read nil'].flatMap((what) => [`0 :invoke ${what}`, `0 :ok ${what}`]);
  t.equal(checkHistory(parseHistory(log.map((line) => `jepsen.util - ${line}`).join('\n'))).verdict, 'ok');
  t.end();
});

test('numbers in EDN are as long as they are written, each with one text', (t) => {
  const valueOf = (token: string) => {
    const [operation] = parseHistory(`{:process 0 :type :invoke :f :write :value ${token}}`).operations;
    return operation?.op === 'put' ? operation.value : undefined;
  };
  const texts: [string, string][] = [
    ['9007199254740993', '9007199254740993'],
    ['-007', '-7'],
    ['+1', '1'],
    ['1N', '1'],
    ['-0', '0'],
    ['1.50', '1.5'],
    ['2.0', '2'],
    ['100', '100'],
  ];
  for (const [token, text] of texts) t.equal(valueOf(token), text);
  t.end();
});

test('a string in EDN may be as long as a line', (t) => {
  const value = 'a\\"'.repeat(6_000_000);
  const [operation] = parseHistory(`{:process 0 :type :invoke :f :write :value "${value}"}`).operations;
  t.equal(operation?.op === 'put' && operation.value.length, 12_000_000);
  t.end();
});

test('the recorder: what overlaps overlaps, what does not is in order even if the clock stands still', (t) => {
  const lines: string[] = [];
  const recorder = new HistoryRecorder({ now: () => 5, write: (line) => lines.push(line), baseRevision: 3 });
  const write = recorder.invoke('a', { op: 'put', key: 'k', value: '1' });
  const read = recorder.invoke('b', { op: 'get', key: 'k' });
  recorder.complete(write, { outcome: 'ok', revision: 4 });
  recorder.complete(read, { outcome: 'ok', value: '1', modRevision: 4, version: 1 });
  const later = recorder.invoke('a', { op: 'get', key: 'k' });
  recorder.complete(later, { outcome: 'fail', error: 'KVD_TIMEOUT' });
  recorder.invoke('c', { op: 'delete', key: 'k' });
  t.equal(recorder.size, 4);
  t.throws(() => recorder.complete(99, { outcome: 'fail' }), HistoryError);
  t.match(recorder.history().operations[3], { op: 'delete', outcome: 'unknown', end: null });
  t.equal(lines.length, 4, 'what is under way is not written yet');
  recorder.close();
  recorder.final({ replica: '1', key: 'k', value: null });
  const [first, second, third, last] = recorder.history().operations;
  t.ok(
    first && second && third && last && second.start < (first.end ?? 0) && third.start > (second.end ?? 0),
  );
  t.strictSame(Object.keys(first ?? {}), [
    'client',
    'op',
    'key',
    'value',
    'start',
    'end',
    'outcome',
    'revision',
  ]);
  const { operations, finals, baseRevision } = parseHistory(lines.join('\n'));
  const read0 = (operation: Operation) => ({ ...operation, line: undefined });
  t.strictSame(operations.map(read0), recorder.history().operations.map(read0), 'the lines say the same');
  t.match({ finals, baseRevision }, { finals: [{ replica: '1', key: 'k', value: null }], baseRevision: 3 });
  t.equal(checkHistory(recorder.history()).verdict, 'ok');
  t.end();
});

test('the recorder refuses an answer that is not complete, and keeps what was asked', (t) => {
  const recorder = new HistoryRecorder({ now: () => 0 });
  const read = recorder.invoke('a', { op: 'get', key: 'k' });
  t.throws(() => recorder.complete(read, { outcome: 'ok' }), /has no value/);
  recorder.complete(read, { outcome: 'ok', value: null });
  const write = recorder.invoke('a', { op: 'put', key: 'k', value: 'asked' });
  recorder.complete(write, { outcome: 'ok', value: 'answered' });
  t.match(recorder.history().operations[1], { value: 'asked' });
  t.end();
});
