/** Transactions as people write them, and answers as they read them. */
/* oxlint-disable unicorn/no-thenable -- the `then` of a transaction in JSON is a list, which nobody awaits */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { decodeCommand, encodeCommand } from '../src/command-codec.js';
import { NO_ORIGIN } from '../src/command-fields.js';
import { KvdError } from '../src/errors.js';
import { parseTxnJson, readTxnJson } from '../src/txn-json.js';
import {
  bytesField,
  entryJson,
  eventJson,
  outcomeJson,
  parseLease,
  parseOperationId,
  resultJson,
  revisionJson,
} from '../src/json.js';
import { holds, utf8 } from './frames.js';

const BAD_REQUEST = 'KVD_BAD_REQUEST';
const TOO_LARGE = 'KVD_TOO_LARGE';

t.test('every compare and every operation', async (t) => {
  const json = {
    if: [
      { key: 'a', exists: false },
      { key: 'b', value: '1' },
      { key: 'b', valueBase64: 'AP8=', op: '!=' },
      { keyBase64: '/w==', version: 3, op: '>' },
      { key: 'c', createRevision: 4, op: '<' },
      { key: 'c', modRevision: 5 },
      { key: 'c', lease: 0, op: '!=' },
      { key: 'c', lease: '131072' },
    ],
    then: [
      { put: { key: 'a', value: '1', lease: '131072' } },
      { put: { key: 'b', value: '', lease: 131073 } },
      { put: { keyBase64: 'AA==', valueBase64: '/w==' } },
      { add: { key: 'n', delta: -1 } },
      { add: { key: 'm', delta: '9223372036854775807' } },
      { delete: { key: 'd' } },
    ],
    else: [
      { deletePrefix: { prefix: 'p/' } },
      { deletePrefix: { prefixBase64: '/w==' } },
      { deleteRange: { from: 'q', to: 'r' } },
      { deleteRange: { to: 'a' } },
      { get: { key: 'c' } },
    ],
  };
  const parsed = {
    compares: [
      { key: utf8('a'), target: 'exists', exists: false },
      { key: utf8('b'), target: 'value', comparison: '=', value: utf8('1') },
      { key: utf8('b'), target: 'value', comparison: '!=', value: Buffer.of(0, 255) },
      { key: Buffer.of(255), target: 'version', comparison: '>', number: 3 },
      { key: utf8('c'), target: 'create-revision', comparison: '<', number: 4 },
      { key: utf8('c'), target: 'mod-revision', comparison: '=', number: 5 },
      { key: utf8('c'), target: 'lease', comparison: '!=', number: 0 },
      { key: utf8('c'), target: 'lease', comparison: '=', number: 131_072 },
    ],
    success: [
      { type: 'put', key: utf8('a'), value: utf8('1'), lease: 131_072 },
      { type: 'put', key: utf8('b'), value: utf8(''), lease: 131_073 },
      { type: 'put', key: Buffer.of(0), value: Buffer.of(255), lease: 0 },
      { type: 'add', key: utf8('n'), delta: -1n },
      { type: 'add', key: utf8('m'), delta: 2n ** 63n - 1n },
      { type: 'delete', key: utf8('d') },
    ],
    failure: [
      { type: 'delete-range', from: utf8('p/'), to: utf8('p0') },
      { type: 'delete-range', from: Buffer.of(255), to: Buffer.of() },
      { type: 'delete-range', from: utf8('q'), to: utf8('r') },
      { type: 'delete-range', from: Buffer.of(), to: utf8('a') },
      { type: 'get', key: utf8('c') },
    ],
  };
  t.same(readTxnJson(json), parsed);
  t.same(parseTxnJson(JSON.stringify(json)), parsed);
  t.same(readTxnJson({ then: [{ get: { key: 'a' } }] }), {
    compares: [],
    success: [{ type: 'get', key: utf8('a') }],
    failure: [],
  });
});

t.test('what is wrong is refused with its place', async (t) => {
  const then = (...operations: unknown[]) => ({ then: operations });
  const when = (compare: unknown) => ({ if: [compare], then: [{ get: { key: 'a' } }] });
  const cases: [json: unknown, message: RegExp, code?: string][] = [
    [null, /^the transaction: must be an object/],
    [[], /^the transaction: must be an object/],
    [{}, /does nothing: "then" or "else"/],
    [{ if: [{ key: 'a', exists: true }] }, /does nothing/],
    [{ when: [], then: [{ get: { key: 'a' } }] }, /^when: is unknown here; known: if, then, else/],
    [{ then: {} }, /^then: must be a list/],
    [JSON.parse('{"__proto__":[],"then":[{"get":{"key":"a"}}]}'), /^__proto__: is unknown here/],
    [when('a'), /^if\[0\]: must be an object/],
    [when({ key: 'a' }), /^if\[0\]: one of exists, value, .* is compared, not 0/],
    [when({ key: 'a', exists: true, version: 1 }), /^if\[0\]: one of .*, not 2/],
    [when({ exists: true }), /^if\[0\]\.key: is missing/],
    [when({ key: 'a', exists: 1 }), /^if\[0\]\.exists: must be true or false/],
    [when({ key: 'a', exists: true, op: '=' }), /^if\[0\]\.op: goes with/],
    [when({ key: 'a', value: 1 }), /^if\[0\]\.value: must be text/],
    [when({ key: 'a', value: '1', op: '>=' }), /^if\[0\]\.op: must be one of = != < >/],
    [when({ key: 'a', version: -1 }), /^if\[0\]\.version: must be a whole number, 0 or more/],
    [when({ key: 'a', modRevision: 1.5 }), /^if\[0\]\.modRevision: must be a whole number/],
    [when({ key: 'a', modRevision: '5' }), /^if\[0\]\.modRevision: must be a whole number/],
    [when({ key: 'a', version: 2 ** 53 }), /^if\[0\]\.version: must be a whole number/],
    [when({ key: 'a', lease: 'x' }), /^if\[0\]\.lease: must be the number of a lease/],
    [when({ key: 'a', exists: true, vlaue: '' }), /^if\[0\]\.vlaue: is unknown here; known: key, exists/],
    [then({ get: { key: 'a' } }, 7), /^then\[1\]: must be an object/],
    [then({}), /^then\[0\]: must be one of put, add, delete, deletePrefix, deleteRange, get/],
    [then({ frob: { key: 'a' } }), /^then\[0\]: must be one of put/],
    [
      then({ put: { key: 'a', value: '' }, get: { key: 'a' } }),
      /^then\[0\]: is one operation, not put and get/,
    ],
    [then({ get: { key: 'a' }, if: [] }), /^then\[0\]\.if: is unknown here; known: get/],
    [then({ put: 'a' }), /^then\[0\]\.put: must be an object/],
    [then({ put: { key: 'a' } }), /^then\[0\]\.put\.value: is missing \(value, or valueBase64/],
    [then({ put: { key: '', value: '' } }), /^then\[0\]\.put\.key: a key has at least one byte/],
    [then({ put: { key: 'a', value: null } }), /^then\[0\]\.put\.value: must be text/],
    [then({ put: { key: 'a', value: '', valueBase64: '' } }), /^then\[0\]\.put\.value: is given twice/],
    [then({ put: { key: 'a', valueBase64: '*' } }), /^then\[0\]\.put\.valueBase64: must be base64/],
    [then({ put: { key: 'a', valueBase64: 1 } }), /^then\[0\]\.put\.valueBase64: must be base64/],
    [then({ put: { key: 'a\ud800', value: '' } }), /^then\[0\]\.put\.key: is no valid text; keyBase64/],
    [
      then({ put: { key: 'a', value: '', lease: 0 } }),
      /^then\[0\]\.put\.lease: must be the number of a lease/,
    ],
    [
      then({ put: { key: 'a', value: '', ttl: 5 } }),
      /^then\[0\]\.put\.ttl: is unknown here; known: key, value, lease/,
    ],
    [then({ put: { key: 'k'.repeat(4097), value: '' } }), /^then\[0\]\.put\.key: .*4097 bytes/, TOO_LARGE],
    [then({ put: { key: 'a', value: 'v'.repeat(2 ** 20 + 1) } }), /^then\[0\]\.put\.value: /, TOO_LARGE],
    [then({ add: { key: 'a' } }), /^then\[0\]\.add\.delta: must be a whole number of 64 bits/],
    [then({ add: { key: 'a', delta: 2 ** 53 } }), /^then\[0\]\.add\.delta: .*as text above 2\^53/],
    [then({ add: { key: 'a', delta: '9223372036854775808' } }), /^then\[0\]\.add\.delta/],
    [then({ add: { key: 'a', delta: '01' } }), /^then\[0\]\.add\.delta/],
    [then({ deletePrefix: { prefix: '' } }), /^then\[0\]\.deletePrefix\.prefix: has at least one byte/],
    [then({ deletePrefix: { prefix: 'p'.repeat(4097) } }), /^then\[0\]\.deletePrefix\.prefix/, TOO_LARGE],
    [then({ deleteRange: {} }), /^then\[0\]\.deleteRange: needs from, to or both/],
    [then({ deleteRange: { from: 'a', until: 'b' } }), /^then\[0\]\.deleteRange\.until: is unknown/],
    [then({ deleteRange: { to: 'k'.repeat(4097) } }), /^then\[0\]\.deleteRange\.to/, TOO_LARGE],
    [{ else: [{ get: {} }] }, /^else\[0\]\.get\.key: is missing/],
  ];
  for (const [json, message, code = BAD_REQUEST] of cases) {
    t.throws(
      () => readTxnJson(json),
      { code, message, outcome: 'not-done' },
      JSON.stringify(json)?.slice(0, 80),
    );
  }
  t.throws(() => parseTxnJson('{"then":'), { code: BAD_REQUEST, message: /^the transaction is no JSON: / });
});

t.test('no JSON at all brings the parser down, and what it takes can be sent', async (t) => {
  const fragment = fc.letrec((tie) => ({
    json: fc.oneof(
      { depthSize: 'small' },
      fc.jsonValue(),
      fc.array(tie('json'), { maxLength: 3 }),
      fc.dictionary(
        fc.constantFrom(
          'if',
          'then',
          'else',
          'key',
          'value',
          'keyBase64',
          'put',
          'get',
          'add',
          'delta',
          'op',
          'lease',
        ),
        tie('json'),
      ),
    ),
  })).json;
  const operation = fc.oneof(
    fc.record({ put: fc.record({ key: fc.string({ minLength: 1, unit: 'grapheme' }), value: fc.string() }) }),
    fc.record({ add: fc.record({ key: fc.string({ minLength: 1 }), delta: fc.integer() }) }),
    fc.record({ get: fc.record({ key: fc.string({ minLength: 1 }) }) }),
  );
  const branch = (item: fc.Arbitrary<unknown>) =>
    fc.record({ then: fc.array(item, { minLength: 1, maxLength: 3 }) });
  const txn = fc.oneof(fragment, branch(operation), branch(fc.oneof(operation, fragment)));
  let taken = 0;
  holds(
    t,
    fc.property(txn, (json) => {
      const bytes = encodedOrRefused(json);
      if (bytes === null) return;
      assert.deepEqual(encodeCommand(decodeCommand(bytes)), bytes);
      taken += 1;
    }),
  );
  t.ok(taken > 10, `${taken} of them were transactions`);
});

/** Null: refused, as what a user wrote may be; any other error is ours. */
function encodedOrRefused(json: unknown): Uint8Array | null {
  try {
    return encodeCommand({ type: 'txn', origin: NO_ORIGIN, ...readTxnJson(json) });
  } catch (error) {
    if (error instanceof KvdError) return null;
    throw error;
  }
}

const entry = { key: utf8('a'), value: utf8('1'), createRevision: 3, modRevision: 12, version: 4, lease: 0 };
const shown = { key: 'a', value: '1', createRevision: 3, modRevision: 12, version: 4 };

t.test('entries and events', async (t) => {
  t.equal(JSON.stringify(entryJson(entry)), JSON.stringify(shown), 'the order is that of the documents');
  t.same(entryJson({ ...entry, lease: 131_072 }, true), {
    key: 'a',
    createRevision: 3,
    modRevision: 12,
    version: 4,
    lease: '131072',
  });
  t.same(bytesField('key', Buffer.of(0xff, 0)), { keyBase64: '/wA=' });
  t.same(eventJson({ type: 'put', entry, previous: null }), { type: 'put', ...shown });
  t.same(eventJson({ type: 'delete', key: Buffer.of(0xff), modRevision: 13, previous: entry }), {
    type: 'delete',
    keyBase64: '/w==',
    modRevision: 13,
    previous: shown,
  });
});

t.test('a revision with its note; what nobody said is left out', async (t) => {
  const silent = { wallMs: 0, session: 0, sequence: 0, idempotencyKey: utf8(''), principal: '', reason: '' };
  t.same(revisionJson({ revision: 12, note: silent, events: [] }), {
    revision: 12,
    time: '1970-01-01T00:00:00.000Z',
    events: [],
  });
  const note = { ...silent, wallMs: 1, session: 65_536, sequence: 7, principal: 'ada', reason: 'why not' };
  t.same(revisionJson({ revision: 12, note: { ...note, idempotencyKey: utf8('k') }, events: [] }), {
    revision: 12,
    time: '1970-01-01T00:00:00.001Z',
    operation: '65536.7',
    idempotencyKey: 'k',
    principal: 'ada',
    reason: 'why not',
    events: [],
  });
  const never = { ...silent, wallMs: Number.MAX_SAFE_INTEGER };
  t.match(revisionJson({ revision: 1, note: never, events: [] }), { time: '+275760-09-13T00:00:00.000Z' });
});

t.test('results and outcomes', async (t) => {
  const results = [
    { type: 'put' },
    { type: 'added', value: 2n ** 62n },
    { type: 'deleted', deleted: 2 },
    { type: 'entry', entry: null },
    { type: 'entry', entry },
  ] as const;
  const txn = { type: 'txn', revision: 14, succeeded: true, results } as const;
  const json = {
    revision: 14,
    succeeded: true,
    results: [{ put: true }, { add: '4611686018427387904' }, { deleted: 2 }, { get: null }, { get: shown }],
  };
  t.equal(JSON.stringify(resultJson(txn)), JSON.stringify(json));
  t.same(resultJson({ type: 'put', revision: 3 }), { revision: 3 });
  t.same(resultJson({ type: 'deleted', revision: 3, deleted: 0 }), { revision: 3, deleted: 0 });
  t.same(resultJson({ type: 'lease', lease: 65_536, ttlMs: 100 }), { lease: '65536', ttlMs: 100 });
  t.same(resultJson({ type: 'session', session: 65_536 }), { session: '65536' });
  t.same(resultJson({ type: 'done' }), {});
  t.same(outcomeJson({ status: 'applied', result: txn }), { status: 'applied', result: json });
  for (const status of ['never', 'answered', 'forgotten'] as const)
    t.same(outcomeJson({ status }), { status });
  const failed = { type: 'error', code: 'KVD_NOT_AN_INTEGER', message: 'no' } as const;
  t.same(outcomeJson({ status: 'applied', result: failed }), {
    status: 'applied',
    error: { code: 'KVD_NOT_AN_INTEGER', message: 'no' },
  });
});

t.test('names of operations and leases', async (t) => {
  t.same(parseOperationId('65536.7'), { session: 65_536, sequence: 7 });
  for (const bad of ['', '1', '1.', '.1', '0.1', '1.0', '1.1.1', ' 1.1', '1.1e3', '9999999999999999.1'])
    t.equal(parseOperationId(bad), null, bad);
  t.equal(parseLease('65536'), 65_536);
  for (const bad of ['', '0', '-1', '1.5', '0x10', '9999999999999999', ' 1'])
    t.equal(parseLease(bad), null, bad);
});
