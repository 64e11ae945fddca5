/** Every watcher sees the events of its range, in order, each once, or is told why not and where to go on. */
import assert from 'node:assert/strict';
import type { WatchMessage } from '@kvd/protocol';
import { test } from 'tap';
import { WatchHub, type WatchHubOptions } from '../src/watch-hub.js';
import { ALL, FakeSink, FakeState, key, prefix, utf8 } from './watch-harness.js';

const TICK_MS = 20;
const MIB = 1024 * 1024;

function setUp(options: WatchHubOptions = {}) {
  const state = new FakeState();
  const traced: string[] = [];
  const tracer = { event: (_level: string, name: string) => void traced.push(name) };
  const hub = new WatchHub(state, tracer, { tickMs: TICK_MS, ...options });
  const sink = new FakeSink();
  let lastId = 0;
  return {
    state,
    hub,
    sink,
    traced,
    /** Its id. */
    watch: (range: typeof ALL, fromRevision = 0, previous = false, to = sink): number => {
      lastId += 1;
      hub.open(to, lastId, { ...range, fromRevision, previous });
      return lastId;
    },
    ticks: (count: number, hasLeader = true): void => {
      for (let i = 0; i < count; i += 1) hub.tick(hasLeader);
    },
  };
}

/** A message in few characters: `+3` created, `3>5 a=v5 -b` events, `..5` progress, `!CODE 7` ended. */
function brief(message: WatchMessage): string {
  switch (message.type) {
    case 'created':
      return `+${message.revision}`;
    case 'progress':
      return `..${message.revision}${message.behind ? ' behind' : ''}`;
    case 'ended':
      return `!${message.code} ${message.resumeRevision}`;
    case 'events': {
      const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString();
      const events = message.events.map((event) => {
        const before = event.previous === null ? '' : `(${text(event.previous.value)})`;
        if (event.type === 'delete') return `-${text(event.key)}${before}`;
        return `${text(event.entry.key)}=${text(event.entry.value)}${before}`;
      });
      return `${message.previous}>${message.revision}${message.more ? '…' : ''} ${events.join(' ')}`;
    }
  }
}

const story = (sink: FakeSink, watchId: number): string[] => sink.to(watchId).map(brief);

test('who watches where no leader is heard for long is sent elsewhere, with where to go on', (t) => {
  const { state, hub, sink, watch, ticks } = setUp({ leaderlessMs: 5 * TICK_MS });
  const first = watch(ALL);
  state.apply({ put: 'a' });
  hub.onRevisions();
  ticks(4, false);
  ticks(1);
  ticks(4, false);
  t.strictSame(story(sink, first), ['+0', '0>1 a=v1'], 'elections are no reason');
  ticks(1, false);
  t.strictSame(story(sink, first).at(-1), '!KVD_UNAVAILABLE 2');
  const again = watch(ALL, 2);
  ticks(4, false);
  t.strictSame(story(sink, again), ['+1'], 'who comes back is taken, for as long again');
  ticks(1, false);
  t.strictSame(story(sink, again).at(-1), '!KVD_UNAVAILABLE 2');
  t.end();
});

test('who watches from now on is told what happens from now on, with what was there if that was asked for', async (t) => {
  const { state, hub, sink, watch } = setUp();
  state.apply({ put: 'a' });
  const plain = watch(key('a'));
  const before = watch(key('a'), 0, true);
  const other = watch(key('b'));
  state.apply({ put: 'a' });
  state.apply({ put: 'c' });
  hub.onRevisions();
  state.apply({ del: 'a' });
  hub.onRevisions();
  t.strictSame(story(sink, plain), ['+1', '1>2 a=v2', '2>4 -a']);
  t.strictSame(story(sink, before), ['+1', '1>2 a=v2(v1)', '2>4 -a(v2)']);
  t.strictSame(story(sink, other), ['+1']);
  t.equal(state.readsBegun, 0, 'nobody needed the history');
});

test('several revisions applied in one go are one message', async (t) => {
  const { state, hub, sink, watch } = setUp();
  const id = watch(prefix('k'));
  state.apply({ put: 'k1' }, { put: 'k2' });
  state.apply({ put: 'x' });
  state.apply({ put: 'k3' });
  hub.onRevisions();
  t.strictSame(story(sink, id), ['+0', '0>3 k1=v1 k2=v1 k3=v3']);
});

test('what was applied, and not handed out yet, when a watch opened, is told to it once or not at all', async (t) => {
  const { state, hub, sink, watch } = setUp();
  watch(ALL);
  state.apply({ put: 'a' });
  state.apply({ put: 'b' });
  const now = watch(ALL);
  const pending = watch(ALL, 2);
  const all = watch(ALL, 1);
  hub.onRevisions();
  state.apply({ put: 'c' });
  hub.onRevisions();
  t.strictSame(story(sink, now), ['+2', '2>3 c=v3']);
  t.strictSame(story(sink, pending), ['+1', '1>2 b=v2', '2>3 c=v3']);
  t.strictSame(story(sink, all), ['+0', '0>2 a=v1 b=v2', '2>3 c=v3']);
});

test('who asks for the past reads it, page by page, while writes go on', async (t) => {
  const { state, hub, sink, watch } = setUp();
  state.pageEvents = 2;
  for (const name of ['a', 'b', 'c', 'd', 'e']) state.apply({ put: name });
  const id = watch(ALL, 2);
  t.equal(state.reads.length, 1);
  state.apply({ put: 'f' });
  hub.onRevisions();
  t.strictSame(story(sink, id), ['+1'], 'not before what came before it');
  state.finishReads();
  t.strictSame(story(sink, id), ['+1', '1>3 b=v2 c=v3', '3>5 d=v4 e=v5', '5>6 f=v6']);
  t.equal(state.readsBegun, 2, 'the last revision was still in memory');
  state.apply({ put: 'g' });
  hub.onRevisions();
  t.equal(story(sink, id).at(-1), '6>7 g=v7');
});

test('a watch of the future waits for a replica that is behind', async (t) => {
  const { state, hub, sink, watch } = setUp();
  const id = watch(ALL, 3);
  for (const name of ['a', 'b']) state.apply({ put: name });
  hub.onRevisions();
  t.strictSame(story(sink, id), ['+2']);
  for (const name of ['c', 'd']) state.apply({ put: name });
  hub.onRevisions();
  t.strictSame(story(sink, id), ['+2', '2>4 c=v3 d=v4']);
});

test('what is compacted cannot be watched; the answer says from where on it can', async (t) => {
  const { state, sink, watch } = setUp();
  for (const name of ['a', 'b', 'c']) state.apply({ put: name });
  state.compact(2);
  t.strictSame(story(sink, watch(ALL, 2)), ['!KVD_COMPACTED 3']);
  t.match(sink.to(1)[0], { message: 'revision 2 is compacted, restart at 3' });
  const id = watch(ALL, 3);
  state.finishReads();
  t.strictSame(story(sink, id), ['+2', '2>3 c=v3']);
});

test('compacted while the history was being read: ended, and no half of the story after it', async (t) => {
  const { state, hub, sink, watch } = setUp();
  state.pageEvents = 1;
  for (const name of ['a', 'b', 'c']) state.apply({ put: name });
  const id = watch(ALL, 1);
  state.reads.shift()?.();
  state.compact(2);
  state.finishReads();
  state.apply({ put: 'd' });
  hub.onRevisions();
  t.strictSame(story(sink, id), ['+0', '0>1 a=v1', '!KVD_COMPACTED 3']);
  t.equal(hub.size, 0);
});

test('a revision of a hundred thousand events comes in messages that fit a frame, each marked as part of it', async (t) => {
  const { state, hub, sink, watch } = setUp();
  const names = Array.from({ length: 100_000 }, (_, i) => `k${i}`);
  const id = watch(ALL);
  state.apply(...names.map((name) => ({ put: name, value: '' })));
  state.apply({ put: 'x' });
  hub.onRevisions();
  const late = watch(ALL, 1);
  state.finishReads();
  for (const watchId of [id, late]) {
    const messages = sink.to(watchId).filter((message) => message.type === 'events');
    const counts = messages.map(({ events }) => events.length);
    t.ok(Math.max(...counts) <= 4_096, `${messages.length} messages`);
    t.equal(
      counts.reduce((a, b) => a + b),
      100_001,
      'all of them',
    );
    const parts = messages.slice(0, -1);
    t.ok(parts.every(({ revision, more }) => revision === 1 && more));
    t.ok(parts.slice(1).every(({ previous }) => previous === 1));
    t.match(messages.at(-1), { previous: 1, revision: 2, more: false });
  }
});

test('large values: a message has about a mebibyte, or the one event that is larger', async (t) => {
  const { state, hub, sink, watch } = setUp();
  const value = new Uint8Array(MIB);
  const id = watch(ALL, 0, true);
  state.apply({ put: 'a', value });
  state.apply({ put: 'a', value });
  state.apply(
    { put: 'b', value: value.subarray(0, MIB / 2) },
    { put: 'c', value: value.subarray(0, MIB / 3) },
  );
  hub.onRevisions();
  const shape = sink
    .to(id)
    .map((message) => (message.type === 'events' ? message.events.length : message.type));
  t.strictSame(shape, ['created', 1, 1, 2]);
});

test('a client that does not read is told once, costs no memory, and goes on where it was', async (t) => {
  const { state, hub, sink: slow, watch, ticks } = setUp();
  const quick = new FakeSink();
  const id = watch(ALL, 0, false, slow);
  const other = watch(ALL, 0, false, quick);
  state.apply({ put: 'a' });
  hub.onRevisions();
  slow.bufferedBytes = 2 * MIB;
  for (let i = 0; i < 3_000; i += 1) {
    state.apply({ put: 'k', value: '' });
    hub.onRevisions();
    if (i % 100 === 0) hub.tick(true);
    // It reads a little now and then, not enough.
    slow.bufferedBytes = i % 500 === 499 ? 0.6 * MIB : 2 * MIB;
  }
  t.equal(slow.told.filter(([, { type }]) => type === 'progress').length, 1);
  t.equal(
    quick.told.filter(([, { type }]) => type === 'events').length,
    3_001,
    'the other one was not held up',
  );
  slow.bufferedBytes = 0;
  ticks(1);
  state.finishReads();
  const messages = slow.to(id);
  t.strictSame(messages.slice(0, 3).map(brief), ['+0', '0>1 a=v1', '..1 behind']);
  t.equal(messages.filter(({ type }) => type === 'ended').length, 0);
  const events = messages.flatMap((message) => (message.type === 'events' ? message.events : []));
  t.equal(events.length, 3_001);
  t.strictSame(brief(messages.at(-1) ?? assert.fail()), '..3001', 'and is told that it has caught up');
  state.apply({ put: 'z' });
  hub.onRevisions();
  t.equal(story(slow, id).at(-1), '3001>3002 z=v3002');
  t.equal(story(quick, other).at(-1), '3001>3002 z=v3002');
});

test('in the middle of a large revision too: the rest of it comes when there is room', async (t) => {
  const { state, hub, sink, watch, ticks } = setUp();
  const id = watch(ALL);
  sink.bytesAMessage = 2 * MIB;
  state.apply(...Array.from({ length: 10_000 }, (_, i) => ({ put: `k${i}` })));
  hub.onRevisions();
  const first = sink.to(id)[1];
  t.match(first, { type: 'events', previous: 0, revision: 1, more: true });
  t.equal(story(sink, id).at(-1), '..0 behind', 'revision 1 is not through');
  for (let i = 0; i < 5; i += 1) {
    sink.bufferedBytes = 0;
    ticks(1);
    state.finishReads();
  }
  const events = sink.to(id).flatMap((message) => (message.type === 'events' ? message.events : []));
  t.equal(new Set(events.map((event) => (event.type === 'put' ? event.entry.key.join() : ''))).size, 10_000);
  t.equal(events.length, 10_000, 'none twice');
});

test('a client that never reads loses its stalled watches after a minute, and knows where to go on', async (t) => {
  const { state, hub, sink, watch, ticks, traced } = setUp();
  const [stalled, idle] = [watch(key('a')), watch(key('b'))];
  state.apply({ put: 'a' });
  hub.onRevisions();
  sink.bufferedBytes = 2 * MIB;
  state.apply({ put: 'x' });
  state.apply({ put: 'a' });
  hub.onRevisions();
  ticks(60_000 / TICK_MS);
  t.strictSame(story(sink, stalled), ['+0', '0>1 a=v1', '..2 behind']);
  ticks(1);
  t.equal(story(sink, stalled).at(-1), '!KVD_WATCH_TOO_SLOW 3');
  t.strictSame(
    story(sink, idle),
    ['+0'],
    'one that had nothing to be told is not ended, and not marked either',
  );
  t.equal(hub.size, 1);
  t.strictSame(traced, ['watch-too-slow']);
});

test('a stalled watch whose place is compacted, and no longer in memory, ends with where it can restart', async (t) => {
  const { state, hub, sink, watch, ticks } = setUp();
  const quick = new FakeSink();
  watch(ALL, 0, false, quick);
  const id = watch(ALL);
  sink.bufferedBytes = 2 * MIB;
  for (let i = 0; i < 2_000; i += 1) state.apply({ put: 'a' });
  hub.onRevisions();
  ticks(1);
  state.compact(1_500);
  ticks(1);
  t.strictSame(story(sink, id), ['+0', '..0 behind', '!KVD_COMPACTED 1501']);
});

test('reading the past fast is not being slow: nothing is said unless the client stops reading', async (t) => {
  const { state, sink, watch, ticks } = setUp();
  state.pageEvents = 1;
  for (let i = 0; i < 5; i += 1) state.apply({ put: 'a' });
  const id = watch(ALL, 1);
  sink.bytesAMessage = 2 * MIB;
  while (sink.to(id).filter(({ type }) => type === 'events').length < 3) {
    state.finishReads();
    sink.bufferedBytes = 0;
    ticks(1);
  }
  t.notOk(story(sink, id).some((text) => text.includes('behind')));
  state.finishReads();
  ticks(2_000 / TICK_MS);
  t.equal(story(sink, id).filter((text) => text.includes('behind')).length, 1);
});

test('after the state went back, what is applied once more is not told once more', async (t) => {
  const { state, hub, sink, watch } = setUp();
  const old = watch(ALL);
  for (const name of ['a', 'b', 'c']) state.apply({ put: name });
  hub.onRevisions();
  state.apply({ put: 'd' });
  state.reload(3);
  hub.onStateReplaced();
  t.equal(state.revision, 1);
  const fresh = watch(ALL);
  for (let i = 0; i < 4; i += 1) {
    state.apply({ put: 'e' });
    hub.onRevisions();
  }
  t.strictSame(story(sink, old), ['+0', '0>3 a=v1 b=v2 c=v3', '3>4 d=v4', '4>5 e=v5']);
  t.strictSame(story(sink, fresh), ['+1', '1>2 b=v2', '2>3 c=v3', '3>4 d=v4', '4>5 e=v5']);
});

test('after a snapshot was installed, what it skipped comes from the history, or is compacted', async (t) => {
  for (const compacted of [0, 2]) {
    const { state, hub, sink, watch } = setUp();
    const id = watch(ALL);
    const future = watch(ALL, 5);
    state.apply({ put: 'a' });
    hub.onRevisions();
    state.install([{ put: 'b' }, { put: 'c' }], compacted);
    hub.onStateReplaced();
    state.apply({ put: 'd' });
    hub.onRevisions();
    state.finishReads();
    state.apply({ put: 'e' });
    hub.onRevisions();
    const expected =
      compacted === 0
        ? ['+0', '0>1 a=v1', '1>3 b=v2 c=v3', '3>4 d=v4', '4>5 e=v5']
        : ['+0', '0>1 a=v1', '!KVD_COMPACTED 3'];
    t.strictSame(story(sink, id), expected);
    t.strictSame(story(sink, future), ['+4', '4>5 e=v5']);
  }
});

test('a read that was under way when the state was replaced does not count', async (t) => {
  const { state, hub, sink, watch } = setUp();
  for (const name of ['a', 'b']) state.apply({ put: name });
  const id = watch(ALL, 1);
  const late = state.reads.shift();
  state.install([{ put: 'c' }], 0);
  hub.onStateReplaced();
  late?.();
  t.strictSame(story(sink, id), ['+0']);
  state.finishReads();
  t.strictSame(story(sink, id), ['+0', '0>3 a=v1 b=v2 c=v3']);
});

test('revisions that are missing are noticed even when nobody said so', async (t) => {
  const { state, hub, sink, watch, traced } = setUp();
  const id = watch(ALL);
  state.install([{ put: 'a' }, { put: 'b' }], 0);
  state.apply({ put: 'c' });
  hub.onRevisions();
  t.strictSame(traced, ['watch-gap']);
  state.finishReads();
  t.strictSame(story(sink, id), ['+0', '0>3 a=v1 b=v2 c=v3']);
});

test('a few reads at a time, in the order they were asked for; who wants the same shares one', async (t) => {
  const { state, hub, watch } = setUp();
  for (let i = 0; i < 10; i += 1) state.apply({ put: `k${i}` });
  const sinks = Array.from({ length: 1_000 }, () => new FakeSink());
  const ids = sinks.map((sink, i) => watch(key(`k${i % 10}`), 1, false, sink));
  t.equal(state.reads.length, 4);
  let most = 0;
  for (let read = state.reads.shift(); read; read = state.reads.shift()) {
    read();
    most = Math.max(most, state.reads.length);
  }
  t.equal(most, 4);
  t.equal(state.readsBegun, 4 + 10, 'the four that began at once, and one for each key');
  const order = state.queries.map(({ from }) => Buffer.from(from).toString());
  t.strictSame(order.slice(0, 10), ['k0', 'k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'k7', 'k8', 'k9']);
  t.ok(sinks.every((sink, i) => sink.to(ids[i] ?? 0).length === 2));
  t.equal(hub.size, 1_000);
});

test('a history that cannot be read ends its watches and is reported; one that is not there yet is asked again', async (t) => {
  const failures: string[] = [];
  const { state, hub, sink, watch, ticks } = setUp({
    onStateFailure: (error) => failures.push(error.message),
  });
  for (const name of ['a', 'b']) state.apply({ put: name });
  const doomed = watch(ALL, 1);
  const closed = watch(ALL, 2);
  hub.close(sink, closed);
  state.failure = new Error('a bad sector');
  state.finishReads();
  t.strictSame(story(sink, doomed), ['+0', '!KVD_STORAGE 1']);
  t.strictSame(story(sink, closed), ['+1'], 'who left is told nothing');
  t.strictSame(failures, ['a bad sector', 'a bad sector']);
  state.failure = null;
  const id = watch(ALL, 2);
  state.reload(2);
  state.reads.length = 0;
  hub.onStateReplaced();
  state.apply();
  state.apply();
  hub.onRevisions();
  ticks(1);
  state.finishReads();
  t.strictSame(story(sink, id), ['+1', '1>2 b=v2']);
});

test('a page that was asked for before the state went back, and fails, is asked for again', async (t) => {
  const { state, hub, sink, watch, ticks } = setUp();
  state.pageEvents = 1;
  for (const name of ['a', 'b']) state.apply({ put: name });
  const id = watch(ALL, 1);
  state.reload(1);
  state.reads.shift()?.();
  // It went back, and nobody has said so yet: the next page is asked for a revision that is not there.
  state.finishReads();
  hub.onStateReplaced();
  state.apply();
  hub.onRevisions();
  ticks(1);
  state.finishReads();
  t.strictSame(story(sink, id), ['+0', '0>1 a=v1', '1>2 b=v2']);
});

test('an idle watcher is told in about five seconds how far all is known, a few watchers a tick', async (t) => {
  const { state, hub, watch, ticks } = setUp();
  const sink = new FakeSink();
  const ids = Array.from({ length: 1_000 }, (_, i) => watch(key(`k${i}`), i === 7 ? 9 : 0, false, sink));
  state.apply({ put: 'x' });
  hub.onRevisions();
  ticks(250);
  const before = sink.told.length;
  let most = 0;
  for (let i = 0; i < 250; i += 1) {
    const then = sink.told.length;
    ticks(1);
    most = Math.max(most, sink.told.length - then);
  }
  t.equal(most, 4, 'a thousand in 250 ticks');
  t.equal(sink.told.length - before, 1_000);
  t.strictSame(story(sink, ids[0] ?? 0), ['+0', '..1']);
  t.strictSame(story(sink, ids[7] ?? 0), ['+8', '..8'], 'what it did not want is through, too');
  state.apply({ put: 'k0' });
  hub.onRevisions();
  ticks(250);
  t.strictSame(story(sink, ids[0] ?? 0), ['+0', '..1', '0>2 k0=v2'], 'who was told something needs no mark');
});

test('watches are bounded, and an id that is used twice ends both, loudly', async (t) => {
  const { state, hub, sink, watch } = setUp({ watchesMax: 2 });
  state.apply({ put: 'a' });
  const [first, second] = [watch(ALL), watch(ALL)];
  t.strictSame(story(sink, watch(ALL)), ['!KVD_OVERLOADED 2']);
  t.strictSame(story(sink, watch({ from: utf8('b'), to: utf8('b') })), ['!KVD_BAD_REQUEST 2']);
  hub.open(sink, first, { ...ALL, fromRevision: 0, previous: false });
  t.strictSame(story(sink, first), ['+1', '!KVD_BAD_REQUEST 2']);
  state.apply({ put: 'b' });
  hub.onRevisions();
  t.strictSame(story(sink, second), ['+1', '1>2 b=v2']);
  const other = new FakeSink();
  hub.open(other, second, { ...ALL, fromRevision: 0, previous: false });
  t.strictSame(story(other, second), ['+2'], 'another client has ids of its own');
  hub.forget(sink);
  t.equal(hub.size, 1);
});

test('the state is asked to say what it does only while somebody watches', async (t) => {
  const { state, hub, sink, watch } = setUp();
  t.equal(state.watched, false);
  const id = watch(ALL);
  t.equal(state.watched, true);
  hub.close(sink, id);
  hub.close(sink, id);
  t.equal(state.watched, false);
  state.apply({ put: 'a' });
  hub.onRevisions();
  const next = watch(ALL, 1);
  state.apply({ put: 'b' });
  hub.onRevisions();
  state.finishReads();
  t.strictSame(story(sink, next), ['+0', '0>1 a=v1', '1>2 b=v2']);
});

test('a replica that stops says so to all, with where to go on', async (t) => {
  const { state, hub, sink, watch } = setUp();
  const [live, future] = [watch(key('z')), watch(ALL, 9)];
  state.apply({ put: 'a' });
  hub.onRevisions();
  const behind = watch(ALL, 1);
  hub.stop();
  state.finishReads();
  t.strictSame(story(sink, live), ['+0', '!KVD_UNAVAILABLE 2']);
  t.strictSame(story(sink, future), ['+8', '!KVD_UNAVAILABLE 9']);
  t.strictSame(story(sink, behind).at(-1), '!KVD_UNAVAILABLE 2');
  t.strictSame(story(sink, watch(ALL)), ['!KVD_UNAVAILABLE 2']);
  t.equal(hub.size, 0);
});

test('ten thousand watchers of ten thousand keys: each change is told to the one it concerns', async (t) => {
  const { state, hub, watch } = setUp();
  const sinks = Array.from({ length: 100 }, () => new FakeSink());
  const ids = Array.from({ length: 10_000 }, (_, i) => watch(key(`k${i}`), 0, false, sinks[i % 100]));
  for (let i = 0; i < 10_000; i += 1) {
    state.apply({ put: `k${i}`, value: '' });
    hub.onRevisions();
  }
  t.equal(
    sinks.reduce((sum, { told }) => sum + told.length, 0),
    20_000,
  );
  const wrong = ids.filter((id, i) => !story(sinks[i % 100] ?? assert.fail(), id)[1]?.endsWith(` k${i}=`));
  t.strictSame(wrong, []);
});
