/** Reports for people and programs: literally for one violation, and safe whatever a history holds. */
import { checkHistory, type History, htmlReport, jsonReport, type Operation, textReport } from '@kvd/checker';
import { test } from 'tap';

const NASTY = `</title><script>alert('1')</script>"&\u0000\u001b[31m\ud800 end`;

function history(key: string, value: string): History {
  const common = { key, outcome: 'ok' } as const;
  return {
    operations: [
      { ...common, client: 'a', op: 'put', value, start: 0, end: 1, line: 1 },
      { ...common, client: 'b', op: 'put', value: '2', start: 2, end: 3.00049, line: 2 },
      { ...common, client: 'c', op: 'get', value, start: 4, end: 5, line: 4 },
      {
        ...common,
        client: 'd',
        op: 'put',
        value: '9',
        start: 2.5,
        end: 4.5,
        outcome: 'unknown',
        error: NASTY,
      },
    ],
  };
}

test('the text of a violation', (t) => {
  const told = history('k', '1');
  t.equal(
    textReport(told, checkHistory(told)),
    [
      '4 operations on 1 key: 3 ok, 0 failed, 1 unknown',
      'NOT LINEARIZABLE: 1 key',
      '',
      'Key "k": 3 operations in no order',
      '  get "k" -> "1" (client c, line 4) found "1", although put "k" "2" (client b, line 2) was done before it began and after that was written',
      '',
      '  a       |put "1"--------------|',
      '  b                               |put "2"--------------|',
      '  c                                                       [get -> "1"-----------]',
      '',
      '  client a  put "k" "1"  from 0 to 1 (line 1)',
      '  client b  put "k" "2"  from 2 to 3 (line 2)',
      '> client c  get "k" -> "1"  from 4 to 5 (line 4)',
    ].join('\n'),
  );
  const fine = { operations: told.operations.slice(0, 2) };
  t.equal(
    textReport(fine, checkHistory(fine)),
    '2 operations on 1 key: 2 ok, 0 failed, 0 unknown\nLINEARIZABLE',
  );
  t.end();
});

test('nothing in a history reaches the terminal as a control character', (t) => {
  const nasty = 'c\u001b[31m\u009b\n';
  const operations: Operation[] = [
    { client: nasty, op: 'put', key: nasty, value: nasty, start: 0, end: 1, outcome: 'ok' },
    { client: nasty, op: 'get', key: nasty, value: null, start: 2, end: 3, outcome: 'ok' },
  ];
  const told = { operations, finals: [{ replica: nasty, key: 'other', value: nasty }] };
  const text = textReport(told, checkHistory(told));
  t.notMatch(text, /[^\P{Control}\n]/u);
  t.match(text, /> client c\\x1b\[31m\\x9b\\n {2}get/);
  t.match(text, /replica c\\x1b\[31m\\x9b\\n holds/);
  t.end();
});

test('the JSON of a violation', (t) => {
  const told = history('k', '1');
  t.match(jsonReport(told, checkHistory(told)), {
    verdict: 'violated',
    linearizable: false,
    keysViolated: 1,
    violations: [
      { key: 'k', size: 3, operations: [{ op: 'put' }, { op: 'put' }, { op: 'get', culprit: true }] },
    ],
  });
  t.end();
});

test('the page is well-formed, loads nothing, and shows what is in the history as text only', (t) => {
  const told = history(NASTY, NASTY);
  const html = htmlReport(told, checkHistory(told), { title: NASTY });
  t.strictSame(problemsOf(html), []);
  t.notMatch(html, /<script|\bsrc=|\bhref=|url\(|@import/);
  t.notMatch(html, /[^\P{Control}\n]|\p{Surrogate}/u);
  t.match(html, /default-src 'none'/);
  t.match(html, /&#60;script&#62;/);
  t.equal(html.match(/<g class="bar culprit"/g)?.length, 1);
  t.equal(html.match(/<g class="bar piece"/g)?.length, 2);
  t.equal(html.match(/<g class="bar context open"/g)?.length, 1, 'what else was under way on the key');
  t.match(html, /<title>get .*\nclient c\nfrom 4 to 5, ok\nline 4<\/title>/);
  t.end();
});

test('the checker of pages finds what is wrong with one', (t) => {
  t.not(problemsOf('<p><b></p>').length, 0);
  t.not(problemsOf('<p>a < b</p>').length, 0);
  t.not(problemsOf('<p a=b></p>').length, 0);
  t.not(problemsOf('<p>&nbsp</p>').length, 0);
  t.end();
});

test('pages of every kind of report are well-formed', (t) => {
  const many: Operation[] = [];
  for (let i = 0; i < 300; i++) {
    many.push({
      client: `c${i % 40}`,
      op: 'append',
      key: 'k',
      value: 'x',
      start: i,
      end: i + 20,
      outcome: 'ok',
    });
  }
  many.push({
    client: 'r',
    op: 'get',
    key: 'k',
    value: 'x'.repeat(299),
    start: 400,
    end: 401,
    outcome: 'ok',
  });
  const reports: History[] = [
    { operations: many },
    { operations: many.slice(0, 10) },
    { operations: many.slice(0, 10), finals: [{ replica: '1', key: 'k', value: '<y>' }] },
    history('k', '\u{1f600}'.repeat(1000)),
  ];
  for (const told of reports) {
    const report = checkHistory(told);
    t.strictSame(problemsOf(htmlReport(told, report)), [], report.verdict);
    t.ok(textReport(told, report).length < 40_000);
    t.ok(JSON.stringify(jsonReport(told, report)).length < 100_000);
  }
  t.end();
});

/** What keeps a page from being XML: tags that do not match, attributes without quotes, stray & and <. */
function problemsOf(html: string): string[] {
  const problems: string[] = [];
  const open: string[] = [];
  const tag = /<(\/?)([a-zA-Z][a-zA-Z0-9]*)((?:\s+[a-zA-Z][a-zA-Z0-9-]*="[^"<]*")*)\s*(\/?)>/y;
  let offset = html.startsWith('<!doctype html>') ? '<!doctype html>'.length : 0;
  while (offset < html.length) {
    const next = html.indexOf('<', offset);
    const text = html.slice(offset, next < 0 ? html.length : next);
    if (open.at(-1) !== 'style' && /&(?!#\d+;)|>/.test(text)) problems.push(`stray character in: ${text}`);
    if (next < 0) break;
    tag.lastIndex = next;
    const found = tag.exec(html);
    if (found === null) return [...problems, `no tag: ${html.slice(next, next + 40)}`];
    const [, closes, name = '', , closesItself] = found;
    if (closes) {
      if (open.pop() !== name) problems.push(`</${name}> closes another`);
    } else if (!closesItself) open.push(name);
    offset = tag.lastIndex;
  }
  return open.length > 0 ? [...problems, `not closed: ${open.join(' ')}`] : problems;
}
