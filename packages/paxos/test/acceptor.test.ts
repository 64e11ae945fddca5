/** The acceptor by itself: what it promises, accepts, reports, and refuses. (S1, S2, S3, S11) */
import { test } from 'tap';
import { Acceptor } from '../src/acceptor.js';
import { ConfigurationHistory } from '../src/configuration.js';
import type { Message } from '../src/messages.js';
import { Outbox } from '../src/outbox.js';
import type { RecoveredLog, Slot } from '../src/types.js';
import { at, ballot, batch, member, recovered } from './support/literals.js';

const IDS = [1, 2, 3];

function acceptorWith(log: RecoveredLog = member(2, IDS)): { acceptor: Acceptor; out: Outbox } {
  const out = new Outbox();
  return { acceptor: new Acceptor(log, new ConfigurationHistory(log.configurations), out), out };
}

function accept(
  slot: Slot,
  counter: number,
  replica: number,
  text: string,
): Parameters<Acceptor['onAccept']> {
  const message = {
    type: 'accept',
    ballot: ballot(counter, replica),
    slot,
    value: batch(text),
    chosenThrough: 1,
  } as const;
  return [replica, message, true];
}

function promiseIn(out: Outbox): Extract<Message, { type: 'promise' }> {
  const promise = out.afterPersist
    .map(({ message }) => message)
    .findLast((message) => message.type === 'promise');
  if (!promise) throw new Error('no promise');
  return promise;
}

test('an acceptor that promised 3.1 nacks a prepare and an accept of 2.9, and says 3.1', async (t) => {
  const { acceptor, out } = acceptorWith(member(2, IDS, { promised: ballot(3, 1) }));
  acceptor.onPrepare(9, { type: 'prepare', ballot: ballot(2, 9), fromSlot: 2 });
  acceptor.onAccept(...accept(2, 2, 9, 'a'));
  const nack = { to: [9], message: { type: 'nack', refused: ballot(2, 9), promised: ballot(3, 1) } };
  t.same(out.send, [nack, nack]);
  t.equal(out.takePersist(), null);
});

test('it promises a higher ballot, and the same one again alike', async (t) => {
  const { acceptor, out } = acceptorWith(member(2, IDS, { promised: ballot(3, 1) }));
  acceptor.onPrepare(3, { type: 'prepare', ballot: ballot(3, 3), fromSlot: 2 });
  t.same(out.takePersist()?.promised, ballot(3, 3), 'written first');
  acceptor.onPrepare(3, { type: 'prepare', ballot: ballot(3, 3), fromSlot: 2 });
  t.equal(out.takePersist(), null, 'it is on disk already');
  const [first, second] = out.afterPersist;
  t.same(first, second);
});

test('of two ballots with one counter the higher replica, then the later incarnation is above', async (t) => {
  const { acceptor, out } = acceptorWith(member(2, IDS, { promised: ballot(3, 1) }));
  acceptor.onPrepare(1, { type: 'prepare', ballot: ballot(3, 1, 1), fromSlot: 2 });
  acceptor.onPrepare(3, { type: 'prepare', ballot: ballot(3, 3), fromSlot: 2 });
  acceptor.onPrepare(1, { type: 'prepare', ballot: ballot(3, 1, 2), fromSlot: 2 });
  t.same(
    out.send.map(({ message }) => message.type),
    ['nack'],
  );
  t.same(acceptor.promised, ballot(3, 3));
});

test('accepting sets the promise, in the same write', async (t) => {
  const { acceptor, out } = acceptorWith();
  acceptor.onAccept(...accept(2, 4, 1, 'a'));
  t.same(out.takePersist(), { entries: [at(2, ballot(4, 1), 'a')], promised: ballot(4, 1) });
  t.same(out.afterPersist, [{ to: [1], message: { type: 'accepted', ballot: ballot(4, 1), slots: [2] } }]);
});

test('a higher ballot replaces what was accepted; the same accept twice is written once and answered twice', async (t) => {
  const { acceptor, out } = acceptorWith();
  acceptor.onAccept(...accept(2, 1, 1, 'a'));
  acceptor.onAccept(...accept(2, 2, 3, 'b'));
  acceptor.onAccept(...accept(2, 2, 3, 'b'));
  t.same(out.takePersist()?.entries, [at(2, ballot(1, 1), 'a'), at(2, ballot(2, 3), 'b')]);
  t.same(
    out.afterPersist.map(({ message }) => message),
    [
      { type: 'accepted', ballot: ballot(1, 1), slots: [2] },
      { type: 'accepted', ballot: ballot(2, 3), slots: [2, 2] },
    ],
  );
});

test('a replica without a vote stores what it hears and says nothing', async (t) => {
  const { acceptor, out } = acceptorWith();
  const [from, message] = accept(2, 1, 1, 'a');
  acceptor.onAccept(from, message, false);
  t.equal(out.takePersist()?.entries.length, 1);
  t.same(out.afterPersist, []);
});

test('a promise reports the entries above what is known chosen, from the asked slot on', async (t) => {
  const accepted = [4, 5, 7].map((slot) => at(slot, ballot(1, 1), `v${slot}`));
  const { acceptor, out } = acceptorWith(
    member(2, IDS, { chosenThrough: 3, accepted, promised: ballot(1, 1) }),
  );
  acceptor.onPrepare(3, { type: 'prepare', ballot: ballot(2, 3), fromSlot: 2 });
  t.same(promiseIn(out), {
    type: 'promise',
    ballot: ballot(2, 3),
    fromSlot: 2,
    throughSlot: null,
    accepted,
    chosenThrough: 3,
  });
  acceptor.onPrepare(3, { type: 'prepare', ballot: ballot(2, 3), fromSlot: 6 });
  t.same(
    promiseIn(out).accepted.map(({ slot }) => slot),
    [7],
  );
});

test('a long promise comes in pages; a page holds at least one entry', async (t) => {
  const large = 'x'.repeat(700_000);
  const accepted = [2, 3, 5].map((slot) => at(slot, ballot(1, 1), large));
  const { acceptor, out } = acceptorWith(member(2, IDS, { accepted, promised: ballot(1, 1) }));
  const pages: (Slot | null)[] = [];
  for (let from: Slot | null = 2; from !== null; ) {
    acceptor.onPrepare(3, { type: 'prepare', ballot: ballot(2, 3), fromSlot: from });
    const page = promiseIn(out);
    t.equal(page.accepted.length, 1);
    t.equal(page.fromSlot, from);
    pages.push(page.throughSlot);
    from = page.throughSlot === null ? null : page.throughSlot + 1;
  }
  t.same(pages, [2, 3, null]);
});

test('in a slot that it knows chosen it stores nothing and has the chosen value sent', async (t) => {
  const { acceptor, out } = acceptorWith(member(2, IDS, { chosenThrough: 5 }));
  acceptor.onAccept(...accept(4, 9, 3, 'late'));
  t.same(out.fetches, [{ to: 3, fromSlot: 4, throughSlot: 4 }]);
  t.equal(out.takePersist(), null);
});

test('it accepts at most alpha slots past what it knows chosen, and before the founding in slot 1 alone', async (t) => {
  const { acceptor } = acceptorWith(member(2, IDS, { chosenThrough: 5, alpha: 3 }));
  acceptor.onAccept(...accept(8, 1, 1, 'a'));
  acceptor.onAccept(...accept(9, 1, 1, 'b'));
  t.ok(acceptor.acceptedAt(8));
  t.equal(acceptor.acceptedAt(9), undefined);
  const fresh = acceptorWith(recovered(2)).acceptor;
  fresh.onAccept(...accept(1, 1, 1, 'a'));
  fresh.onAccept(...accept(2, 1, 1, 'b'));
  t.ok(fresh.acceptedAt(1));
  t.equal(fresh.acceptedAt(2), undefined);
});

test('what is chosen leaves its memory, and what is above stays', async (t) => {
  const accepted = [2, 3, 4].map((slot) => at(slot, ballot(1, 1), 'v'));
  const { acceptor } = acceptorWith(member(2, IDS, { accepted, promised: ballot(1, 1) }));
  acceptor.onChosenThrough(3);
  t.same(
    [2, 3, 4].map((slot) => acceptor.acceptedAt(slot) !== undefined),
    [false, false, true],
  );
  acceptor.onChosenThrough(2);
  t.equal(acceptor.chosenThrough, 3, 'it never goes back');
});

test('S2: an entry of a higher ballot is never replaced by one of a lower', async (t) => {
  const { acceptor } = acceptorWith(member(2, IDS, { accepted: [at(2, ballot(5, 1), 'v')] }));
  t.throws(() => acceptor.onAccept(...accept(2, 4, 3, 'w')), { message: /^S2 broken/ });
});
