/**
 * Whatever happens in whatever order: every watcher sees exactly the events of its range from where it began, in order,
 * each once, in an unbroken chain of messages; or is ended for a reason that holds, knowing where to go on.
 */
import assert from 'node:assert/strict';
import type { KvEvent, WatchMessage, WatchRequest } from '@kvd/protocol';
import fc from 'fast-check';
import { test } from 'tap';
import { WatchHub } from '../src/watch-hub.js';
import { ALL, FakeSink, FakeState, inRange, key, type Op, prefix, utf8 } from './watch-harness.js';

const NAMES = ['a', 'aa', 'ab', 'b', 'c'];
const RANGES = [ALL, key('a'), key('c'), prefix('a'), { from: utf8('ab'), to: utf8('c') }];
const SINKS = 3;
const CLOGGED = 2 * 1024 * 1024;
/** Of one per state that these ticks stand for a minute and five seconds of it, and some. */
const TICK_MS = 1_000;

type Step =
  | { readonly do: 'apply'; readonly ops: Op[]; readonly hand: boolean }
  | { readonly do: 'hand out' | 'tick' }
  | { readonly do: 'wait'; readonly ticks: number }
  | {
      readonly do: 'open';
      readonly sink: number;
      readonly range: number;
      readonly back: number;
      readonly previous: boolean;
    }
  | { readonly do: 'close'; readonly watch: number }
  | { readonly do: 'read'; readonly which: number }
  | { readonly do: 'clog' | 'drain' | 'throttle'; readonly sink: number }
  | { readonly do: 'compact'; readonly keep: number }
  | { readonly do: 'reload'; readonly back: number; readonly told: boolean }
  | { readonly do: 'install'; readonly ops: Op[]; readonly keep: number; readonly told: boolean };

const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...NAMES).map((put) => ({ put })) },
  { weight: 1, arbitrary: fc.constantFrom(...NAMES).map((del) => ({ del })) },
);
const ops = fc.uniqueArray(op, { minLength: 1, maxLength: 5, selector: (o) => ('put' in o ? o.put : o.del) });
const sink = fc.nat(SINKS - 1);
const is = <T extends string>(name: T) => fc.constant(name);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ do: is('apply'), ops, hand: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('hand out' as const, 'tick' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: is('wait'), ticks: fc.nat(90) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: is('open'),
      sink,
      range: fc.nat(RANGES.length - 1),
      // Of revisions, from the present one; below 0: of the future; 99: from now on.
      back: fc.oneof(fc.integer({ min: -3, max: 8 }), fc.constant(99)),
      previous: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: is('close'), watch: fc.nat() }) },
  { weight: 6, arbitrary: fc.record({ do: is('read'), which: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ do: is('clog'), sink }) },
  { weight: 2, arbitrary: fc.record({ do: is('drain'), sink }) },
  { weight: 1, arbitrary: fc.record({ do: is('throttle'), sink }) },
  { weight: 1, arbitrary: fc.record({ do: is('compact'), keep: fc.nat(6) }) },
  { weight: 1, arbitrary: fc.record({ do: is('reload'), back: fc.nat(5), told: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: is('install'),
      ops: fc.array(op, { minLength: 1, maxLength: 4 }),
      keep: fc.nat(6),
      told: fc.boolean(),
    }),
  },
);

interface Opened {
  readonly watchId: number;
  readonly sink: FakeSink;
  readonly request: WatchRequest;
  closed: boolean;
}

const seen = { whole: 0, compacted: 0, slow: 0, closed: 0, events: 0 };

class World {
  readonly state = new FakeState();
  readonly hub: WatchHub;
  readonly sinks = Array.from({ length: SINKS }, () => new FakeSink());
  readonly opened: Opened[] = [];

  constructor(pageEvents: number) {
    this.state.pageEvents = pageEvents;
    this.hub = new WatchHub(this.state, { event: () => {} }, { tickMs: TICK_MS });
  }

  run(s: Step): void {
    const { state, hub } = this;
    switch (s.do) {
      case 'apply':
        state.apply(...s.ops);
        if (s.hand) hub.onRevisions();
        return;
      case 'hand out':
        return hub.onRevisions();
      case 'tick':
        return hub.tick(true);
      case 'wait':
        for (let i = 0; i < s.ticks; i += 1) hub.tick(true);
        return;
      case 'open':
        return this.open(s.sink, RANGES[s.range] ?? ALL, s.back, s.previous);
      case 'close':
        return this.close(this.opened[s.watch % Math.max(1, this.opened.length)]);
      case 'read':
        // In any order, and some never until the end.
        return state.reads.splice(s.which % Math.max(1, state.reads.length), 1)[0]?.();
      case 'clog':
        this.sinkOf(s.sink).bufferedBytes = CLOGGED;
        return;
      case 'drain':
        this.sinkOf(s.sink).bufferedBytes = 0;
        this.sinkOf(s.sink).bytesAMessage = 0;
        return;
      case 'throttle':
        this.sinkOf(s.sink).bytesAMessage = CLOGGED;
        return;
      case 'compact':
        return state.compact(state.revision - s.keep);
      case 'reload':
        state.reload(s.back);
        return s.told ? hub.onStateReplaced() : undefined;
      case 'install':
        state.install(s.ops, state.log.length - s.keep);
        return s.told ? hub.onStateReplaced() : undefined;
    }
  }

  /** All clients read, all reads end, and the log goes on beyond the last watch of the future. */
  settle(): void {
    const { state, hub } = this;
    for (let i = 0; i < 12; i += 1) {
      for (const { bufferedBytes } of this.sinks) assert.ok(bufferedBytes >= 0);
      for (const each of this.sinks) Object.assign(each, { bufferedBytes: 0, bytesAMessage: 0 });
      state.apply({ put: NAMES[i % NAMES.length] ?? 'a' });
      hub.onRevisions();
      hub.tick(true);
      state.finishReads();
    }
    while (state.revision < state.log.length) state.replay();
    hub.onRevisions();
    for (let i = 0; i < 10; i += 1) {
      hub.tick(true);
      state.finishReads();
    }
  }

  private open(index: number, range: typeof ALL, back: number, previous: boolean): void {
    const fromRevision = back === 99 ? 0 : Math.max(1, this.state.revision + 1 - back);
    const watchId = this.opened.length + 1;
    const request = { ...range, fromRevision, previous };
    const to = this.sinkOf(index);
    this.opened.push({ watchId, sink: to, request, closed: false });
    this.hub.open(to, watchId, request);
  }

  private close(watch: Opened | undefined): void {
    if (watch === undefined) return;
    watch.closed = true;
    this.hub.close(watch.sink, watch.watchId);
  }

  private sinkOf(index: number): FakeSink {
    return this.sinks[index] ?? assert.fail();
  }
}

/** The story of one watch against the log that all replicas agree on. */
function judge({ state }: World, { watchId, sink: to, request, closed }: Opened): void {
  const [first, ...rest] = to.to(watchId);
  if (first?.type === 'ended') {
    assert.deepEqual(rest, []);
    assert.equal(first.code, 'KVD_COMPACTED');
    assert.ok(request.fromRevision > 0 && request.fromRevision < first.resumeRevision);
    return;
  }
  assert.equal(first?.type, 'created');
  if (request.fromRevision > 0) assert.equal(first.revision, request.fromRevision - 1);
  const expected = state.log
    .filter(({ revision }) => revision > first.revision)
    .flatMap(({ events }) => events.filter((event) => inRange(event, request)))
    .map((event) => (request.previous ? event : { ...event, previous: null }));
  const told: KvEvent[] = [];
  let chain = first.revision;
  let wasPart = false;
  let through = first.revision;
  let ended: Extract<WatchMessage, { type: 'ended' }> | null = null;
  for (const message of rest) {
    assert.equal(ended, null, 'nothing comes after the end');
    if (message.type === 'events') {
      assert.equal(message.previous, chain, 'the chain is unbroken');
      assert.ok(
        message.events.length > 0 && (wasPart ? message.revision >= chain : message.revision > chain),
      );
      assert.ok(
        message.events.every((event) => revisionOf(event) > through),
        'nothing below a mark comes after it',
      );
      assert.equal(revisionOf(message.events.at(-1) ?? assert.fail()), message.revision);
      told.push(...message.events);
      chain = message.revision;
      wasPart = message.more;
    } else if (message.type === 'progress') {
      assert.ok(message.revision >= through, 'marks never go back');
      through = message.revision;
      const due = expected.filter((event) => revisionOf(event) <= through).length;
      assert.ok(told.length >= due, 'all events through the mark were sent');
    } else if (message.type === 'ended') ended = message;
    else assert.fail('created twice');
  }
  assert.deepEqual(told, expected.slice(0, told.length), 'each event once, in order');
  seen.events += told.length;
  if (ended !== null) judgeEnd(ended, told, expected);
  else if (closed) seen.closed += 1;
  else {
    assert.equal(told.length, expected.length, 'and none is missing');
    seen.whole += 1;
  }
}

function judgeEnd(
  ended: Extract<WatchMessage, { type: 'ended' }>,
  told: readonly KvEvent[],
  expected: readonly KvEvent[],
): void {
  const next = expected[told.length];
  const last = told.at(-1);
  if (last !== undefined) assert.ok(revisionOf(last) <= ended.resumeRevision, 'nothing beyond was told');
  if (ended.code === 'KVD_COMPACTED') seen.compacted += 1;
  else {
    assert.equal(ended.code, 'KVD_WATCH_TOO_SLOW');
    if (next !== undefined)
      assert.ok(revisionOf(next) >= ended.resumeRevision, 'to resume from there misses nothing');
    seen.slow += 1;
  }
}

const revisionOf = (event: KvEvent): number =>
  event.type === 'put' ? event.entry.modRevision : event.modRevision;

test('every watcher sees exactly what happened, or why not', async (t) => {
  const property = fc.property(
    fc.integer({ min: 1, max: 4 }),
    fc.array(step, { minLength: 20, maxLength: 120, size: 'max' }),
    (pageEvents, steps) => {
      const world = new World(pageEvents);
      for (const s of steps) world.run(s);
      world.settle();
      for (const watch of world.opened) judge(world, watch);
      assert.equal(world.state.watched, world.hub.size > 0);
    },
  );
  const { failed, counterexample, errorInstance, seed } = fc.check(property, { numRuns: 1_500 });
  t.notOk(
    failed,
    `seed ${seed}: ${String((errorInstance as Error)?.message)} ${JSON.stringify(counterexample)}`,
  );
  t.comment(JSON.stringify(seen));
  t.ok(
    seen.whole > 3_000 && seen.compacted > 100 && seen.slow > 100 && seen.closed > 100,
    'all ends were met',
  );
});
