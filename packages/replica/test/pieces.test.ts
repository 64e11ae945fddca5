/** The parts of a replica on their own: clock, hashes, the way to the log, the ends that a request may come to. */
import type { Envelope, Persist, RecoveredLog } from '@kvd/paxos';
import { ZERO_BALLOT } from '@kvd/paxos';
import type { MemberChange, Request, Response } from '@kvd/protocol';
import { encodeCommand, KvdError } from '@kvd/protocol';
import { test } from 'tap';
import type { ReplySink } from '../src/api.js';
import { ClusterClock } from '../src/cluster-clock.js';
import { DigestWatch, SPLIT } from '../src/digest-watch.js';
import { ForwardsTaken } from '../src/forwards-taken.js';
import { LogDriver } from '../src/log-driver.js';
import { LogWindow } from '../src/log-window.js';
import { Pending } from '../src/pending.js';
import type { LogStore, StateMachine } from '../src/ports.js';
import { Reads } from '../src/reads.js';
import { Router } from '../src/router.js';

const codeOf = (response: Response | undefined): string =>
  response?.type === 'error' ? response.code : 'no error';

test('cluster time moves by at most one election time-out per confirmed round', (t) => {
  const clock = new ClusterClock(20, 100);
  clock.lead({ counter: 1, replicaId: 1 }, 5000);
  clock.tick(0);
  t.equal(clock.read(5000), 5000, 'without a confirmed round it stands still');
  for (let i = 0; i < 50; i++) clock.tick(1);
  t.equal(clock.read(5000), 5100, 'one round is worth 100 ms however many ticks follow');
  clock.tick(2);
  t.equal(clock.read(5000), 5120);
  t.equal(clock.read(9000), 9000, 'it never runs behind the state');
  t.end();
});

test('a new leadership takes the time of the state and starts without allowance', (t) => {
  const clock = new ClusterClock(20, 100);
  const ballot = (counter: number) => ({ counter, replicaId: 1 });
  clock.lead(ballot(1), 0);
  clock.tick(1);
  clock.lead(ballot(2), 700);
  clock.tick(0);
  t.equal(clock.read(700), 700);
  // It led alone through an idle time; meanwhile another one led from 700 on, and granted leases by that.
  for (let round = 1; round <= 100; round++) clock.tick(round);
  clock.lead(ballot(2), 750);
  t.equal(clock.read(750), 2700, 'it is the same leadership');
  clock.lead(ballot(3), 750);
  t.equal(clock.read(750), 750, 'what it had come to before, in no batch, is forgotten');
  t.end();
});

test('a replica that the majority contradicts knows it, and the majority does not mind', (t) => {
  const [leader, follower, wrong] = [new DigestWatch(), new DigestWatch(), new DigestWatch()];
  leader.onApplied(1024, () => 'aa');
  follower.onApplied(1024, () => 'aa');
  wrong.onApplied(1024, () => 'bb');
  leader.onPeer(2, follower.own);
  leader.onPeer(3, wrong.own);
  const verdict = leader.tally(1, [1, 2, 3]);
  t.same(verdict, { slot: 1024, hash: 'aa' });
  t.equal(follower.judge(verdict), 'agrees');
  t.equal(leader.judge(verdict), 'agrees');
  t.equal(wrong.judge(verdict), 'contradicted');
  t.end();
});

test('where all answered and no hash has a majority, all stop', (t) => {
  const leader = new DigestWatch();
  leader.onApplied(1024, () => 'aa');
  t.same(leader.tally(1, [1, 2]), { slot: 0, hash: '' }, 'not before all have answered');
  leader.onPeer(2, { slot: 1024, hash: 'bb' });
  const verdict = leader.tally(1, [1, 2]);
  t.same(verdict, { slot: 1024, hash: SPLIT });
  t.equal(leader.judge(verdict), 'split');
  t.end();
});

test('hashes are compared at every 1,024th slot only', (t) => {
  const watch = new DigestWatch();
  watch.onApplied(1000, () => {
    throw new Error('no hash is asked for');
  });
  t.equal(watch.own.slot, 0);
  t.end();
});

test('the log behind the applied slots is bounded by their number and by their bytes', (t) => {
  const small = new LogWindow(1_000, 1_000_000);
  for (let slot = 1; slot <= 5_000; slot++) small.onApplied(slot, 10);
  t.equal(small.cuttableThrough(5_000), 4_000, 'a thousand slots stay');
  t.equal(small.cuttableThrough(4_500), 3_840, 'beyond the bound nothing is kept for what is flushed late');
  const large = new LogWindow(1_000, 1_000_000);
  for (let slot = 1; slot <= 50; slot++) large.onApplied(slot, 100_000);
  t.equal(large.cuttableThrough(50), 40, 'ten large ones fill it');
  t.equal(large.cuttableThrough(20), 20, 'and what is not durable stays in any case');
  large.onApplied(900, 100_000);
  t.equal(large.cuttableThrough(900), 40, 'after a snapshot it knows nothing yet');
  t.end();
});

const RECOVERED: RecoveredLog = {
  identity: { replicaId: 1, incarnation: 'a'.repeat(32) },
  marker: 7,
  promised: ZERO_BALLOT,
  chosenThrough: 0,
  cutThrough: 0,
  configurations: [],
  accepted: [],
};

/** A log whose writes complete when the test says so. */
function heldLog(): {
  log: LogStore;
  writes: Persist[];
  complete: (error: Error | null) => void;
  reloads: () => number;
} {
  const writes: Persist[] = [];
  let done: ((error: Error | null, marker: number) => void) | null = null;
  let marker = 7;
  let reloads = 0;
  const log: LogStore = {
    recovered: RECOVERED,
    write: (batch, then) => {
      writes.push(batch);
      done = then;
    },
    read: () => undefined,
    reload: (then) => {
      reloads += 1;
      then(null, { ...RECOVERED, marker });
    },
    close: () => undefined,
  };
  const complete = (error: Error | null): void => {
    const then = done;
    done = null;
    if (!error) marker += 1;
    then?.(error, marker);
  };
  return { log, writes, complete, reloads: () => reloads };
}

const PROMISE: Envelope = {
  to: [2],
  message: {
    type: 'promise',
    ballot: { counter: 1, replicaId: 2, incarnation: 'b'.repeat(32) },
    fromSlot: 1,
    throughSlot: null,
    accepted: [],
    chosenThrough: 0,
  },
};
const PREPARE: Envelope = {
  to: [2],
  message: {
    type: 'prepare',
    ballot: { counter: 1, replicaId: 1, incarnation: 'a'.repeat(32) },
    fromSlot: 1,
  },
};

function driverOf(log: LogStore): { driver: LogDriver; left: string[]; failures: string[] } {
  const left: string[] = [];
  const failures: string[] = [];
  const driver = new LogDriver(log, {
    onPersisted: (_marker, after) => left.push(...after.map(({ message }) => message.type)),
    onLogFailure: (error) => failures.push(error.message),
  });
  return { driver, left, failures };
}

test('what waits for a write leaves after it and not before (S1)', (t) => {
  const { log, complete } = heldLog();
  const { driver, left } = driverOf(log);
  driver.write({ entries: [] }, [PROMISE]);
  t.same(left, []);
  complete(null);
  t.same(left, ['promise']);
  t.equal(driver.marker, 8);
  t.end();
});

test('after a failed write nothing leaves that waited for it', (t) => {
  const { log, complete } = heldLog();
  const { driver, left, failures } = driverOf(log);
  driver.write({ entries: [] }, [PROMISE]);
  complete(new Error('no space'));
  t.same(left, []);
  t.same(failures, ['no space']);
  t.ok(driver.hasFailed);
  t.end();
});

test('an acceptor killed while its promise is being written does not give it', (t) => {
  const { log, complete, reloads } = heldLog();
  const { driver, left } = driverOf(log);
  driver.write({ entries: [] }, [PROMISE, PREPARE]);
  driver.dropRole('acceptor');
  let reloaded = false;
  driver.reload(() => {
    reloaded = true;
  });
  t.equal(reloads(), 0, 'the log is read only after the write under way');
  complete(null);
  t.ok(reloaded);
  t.same(left, [], 'nor does the proposer use a ballot that only that promise put on disk');
  t.end();
});

function pendingOf(retrySafe: boolean): { pending: Pending; answers: Response[] } {
  const answers: Response[] = [];
  const origin = retrySafe
    ? { session: 9, sequence: 1, lowestUnanswered: 1 }
    : { session: 0, sequence: 0, lowestUnanswered: 0 };
  const command = encodeCommand({ type: 'put', origin, key: Buffer.from('k'), value: Buffer.from('v') });
  const sink = { reply: (_id: number, response: Response) => answers.push(response) };
  const pending = new Pending(
    sink,
    1,
    { type: 'mutate', timeoutMs: 100, command },
    5,
    false,
    { count: 0 },
    0,
  );
  return { pending, answers };
}

test('a read that fails over the state is a failure of the state, one that asks for too much is not', (t) => {
  for (const [code, failures] of [
    ['KVD_STORAGE', 1],
    ['KVD_COMPACTED', 0],
    ['KVD_UNAVAILABLE', 0],
  ] as const) {
    const state = {
      get: () => {
        throw new KvdError(code, 'so it is');
      },
    };
    const failed: Error[] = [];
    const reads = new Reads(state as unknown as StateMachine, (error) => failed.push(error));
    const answers: Response[] = [];
    const sink = { reply: (_id: number, response: Response) => void answers.push(response) };
    const request = {
      type: 'get',
      timeoutMs: 100,
      consistency: 'stale',
      key: Buffer.from('k'),
      revision: 0,
    } as const;
    reads.answer(new Pending(sink as ReplySink, 1, request, 5, false, { count: 0 }, 0));
    t.equal(codeOf(answers[0]), code);
    t.equal(failed.length, failures, code);
  }
  t.end();
});

test('"nothing was done" is said only of a mutation that never entered a slot', (t) => {
  const fresh = pendingOf(false);
  fresh.pending.expire();
  t.equal(codeOf(fresh.answers[0]), 'KVD_UNAVAILABLE');

  const entered = pendingOf(false);
  entered.pending.entered = true;
  entered.pending.fail('KVD_UNAVAILABLE', 'a later attempt found no leader');
  t.equal(codeOf(entered.answers[0]), 'KVD_OUTCOME_UNKNOWN', 'whatever later attempts say');
  entered.pending.expire();
  t.equal(entered.answers.length, 1, 'answered once');
  t.end();
});

test('a refusal says nothing of an earlier attempt, unless it is one that is kept', (t) => {
  const refusedBy = (code: 'KVD_NOT_AN_INTEGER' | 'KVD_FENCED'): Response => ({
    type: 'result',
    result: { type: 'error', code, message: 'no' },
  });
  const first = pendingOf(true);
  first.pending.entered = true;
  first.pending.reply(refusedBy('KVD_NOT_AN_INTEGER'));
  t.same(first.answers[0], refusedBy('KVD_NOT_AN_INTEGER'), 'of the only attempt it is the answer');
  const second = pendingOf(true);
  second.pending.entered = true;
  second.pending.repeat();
  second.pending.reply(refusedBy('KVD_NOT_AN_INTEGER'));
  t.match(second.answers[0], { code: 'KVD_OUTCOME_UNKNOWN', message: /KVD_NOT_AN_INTEGER.*earlier attempt/ });
  t.equal(second.answers.length, 1);
  const fenced = pendingOf(true);
  fenced.pending.entered = true;
  fenced.pending.repeat();
  fenced.pending.reply(refusedBy('KVD_FENCED'));
  t.same(fenced.answers[0], refusedBy('KVD_FENCED'), 'a fence holds for all attempts');
  t.end();
});

/** A router that knows leader 2, and what it passes on. */
function routerToTwo(): { router: Router; forwards: { id: number; request: Request }[] } {
  const forwards: { id: number; request: Request }[] = [];
  const router = new Router(
    RECOVERED.identity,
    20,
    1000,
    {
      isLeading: () => false,
      leader: () => 2,
      refusal: () => null,
      lead: () => {
        throw new Error('does not lead');
      },
      readStale: () => {
        throw new Error('no stale read');
      },
      forward: (_to, id, request) => forwards.push({ id, request }) > 0,
    },
    1,
  );
  return { router, forwards };
}

test('what may have been done is sent again for half the life of an Idempotency-Key at most, also by a process that slept', (t) => {
  const { router, forwards } = routerToTwo();
  const hour = 3_600_000;
  const ask = (timeoutMs: number): Response[] => {
    const { pending, answers } = pendingOf(true);
    router.request(pending.sink, 1, { ...pending.request, timeoutMs }, false);
    return answers;
  };
  router.tick(1_000);
  const answers = ask(hour);
  router.onForwardsLost(2, 'the connection ended');
  router.onLeader();
  t.equal(forwards.length, 1, 'not before the tick, which knows the time');
  router.tick(61_000);
  t.equal(forwards.length, 2);
  t.equal(forwards[1]?.request.timeoutMs, hour / 2 - 60_000, 'and it waits at the leader for no longer');
  router.onForwardsLost(2, 'the connection ended');
  router.tick(1_001_000 + hour);
  t.equal(forwards.length, 2, 'it slept for too long');
  t.equal(codeOf(answers[0]), 'KVD_OUTCOME_UNKNOWN');
  const patient = ask(5_000);
  router.onForwardsLost(2, 'the connection ended');
  router.tick(1_006_000 + hour);
  t.equal(forwards.length, 3, 'nor after its own time-out by the wall clock');
  t.equal(codeOf(patient[0]), 'KVD_OUTCOME_UNKNOWN');
  t.end();
});

test('a hand-over of leadership is not asked for twice, another change of the members is', (t) => {
  const { router, forwards } = routerToTwo();
  const ask = (change: MemberChange): void =>
    router.request(
      { reply: () => undefined },
      1,
      { type: 'members', timeoutMs: 1_000, change, plan: false, force: false },
      false,
    );
  ask({ type: 'move-leader', replicaId: 0 });
  ask({ type: 'remove', replicaId: 3 });
  router.onForwardsLost(2, 'the connection ended');
  router.tick(0);
  t.same(
    forwards.map(({ request }) => request.type === 'members' && request.change?.type),
    ['move-leader', 'remove', 'remove'],
  );
  t.end();
});

test('a mutation without session or key is never sent twice; one with a session is', (t) => {
  const { router, forwards } = routerToTwo();
  const plain = pendingOf(false);
  router.request(plain.pending.sink, 1, plain.pending.request, false);
  const safe = pendingOf(true);
  router.request(safe.pending.sink, 2, safe.pending.request, false);
  t.equal(forwards.length, 2);
  router.onForwardsLost(2, 'the connection ended');
  router.tick(0);
  t.equal(forwards.length, 3, 'the one with a session goes again');
  router.onForwardReply(2, forwards[2]?.id ?? 0, { type: 'result', result: { type: 'put', revision: 3 } });
  t.equal(safe.answers.length, 1);
  for (let i = 0; i < 10; i++) router.tick(0);
  t.equal(codeOf(plain.answers[0]), 'KVD_OUTCOME_UNKNOWN', 'the other may have been done');
  t.end();
});

test('a replica that stops does not say that nothing was done of what is on its way to the leader', (t) => {
  const router = new Router(
    RECOVERED.identity,
    20,
    1000,
    {
      isLeading: () => false,
      leader: () => 2,
      refusal: () => null,
      lead: () => t.fail('does not lead'),
      readStale: () => t.fail('no stale read'),
      forward: () => true,
    },
    1,
  );
  const onItsWay = pendingOf(false);
  router.request(onItsWay.pending.sink, 1, onItsWay.pending.request, false);
  router.failAll('KVD_UNAVAILABLE', 'the replica is stopping');
  t.equal(codeOf(onItsWay.answers[0]), 'KVD_OUTCOME_UNKNOWN');
  t.end();
});

test('a request that finds no leader waits for one until its deadline', (t) => {
  let leader = 0;
  const forwards: number[] = [];
  const router = new Router(
    RECOVERED.identity,
    20,
    1000,
    {
      isLeading: () => false,
      leader: () => leader,
      refusal: () => null,
      lead: () => undefined,
      readStale: () => undefined,
      forward: (to, forwardId) => to === 3 && forwards.push(forwardId) > 0,
    },
    1,
  );
  const first = pendingOf(false);
  router.request(first.pending.sink, 1, first.pending.request, false);
  router.tick(0);
  t.equal(forwards.length, 0);
  leader = 3;
  router.tick(0);
  t.equal(forwards.length, 1);
  leader = 0;
  const second = pendingOf(false);
  router.request(second.pending.sink, 2, second.pending.request, false);
  for (let i = 0; i < 10; i++) router.tick(0);
  t.equal(codeOf(second.answers[0]), 'KVD_UNAVAILABLE');
  t.end();
});

test('what a replica passes on is taken once, whatever came in between', (t) => {
  const taken = new ForwardsTaken();
  const first = 2 ** 48 - 5;
  for (let id = first; id < first + 600; id++) t.ok(taken.take(2, id), `number ${id}`);
  for (let id = first; id < first + 600; id++) t.notOk(taken.take(2, id), `number ${id} again`);
  t.ok(taken.take(3, first), 'another replica has numbers of its own');
  t.ok(taken.take(2, 7), 'and so has another life of the same one');
  t.notOk(taken.take(2, 7));
  t.ok(taken.take(2, first + 600), 'late ones are taken as well');
  t.end();
});
