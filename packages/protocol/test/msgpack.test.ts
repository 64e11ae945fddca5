import assert from 'node:assert/strict';
import { decode, encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import t from 'tap';
import { KvdError } from '../src/errors.js';
import { MsgpackReader } from '../src/msgpack-reader.js';
import { MsgpackWriter } from '../src/msgpack-writer.js';
import { uint } from './arbitraries.js';
import { holds, unhex } from './frames.js';

const BAD_FRAME = { name: 'KvdError', code: 'KVD_BAD_FRAME' };
const TOO_LARGE = { name: 'KvdError', code: 'KVD_TOO_LARGE' };
const BAD_REQUEST = { name: 'KvdError', code: 'KVD_BAD_REQUEST' };

const reader = (text: string, purpose: 'frame' | 'request' = 'frame') =>
  new MsgpackReader(unhex(text), purpose);

t.test('what the writer writes is what the library reads', async (t) => {
  const writer = new MsgpackWriter();
  holds(
    t,
    fc.property(
      fc.array(uint),
      fc.uint8Array({ maxLength: 70_000 }),
      fc.string({ unit: 'grapheme' }),
      (a, b, c) => {
        writer.begin();
        writer.array(5);
        writer.array(a.length);
        for (const number of a) writer.uint(number);
        writer.bin(b);
        writer.str(c, 10_000);
        writer.bool(true);
        writer.nil();
        assert.deepStrictEqual(decode(writer.finish()), [a, b, c, true, null]);
      },
    ),
    { numRuns: 200 },
  );
});

t.test('text of any length is read back, by the library too', async (t) => {
  const writer = new MsgpackWriter();
  for (const length of [10, 11, 85, 86, 255, 256, 21_845, 21_846, 65_535, 65_536, 100_000]) {
    const text = 'x'.repeat(length);
    writer.begin();
    writer.str(text, 128 * 1024);
    const bytes = Buffer.from(writer.finish());
    t.equal(decode(bytes), text, `${length}`);
    t.equal(new MsgpackReader(bytes).readStr('text', 128 * 1024), text);
  }
});

t.test('what the library writes is what the reader reads', async (t) => {
  holds(
    t,
    fc.property(
      fc.array(uint),
      fc.uint8Array({ maxLength: 70_000 }),
      fc.string({ unit: 'grapheme' }),
      (a, b, c) => {
        const r = new MsgpackReader(encode([a, b, c, false, null]));
        r.expectArray(5, 'all');
        const length = r.readArrayHeader(100, 'numbers');
        assert.equal(length, a.length);
        for (const number of a) assert.equal(r.readUint('number'), number);
        assert.deepStrictEqual(r.readBin('bytes', 70_000), b);
        assert.equal(r.readStr('text', 10_000), c);
        assert.equal(r.readBool('flag'), false);
        assert.equal(r.readNil(), true);
        r.end('all');
      },
    ),
    { numRuns: 200 },
  );
});

t.test('what was handed out is not written over by what comes after', async (t) => {
  const writer = new MsgpackWriter();
  const messages: Uint8Array[] = [];
  for (let i = 0; i < 3_000; i += 1) {
    writer.begin();
    writer.bin(new Uint8Array(i % 97).fill(i));
    if (i % 5 !== 0) messages.push(writer.finish());
  }
  const wrong = messages.findIndex((bytes) => {
    const body = new MsgpackReader(bytes).readBin('body', 100);
    return body.some((byte) => byte !== body[0]);
  });
  t.equal(wrong, -1);
  writer.begin();
  writer.bin(new Uint8Array(3_000_000));
  t.equal(writer.finish().length, 3_000_005);
});

t.test('a writer is handed a number or a text that cannot be sent', async (t) => {
  const writer = new MsgpackWriter();
  for (const number of [-1, 1.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY]) {
    t.throws(() => writer.uint(number), { code: 'KVD_INTERNAL' }, String(number));
  }
  t.throws(() => writer.str('12345', 4), { code: 'KVD_INTERNAL' });
});

t.test('a message for people is cut at a character', async (t) => {
  const writer = new MsgpackWriter();
  for (const [text, max, kept] of [
    ['aäö', 4, 'aä'],
    ['€€', 5, '€'],
    ['x'.repeat(300), 256, 'x'.repeat(256)],
  ] as const) {
    writer.begin();
    writer.cutStr(text, max);
    t.equal(decode(writer.finish()), kept);
  }
});

t.test('a header of five bytes that asks for gigabytes is refused before anything is made', async (t) => {
  t.throws(() => reader('dd ffffffff').readArrayHeader(2 ** 32, 'list'), BAD_FRAME);
  t.throws(() => reader('c6 ffffffff').readBin('bytes', 2 ** 32), BAD_FRAME);
  t.throws(() => reader('db ffffffff').readStr('text', 2 ** 32), BAD_FRAME);
  t.throws(() => reader('dd ffffffff').skipValue('value'), BAD_FRAME);
  t.throws(() => reader('df ffffffff').skipValue('value'), BAD_FRAME);
});

t.test('a length over its bound is too large in a request and a bad frame elsewhere', async (t) => {
  t.throws(() => reader('c4 05 0102030405').readBin('bytes', 4), BAD_FRAME);
  t.throws(() => reader('c4 05 0102030405', 'request').readBin('bytes', 4), TOO_LARGE);
  t.throws(() => reader('93 010203', 'request').readArrayHeader(2, 'list'), TOO_LARGE);
  t.throws(() => reader('a5 6162636465', 'request').readStr('text', 4), TOO_LARGE);
  t.throws(() => reader('05', 'request').readUint('number', 4), BAD_REQUEST);
});

t.test('what the schema does not ask for is refused', async (t) => {
  for (const [what, bytes] of [
    ['a negative number', 'ff'],
    ['a signed number', 'd3 0000000000000001'],
    ['a float', 'cb 3ff0000000000000'],
    ['a number above 2^53 - 1', 'cf 0020000000000000'],
    ['a string', 'a1 61'],
    ['nil', 'c0'],
    ['nothing at all', ''],
    ['half a number', 'ce 0000'],
  ] as const) {
    t.throws(() => reader(bytes).readUint('number'), BAD_FRAME, what);
  }
  t.throws(() => reader('a1 61').readBin('bytes', 10), BAD_FRAME, 'a string where bytes are asked for');
  t.throws(() => reader('c4 01 61').readStr('text', 10), BAD_FRAME, 'bytes where a string is asked for');
  t.throws(
    () => reader('81 01 02').readArrayHeader(10, 'list'),
    BAD_FRAME,
    'a map where an array is asked for',
  );
  t.throws(() => reader('01').readBool('flag'), BAD_FRAME);
  t.throws(() => reader('92 01 02').expectArray(3, 'list'), BAD_FRAME);
  t.throws(() => reader('a2 c328').readStr('text', 10), BAD_FRAME, 'text that is no UTF-8');
  t.throws(
    () => reader(`d9 32 ${'c3'.repeat(50)}`).readStr('text', 100),
    BAD_FRAME,
    'long text that is no UTF-8',
  );
  t.throws(() => reader('01 02').end('all'), BAD_FRAME, 'bytes left over');
  t.equal(reader('01').readNil(), false);
});

t.test('skipping steps over any value the library can write', async (t) => {
  const value = fc.anything({ withDate: false, withBigInt: false, withNullPrototype: false, maxDepth: 5 });
  holds(
    t,
    fc.property(fc.jsonValue({ maxDepth: 6 }), value, (json, other) => {
      for (const sample of [json, typeof other === 'object' ? null : other]) {
        if (typeof sample === 'symbol' || typeof sample === 'function') continue;
        const r = new MsgpackReader(encode([sample, 7]));
        r.expectArray(2, 'pair');
        r.skipValue('sample');
        assert.equal(r.readUint('what follows'), 7);
      }
    }),
  );
});

t.test('a million arrays in one another are skipped without recursion', async (t) => {
  const nested = new Uint8Array(1_000_001).fill(0x91);
  nested[1_000_000] = 0xc0;
  const r = new MsgpackReader(nested);
  r.skipValue('nested');
  t.equal(r.remaining, 0);
  t.throws(() => new MsgpackReader(nested.subarray(0, 1_000)).skipValue('nested'), BAD_FRAME);
  t.throws(() => reader('c1').skipValue('the byte that means nothing'), BAD_FRAME);
  t.throws(() => reader('d4 01 00').skipValue('an extension'), BAD_FRAME);
});

t.test('a refusal says what was wrong, and where', async (t) => {
  const r = reader('92 01 a1 61');
  r.expectArray(2, 'pair');
  r.readUint('first');
  try {
    r.readUint('second');
    t.fail('not refused');
  } catch (error) {
    t.ok(error instanceof KvdError);
    t.match(String(error), /second: a whole number of at least 0 expected \(byte 2\)/);
  }
});
