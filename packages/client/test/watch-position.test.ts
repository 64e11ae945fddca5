/** Whatever becomes of a watch's subscriptions, its reader gets every event once, in order: the part that decides, alone. */
import type { KvEvent, WatchMessage } from '@kvd/protocol';
import fc from 'fast-check';
import t from 'tap';
import { type Portion, WatchPosition } from '../src/watch-position.js';

function put(revision: number, key = 'k'): KvEvent {
  const entry = {
    key: Buffer.from(key),
    value: Buffer.from(String(revision)),
    createRevision: 1,
    modRevision: revision,
    version: 1,
    lease: 0,
  };
  return { type: 'put', entry, previous: null };
}

function events(previous: number, revision: number, more: boolean, ...all: KvEvent[]): WatchMessage {
  return { type: 'events', previous, revision, more, events: all };
}

function take(position: WatchPosition, message: WatchMessage): Portion | null | 'broken' {
  if (message.type === 'ended') throw new Error('an end is for the subscription');
  return position.take(message);
}

t.test('a watch from now on begins where the replica says, and goes on from there', async (t) => {
  const position = new WatchPosition(0);
  t.equal(position.subscribe(), 0);
  t.equal(position.startRevision, undefined);
  t.equal(take(position, { type: 'created', revision: 7 }), null);
  t.equal(position.startRevision, 7);
  t.match(take(position, events(7, 9, false, put(8), put(9))), { previousRevision: 7, revision: 9 });
  t.equal(position.subscribe(), 10);
});

t.test('a message that names another revision before it than was told is not handed on', async (t) => {
  const position = new WatchPosition(5);
  position.subscribe();
  take(position, { type: 'created', revision: 4 });
  take(position, events(4, 5, false, put(5)));
  t.equal(take(position, events(6, 7, false, put(7))), 'broken', 'revision 6 is missing');
  t.equal(position.subscribe(), 6, 'it is asked for again');
  take(position, { type: 'created', revision: 5 });
  t.match(take(position, events(5, 7, false, put(6), put(7))), { previousRevision: 5, revision: 7 });
});

t.test('a replica that begins elsewhere than asked, or before it is created, is not believed', async (t) => {
  const position = new WatchPosition(5);
  position.subscribe();
  t.equal(take(position, events(4, 5, false, put(5))), 'broken');
  t.equal(take(position, { type: 'created', revision: 5 }), 'broken');
  t.equal(take(position, { type: 'created', revision: 4 }), null);
  t.equal(take(position, { type: 'created', revision: 4 }), 'broken');
  t.equal(take(position, events(4, 4, false, put(4))), 'broken', 'events of before');
});

t.test('of a revision that was cut, the part that came is skipped when it is told again', async (t) => {
  const position = new WatchPosition(3);
  position.subscribe();
  take(position, { type: 'created', revision: 2 });
  take(position, events(2, 4, true, put(3), put(4, 'a'), put(4, 'b')));
  t.match(take(position, events(4, 4, true, put(4, 'c'))), { previousRevision: 4, revision: 4, more: true });
  t.equal(position.subscribe(), 4);
  take(position, { type: 'created', revision: 3 });
  t.equal(take(position, events(3, 4, true, put(4, 'a'), put(4, 'b'))), null);
  const rest = take(position, events(4, 5, false, put(4, 'c'), put(4, 'd'), put(5)));
  t.match(rest, { previousRevision: 4, revision: 5, more: false, events: [put(4, 'd'), put(5)] });
  t.equal(position.subscribe(), 6);
});

t.test('a revision that has fewer events when it is told again is not what it was', async (t) => {
  const position = new WatchPosition(4);
  position.subscribe();
  take(position, { type: 'created', revision: 3 });
  take(position, events(3, 4, true, put(4, 'a'), put(4, 'b')));
  position.subscribe();
  take(position, { type: 'created', revision: 3 });
  t.equal(take(position, events(3, 5, false, put(4, 'a'), put(5))), 'broken');
});

t.test(
  'where nothing happens progress moves the position, so that it stays above the compaction',
  async (t) => {
    const position = new WatchPosition(1);
    position.subscribe();
    take(position, { type: 'created', revision: 0 });
    take(position, { type: 'progress', revision: 900, behind: false });
    t.equal(position.subscribe(), 901);
    take(position, { type: 'created', revision: 900 });
    take(position, { type: 'progress', revision: 20, behind: false });
    t.equal(position.subscribe(), 901, 'a replica that lags does not take it back');
    take(position, { type: 'created', revision: 900 });
    t.match(take(position, events(900, 950, false, put(950))), { previousRevision: 0, revision: 950 });
  },
);

/** A history, and a replica's way to tell it: cut into messages anywhere, marks of progress in between. */
const history = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 12 });

t.test(
  'through any cuts and new subscriptions every event comes once, in order, in an unbroken chain',
  async (t) => {
    fc.assert(
      fc.property(history, fc.array(fc.nat(), { minLength: 1, maxLength: 40 }), (sizes, choices) => {
        const all = sizes.flatMap((size, i) => Array.from({ length: size }, (_, k) => put(i + 1, `k${k}`)));
        const last = sizes.length;
        const position = new WatchPosition(1);
        const got: KvEvent[] = [];
        let chain = 0;
        let choice = 0;
        const choose = (below: number) => (choices[choice++ % choices.length] ?? 0) % below;
        for (let subscription = 0; got.length < all.length; subscription++) {
          const from = position.subscribe();
          let rest = all.filter((event) => revisionOf(event) >= from);
          let told = from - 1;
          take(position, { type: 'created', revision: told });
          // The last subscription is left alone, so that it ends.
          let messages = subscription > 20 ? Number.POSITIVE_INFINITY : choose(4);
          for (; rest.length > 0 && messages > 0; messages--) {
            const count = 1 + choose(Math.min(5, rest.length));
            const part = rest.slice(0, count);
            rest = rest.slice(count);
            const revision = revisionOf(part.at(-1));
            const more = rest.length > 0 && revisionOf(rest[0]) === revision;
            const portion = take(position, events(told, revision, more, ...part));
            told = revision;
            if (portion === 'broken') throw new Error('it was told all there is');
            if (portion === null) continue;
            if (portion.previousRevision !== chain)
              throw new Error(`${portion.previousRevision} is not ${chain}`);
            chain = portion.revision;
            got.push(...portion.events);
            if (!more && choose(3) === 0) take(position, { type: 'progress', revision, behind: false });
          }
        }
        t.same(got, all);
        if (position.subscribe() > last + 1) throw new Error('it went beyond the end');
      }),
      { numRuns: 300 },
    );
  },
);

function revisionOf(event: KvEvent | undefined): number {
  return event?.type === 'put' ? event.entry.modRevision : 0;
}
