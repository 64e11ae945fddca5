/** Where keys and ranges of a database are in the cluster. The bounds are compared with what they mean. */
import fc from 'fast-check';
import t from 'tap';
import { beyond, fromBound, isEmpty, isIn, Keyspace, onlyKey } from '../src/keyspace.js';

const KEY_BYTES_MAX = 4096;
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

/** Keys and bounds that are often equal, next to each other, or as long as they can be. */
const piece = fc.oneof(
  fc.uint8Array({ maxLength: 3, max: 2 }),
  fc.uint8Array({ maxLength: 2, min: 0xfe }),
  fc
    .constantFrom(KEY_BYTES_MAX - 2, KEY_BYTES_MAX - 1, KEY_BYTES_MAX, KEY_BYTES_MAX + 3)
    .chain((length) => fc.constantFrom(0, 1, 0xff).map((byte) => new Uint8Array(length).fill(byte))),
);
const prefixes = fc.uint8Array({ maxLength: 2, min: 0xfe });
const bounds = fc.record({ gt: piece, gte: piece, lt: piece, lte: piece }, { requiredKeys: [] });

function possible(prefix: Uint8Array, key: Uint8Array): boolean {
  const length = prefix.length + key.length;
  return length >= 1 && length <= KEY_BYTES_MAX;
}

function means(
  key: Uint8Array,
  given: { gt?: Uint8Array; gte?: Uint8Array; lt?: Uint8Array; lte?: Uint8Array },
) {
  const { gt, gte, lt, lte } = given;
  const above = gte ? Buffer.compare(key, gte) >= 0 : gt ? Buffer.compare(key, gt) > 0 : true;
  return above && (lte ? Buffer.compare(key, lte) <= 0 : lt ? Buffer.compare(key, lt) < 0 : true);
}

t.test('a key is in a range if and only if the options say so, however long the bounds are', async (t) => {
  const property = fc.property(prefixes, bounds, piece, (prefix, given, key) => {
    fc.pre(possible(prefix, key));
    const space = new Keyspace(prefix);
    const range = space.range(given);
    const found = isIn(range, space.key(key));
    if (found !== means(key, given)) return false;
    return (
      !(found && isEmpty(range)) &&
      [range.from, range.to ?? range.from].every((b) => b.length <= KEY_BYTES_MAX)
    );
  });
  fc.assert(property, { numRuns: 20_000 });
  t.pass('20,000 cases');
});

t.test('what is left from a bound on, and after a key, both ways', async (t) => {
  const property = fc.property(prefixes, piece, piece, fc.boolean(), (prefix, a, b, reverse) => {
    fc.pre(possible(prefix, b));
    const space = new Keyspace(prefix);
    const [bound, key] = [space.locate(a), space.key(b)];
    const order = Buffer.compare(key, bound) * (reverse ? -1 : 1);
    const whole = space.range({});
    if (isIn(fromBound(whole, bound, reverse), key) !== order >= 0) return false;
    return !possible(prefix, a) || isIn(beyond(whole, bound, reverse), key) === order > 0;
  });
  fc.assert(property, { numRuns: 20_000 });
  t.pass('20,000 cases');
});

t.test('a database sees what begins with its prefix and nothing else', async (t) => {
  const space = new Keyspace(Buffer.from('a/'));
  const all = space.range({});
  const key = (name: string) => Buffer.from(name, 'latin1');
  for (const name of ['a/', 'a/b', 'a/\xff\xff']) t.ok(isIn(all, key(name)), `${name} is in it`);
  for (const name of ['a', 'a.', 'a0', 'b', '\xff']) t.notOk(isIn(all, key(name)), `${name} is not`);
  t.equal(text(space.strip(key('a/b'))), 'b');
  t.equal(new Keyspace(key('\xff\xff')).range({}).to, null, 'nothing is above it');
});

t.test('a prefix stays what it was when its array is used again', async (t) => {
  const prefix = Buffer.from('a/');
  const space = new Keyspace(prefix);
  prefix.write('zz');
  t.equal(text(space.key('k')), 'a/k');
});

t.test('keys that a cluster cannot have are refused, with what the client says as cause', async (t) => {
  const code = 'LEVEL_INVALID_KEY';
  const none = new Keyspace(Buffer.from(''));
  t.throws(() => none.key(''), { code, cause: { code: 'KVD_BAD_REQUEST' } });
  const two = new Keyspace(Buffer.from('a/'));
  t.equal(two.key('').length, 2, 'the empty key of a database with a prefix is the prefix');
  t.equal(two.key('x'.repeat(KEY_BYTES_MAX - 2)).length, KEY_BYTES_MAX);
  t.throws(() => two.key('x'.repeat(KEY_BYTES_MAX - 1)), { code, cause: { code: 'KVD_TOO_LARGE' } });
  t.throws(() => new Keyspace(Buffer.alloc(KEY_BYTES_MAX)), TypeError);
  const longest = none.key('x'.repeat(KEY_BYTES_MAX));
  t.ok(isIn(onlyKey(longest), longest));
});
