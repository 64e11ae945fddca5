/** Linearizable reads by shared rounds. (S7) */
import { test } from 'tap';
import { ReadRounds } from '../src/read-rounds.js';
import { Cluster } from './support/cluster.js';
import { batch, configuration, identity } from './support/literals.js';

const THREE = configuration([1, 2, 3]);

test('a read is confirmed by a round that began after it arrived', async (t) => {
  const reads = new ReadRounds();
  reads.begin();
  t.notOk(reads.arrive(7, 4, true), 'a round is under way: the next one is to come after it');
  reads.answer(identity(1), 1);
  reads.answer(identity(2), 1);
  t.same(reads.takeConfirmed(THREE), [], 'that round began before');
  t.ok(reads.wantsRound);
  reads.begin();
  reads.answer(identity(1), 2);
  t.same(reads.takeConfirmed(THREE), [], 'one is no quorum');
  reads.answer(identity(3), 2);
  t.match(reads.takeConfirmed(THREE), [{ token: 7, slot: 4 }]);
});

test('all reads that wait share the round; an idle leader begins one at once', async (t) => {
  const reads = new ReadRounds();
  t.ok(reads.arrive(1, 4, true));
  reads.arrive(2, 5, true);
  reads.begin();
  for (const id of [1, 2]) reads.answer(identity(id), 1);
  t.same(
    reads.takeConfirmed(THREE).map(({ token, slot }) => [token, slot]),
    [
      [1, 4],
      [2, 5],
    ],
  );
});

test('the answer to a later round confirms earlier ones, never the other way', async (t) => {
  const reads = new ReadRounds();
  reads.arrive(1, 4, true);
  reads.begin();
  reads.begin();
  reads.arrive(2, 4, true);
  reads.answer(identity(1), 2);
  reads.answer(identity(2), 2);
  t.same(
    reads.takeConfirmed(THREE).map(({ token }) => token),
    [1],
  );
  reads.answer(identity(2), 1);
  t.same(reads.takeConfirmed(THREE), []);
});

test('S5: the answer of an incarnation that is not named confirms nothing', async (t) => {
  const reads = new ReadRounds();
  reads.arrive(1, 4, true);
  reads.begin();
  reads.answer(identity(1), 1);
  reads.answer(identity(2, 1), 1);
  reads.answer(identity(9), 1);
  t.same(reads.takeConfirmed(THREE), []);
  t.equal(reads.confirmed, 0);
});

test('before the barrier a read is held; it arrives when the barrier is passed', async (t) => {
  const reads = new ReadRounds();
  reads.begin();
  reads.arrive(1, 3, false);
  for (const id of [1, 2]) reads.answer(identity(id), 1);
  t.same(reads.takeConfirmed(THREE), []);
  t.ok(reads.release(6));
  reads.begin();
  for (const id of [1, 2]) reads.answer(identity(id), 2);
  t.match(reads.takeConfirmed(THREE), [{ token: 1, slot: 6 }]);
});

test('when others vote on the next slot every waiting read starts over', async (t) => {
  const reads = new ReadRounds();
  reads.governedBy(THREE);
  reads.arrive(1, 4, true);
  reads.begin();
  const moved = configuration([1, 4, 5]);
  reads.governedBy(moved);
  for (const id of [1, 4]) reads.answer(identity(id), 1);
  t.same(reads.takeConfirmed(moved), []);
  t.ok(reads.release(9));
  reads.begin();
  for (const id of [1, 4]) reads.answer(identity(id), 2);
  t.match(reads.takeConfirmed(moved), [{ token: 1, slot: 9 }]);
});

test('whoever stops leading gives all its reads back', async (t) => {
  const reads = new ReadRounds();
  reads.arrive(1, 4, false);
  reads.arrive(2, 4, true);
  t.same(reads.takeAll(), [1, 2]);
  t.same(reads.takeAll(), []);
});

// The same with replicas

test('S7: a leader that was replaced without knowing answers no read', async (t) => {
  const cluster = new Cluster(3);
  const old = cluster.elect();
  cluster.partition([old]);
  const token = cluster.read(old);
  t.ok(cluster.runUntil(() => cluster.leaders.some((id) => id !== old && cluster.node(id).canPropose), 60));
  const leader = cluster.leaders.find((id) => id !== old) as number;
  cluster.propose(leader, batch('new'));
  cluster.quiesce();
  t.same(cluster.confirmedReads, []);
  cluster.heal();
  for (let i = 0; i < 20; i++) cluster.round();
  t.same(cluster.refusedReads, [{ replica: old, token }]);
});

test('S7: a read right after an election waits until the leader has chosen in its own ballot', async (t) => {
  const cluster = new Cluster(3);
  const old = cluster.elect();
  cluster.propose(old, batch('acknowledged'));
  cluster.quiesce();
  const slot = cluster.oracle.learnedThrough;
  cluster.crash(old);
  t.ok(cluster.runUntil(() => cluster.leaders.length > 0, 60));
  const token = cluster.read(cluster.leaders[0] as number);
  for (let i = 0; i < 5; i++) cluster.round();
  const read = cluster.confirmedReads.find((one) => one.token === token);
  t.ok(read && read.slot >= slot, 'what the old leader had acknowledged was chosen again first');
});

test('S7: a leader whose acceptor is down still needs a quorum of the others', async (t) => {
  const cluster = new Cluster(3);
  const leader = cluster.elect();
  const [other] = cluster.ids.filter((id) => id !== leader);
  cluster.killRole(leader, 'acceptor');
  cluster.crash(other as number);
  cluster.read(leader);
  for (let i = 0; i < 5; i++) cluster.round();
  t.same(cluster.confirmedReads, [], 'one of three');
  cluster.restart(other as number);
  cluster.read(leader);
  for (let i = 0; i < 10; i++) cluster.round();
  t.ok(cluster.confirmedReads.length > 0, 'two of three');
});
