/** Scripts and what they are made of: words, operations, bytes, lines of input. */
import type { KvdClient } from '@kvd/client';
import { bytesField } from '@kvd/protocol';
import t from 'tap';
import { parseBytes, printable } from '../src/bytes.js';
import { shield } from '../src/cli.js';
import { Executor } from '../src/executor.js';
import { readLines } from '../src/input.js';
import { parseLine, parseOperation } from '../src/operations.js';
import { parseScript, ScriptError } from '../src/script.js';
import { readWords, splitWords, WordsError } from '../src/words.js';

t.test('words are split as a shell would', async (t) => {
  const cases: [line: string, words: string[]][] = [
    ['', []],
    ['   \t ', []],
    ['PUT a 1', ['PUT', 'a', '1']],
    ['  PUT\ta   1  ', ['PUT', 'a', '1']],
    [`PUT a 'two words'`, ['PUT', 'a', 'two words']],
    [`PUT a "it's"`, ['PUT', 'a', "it's"]],
    [`PUT a 'say "hi"'`, ['PUT', 'a', 'say "hi"']],
    [`PUT a ""`, ['PUT', 'a', '']],
    [`a"b c"d'e f'`, ['ab cde f']],
    [`"a\\"b" "c\\\\d" "e\\nf"`, ['a"b', 'c\\d', 'e\\nf']],
    [`'a\\b'`, ['a\\b']],
    ['a\\ b \\#c', ['a b', '#c']],
    ['PUT a#b 1 # comment', ['PUT', 'a#b', '1']],
    ['# all comment', []],
    ['PUT "a # b" 1', ['PUT', 'a # b', '1']],
    ['PUT ключ 値', ['PUT', 'ключ', '値']],
  ];
  for (const [line, words] of cases) t.same(splitWords(line), words, line);
});

t.test('a word that was quoted is known as one', async (t) => {
  const quoted = (line: string): boolean[] => readWords(line).map(({ isQuoted }) => isQuoted);
  t.same(quoted(`NONE 'NONE' "NONE" N\\ONE NO'NE' ''`), [false, true, true, true, true, true]);
  t.same(parseLine('EXPECT NONE'), { op: 'EXPECT', value: null });
  t.same(parseLine(`EXPECT 'NONE'`), { op: 'EXPECT', value: 'NONE' });
  t.same(parseLine('CAS a NONE 2'), { op: 'CAS', key: 'a', old: null, value: '2' });
  t.same(parseLine('CAS a "NONE" NONE'), { op: 'CAS', key: 'a', old: 'NONE', value: 'NONE' });
});

t.test('a quote that is not closed is an error that says where', async (t) => {
  t.throws(() => splitWords(`PUT a "b`), new WordsError('the quote " in column 7 is not closed'));
  t.throws(() => splitWords(`PUT 'a b`), new WordsError("the quote ' in column 5 is not closed"));
  t.throws(() => splitWords('PUT a \\'), { name: 'WordsError' });
  t.throws(() => splitWords('PUT a "b\\"'), { name: 'WordsError' }, 'an escaped quote closes nothing');
});

t.test('operations are named in any case and take so many words', async (t) => {
  t.same(parseOperation(['put', 'a', '1']), { op: 'PUT', key: 'a', value: '1' });
  t.same(parseOperation(['PUT', '', '1']), { op: 'PUT', key: '', value: '1' }, 'the cluster refuses that');
  t.same(parseOperation(['Get', 'a']), { op: 'GET', key: 'a' });
  t.same(parseOperation(['del', 'a']), { op: 'DELETE', key: 'a' });
  t.same(parseOperation(['DELETE', 'a']), { op: 'DELETE', key: 'a' });
  t.same(parseOperation(['SCAN']), { op: 'SCAN', prefix: '' });
  t.same(parseOperation(['SCAN', 'p']), { op: 'SCAN', prefix: 'p' });
  t.same(parseOperation(['cas', 'a', '1', '2']), { op: 'CAS', key: 'a', old: '1', value: '2' });
  t.same(parseOperation(['CAS', 'a', 'NONE', '2']), { op: 'CAS', key: 'a', old: null, value: '2' });
  t.same(parseOperation(['ADD', 'n', '-9223372036854775808']), { op: 'ADD', key: 'n', delta: -(2n ** 63n) });
  t.same(parseOperation(['WATCH', 'p/']), { op: 'WATCH', prefix: 'p/', count: 1 });
  t.same(parseOperation(['watch', '', '3']), { op: 'WATCH', prefix: '', count: 3 });
  t.same(parseOperation(['SLEEP', '10']), { op: 'SLEEP', ms: 10 });
  t.same(parseOperation(['EXPECT', 'NONE']), { op: 'EXPECT', value: null });
  t.same(parseOperation(['EXPECT', 'none']), { op: 'EXPECT', value: 'none' }, 'only NONE means absent');
  for (const words of [
    ['PUT', 'a'],
    ['PUT', 'a', 'b', 'c'],
    ['GET'],
    ['FROB'],
    ['SLEEP', '-1'],
    ['SLEEP', 'x'],
    ['EXPECT'],
    ['CAS', 'a', '1'],
    ['ADD', 'n'],
    ['ADD', 'n', '1.5'],
    ['ADD', 'n', '9223372036854775808'],
    ['WATCH'],
    ['WATCH', 'p', '0'],
    ['WATCH', 'p', '10001'],
    ['WATCH', 'p', '1', '2'],
    ['TXN'],
    ['TXN', '{'],
  ]) {
    t.throws(() => parseOperation(words), { name: 'OperationError' }, words.join(' '));
  }
});

t.test('the JSON of a TXN is the rest of its line, with its quotes', async (t) => {
  const parts = { compares: [], success: [{ type: 'get', key: Buffer.from("a 'b' #c") }], failure: [] };
  t.same(parseLine(`TXN {"then": [{"get": {"key": "a 'b' #c"}}]}`), { op: 'TXN', parts });
  t.same(parseLine(` txn\t{"then":[{"get":{"key":"a 'b' #c"}}]} `), { op: 'TXN', parts });
  const quoted = { compares: [], success: [{ type: 'get', key: Buffer.from('a') }], failure: [] };
  t.same(parseLine(`TXN '{"then":[{"get":{"key":"a"}}]}' # as a shell would`), { op: 'TXN', parts: quoted });
  t.equal(parseLine('  # TXN {'), null);
  t.throws(() => parseLine('TXN {"then":[{"put":{"key":"a"}}]}'), {
    name: 'OperationError',
    message: /^TXN: then\[0\]\.put\.value: is missing/,
  });
  t.throws(() => parseLine('TXN {"then":['), { name: 'OperationError', message: /^TXN: .* is no JSON/ });
});

t.test('a program to run is one word for the parser, other words after -- stay what they are', async (t) => {
  t.same(shield(['put', '--', '-k', '-']), ['put', '\0-k', '\0-']);
  t.same(shield(['put', 'lock', '--', '-v']), ['put', 'lock', '\0-v']);
  t.same(shield(['add', 'k', '-5', '-.5']), ['add', 'k', '-5', '-.5'], 'numbers are none');
  t.same(shield(['get', 'k', '-ojson', '-eh:1', '-o=json']), [
    'get',
    'k',
    '-o',
    'json',
    '-e',
    'h:1',
    '-o=json',
  ]);
  for (const word of ['-hello', '-dash', '-5a'])
    t.throws(() => shield(['put', word, 'v']), { message: new RegExp(`unknown flag ${word}; .* after --`) });
  t.same(shield(['put', '--', '-hello', 'v']), ['put', '\0-hello', '\0v']);
  t.same(shield(['lock', 'm', '--', 'sh', '-c', 'exit 3']), ['lock', 'm', '\0sh\0-c\0exit 3']);
  t.same(shield(['-e', 'h:1', '-o', 'json', 'watch', '--', 'cat']), [
    '-e',
    'h:1',
    '-o',
    'json',
    'watch',
    '\0cat',
  ]);
  t.same(shield(['--reason=lock', 'put', 'a', '--', '-v']), ['--reason=lock', 'put', 'a', '\0-v']);
  t.same(shield(['lock', 'm', '--']), ['lock', 'm']);
});

t.test('a script is its operations with the numbers of their lines', async (t) => {
  t.same(parseScript('# first\n\nPUT a 1\r\n  GET a\nEXPECT 1'), [
    { line: 3, operation: { op: 'PUT', key: 'a', value: '1' } },
    { line: 4, operation: { op: 'GET', key: 'a' } },
    { line: 5, operation: { op: 'EXPECT', value: '1' } },
  ]);
  t.throws(() => parseScript('PUT a 1\nGTE a'), new ScriptError(2, "unknown operation 'GTE'"));
  t.throws(() => parseScript('PUT a 1\n\nGET "a'), {
    message: 'line 3: the quote " in column 5 is not closed',
  });
});

t.test('arguments are text, hex or base64, and nothing in between', async (t) => {
  t.same(parseBytes('ä', 'text'), Buffer.from([0xc3, 0xa4]));
  t.same(parseBytes('00fF', 'hex'), Buffer.from([0, 255]));
  t.same(parseBytes('AP8=', 'base64'), Buffer.from([0, 255]));
  t.throws(() => parseBytes('a\uFFFD', 'text'), { code: 'KVCTL_USAGE', message: /no UTF-8/ });
  for (const bad of ['0', '0g', ' 00']) t.throws(() => parseBytes(bad, 'hex'), { code: 'KVCTL_USAGE' }, bad);
  for (const bad of ['A', 'AP8!', 'A=P8'])
    t.throws(() => parseBytes(bad, 'base64'), { code: 'KVCTL_USAGE' }, bad);
});

t.test('bytes that are no UTF-8 are told as base64', async (t) => {
  t.same(bytesField('key', Buffer.from('zwölf')), { key: 'zwölf' });
  t.same(bytesField('value', Buffer.from([0, 255])), { valueBase64: 'AP8=' });
  t.equal(printable(Buffer.from([0, 255])), 'base64:AP8=');
  t.equal(
    printable(Buffer.from('a\tb\n\u001b[31m\\')),
    'a\\tb\\n\\x1b[31m\\\\',
    'a value cannot draw on the terminal',
  );
});

t.test('lines are found wherever the chunks of a stream end', async (t) => {
  const input = Buffer.from('first\nsecond\r\n\nläst');
  for (let size = 1; size <= input.length; size++) {
    const lines: string[] = [];
    for await (const { line, bytes } of readLines(chunks(input, size), 100))
      lines.push(`${line}:${bytes.toString()}`);
    t.same(lines, ['1:first', '2:second', '3:', '4:läst'], `chunks of ${size}`);
  }
});

t.test('a line without end is refused, not gathered', async (t) => {
  const read = async () => {
    for await (const { line } of readLines(chunks(Buffer.alloc(1000, 'x'), 10), 100)) t.fail(`line ${line}`);
  };
  await t.rejects(read(), { exitCode: 4, message: /^line 1: longer than the 100 bytes/ });
});

t.test('EXPECT says what was found, NONE or no value', async (t) => {
  let value: string | undefined;
  const client = { get: async () => (value === undefined ? undefined : { value: Buffer.from(value) }) };
  const executor = new Executor(client as unknown as KvdClient, { timeoutMs: 1_000, note: {} });
  let last = '';
  const found = async (given: string | undefined, line: string): Promise<string> => {
    value = given;
    for (const text of ['GET a', line]) {
      const operation = parseLine(text);
      if (operation !== null) ({ mismatch: last } = await executor.execute(operation));
    }
    return last;
  };
  t.equal(await found('NONE', 'EXPECT NONE'), "expected no value, found 'NONE'");
  t.equal(await found('NONE', `EXPECT 'NONE'`), '');
  t.equal(await found(undefined, 'EXPECT NONE'), '');
  t.equal(await found(undefined, `EXPECT "NONE"`), "expected 'NONE', found no value");
});

t.test('what is under way is given up by its own signal', async (t) => {
  const executor = new Executor({} as KvdClient, { timeoutMs: 1_000, note: {} });
  const stop = new AbortController();
  const sleeping = executor.execute({ op: 'SLEEP', ms: 60_000 }, stop.signal);
  stop.abort();
  await t.rejects(sleeping, { name: 'AbortError' });
  await executor.execute({ op: 'SLEEP', ms: 1 });
});

async function* chunks(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
