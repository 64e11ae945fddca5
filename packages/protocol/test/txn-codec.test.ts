import assert from 'node:assert/strict';
import { decode } from '@msgpack/msgpack';
import fc from 'fast-check';
import t from 'tap';
import { decodeCommand, encodeCommand } from '../src/command-codec.js';
import { NO_ORIGIN } from '../src/command-fields.js';
import type { Compare, TxnCommand, TxnOperation } from '../src/commands.js';
import { parseInt64 } from '../src/txn-codec.js';
import { operation } from './arbitraries.js';
import { hex, holds, unhex, utf8 } from './frames.js';

const BAD_REQUEST = { code: 'KVD_BAD_REQUEST', outcome: 'not-done' };
const TOO_LARGE = { code: 'KVD_TOO_LARGE', outcome: 'not-done' };
const NOTHING = new Uint8Array();

const txn = (parts: Partial<TxnCommand>): TxnCommand => ({
  type: 'txn',
  origin: NO_ORIGIN,
  compares: [],
  success: [],
  failure: [],
  ...parts,
});
const put = (key: string): TxnOperation => ({ type: 'put', key: utf8(key), value: utf8('v'), lease: 0 });
const deleteRange = (from: string, to: string): TxnOperation => ({
  type: 'delete-range',
  from: utf8(from),
  to: utf8(to),
});

/** The bytes of a transaction whose first branch is `operations`, in hex, for what the encoder refuses to write. */
const raw = (compares: string, success: string) => unhex(`970a000000 ${compares} ${success} 90`);

const isProper = ({ from, to }: Extract<TxnOperation, { type: 'delete-range' }>): boolean =>
  to.length === 0 || Buffer.compare(from, to) < 0;

/** What a client that does not check would send: each operation encoded alone, put together. */
function unchecked(branch: readonly TxnOperation[]): Uint8Array {
  const one = (op: TxnOperation) =>
    hex(encodeCommand(txn({ success: [op] }))).slice('970a0000009091'.length, -2);
  return raw('90', `9${branch.length.toString(16)} ${branch.map(one).join('')}`);
}

/** By another way than the codec's: which of all keys of at most two bytes out of {a, b, c} does each operation change? */
function changesTwice(branch: readonly TxnOperation[]): boolean {
  const letters = ['a', 'b', 'c'];
  const universe = [...letters, ...letters.flatMap((x) => letters.map((y) => x + y))];
  const changes = (op: TxnOperation, key: string): boolean => {
    if (op.type === 'get') return false;
    const bytes = utf8(key);
    if (op.type !== 'delete-range') return Buffer.compare(op.key, bytes) === 0;
    return Buffer.compare(op.from, bytes) <= 0 && (op.to.length === 0 || Buffer.compare(bytes, op.to) < 0);
  };
  return universe.some((key) => branch.filter((op) => changes(op, key)).length > 1);
}

const nearKey = fc
  .array(fc.constantFrom(0x61, 0x62, 0x63), { minLength: 1, maxLength: 2 })
  .map((codes) => Uint8Array.from(codes));

t.test(
  'a branch that changes a key twice is refused on both sides, every other one goes through',
  async (t) => {
    let refused = 0;
    let accepted = 0;
    const branches = fc
      .array(operation(nearKey), { maxLength: 5 })
      // A range that ends before it begins changes nothing, and is taken for one that overlaps others all the same.
      .filter((branch) => branch.every((op) => op.type !== 'delete-range' || isProper(op)));
    holds(
      t,
      fc.property(branches, (branch) => {
        const command = txn({ success: branch });
        if (!changesTwice(branch)) {
          accepted += 1;
          assert.deepStrictEqual(decodeCommand(encodeCommand(command)), command);
          return;
        }
        refused += 1;
        assert.throws(() => encodeCommand(command), BAD_REQUEST);
        assert.throws(() => encodeCommand(txn({ failure: branch })), BAD_REQUEST);
        assert.throws(() => decodeCommand(unchecked(branch)), BAD_REQUEST);
        // The other branch may change the same keys: only one is done.
        for (const op of branch) encodeCommand(txn({ success: [op], failure: [op] }));
      }),
      { numRuns: 1_000 },
    );
    t.ok(refused > 100 && accepted > 100, `${refused} refused, ${accepted} accepted`);
  },
);

t.test('ranges that touch do not overlap, those without an end do', async (t) => {
  const goes = (...success: TxnOperation[]) => t.doesNotThrow(() => encodeCommand(txn({ success })));
  const refused = (...success: TxnOperation[]) =>
    t.throws(() => encodeCommand(txn({ success })), BAD_REQUEST);
  goes(deleteRange('a', 'b'), deleteRange('b', 'c'), put('c'));
  refused(deleteRange('a', 'b'), put('a'));
  refused(put('azzz'), deleteRange('a', 'b'));
  goes(deleteRange('b', ''), put('a'));
  refused(deleteRange('b', ''), put('zzz'));
  refused(deleteRange('a', ''), deleteRange('b', ''));
  refused(deleteRange('', ''), put('a'));
  goes(put('a'), { type: 'get', key: utf8('a') }, { type: 'get', key: utf8('a') });
  refused(put('a'), { type: 'add', key: utf8('a'), delta: 1n });
  const high: TxnOperation = { type: 'delete', key: Uint8Array.of(0xff, 0x80) };
  refused({ type: 'delete-range', from: Uint8Array.of(0xfe), to: NOTHING }, high);
  goes({ type: 'delete-range', from: Uint8Array.of(0x7f), to: Uint8Array.of(0x80) }, high);
});

t.test('the bytes of a transaction, as the log keeps them', async (t) => {
  const compares: Compare[] = [
    { key: utf8('a'), target: 'exists', exists: false },
    { key: utf8('a'), target: 'value', comparison: '<', value: utf8('x') },
    { key: utf8('a'), target: 'mod-revision', comparison: '!=', number: 300 },
  ];
  const success: TxnOperation[] = [
    { type: 'put', key: utf8('b'), value: utf8('1'), lease: 9 },
    { type: 'add', key: utf8('c'), delta: -12n },
    { type: 'delete', key: utf8('d') },
    { type: 'delete-range', from: utf8('e'), to: NOTHING },
    { type: 'get', key: utf8('b') },
  ];
  const bytes = encodeCommand(
    txn({ origin: { session: 7, sequence: 3, lowestUnanswered: 2 }, compares, success }),
  );
  t.equal(
    hex(bytes),
    [
      '970a070302',
      '93 94c401610101c2 94c401610203c40178 94c401610502cd012c',
      '95 9401c40162c4013109 9302c40163a32d3132 9203c40164 9304c40165c400 9205c40162',
      '90',
    ]
      .join('')
      .replaceAll(' ', ''),
  );
  const numbers = [10, 7, 3, 2];
  t.strictSame((decode(bytes) as unknown[]).slice(0, 4), numbers, 'another implementation reads the same');
});

t.test('a transaction that makes no sense is a bad request', async (t) => {
  for (const [what, compares, success] of [
    ['a compare of a target of the future', '91 94 c40161 07 01 01', '90'],
    ['a compare of target 0', '91 94 c40161 00 01 01', '90'],
    ['a comparison of the future', '91 94 c40161 03 05 01', '90'],
    ['whether a key exists, by <', '91 94 c40161 01 03 c3', '90'],
    ['whether a key exists, as a number', '91 94 c40161 01 01 01', '90'],
    ['a version as bytes', '91 94 c40161 03 01 c40101', '90'],
    ['a compare of no key', '91 94 c400 03 01 01', '90'],
    ['an operation of the future', '90', '91 92 06 c40161'],
    ['a put without a lease', '90', '91 93 01 c40161 c40131'],
    ['a put of no key', '90', '91 94 01 c400 c40131 00'],
    ['a sum of no number', '90', '91 93 02 c40161 a178'],
    ['a sum of a half', '90', '91 93 02 c40161 a3302e35'],
    ['a sum with a leading zero', '90', '91 93 02 c40161 a23031'],
    ['a sum of 65 bits', '90', `91 93 02 c40161 b3${hex(utf8('9223372036854775808'))}`],
    ['operations that are not there', '90', '93'],
  ] as const) {
    t.throws(() => decodeCommand(raw(compares, success)), BAD_REQUEST, what);
  }
  const wrong: TxnOperation = { type: 'add', key: utf8('a'), delta: 2n ** 63n };
  t.throws(() => encodeCommand(txn({ success: [wrong] })), BAD_REQUEST, '65 bits');
  const compare: Compare = { key: utf8('a'), target: 'version', comparison: '=', number: 0.5 };
  t.throws(() => encodeCommand(txn({ compares: [compare] })), BAD_REQUEST, 'half a version');
  t.throws(() => encodeCommand(txn({ success: [put('')] })), BAD_REQUEST, 'an empty key');
});

t.test('the bounds of a transaction: at them it goes through, one above is too large', async (t) => {
  const many = (count: number) => Array.from({ length: count }, (_, i) => put(`k${i}`));
  const compares = (count: number): Compare[] =>
    Array.from({ length: count }, () => ({ key: utf8('a'), target: 'exists', exists: true }));
  const ranges = (count: number) => Array.from({ length: count }, (_, i) => deleteRange(`r${i}a`, `r${i}b`));
  const largest = txn({
    compares: compares(1_024),
    success: many(1_024),
    failure: [...many(1_020), ...ranges(4)],
  });
  t.strictSame(decodeCommand(encodeCommand(largest)), largest);
  t.throws(() => encodeCommand(txn({ compares: compares(1_025) })), TOO_LARGE);
  t.throws(() => encodeCommand(txn({ failure: many(1_025) })), TOO_LARGE);
  t.throws(() => encodeCommand(txn({ success: ranges(5) })), TOO_LARGE);
  t.throws(() => decodeCommand(unchecked(ranges(5))), TOO_LARGE);
  const value = new Uint8Array(1_048_577);
  t.throws(
    () => encodeCommand(txn({ success: [{ type: 'put', key: utf8('a'), value, lease: 0 }] })),
    TOO_LARGE,
  );
  const big = Array.from(
    { length: 2 },
    (_, i): TxnOperation => ({
      type: 'put',
      key: utf8(`${i}`),
      value: value.subarray(1),
      lease: 0,
    }),
  );
  t.throws(() => encodeCommand(txn({ success: big })), TOO_LARGE, 'more than a request may have');
});

t.test('a number of 64 bits has one decimal form', async (t) => {
  holds(
    t,
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (n) => {
      assert.equal(parseInt64(n.toString()), n);
    }),
  );
  for (const text of ['', '-', '-0', '+1', '01', ' 1', '1 ', '1e3', '0x1', '1.0', `${2n ** 63n}`, '١']) {
    t.equal(parseInt64(text), null, JSON.stringify(text));
  }
  t.equal(parseInt64('0'), 0n);
});
