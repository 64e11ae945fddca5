/** The checks beside linearizability: writes lost, operations applied twice, revisions that do not fit. */
import {
  checkHistory,
  checkLostWrites,
  checkRepeated,
  checkRevisions,
  type FinalRead,
  type History,
  htmlReport,
  jsonReport,
  type Operation,
  textReport,
} from '@kvd/checker';
import { test } from 'tap';

/** Operations one after the other, each { op, … }: ok, of key k, unless it says otherwise. */
function sequence(...operations: Record<string, unknown>[]): Operation[] {
  return operations.map((fields, i) => {
    return {
      client: 'a',
      key: 'k',
      start: 2 * i,
      end: 2 * i + 1,
      outcome: 'ok',
      ...fields,
    } as unknown as Operation;
  });
}

const put = (value: string, more = {}) => ({ op: 'put', value, ...more });
const get = (value: string | null, more = {}) => ({ op: 'get', value, ...more });
const kindsOf = ({ list }: { list: readonly { kind: string }[] }) => list.map(({ kind }) => kind);
const final = (value: string | null, more: Partial<FinalRead> = {}): FinalRead => ({
  replica: '1',
  key: 'k',
  value,
  ...more,
});

test('a cluster that does everything right has no findings', (t) => {
  const operations = sequence(
    put('1', { revision: 1 }),
    get('1', { modRevision: 1, version: 1 }),
    { op: 'cas', expected: '1', value: '2', swapped: true, revision: 2 },
    { op: 'cas', expected: '1', value: '9', swapped: false },
    { op: 'delete', deleted: 1, revision: 3 },
    { op: 'delete', deleted: 0, revision: 3 },
    put('3', { outcome: 'unknown' }),
    { op: 'scan', prefix: '', entries: [{ key: 'k', value: '3', modRevision: 4, version: 1 }] },
    { op: 'delete-prefix', prefix: 'k', deleted: 1, revision: 5 },
  );
  const finals = ['1', '2', '3'].map((replica) => final(null, { replica }));
  const report = checkHistory({ operations, finals, baseRevision: 0 });
  t.equal(report.verdict, 'ok');
  t.match(report, {
    acknowledged: 8,
    unknown: 1,
    lost: { count: 0 },
    repeated: { count: 0 },
    revisions: { count: 0 },
  });
  t.end();
});

test('an acknowledged write that a replica does not have is lost', (t) => {
  const history = (operations: Operation[], ...finals: FinalRead[]): History => ({ operations, finals });
  const written = sequence(put('1'), put('2'));
  t.strictSame(kindsOf(checkLostWrites(history(written, final('2')))), []);
  const lost = checkLostWrites(history(written, final('1')));
  t.strictSame(kindsOf(lost), ['lost-write']);
  t.strictSame(lost.list[0]?.operations, [1], 'the one that is missing');
  t.match(lost.list[0]?.explanation, /put "k" "2" .* was acknowledged, but replica 1 holds "1" in the end/);
  t.strictSame(kindsOf(checkLostWrites(history(written, final(null)))), ['lost-write']);
  t.strictSame(kindsOf(checkLostWrites(history([], final('x')))), ['lost-write'], 'a value out of nowhere');
  const unknown = sequence(put('1'), put('2', { outcome: 'unknown' }));
  t.strictSame(kindsOf(checkLostWrites(history(unknown, final('1')))), [], 'an unknown one may be missing');
  t.strictSame(kindsOf(checkLostWrites(history(unknown, final('2')))), [], 'or there');
  const deleted = sequence(put('1'), { op: 'delete' });
  t.strictSame(
    kindsOf(checkLostWrites(history(deleted, final('1')))),
    ['lost-write'],
    'a delete is lost, too',
  );
  const concurrent = sequence(put('1', { start: 0, end: 9 }), put('2', { start: 1, end: 8 }));
  t.strictSame(kindsOf(checkLostWrites(history(concurrent, final('1')))), [], 'either may be the last');
  const revised = sequence(
    put('1', { revision: 5, start: 0, end: 9 }),
    put('1', { revision: 6, start: 1, end: 8 }),
  );
  const byRevision = checkLostWrites(history(revised, final('1', { modRevision: 5 })));
  t.strictSame(byRevision.list[0]?.operations, [1], 'the revision tells which is missing');
  t.end();
});

test('a final value that no order of the answers leaves there', (t) => {
  const operations = sequence(put('2', { outcome: 'unknown' }), get('2'), put('3'));
  const history = { operations, finals: [final('2', { line: 9 }), final('2', { replica: '2' })] };
  const report = checkHistory(history);
  t.match(report, { verdict: 'violated', operations: 3, acknowledged: 2, lost: { count: 0 } });
  t.strictSame(report.linearizability.violations[0]?.operations, [0, 1, 2, 3]);
  t.match(
    report.linearizability.violations[0]?.explanation,
    /^get "k" -> "2" \(client replica 1 in the end, line 9\)/,
  );
  t.match(textReport(history, report), /> client replica 1 in the end {2}get "k" -> "2"/);
  t.match(htmlReport(history, report), /<g class="bar culprit"><title>get &#34;k&#34; -/);
  t.match(jsonReport(history, report), {
    violations: [{ size: 4, operations: [{}, {}, {}, { culprit: true }] }],
  });
  t.equal(checkHistory({ operations, finals: [final('3')] }).verdict, 'ok');
  const lost = checkHistory({ operations: sequence(put('1'), put('2')), finals: [final('1')] });
  t.match(
    lost,
    { lost: { count: 1 }, linearizability: { verdict: 'linearizable' } },
    'what is lost is said once',
  );
  t.end();
});

test('a version that counts fewer writes than were acknowledged: some were lost', (t) => {
  const puts = [put('1'), put('2'), put('3')];
  const found = (...operations: Record<string, unknown>[]) =>
    checkLostWrites({ operations: sequence(...operations) }).list.map(({ explanation }) => explanation);
  t.match(found(...puts, get('3', { version: 1 })), [
    /get "k" -> "3" .*: version 1 of "k", but 3 writes of it/,
  ]);
  const finals = [final('3', { version: 2 })];
  t.strictSame(kindsOf(checkLostWrites({ operations: sequence(...puts), finals })), ['lost-write']);
  t.strictSame(found(...puts, get('3', { version: 3 })), []);
  t.strictSame(found(put('1'), put('2', { outcome: 'unknown' }), get('1', { version: 1 })), []);
  t.strictSame(found(put('1'), put('2', { start: 2, end: 9 }), get('1', { version: 1 })), [], 'not over yet');
  t.strictSame(
    found(...puts, get('3', { version: 1 }), { op: 'delete' }),
    found(...puts, get('3', { version: 1 })),
  );
  const deletions = [
    { op: 'delete', outcome: 'unknown' },
    { op: 'cas', expected: '1', value: null, outcome: 'unknown' },
    { op: 'delete-prefix', prefix: '' },
    {
      op: 'txn',
      compares: [],
      success: [{ op: 'delete-prefix', prefix: 'k' }],
      failure: [],
      succeeded: true,
    },
  ];
  for (const deletion of deletions) {
    t.strictSame(found(put('1'), deletion, put('2'), get('2', { version: 1 })), [], deletion.op);
  }
  const nothing = { op: 'delete-prefix', prefix: '', deleted: 0 };
  t.equal(found(nothing, put('1'), put('2'), get('2', { version: 1 })).length, 1);
  t.end();
});

test('replicas that hold different things are told', (t) => {
  const operations = sequence(put('1', { start: 0, end: 9 }), put('2', { start: 1, end: 8 }));
  const finals = [final('1'), final('2', { replica: '2' }), final('1', { replica: '3' })];
  t.strictSame(kindsOf(checkLostWrites({ operations, finals })), ['replicas-differ']);
  t.end();
});

test('a write that took effect twice shows', (t) => {
  const found = (operations: Operation[], more: Partial<History> = {}) =>
    kindsOf(checkRepeated({ operations, ...more }));
  const twice = ['applied-twice'];
  const reads = [get('1', { modRevision: 4 }), get('1', { modRevision: 6 })];
  t.strictSame(found(sequence(put('1'), ...reads)), twice, 'a value of its own at two revisions');
  t.strictSame(
    found(sequence(put('1', { outcome: 'unknown' }), ...reads)),
    twice,
    'also of an unknown outcome',
  );
  t.strictSame(
    found(sequence(put('1', { revision: 4 }), get('1', { modRevision: 5 }))),
    twice,
    'other than answered',
  );
  t.strictSame(
    found(sequence(put('1', { revision: 4 })), { finals: [final('1', { modRevision: 5 })] }),
    twice,
  );
  t.strictSame(found(sequence(put('1'), put('1'), ...reads)), [], 'two writers may have done it');
  t.strictSame(
    found(sequence(put('1'), put('2'), get('2', { version: 3 }))),
    twice,
    'a version of too many writes',
  );
  t.strictSame(
    found(sequence(put('1'), get('1', { version: 2 }), put('2'))),
    twice,
    'later writes do not count',
  );
  t.strictSame(found(sequence(put('1'), put('2', { outcome: 'fail' }), get('1', { version: 2 }))), twice);
  t.strictSame(found(sequence(put('1'), put('2'), get('2', { version: 2 }))), []);
  const append = (value: string) => ({ op: 'append', value });
  t.strictSame(found(sequence(append('a;'), append('ba;'), get('a;ba;a;'))), twice, 'a piece twice');
  t.strictSame(
    found(sequence(append('a;'), append('ba;'), get('a;ba;'))),
    [],
    'the end of another piece is none',
  );
  t.strictSame(found(sequence(append('x'), get('x'))), [], 'one that is nothing but its end');
  t.strictSame(found(sequence(append('x'), get('xx'))), twice);
  t.strictSame(
    found(sequence(append('x'), get('xx')), { initial: 'x' }),
    [],
    'what was there from the beginning',
  );
  const counted = sequence(
    put('1', { revision: 11 }),
    put('2', { outcome: 'unknown' }),
    get('2', { modRevision: 13 }),
  );
  t.strictSame(found(counted, { baseRevision: 10 }), twice, 'more revisions than mutations');
  t.strictSame(found(counted), [], 'unless others may have made some');
  t.strictSame(found(counted, { baseRevision: 11 }), []);
  t.end();
});

test('revisions that go back', (t) => {
  const found = (...operations: Record<string, unknown>[]) =>
    kindsOf(checkRevisions({ operations: sequence(...operations) }));
  const back = ['revision-went-back'];
  t.strictSame(found(put('1', { revision: 5 }), put('2', { revision: 4 })), back);
  t.strictSame(
    found(put('1', { revision: 5, client: 'b', key: 'other' }), put('2', { revision: 4 })),
    back,
    'across clients and keys',
  );
  t.strictSame(
    found(put('1', { revision: 5, end: 9 }), put('2', { revision: 4 })),
    [],
    'not while both are under way',
  );
  t.strictSame(
    found(put('1', { revision: 5 }), get('0', { modRevision: 4 })),
    back,
    'a read of an older revision',
  );
  t.strictSame(
    found(put('1', { revision: 5 }), get('0', { key: 'other', modRevision: 4 })),
    [],
    'another key may be older',
  );
  t.strictSame(found(get('1', { modRevision: 5 }), get('0', { modRevision: 4 })), back);
  t.strictSame(found(get('1', { modRevision: 5 }), put('2', { revision: 5 })), [
    'revision-went-back',
    'revision-mismatch',
  ]);
  t.strictSame(found(put('1', { revision: 5 }), { op: 'delete', deleted: 0, revision: 4 }), back);
  t.strictSame(found(put('1', { revision: 5 }), { op: 'delete', deleted: 0, revision: 5 }), []);
  t.end();
});

test('revisions that are shared, or do not fit what was written with them', (t) => {
  const found = (...operations: Record<string, unknown>[]) =>
    kindsOf(checkRevisions({ operations: sequence(...operations) }));
  t.strictSame(found(put('1', { revision: 5 }), put('2', { revision: 5 })), ['revision-shared']);
  const swap = (value: string | null) => ({
    op: 'cas',
    key: 'l',
    expected: null,
    value,
    swapped: true,
    revision: 5,
  });
  t.strictSame(found(put('1', { revision: 5 }), swap(null)), [], 'of absent for absent takes none');
  t.strictSame(found(put('1', { revision: 5 }), swap('1')), ['revision-shared']);
  const mismatch = ['revision-mismatch'];
  t.strictSame(
    found(put('1', { revision: 5, end: 9 }), get('2', { modRevision: 5 })),
    mismatch,
    'another value',
  );
  t.strictSame(
    found(put('1', { revision: 5, key: 'x' }), get('1', { modRevision: 5 })),
    mismatch,
    'another key',
  );
  t.strictSame(
    found(put('1', { revision: 5, end: 9 }), get('1', { modRevision: 4 })),
    mismatch,
    'another revision',
  );
  t.strictSame(
    found(get('1', { modRevision: 5 }), get('2', { modRevision: 5 })),
    mismatch,
    'two values at one',
  );
  t.end();
});

test('a finding makes a linearizable history wrong', (t) => {
  const report = checkHistory({ operations: sequence(put('1', { revision: 2 }), put('2', { revision: 1 })) });
  t.match(report, {
    verdict: 'violated',
    linearizability: { verdict: 'linearizable' },
    revisions: { count: 1 },
  });
  t.throws(() => checkHistory({ operations: sequence({ op: 'get' }) }), { code: 'HISTORY_MALFORMED' });
  t.throws(() => checkHistory({ operations: sequence(put('1', { end: -1 })) }), {
    code: 'HISTORY_MALFORMED',
  });
  t.end();
});
