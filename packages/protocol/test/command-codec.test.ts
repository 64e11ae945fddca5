import assert from 'node:assert/strict';
import { decode } from '@msgpack/msgpack';
import fc from 'fast-check';
import t from 'tap';
import { decodeBatch, encodeBatch, peekBatchBallot } from '../src/batch-codec.js';
import { decodeCommand, encodeCommand } from '../src/command-codec.js';
import { NO_ORIGIN } from '../src/command-fields.js';
import { isRetrySafe, peekCommand } from '../src/command-types.js';
import type { Command } from '../src/commands.js';
import { ERROR_CODES } from '../src/errors.js';
import { BATCH_BYTES_MAX, BATCH_COMMANDS_MAX } from '../src/limits.js';
import { decodeResult, encodeResult } from '../src/result-codec.js';
import { batch, command, result } from './arbitraries.js';
import { hex, holds, unhex, utf8 } from './frames.js';

const origin = { session: 65_536, sequence: 3, lowestUnanswered: 2 };
const put = (key: Uint8Array, value: Uint8Array): Command => ({ type: 'put', origin, key, value });

t.test('the generated commands and results are of every type', async (t) => {
  const seen = new Set<string>();
  for (const c of fc.sample(command, 2_000)) {
    seen.add(c.type);
    assert.equal(peekCommand(encodeCommand(c)).type, c.type);
  }
  const commands =
    'close-session compact delete delete-range expire-leases keep-alive keyed keyed-outcome lease-grant ' +
    'lease-keep-alive lease-revoke noted open-session outcome put set-retention txn';
  t.equal([...seen].sort().join(' '), commands);
  const results = new Set(fc.sample(result, 2_000).map((r) => r.type));
  t.equal([...results].sort().join(' '), 'deleted done error lease outcome put session txn');
});

t.test('commands, results and batches come back as they went', async (t) => {
  holds(
    t,
    fc.property(command, (c) => assert.deepStrictEqual(decodeCommand(encodeCommand(c)), c)),
  );
  holds(
    t,
    fc.property(result, (r) => assert.deepStrictEqual(decodeResult(encodeResult(r)), r)),
  );
  holds(
    t,
    fc.property(batch, (b) => {
      const bytes = encodeBatch(b);
      assert.deepStrictEqual(decodeBatch(bytes), b);
      assert.deepStrictEqual(peekBatchBallot(bytes), b.ballot);
    }),
  );
});

t.test('the bytes of each command, as the log keeps them', async (t) => {
  const bytes = (c: Command) => hex(encodeCommand(c));
  t.equal(bytes({ type: 'open-session' }), '9101');
  t.equal(bytes({ type: 'keep-alive', session: 65_536 }), '9202ce00010000');
  t.equal(bytes({ type: 'close-session', session: 5 }), '920305');
  t.equal(bytes(put(utf8('a'), utf8('1'))), '9604ce000100000302c40161c40131');
  t.equal(bytes({ type: 'delete', origin: NO_ORIGIN, key: utf8('a') }), '9505000000c40161');
  t.equal(
    bytes({ type: 'delete-range', origin: NO_ORIGIN, from: utf8('a'), to: new Uint8Array() }),
    '9606000000c40161c400',
  );
  const inner = encodeCommand({ type: 'delete', origin: NO_ORIGIN, key: utf8('a') });
  t.equal(
    bytes({ type: 'keyed', idempotencyKey: utf8('k'), command: inner }),
    '9307c4016bc4089505000000c40161',
  );
  t.equal(bytes({ type: 'open-session', principal: 'me' }), '9208a26d65');
  t.equal(bytes({ type: 'open-session', principal: '' }), '9101', 'nobody in particular');
  t.equal(
    bytes({ type: 'noted', principal: 'me', reason: 'why', command: inner }),
    '9409a26d65a3776879c4089505000000c40161',
  );
  t.equal(bytes({ type: 'lease-grant', origin, ttlMs: 1_000 }), '950bce000100000302cd03e8');
  t.equal(bytes({ type: 'lease-revoke', origin: NO_ORIGIN, lease: 7 }), '950c00000007');
  t.equal(bytes({ type: 'lease-keep-alive', lease: 7 }), '920d07');
  t.equal(bytes({ type: 'expire-leases', leases: [7, 8] }), '920e920708');
  t.equal(bytes({ type: 'compact', revision: 9 }), '920f09');
  t.equal(bytes({ type: 'set-retention', origin: NO_ORIGIN, keepRevisions: 5, keepMs: 6 }), '96100000000506');
  t.equal(bytes({ type: 'outcome', session: 5, sequence: 6 }), '93110506');
  t.equal(bytes({ type: 'keyed-outcome', idempotencyKey: utf8('k') }), '9212c4016b');
});

t.test('another MessagePack implementation reads the same', async (t) => {
  t.strictSame(decode(encodeCommand(put(utf8('key'), utf8('value')))), [
    4,
    65_536,
    3,
    2,
    utf8('key'),
    utf8('value'),
  ]);
  const commands = [
    encodeCommand({ type: 'open-session' }),
    encodeCommand({ type: 'keep-alive', session: 1 }),
  ];
  const ballot = { counter: 7, replicaId: 9 };
  t.strictSame(decode(encodeBatch({ ballot, clusterMs: 10, wallMs: 1_700_000_000_000, commands })), [
    2 ** 48 + 7,
    9,
    10,
    1_700_000_000_000,
    commands,
  ]);
  t.strictSame(decode(encodeResult({ type: 'error', code: 'KVD_TOO_LARGE', message: 'no' })), [
    5,
    ERROR_CODES.indexOf('KVD_TOO_LARGE'),
    'no',
  ]);
});

t.test('decoded bytes are views, not copies', async (t) => {
  const bytes = encodeCommand(put(utf8('key'), utf8('value')));
  const decoded = decodeCommand(bytes);
  t.ok(decoded.type === 'put' && decoded.value.buffer === bytes.buffer);
});

t.test('the largest key and value go through, one byte more is too large, both ways', async (t) => {
  const largest = put(new Uint8Array(4_096), new Uint8Array(1_048_576));
  t.strictSame(decodeCommand(encodeCommand(largest)), largest);
  const tooLarge = { code: 'KVD_TOO_LARGE', outcome: 'not-done' };
  t.throws(() => encodeCommand(put(new Uint8Array(4_097), utf8('v'))), tooLarge);
  t.throws(() => encodeCommand(put(utf8('k'), new Uint8Array(1_048_577))), tooLarge);
  const key = hex(new Uint8Array(4_097));
  t.throws(() => decodeCommand(unhex(`95 05 00 00 00 c5 1001 ${key}`)), tooLarge);
  t.throws(
    () => decodeCommand(unhex(`96 04 00 00 00 c4 01 61 c6 00100001 ${'00'.repeat(1_048_577)}`)),
    tooLarge,
  );
  t.throws(() => decodeCommand(new Uint8Array(1_536 * 1_024 + 1)), tooLarge);
  t.throws(
    () => encodeCommand({ type: 'keyed', idempotencyKey: new Uint8Array(257), command: unhex('9101') }),
    tooLarge,
  );
});

t.test('a command that is no good is a bad request', async (t) => {
  const badRequest = { code: 'KVD_BAD_REQUEST', outcome: 'not-done' };
  for (const [what, bytes] of [
    ['no bytes', ''],
    ['no array', '01'],
    ['an empty array', '90'],
    ['a type of the future', '9213 01'],
    ['type 0', '9100'],
    ['too few fields', '9202'],
    ['one field too many', '920101'],
    ['bytes left over', '9101 00'],
    ['an empty key', '9505000000 c400'],
    ['a text where the key should be', '9505000000 a161'],
    ['a map', '81 01 02'],
    ['a sequence without a session', '9505000100 c40161'],
    ['a session without a sequence', '9505010000 c40161'],
    ['a lowest unanswered above the sequence', '9505010203 c40161'],
    ['no lowest unanswered', '9505010200 c40161'],
    ['half a key', '9505000000 c40561'],
    ['an empty idempotency key', '9307 c400 c402 9101'],
    ['a keyed command that holds garbage', '9307 c4016b c402 ffff'],
    ['a keyed command in a keyed one', '9307 c4016b c407 9307 c4016b c402 9101'],
    ['a noted command in a noted one', '9409 a0 a0 c408 9409 a0 a0 c402 9101'],
    ['a keyed command in a noted one', '9409 a0 a0 c408 9307 c4016b c402 9101'],
    ['a noted command that holds garbage', '9409 a0 a0 c402 ffff'],
    ['a lease of no time', '950b 000000 00'],
    ['a lease of more than a year', '950b 000000 cf 0000007fffffffff'],
    ['an outcome of no session', '9311 00 01'],
    ['an outcome of no sequence', '9311 01 00'],
    ['an outcome of an empty idempotency key', '9212 c400'],
  ] as const) {
    t.throws(() => decodeCommand(unhex(bytes)), badRequest, what);
  }
  t.throws(() => encodeCommand(put(new Uint8Array(), utf8('v'))), badRequest);
  t.throws(
    () => encodeCommand({ type: 'delete', origin: { ...origin, session: 0 }, key: utf8('a') }),
    badRequest,
  );
});

t.test('a command is looked at without being decoded', async (t) => {
  t.strictSame(peekCommand(encodeCommand(put(utf8('a'), utf8('1')))), {
    type: 'put',
    session: 65_536,
    sequence: 3,
  });
  t.strictSame(peekCommand(unhex('9101')), { type: 'open-session', session: 0, sequence: 0 });
  const noted = encodeCommand({
    type: 'noted',
    principal: 'me',
    reason: '',
    command: encodeCommand(put(utf8('a'), utf8('1'))),
  });
  t.strictSame(peekCommand(noted), { type: 'noted', session: 65_536, sequence: 3 }, 'of what is inside');
  t.strictSame(peekCommand(unhex('93110506')), { type: 'outcome', session: 0, sequence: 0 });
  t.strictSame(peekCommand(unhex('920305')), { type: 'close-session', session: 5, sequence: 0 });
  t.throws(() => peekCommand(unhex('9200')), { code: 'KVD_BAD_REQUEST' });
});

t.test('what may be proposed twice: what the state would notice, and what does no harm', async (t) => {
  const inner = encodeCommand({ type: 'delete', origin: NO_ORIGIN, key: utf8('a') });
  t.equal(isRetrySafe(encodeCommand(put(utf8('a'), utf8('1')))), true);
  t.equal(isRetrySafe(encodeCommand({ type: 'keyed', idempotencyKey: utf8('k'), command: inner })), true);
  t.equal(isRetrySafe(encodeCommand({ type: 'keep-alive', session: 4 })), true);
  t.equal(isRetrySafe(encodeCommand({ type: 'open-session' })), true);
  t.equal(isRetrySafe(inner), false);
  const noted = (c: Uint8Array) => encodeCommand({ type: 'noted', principal: '', reason: '', command: c });
  t.equal(isRetrySafe(noted(inner)), false, 'as what is inside');
  t.equal(isRetrySafe(noted(encodeCommand(put(utf8('a'), utf8('1'))))), true);
  t.equal(isRetrySafe(encodeCommand({ type: 'lease-grant', origin: NO_ORIGIN, ttlMs: 1_000 })), false);
  t.equal(isRetrySafe(encodeCommand({ type: 'lease-grant', origin, ttlMs: 1_000 })), true);
  t.equal(isRetrySafe(encodeCommand({ type: 'outcome', session: 5, sequence: 6 })), true);
  t.equal(isRetrySafe(unhex('ff')), false);
});

t.test('a batch holds its bounds', async (t) => {
  const ballot = { counter: 1, replicaId: 1 };
  const full = Array.from({ length: BATCH_COMMANDS_MAX }, () => unhex('9101'));
  const bytes = encodeBatch({ ballot, clusterMs: 0, wallMs: 0, commands: full });
  t.equal(decodeBatch(bytes).commands.length, BATCH_COMMANDS_MAX);
  const tooMany = { ballot, clusterMs: 0, wallMs: 0, commands: [...full, unhex('9101')] };
  t.throws(() => encodeBatch(tooMany), { code: 'KVD_INTERNAL' });
  const tooLong = { ballot, clusterMs: 0, wallMs: 0, commands: [new Uint8Array(BATCH_BYTES_MAX + 1)] };
  t.throws(() => encodeBatch(tooLong), { code: 'KVD_INTERNAL' });
  for (const bad of [
    '',
    '90',
    '9501010101',
    '95 01 01 01 01 dd ffffffff',
    '95 01 01 01 01 91 a161',
    '95 01 01 01 01 90 00',
  ]) {
    t.throws(() => decodeBatch(unhex(bad)), { code: 'KVD_BAD_FRAME' }, bad);
  }
});

/** Of transactions and outcomes. */
const BAD_RESULTS = [
  '9406 01 c3 91 9105',
  '9406 01 c3 91 92 02 a3302e35',
  '9406 01 c3 dd ffffffff',
  '9308 05 c0',
  '9308 00 c0',
  '9308 02 9104',
  '9308 01 c0',
  '9308 01 9308 02 c0',
];

t.test('a result that is none is a bad frame', async (t) => {
  for (const bad of [
    '',
    '90',
    '9106',
    '9201',
    '930501',
    '9305 cc ff a0',
    '9104 00',
    '92 01 ff',
    ...BAD_RESULTS,
  ]) {
    t.throws(() => decodeResult(unhex(bad)), { code: 'KVD_BAD_FRAME' }, bad);
  }
});
