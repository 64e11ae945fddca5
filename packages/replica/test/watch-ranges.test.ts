import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'tap';
import { Watcher, WatchClient } from '../src/watcher.js';
import { WatchRanges, type WatchGroup } from '../src/watch-ranges.js';
import { FakeSink } from './watch-harness.js';

/** Few bytes, the highest among them, so that ranges meet and prefixes have no end. */
const bytes = fc
  .uint8Array({ maxLength: 3 })
  .map((raw) => raw.map((byte) => [0, 1, 0x61, 0xfe, 0xff][byte % 5] ?? 0));
const range = fc.oneof(
  fc.tuple(bytes, bytes),
  bytes.map((from) => [from, Uint8Array.of(...from, 0)] as const),
  bytes.map((from) => [from, prefixEnd(from)] as const),
);

function prefixEnd(prefix: Uint8Array): Uint8Array {
  const last = prefix.findLastIndex((byte) => byte < 0xff);
  return prefix.slice(0, last + 1).map((byte, i) => (i === last ? byte + 1 : byte));
}

function found(ranges: WatchRanges, key: Uint8Array): WatchGroup[] {
  const groups: WatchGroup[] = [];
  ranges.find(key, (group) => groups.push(group));
  return groups;
}

test('the groups found for a key are those whose ranges hold it, whatever came and went before', async (t) => {
  const property = fc.property(fc.array(fc.tuple(range, fc.boolean())), fc.array(bytes), (given, keys) => {
    const ranges = new WatchRanges();
    const joined = given.map(([[from, to], stays]) => ({ from, to, stays, group: ranges.join(from, to) }));
    for (const { group } of joined.filter(({ stays }) => !stays)) ranges.leave(group);
    const left = joined.filter(({ stays }) => stays);
    for (const key of [...keys, ...left.map(({ from }) => from)]) {
      const expected = left
        .filter(
          ({ from, to }) =>
            Buffer.compare(from, key) <= 0 && (to.length === 0 || Buffer.compare(key, to) < 0),
        )
        .map(({ group }) => group);
      const groups = found(ranges, key);
      assert.equal(groups.length, new Set(groups).size, 'each once');
      assert.deepEqual(new Set(groups), new Set(expected));
      assert.ok(left.every(({ group }) => group.holds(key) === expected.includes(group)));
    }
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 1_000 }));
});

test('the same range is the same group, and its bytes are not those of the message that named it', async (t) => {
  const ranges = new WatchRanges();
  // A Buffer: its slice() would be a view.
  const message = Buffer.of(1, 2, 3, 4);
  const group = ranges.join(message.subarray(0, 2), message.subarray(2));
  t.equal(ranges.join(Uint8Array.of(1, 2), Uint8Array.of(3, 4)), group);
  t.not(
    ranges.join(Uint8Array.of(1), Uint8Array.of(2, 3, 4)),
    group,
    'bytes that join to the same are not the same',
  );
  message.fill(9);
  t.strictSame([group.from, group.to], [Uint8Array.of(1, 2), Uint8Array.of(3, 4)]);
  const watcher = new Watcher(new WatchClient(new FakeSink()), 1, group, false, 5);
  t.match(watcher, { position: { revision: 5, index: 0 }, previous: 4 });
});
