/** What drills make of histories: each thing that the judge looks at is wrong once, and found. No cluster. */
import type { HistoryRevision, WatchEvent } from '@kvd/client';
import t from 'tap';
import {
  ACCOUNT_KEYS,
  ACCOUNT_START,
  COUNTER_KEY,
  nextDataCall,
  type Transfer,
} from '../src/drill/model/calls.js';
import { guardedWrites } from '../src/drill/model/guarded.js';
import { Judge } from '../src/drill/model/judge.js';
import { Ledger } from '../src/drill/model/ledger.js';
import { difference, type SeenEvent, Sighting } from '../src/drill/model/sighting.js';
import { seededRandom } from '../src/drill/random.js';

const [FIRST = '', SECOND = ''] = ACCOUNT_KEYS;
const TRANSFER: Transfer = { op: 'transfer', from: FIRST, to: SECOND, amount: 5, how: 'add' };
const OPENING = revision(1, ...ACCOUNT_KEYS.map((key) => put(key, String(ACCOUNT_START))));
const MOVED = revision(2, put(FIRST, '95'), put(SECOND, '105'));

t.test('what fits is not objected to', (t) => {
  const ledger = new Ledger();
  ledger.noteTxn(TRANSFER, done(2));
  ledger.noteTxn({ op: 'add' }, { ...done(3), sums: ['1'] });
  ledger.noteAudit({ revision: 2, floor: 2, balances: balances({ [FIRST]: '95', [SECOND]: '105' }) });
  ledger.noteAudit({ revision: 0, floor: 1, balances: balances({}) });
  t.same(judged(ledger, [OPENING, MOVED, revision(3, put(COUNTER_KEY, '1'))]), []);
  t.end();
});

t.test('a bank that loses money is found, in the history and in scans', (t) => {
  const ledger = new Ledger();
  ledger.noteTxn(TRANSFER, done(2));
  ledger.noteAudit({ revision: 0, floor: 0, balances: balances({ [FIRST]: '96' }) });
  ledger.noteAudit({ revision: 1, floor: 0, balances: balances({ [FIRST]: '99' }) });
  const found = judged(ledger, [OPENING, revision(2, put(FIRST, '95'))]);
  t.match(found, [
    /^bank: a scan found 1996 on 20 accounts, not 2000 on 20/,
    /^bank: a scan at revision 1 found 99 on bank\/01, the history says 100/,
    /^bank: after revision 2 the accounts hold 1995, not 2000/,
    /^bank: the transfer that took revision 2 did bank\/01 -5; asked for was bank\/01 -5, bank\/02 5/,
    /^bank: a scan that began after revision 0 found the accounts as they never were/,
  ]);
  t.equal(found.length, 5);
  t.end();
});

t.test('a transfer or an addition that is lost, or that nobody asked for, is found', (t) => {
  const ledger = new Ledger();
  ledger.noteTxn(TRANSFER, done(9));
  ledger.noteTxn({ op: 'add' }, { ...done(10), sums: ['1'] });
  ledger.noteTxn({ op: 'add' }, { ...done(3), sums: ['7'] });
  const found = judged(ledger, [OPENING, MOVED, revision(3, put(COUNTER_KEY, '2'))]);
  t.match(found, [
    /^counter: an addition was told 7, the history has 2 at revision 3/,
    /^counter: revision 3 took the counter from 0 to 2/,
    /^bank: an acknowledged transfer, revision 9, is lost/,
    /^counter: an acknowledged addition, revision 10, is lost/,
    /^bank: 1 transfers were done that nobody was told of, and only 0 can have been/,
  ]);
  t.end();
});

t.test('what began after something was acknowledged comes after it', (t) => {
  const ledger = new Ledger();
  ledger.noteTxn(TRANSFER, done(2), 0);
  t.equal(ledger.highest, 2);
  ledger.noteTxn({ op: 'add' }, { ...done(3), sums: ['1'] }, 3);
  ledger.noteAudit({ revision: 0, floor: 2, balances: balances({}) });
  t.same(judged(ledger, [OPENING, MOVED, revision(3, put(COUNTER_KEY, '1'))]), [
    'bank: a transaction that began after revision 3 was acknowledged took 3',
    'bank: a scan that began after revision 2 found the accounts as they were through revision 1',
  ]);
  t.end();
});

t.test('a history that has something else than a client was told is found', (t) => {
  const judge = new Judge(new Ledger());
  judge.take(OPENING);
  judge.take(revision(2, put('drill/1', 'a')));
  judge.take(revision(3, remove('drill/1')));
  judge.take(revision(4, put('drill/2', 'b')));
  const told = { start: 1, end: 2, client: 'c', outcome: 'ok' } as const;
  judge.finish(
    [
      { ...told, op: 'put', key: 'drill/1', value: 'a', revision: 2 },
      { ...told, op: 'put', key: 'drill/1', value: 'c', revision: 3 },
      { ...told, op: 'delete', key: 'drill/3', deleted: 0, revision: 3 },
      { ...told, op: 'put', key: 'drill/2', value: 'b', revision: 4 },
      { ...told, op: 'delete', key: 'drill/2', deleted: 1, revision: 5 },
    ],
    [],
  );
  t.same(
    judge.findings.map(({ text }) => text),
    [
      "'put drill/1 c' took revision 3, where the history has 'delete drill/1'",
      "'delete drill/2' took revision 5, where the history has 'nothing'",
    ],
  );
  t.end();
});

t.test('what is unknown explains what nobody was told of, until it is known', async (t) => {
  const ledger = new Ledger();
  const unknown = { outcome: 'unknown', error: 'no answer' } as const;
  ledger.noteTxn(TRANSFER, { ...unknown, name: '7.1' });
  ledger.noteTxn({ op: 'add' }, { ...unknown, name: '7.2' });
  ledger.noteTxn({ op: 'add' }, { ...unknown, name: '7.3' });
  const history = [OPENING, MOVED, revision(3, put(COUNTER_KEY, '1'))];
  t.same(judged(ledger, history), []);
  await ledger.settle(async (name) => {
    if (name === '7.1') throw new Error('nobody says');
    if (name === '7.2') return { status: 'never' };
    return { status: 'applied', result: { type: 'txn', revision: 3, succeeded: true, results: [] } };
  });
  t.same(judged(ledger, history), []);
  t.equal(ledger.open.length, 1, 'one is still open');
  t.same(ledger.unknown, { transfers: 1, transfersDone: 0, increments: 2, incrementsDone: 1 });
  const more = [...history, revision(4, put(COUNTER_KEY, '2'))];
  t.match(judged(ledger, more), [/^counter: 1 additions were done that nobody was told of/]);
});

t.test('an operation with two revisions, and a revision without an operation, are found', (t) => {
  const judge = new Judge(new Ledger());
  judge.take({ ...OPENING, operationId: '5.1' });
  judge.take({ ...revision(2, put('drill/1', 'a')), operationId: '5.2' });
  judge.take({ ...revision(3, put('drill/1', 'a')), operationId: '5.2' });
  judge.take({ ...revision(5, put('drill/1', 'b')), idempotencyKey: 'k' });
  const times = { start: 1, end: 2, client: 'c' };
  judge.finish([{ ...times, op: 'put', key: 'drill/1', value: 'a', outcome: 'ok' }], []);
  t.match(
    judge.findings.map(({ text }) => text),
    [
      /^operation 5.2 was done twice: revisions 2 and 3/,
      /^after revision 3 the history has 5/,
      /^puts and deletes took 3 revisions, but only 1 can have taken one/,
    ],
  );
  t.equal(judge.repeated, 3);
  t.end();
});

t.test('a watcher that misses an event, sees one twice or another is found', (t) => {
  const events = [1, 2, 2, 3].map((modRevision, index) => event(modRevision, `k${index}`));
  const [first = event(1, ''), second = first, third = first, last = first] = events;
  const cases: readonly [string, readonly SeenEvent[], RegExp | null][] = [
    ['all', events, null],
    ['more than is asked for', [...events, event(4, 'later')], null],
    [
      'a revision is missing',
      [first, last],
      /after revision 1 it saw revision 3 and missed event 1, revision 2/,
    ],
    ['half a revision', [first, second, last], /after revision 2 it saw revision 3 and missed event 2/],
    [
      'the end',
      [first, second, third],
      /after revision 2 it saw nothing more; the history goes on with event 3/,
    ],
    ['twice', [first, first, second, third, last], /after revision 1 it saw an event of revision 1/],
    ['another value', [{ ...first, value: 'x' }, second], /of revision 1 it saw something else than event 0/],
    ['another order', [first, third, second, last], /of revision 2 it saw something else than event 1/],
  ];
  for (const [name, seen, wrong] of cases) {
    const found = difference(sighting(seen), sighting(events), 3, (index) => `event ${index}`);
    if (wrong === null) t.equal(found, null, name);
    else t.match(found, wrong, name);
  }
  t.end();
});

t.test('a write by another than the first in the queue is found', async (t) => {
  const queue = [revision(1, put('lock/a', '', 1)), revision(2, put('lock/b', '', 2))];
  const right = [...queue, revision(3, put('guarded', '1 x')), revision(4, remove('lock/a'))];
  const next = revision(5, put('guarded', '2 x'));
  t.same(await guardedWrites(each([...right, next]), 'lock/', 'guarded'), {
    writes: 2,
    tokens: 2,
    wrong: null,
  });
  const late = revision(5, put('guarded', '1 y'));
  const { wrong } = await guardedWrites(each([...right, late]), 'lock/', 'guarded');
  t.equal(wrong, "the write of revision 5 carries token 1, the holder's was 2");
  const early = revision(3, put('guarded', '2 y'));
  t.match(await guardedWrites(each([...queue, early]), 'lock/', 'guarded'), {
    wrong: /token 2, the holder's was 1/,
  });
});

t.test('the same seed asks for the same of the bank', (t) => {
  const make = () => {
    const random = seededRandom(3);
    return Array.from({ length: 500 }, () => nextDataCall(random, [4, 5]));
  };
  const calls = make();
  t.same(calls, make());
  const asked = calls.filter((call) => call !== null);
  t.same([...new Set(asked.map(({ op }) => op))].sort(), ['add', 'audit', 'transfer']);
  const transfers = asked.filter((call) => call.op === 'transfer');
  t.ok(
    transfers.every(
      ({ from, to }) => from !== to && ACCOUNT_KEYS.includes(from) && ACCOUNT_KEYS.includes(to),
    ),
  );
  t.end();
});

function judged(ledger: Ledger, history: readonly HistoryRevision[]): string[] {
  const judge = new Judge(ledger);
  for (const each of history) judge.take(each);
  judge.finish([], []);
  return judge.findings.map(({ about, text }) => `${about}: ${text}`);
}

function done(at: number) {
  return { outcome: 'ok', revision: at, succeeded: true, sums: [] } as const;
}

function balances(other: Readonly<Record<string, string>>): Map<string, string> {
  return new Map(ACCOUNT_KEYS.map((key) => [key, other[key] ?? String(ACCOUNT_START)]));
}

type Told = Pick<WatchEvent, 'type' | 'createRevision'> & { readonly name: string; readonly value: string };

function put(name: string, value: string, createRevision = 1): Told {
  return { type: 'put', name, value, createRevision };
}

function remove(name: string): Told {
  return { type: 'delete', name, value: '', createRevision: 0 };
}

/** As the client gives it, as far as drills look at it. */
function revision(at: number, ...events: readonly Told[]): HistoryRevision {
  const told = events.map(({ type, name, value, createRevision }) => ({
    type,
    createRevision,
    modRevision: at,
    version: 1,
    keyText: () => name,
    text: () => value,
  }));
  const note = { wallMs: 0, operationId: undefined, idempotencyKey: undefined, principal: '', reason: '' };
  return { revision: at, ...note, events: told as unknown as WatchEvent[] };
}

function event(modRevision: number, key: string): SeenEvent {
  return { type: 'put', key, value: 'v', createRevision: 1, modRevision, version: 1 };
}

function sighting(events: readonly SeenEvent[]): Sighting {
  const made = new Sighting();
  for (const each of events) made.add(each);
  return made;
}

async function* each(history: readonly HistoryRevision[]): AsyncGenerator<HistoryRevision> {
  yield* history;
}
