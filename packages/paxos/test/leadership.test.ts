/** A leader at work: what it may vouch for, which reads it may answer, when it has to stop. */
import { test } from 'tap';
import { Cluster } from './support/cluster.js';
import { batch, configuration, configurationValue, identity, member, NOOP } from './support/literals.js';

/** Everybody is a member and knows slot 1. */
function founded(size: number, alpha = 8): Cluster {
  const ids = Array.from({ length: size }, (_, i) => i + 1);
  return new Cluster(size, { alpha, disks: ids.map((id) => member(id, ids, { alpha })) });
}

/** Replica `id` prepares and leads, heard by `among` alone. */
function lead(cluster: Cluster, id: number, among: readonly number[]): void {
  cluster.step(id, { type: 'campaign' });
  settle(cluster, among);
}

/** Messages among these arrive, their writes end; all others are lost. */
function settle(cluster: Cluster, among: readonly number[]): void {
  const inside = ({ from, to }: { from: { replicaId: number }; to: number }): boolean =>
    among.includes(from.replicaId) && among.includes(to);
  for (let busy = true; busy; ) {
    busy = false;
    while (cluster.deliver(inside)) busy = true;
    for (const id of among) busy = cluster.sync(id) || busy;
  }
  cluster.drop(() => true);
}

test('a leader that learns another value in a slot of its own stops, and vouches for nothing there', async (t) => {
  const cluster = founded(5);
  lead(cluster, 1, [1, 2, 3, 4, 5]);
  t.equal(cluster.propose(1, batch('lost')), 3);
  settle(cluster, [1, 5]);
  lead(cluster, 2, [2, 3, 4]);
  t.equal(cluster.propose(2, batch('won')), 3, 'replica 2 knows nothing of it');
  settle(cluster, [2, 3, 4]);

  const entries = [{ slot: 3, value: batch('won') }];
  const message = { type: 'chosen', entries, chosenThrough: 3 } as const;
  cluster.step(1, { type: 'message', from: identity(2), marker: 9, message });
  t.notOk(cluster.node(1).isLeading, 'a higher ballot chose there');
  cluster.tick(1, 3);
  settle(cluster, [1, 5]);
  t.equal(cluster.at(5).applied, 2, 'replica 5 holds the losing value and does not apply it');
});

test('a leader that learns its own value from a peer goes on', async (t) => {
  const cluster = founded(3);
  lead(cluster, 1, [1, 2, 3]);
  cluster.propose(1, batch('a'));
  const entries = [{ slot: 3, value: batch('a') }];
  settle(cluster, [1, 2]);
  const message = { type: 'chosen', entries, chosenThrough: 3 } as const;
  cluster.step(1, { type: 'message', from: identity(2), marker: 9, message });
  t.ok(cluster.node(1).isLeading);
});

test('S7: a read is not confirmed by members of a later configuration than that of its slot', async (t) => {
  // Slot 3 moves the cluster from 1, 2, 3 to 1, 4, 5; with alpha 1 that counts from slot 4 on.
  const ids = [1, 2, 3];
  const others = {
    chosenThrough: 1,
    configurations: [{ slot: 1, configuration: configuration(ids, { alpha: 1 }) }],
  };
  const disks = [1, 2, 3, 4, 5].map((id) => member(id, ids, { alpha: 1, ...others }));
  const cluster = new Cluster(3, { alpha: 1, disks });
  lead(cluster, 1, [1, 2, 3]);
  lead(cluster, 2, [2, 3]);
  const moved = configurationValue([1, 4, 5], { alpha: 1, replaces: 1 });
  const slot = cluster.propose(2, moved);
  settle(cluster, [2, 3]);
  for (let i = 0; i < 12; i++) {
    cluster.tick(4, 11);
    settle(cluster, [2, 3, 4, 5]);
  }
  t.equal(cluster.at(4).applied, slot, 'replica 4 knows that it votes');

  cluster.read(1);
  cluster.drop(() => true);
  const entries = [{ slot: 3, value: moved }];
  const message = { type: 'chosen', entries, chosenThrough: 3 } as const;
  cluster.step(1, { type: 'message', from: identity(2), marker: 9, message });
  for (let i = 0; i < 3; i++) {
    cluster.tick(1, 3);
    settle(cluster, [1, 4, 5]);
  }
  t.ok(
    cluster.confirmedReads.every((read) => read.slot >= 3),
    'else the oracle has failed already',
  );
});

test('S7: a read waits for the promises of the configuration that votes next', async (t) => {
  // Slot 2 moves the cluster to 1, 4, 5, from slot 5 on. Slot 5 is chosen there before replica 1 leads.
  const first = { slot: 1, configuration: configuration([1, 2, 3], { alpha: 3 }) };
  const moved = { slot: 2, configuration: configuration([1, 4, 5], { alpha: 3, replaces: 1 }) };
  const disks = [1, 2, 3, 4, 5].map((id) =>
    member(id, [1, 2, 3], { chosenThrough: id > 3 ? 4 : 3, configurations: [first, moved] }),
  );
  const cluster = new Cluster(3, { alpha: 3, disks });
  for (const slot of [3, 4]) cluster.oracle.assume(slot, NOOP);
  lead(cluster, 4, [4, 5]);
  t.equal(cluster.oracle.learnedThrough, 5, 'replica 4 knows slot 5 to be chosen');

  cluster.step(1, { type: 'campaign' });
  settle(cluster, [1]);
  lead(cluster, 1, [1, 2]);
  t.equal(cluster.node(1).chosenThrough, 4, 'slot 5 is voted on by others, who have not promised');
  const token = cluster.read(1);
  for (let i = 0; i < 4; i++) {
    cluster.tick(1, 3);
    settle(cluster, [1, 4, 5]);
  }
  t.same(cluster.confirmedReads, [{ replica: 1, token, slot: 5 }]);
});

test('a leader that cannot learn what a late promise says is chosen lets another ballot decide', async (t) => {
  const cluster = founded(3);
  cluster.crash(3);
  lead(cluster, 1, [1, 2]);
  const ballot = cluster.at(1).disk.promised;
  const message = {
    type: 'promise',
    ballot,
    fromSlot: 2,
    throughSlot: null,
    accepted: [],
    chosenThrough: 5,
  } as const;
  cluster.step(1, { type: 'message', from: identity(3), marker: 1, message });
  t.notOk(cluster.node(1).canPropose, 'it learns before it proposes');
  t.ok(
    cluster.runUntil(() => cluster.leaders.some((id) => cluster.node(id).canPropose), 100),
    'replica 3 is gone for good, and slots 3 to 5 with it',
  );
});

test('a leader asks the new incarnation of a member to promise once a configuration names it', async (t) => {
  const cluster = founded(3, 1);
  cluster.partition([2]);
  lead(cluster, 1, [1, 3]);
  const { promised } = cluster.at(1).disk;
  cluster.propose(1, configurationValue([1, 2, 3], { alpha: 1, replaces: 1, lives: { 3: 1 } }));
  settle(cluster, [1, 3]);
  cluster.wipe(3);
  cluster.restart(3);
  t.ok(cluster.runUntil(() => cluster.node(1).canPropose, 20));
  t.same(cluster.at(1).disk.promised, promised, 'the same ballot still leads');
});

test('S11: a leader fills up with no-ops to bring a configuration into force', async (t) => {
  const cluster = founded(3);
  lead(cluster, 1, [1, 2, 3]);
  const slot = cluster.propose(1, configurationValue([1, 2], { replaces: 1 })) ?? 0;
  for (let i = 0; i < 5; i++) cluster.round();
  t.ok(
    cluster.node(1).chosenThrough >= slot + 7,
    `chosen through ${cluster.node(1).chosenThrough}, alpha is 8`,
  );
});
