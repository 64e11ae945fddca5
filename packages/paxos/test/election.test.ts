/** When to campaign, and whom to let: liveness only. */
import { test } from 'tap';
import { Election } from '../src/election.js';
import { Cluster } from './support/cluster.js';
import { ballot, identity } from './support/literals.js';

const TIMING = { electionTicks: 10, heartbeatTicks: 3 };

function electionWith(...draws: readonly number[]): Election {
  let i = 0;
  return new Election(identity(2), TIMING, () => draws[i++ % draws.length] ?? 0);
}

function ticksToCampaign(election: Election, max = 1000): number {
  for (let tick = 1; tick <= max; tick++) if (election.tick()) return tick;
  return max;
}

test('a follower campaigns after an election timeout and a random while', async (t) => {
  t.equal(ticksToCampaign(electionWith(0)), 10);
  t.equal(ticksToCampaign(electionWith(0.5)), 15);
});

test('the while doubles with every attempt, up to a bound', async (t) => {
  const election = electionWith(0.999);
  const waits = Array.from({ length: 7 }, () => ticksToCampaign(election));
  t.same(waits, [20, 20, 30, 50, 90, 90, 90]);
});

test('a leader that is heard starts the count again, and the attempts', async (t) => {
  const election = electionWith(0);
  for (let i = 0; i < 9; i++) t.notOk(election.tick());
  election.heardLeader(ballot(1, 1));
  t.equal(election.leader, 1);
  t.equal(ticksToCampaign(election), 10);
});

test('probes of others are turned down while a leader is heard, its own never', async (t) => {
  const election = electionWith(0.9);
  t.ok(election.grants(3), 'nobody leads');
  election.heardLeader(ballot(1, 1));
  t.notOk(election.grants(3));
  t.ok(election.grants(1));
  for (let i = 0; i < 10; i++) election.tick();
  t.notOk(election.grants(3), 'an election timeout has not passed');
  election.tick();
  t.ok(election.grants(3));
  t.equal(election.leader, 0);
});

test('a connection that ends brings the attempt forward, if it was the leader that it led to', async (t) => {
  const election = electionWith(0);
  election.heardLeader(ballot(1, 1));
  election.disconnected(3);
  t.equal(election.leader, 1);
  election.disconnected(1);
  t.equal(election.leader, 0);
  t.equal(ticksToCampaign(election), 1);
});

test('a short wait left over from an attempt does not disturb the leader that is heard meanwhile', async (t) => {
  const election = electionWith(0);
  election.retreat();
  election.heardLeader(ballot(1, 1));
  t.equal(ticksToCampaign(election), 10);
});

test('a loser retries soon, later each time', async (t) => {
  const election = electionWith(0.999);
  const waits = Array.from({ length: 6 }, () => {
    election.retreat();
    return ticksToCampaign(election);
  });
  t.ok((waits[0] ?? 0) < TIMING.electionTicks, `${waits.join()}`);
  t.ok((waits.at(-1) ?? 0) > (waits[0] ?? 0));
});

// The same with replicas

test('a replica that comes back from a partition disturbs nobody', async (t) => {
  const cluster = new Cluster(5);
  const leader = cluster.elect();
  const { promised } = cluster.at(leader).disk;
  const away = cluster.ids.find((id) => id !== leader) as number;
  cluster.partition([away]);
  for (let i = 0; i < 200; i++) cluster.round();
  cluster.heal();
  for (let i = 0; i < 50; i++) cluster.round();
  t.same(cluster.leaders, [leader]);
  t.same(cluster.at(leader).disk.promised, promised, 'no new ballot was used');
});

test('a leader that is cut off stops leading, and the rest elects another', async (t) => {
  const cluster = new Cluster(5);
  const leader = cluster.elect();
  cluster.partition([leader]);
  t.ok(cluster.runUntil(() => cluster.leaders.length === 1 && !cluster.leaders.includes(leader), 60));
});

test('one-way links block nobody', async (t) => {
  for (const direction of ['deaf', 'mute']) {
    const cluster = new Cluster(3, { seed: 7 });
    const leader = cluster.elect();
    for (const other of cluster.ids) {
      if (direction === 'deaf') cluster.block(other, leader);
      else cluster.block(leader, other);
    }
    const isReplaced = (): boolean =>
      cluster.leaders.some((id) => id !== leader && cluster.node(id).isEstablished);
    t.ok(cluster.runUntil(isReplaced, 100), `a ${direction} leader is replaced`);
    for (let i = 0; i < 100; i++) cluster.round();
    t.equal(cluster.leaders.length, 1, 'and the new one is left in peace');
  }
});

test('two that prepare at once settle on one', async (t) => {
  for (let seed = 1; seed <= 30; seed++) {
    const cluster = new Cluster(4, { seed });
    for (const id of [1, 2]) cluster.step(id, { type: 'campaign' });
    cluster.quiesce();
    cluster.elect(200);
    t.equal(cluster.leaders.length, 1, `seed ${seed}`);
  }
});

test('a leader is replaced within a few election timeouts of its crash', async (t) => {
  for (let seed = 1; seed <= 30; seed++) {
    const cluster = new Cluster(3, { seed });
    const leader = cluster.elect();
    for (let i = 0; i < 20; i++) cluster.round();
    cluster.crash(leader);
    const isReplaced = (): boolean => cluster.leaders.some((id) => cluster.node(id).isEstablished);
    t.ok(cluster.runUntil(isReplaced, TIMING.electionTicks * 4), `seed ${seed}`);
  }
});

test('a probe that was lost is sent again while the attempt lasts', async (t) => {
  const cluster = new Cluster(3, { seed: 3 });
  const leader = cluster.elect();
  cluster.crash(leader);
  const [first] = cluster.ids.filter((id) => id !== leader);
  while (cluster.node(first as number).status().phase === 'idle') cluster.tick(first as number);
  cluster.drop(() => true);
  const probes = (): number => cluster.packets.filter(({ cargo }) => cargo.type === 'probe').length;
  cluster.tick(first as number, 3);
  t.ok(probes() > 0);
});
