/** Promises put together, and what they leave a proposer free to propose. (P2c, S3) */
import { test } from 'tap';
import type { PromiseMessage } from '../src/messages.js';
import { PromiseSet } from '../src/safe-value.js';
import type { LogEntry, Slot } from '../src/types.js';
import { at, ballot, identity } from './support/literals.js';

function page(
  fromSlot: Slot,
  throughSlot: Slot | null,
  accepted: readonly LogEntry[],
  chosenThrough: Slot = 0,
): PromiseMessage {
  return { type: 'promise', ballot: ballot(9, 1), fromSlot, throughSlot, accepted, chosenThrough };
}

test('the value accepted at the highest ballot must be proposed, whatever the order of the promises', async (t) => {
  const low = page(2, null, [at(2, ballot(1, 1), 'low')]);
  const high = page(2, null, [at(2, ballot(2, 3), 'high')]);
  for (const promises of [
    [low, high],
    [high, low],
  ]) {
    const set = new PromiseSet(2);
    for (const [i, promise] of promises.entries()) set.add(identity(i + 1), promise);
    t.same(set.mustPropose(2), at(2, ballot(2, 3), 'high'));
  }
});

test('a slot that nobody reports is free, also below one that somebody does', async (t) => {
  const set = new PromiseSet(2);
  set.add(identity(1), page(2, null, [at(4, ballot(1, 1), 'v')]));
  t.equal(set.mustPropose(2), undefined);
  t.equal(set.mustPropose(3), undefined);
  t.ok(set.mustPropose(4));
  t.equal(set.lastReported, 4);
});

test('a value reported as chosen outweighs every ballot', async (t) => {
  const set = new PromiseSet(2);
  set.add(identity(1), page(2, null, [at(2, ballot(1, 1), 'chosen', true)]));
  set.add(identity(2), page(2, null, [at(2, ballot(7, 3), 'later')]));
  t.same(set.mustPropose(2)?.value, at(2, ballot(1, 1), 'chosen').value);
});

test('a promise counts when its last page is in', async (t) => {
  const set = new PromiseSet(2);
  t.equal(set.add(identity(1), page(2, 5, [at(5, ballot(1, 1), 'a')])), 6, 'the next page begins at 6');
  t.equal(set.votes().size, 0);
  t.equal(set.add(identity(1), page(6, null, [])), null);
  t.same([...set.votes()], [[1, identity(1).incarnation]]);
  t.ok(set.isComplete(1));
});

test('a page that leaves a gap does not count, and is asked for again', async (t) => {
  const set = new PromiseSet(2);
  t.equal(set.add(identity(1), page(6, null, [])), 2);
  t.equal(set.add(identity(1), page(2, 4, [])), 5);
  t.equal(set.add(identity(1), page(6, null, [])), 5);
  t.notOk(set.isComplete(1));
  t.equal(set.wantedFrom(1), 5);
  set.add(identity(1), page(4, 7, []));
  t.equal(set.wantedFrom(1), 8, 'pages may overlap');
});

test('a page that comes twice changes nothing', async (t) => {
  const set = new PromiseSet(2);
  const first = page(2, 3, [at(3, ballot(1, 1), 'a')]);
  set.add(identity(1), first);
  set.add(identity(1), page(4, null, []));
  t.equal(set.add(identity(1), first), null);
  t.ok(set.isComplete(1));
});

test('pages of two incarnations of a replica are not one promise', async (t) => {
  const set = new PromiseSet(2);
  set.add(identity(1), page(2, 5, []));
  t.equal(set.add(identity(1, 1), page(6, null, [])), 2, 'the new one has to begin at the beginning');
  t.equal(set.votes().size, 0);
  set.add(identity(1, 1), page(2, null, []));
  t.same([...set.votes()], [[1, identity(1, 1).incarnation]]);
  set.add(identity(1), page(2, 5, []));
  t.equal(set.votes().size, 0, 'nor do both count');
});

test('the highest slot known chosen by anybody is kept, also from a page that is not the last', async (t) => {
  const set = new PromiseSet(2);
  set.add(identity(1), page(2, null, [], 4));
  set.add(identity(2), page(2, 9, [], 7));
  set.add(identity(3), page(2, null, [], 3));
  t.equal(set.chosenThrough, 7);
});

test('what was proposed is forgotten', async (t) => {
  const set = new PromiseSet(2);
  set.add(identity(1), page(2, null, [at(2, ballot(1, 1), 'a'), at(3, ballot(1, 1), 'b')]));
  set.forgetThrough(2);
  t.equal(set.mustPropose(2), undefined);
  t.ok(set.mustPropose(3));
});

test('a late promise reports nothing of slots that a quorum has decided, but for what is known chosen', async (t) => {
  const set = new PromiseSet(2);
  set.add(identity(1), page(2, null, []));
  set.add(identity(2), page(2, null, [at(3, ballot(1, 1), 'kept')]));
  const late = [
    at(3, ballot(2, 1), 'only mine'),
    at(4, ballot(2, 1), 'only mine'),
    at(5, ballot(2, 1), 'chosen', true),
    at(9, ballot(2, 1), 'of another configuration'),
  ];
  set.add(identity(3), page(2, null, late), (slot) => slot < 8);
  t.same(set.mustPropose(3), at(3, ballot(1, 1), 'kept'));
  t.equal(set.mustPropose(4), undefined);
  t.same(set.mustPropose(5), at(5, ballot(2, 1), 'chosen', true));
  t.same(set.mustPropose(9), at(9, ballot(2, 1), 'of another configuration'));
});
