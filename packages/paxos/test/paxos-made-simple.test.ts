/**
 * One story per rule of Lamport, "Paxos Made Simple" (2001), and for the S-rules of the core that its words do not cover.
 * The quotations are the paper's.
 */
import { test } from 'tap';
import type { Message } from '../src/messages.js';
import { Cluster, type Packet } from './support/cluster.js';
import { at, ballot, batch, configurationValue, identity, member } from './support/literals.js';

const THREE = [1, 2, 3];

/** A cluster whose members know slot 1. */
function founded(size: number, alpha = 8): Cluster {
  const ids = Array.from({ length: size }, (_, i) => i + 1);
  return new Cluster(size, { alpha, disks: ids.map((id) => member(id, ids, { alpha })) });
}

/** Messages among these arrive and writes end, until nothing is left; the others are lost. */
function settle(cluster: Cluster, among: readonly number[]): void {
  const inside = ({ from, to }: Packet): boolean => among.includes(from.replicaId) && among.includes(to);
  for (let busy = true; busy; ) {
    busy = false;
    while (cluster.deliver(inside)) busy = true;
    for (const id of among) busy = cluster.sync(id) || busy;
  }
  cluster.drop(() => true);
}

function lead(cluster: Cluster, id: number, among: readonly number[]): void {
  cluster.step(id, { type: 'campaign' });
  settle(cluster, among);
}

function underWay<T extends Message['type']>(cluster: Cluster, type: T): Extract<Message, { type: T }>[] {
  return cluster.packets.map(({ cargo }) => cargo).filter((cargo) => cargo.type === type) as Extract<
    Message,
    { type: T }
  >[];
}

test('P1: "An acceptor must accept the first proposal that it receives."', async (t) => {
  const cluster = founded(3);
  lead(cluster, 1, THREE);
  cluster.propose(1, batch('first'));
  cluster.deliver(({ to }) => to === 3);
  cluster.sync(3);
  t.same(cluster.at(3).disk.entryAt(3), at(3, ballot(1, 1), 'first'));
});

test('P1a: "An acceptor can accept a proposal numbered n iff it has not responded to a prepare request having a number greater than n."', async (t) => {
  const cluster = founded(3);
  lead(cluster, 1, THREE);
  cluster.propose(1, batch('late'));
  const accepts = cluster.packets;
  cluster.packets = [];
  lead(cluster, 2, [2, 3]);
  cluster.packets = accepts;
  settle(cluster, THREE);
  t.not(cluster.oracle.chosen.get(3), 'batch late', 'acceptors 2 and 3 had promised 2.2');
  t.same(cluster.leaders, [2], 'and said so');
});

test('a promise holds over a crash after the sync, and binds nobody when the crash came before', async (t) => {
  const cluster = founded(3);
  cluster.step(1, { type: 'campaign' });
  cluster.sync(1);
  const [prepare] = underWay(cluster, 'prepare');
  cluster.deliver(({ to }) => to === 2);
  cluster.crash(2);
  cluster.restart(2);
  t.equal(cluster.at(2).disk.promised.counter, 0, 'it never answered');
  if (prepare) cluster.step(2, { type: 'message', from: identity(1), marker: 2, message: prepare });
  cluster.sync(2);
  cluster.crash(2);
  cluster.restart(2);
  t.same(cluster.at(2).disk.promised, ballot(1, 1));
  t.equal(cluster.node(2).status().ballot, '1.1');
});

test('P2: "If a proposal with value v is chosen, then every higher-numbered proposal that is chosen has value v."', async (t) => {
  const cluster = founded(5);
  lead(cluster, 1, [1, 2, 3]);
  cluster.propose(1, batch('v'));
  settle(cluster, [1, 2, 3]);
  t.equal(cluster.oracle.chosen.get(3), 'batch v');
  for (const [leader, among] of [
    [4, [3, 4, 5]],
    [5, [2, 4, 5]],
    [1, [1, 4, 5]],
  ] as const) {
    lead(cluster, leader, among);
    const held = cluster.at(leader).disk.entryAt(3);
    t.same(held?.value, batch('v'), `as replica ${leader} found it`);
  }
});

test('P2a, P2b: once a value is chosen no acceptor accepts, and no proposer issues, another at a higher number', async (t) => {
  const cluster = founded(3);
  lead(cluster, 1, [1, 2]);
  cluster.propose(1, batch('v'));
  settle(cluster, [1, 2]);
  cluster.step(3, { type: 'campaign' });
  settle(cluster, [3]);
  cluster.step(3, { type: 'campaign' });
  cluster.sync(3);
  cluster.deliverAll(({ cargo }) => cargo.type === 'prepare');
  for (const id of [1, 2]) cluster.sync(id);
  cluster.deliverAll(
    ({ cargo }) => cargo.type === 'promise' || cargo.type === 'fetch' || cargo.type === 'chosen',
  );
  for (const id of THREE) cluster.sync(id);
  for (let i = 0; i < 5; i++) {
    cluster.tick(3);
    cluster.deliverAll(({ cargo }) => ['prepare', 'promise', 'fetch', 'chosen'].includes(cargo.type));
    for (const id of THREE) cluster.sync(id);
  }
  t.ok(cluster.node(3).isLeading);
  const issued = underWay(cluster, 'accept').filter(({ slot }) => slot === 3);
  t.ok(
    issued.every(({ value }) => value.type === 'batch'),
    'nothing but v in slot 3',
  );
  const held = [1, 2, 3].map((id) => cluster.at(id).disk.entryAt(3)?.value);
  t.same(held[0], batch('v'));
  t.same(held[1], batch('v'));
});

test('P2c: a proposer issues the value of the highest-numbered proposal that a majority has accepted', async (t) => {
  const disks = [
    member(1, THREE, { promised: ballot(5, 1) }),
    member(2, THREE, { promised: ballot(3, 3), accepted: [at(2, ballot(3, 3), 'newer')] }),
    member(3, THREE, {
      promised: ballot(2, 2),
      accepted: [at(2, ballot(2, 2), 'older'), at(3, ballot(1, 1), 'alone')],
    }),
  ];
  const cluster = new Cluster(3, { disks });
  cluster.step(1, { type: 'campaign' });
  cluster.sync(1);
  cluster.deliverAll(({ cargo }) => cargo.type === 'prepare');
  for (const id of [2, 3]) cluster.sync(id);
  cluster.deliver(({ cargo, from }) => cargo.type === 'promise' && from.replicaId === 2);
  const [first] = underWay(cluster, 'accept');
  t.match(first, { slot: 2, value: batch('newer') }, 'with replica 2 that is a majority');
  cluster.deliver(({ cargo }) => cargo.type === 'promise');
  const later = underWay(cluster, 'accept').filter(({ slot }) => slot === 3);
  t.same(later, [], 'its late promise binds nothing: by the word of that majority slot 3 is free');
});

test('P2c: where a majority has accepted nothing, the proposer issues any value', async (t) => {
  const cluster = founded(3);
  lead(cluster, 1, [1, 2]);
  t.equal(cluster.oracle.chosen.get(2), 'noop', 'a no-op, to have a slot of its own number');
  t.equal(cluster.propose(1, batch('any')), 3);
});

test('"different proposals have different numbers": a restarted proposer never uses a number again', async (t) => {
  const cluster = founded(3);
  const used: string[] = [];
  for (let i = 0; i < 5; i++) {
    cluster.step(1, { type: 'campaign' });
    settle(cluster, [1, 2]);
    used.push(cluster.node(1).status().ballot);
    cluster.crash(1);
    cluster.restart(1);
  }
  t.equal(new Set(used).size, 5, used.join(' '));
});

test('learning: "a value is chosen when a large enough set of acceptors have accepted it", and nobody learns it before', async (t) => {
  const cluster = founded(3);
  lead(cluster, 1, THREE);
  cluster.propose(1, batch('v'));
  t.equal(cluster.at(1).applied, 2);
  cluster.sync(1);
  t.equal(cluster.at(1).applied, 2, 'its own vote is one of three');
  cluster.deliver(({ to }) => to === 2);
  cluster.sync(2);
  cluster.deliver(({ cargo }) => cargo.type === 'accepted');
  t.equal(cluster.at(1).applied, 3);
});

test('learning: a replica that missed everything learns from any other, without the leader', async (t) => {
  const cluster = founded(3);
  cluster.crash(3);
  lead(cluster, 1, [1, 2]);
  for (let i = 0; i < 20; i++) {
    cluster.propose(1, batch(`v${i}`));
    cluster.round();
  }
  cluster.crash(1);
  cluster.restart(3);
  t.ok(cluster.runUntil(() => cluster.at(3).applied >= 22, 100));
});

test('progress: "if a single proposer is distinguished" it chooses; two that prepare in turn do not, until one waits', async (t) => {
  const cluster = founded(3);
  for (let i = 0; i < 20; i++) {
    const id = 1 + (i % 2);
    cluster.step(id, { type: 'campaign' });
    cluster.sync(id);
    cluster.deliverAll(({ cargo }) => cargo.type === 'prepare');
    for (const other of THREE) cluster.sync(other);
    cluster.deliverAll(({ cargo }) => cargo.type === 'promise');
  }
  t.equal(cluster.oracle.chosen.get(2), undefined, 'every accept came too late');
  t.ok(
    cluster.runUntil(() => cluster.oracle.chosen.has(2), 100),
    'left alone they settle',
  );
});

test('section 3: one prepare serves all slots; a leader then needs phase 2 alone', async (t) => {
  const cluster = founded(3);
  lead(cluster, 1, THREE);
  const seen = new Set<string>();
  for (let i = 0; i < 5; i++) {
    cluster.propose(1, batch(`v${i}`));
    for (const { cargo } of cluster.packets) seen.add(cargo.type);
    settle(cluster, THREE);
  }
  t.same([...seen], ['accept']);
  t.equal(cluster.oracle.chosen.get(7), 'batch v4');
});

test('section 3: slots are proposed before earlier ones are chosen, and at most so many', async (t) => {
  const cluster = founded(3);
  lead(cluster, 1, THREE);
  const slots = Array.from({ length: 6 }, (_, i) => cluster.propose(1, batch(`v${i}`)));
  t.same(slots, [3, 4, 5, 6, null, null], 'four in flight');
  // The last is chosen first; nothing is applied across the gap. (S6)
  const isLast = ({ cargo }: Packet): boolean => cargo.type === 'accept' && cargo.slot === 6;
  cluster.deliver(isLast);
  settle(cluster, [1]);
  t.equal(cluster.at(1).applied, 2);
});

test('section 3: a new leader proposes again what was accepted, and no-ops in the gaps between', async (t) => {
  const accepted = [at(2, ballot(1, 1), 'a'), at(5, ballot(1, 1), 'b')];
  const disks = [member(1, THREE), member(2, THREE), member(3, THREE, { promised: ballot(1, 1), accepted })];
  const cluster = new Cluster(3, { disks });
  cluster.step(2, { type: 'campaign' });
  settle(cluster, [2]);
  lead(cluster, 2, [2, 3]);
  for (let i = 0; i < 5; i++) cluster.round();
  t.same(
    [2, 3, 4, 5].map((slot) => cluster.oracle.chosen.get(slot)),
    ['batch a', 'noop', 'noop', 'batch b'],
  );
  t.equal(cluster.propose(2, batch('c')), 6, 'what clients want comes after');
});

test('S3: a new leader learns what is chosen before it proposes', async (t) => {
  const cluster = founded(3);
  lead(cluster, 1, [1, 2]);
  cluster.propose(1, batch('v'));
  settle(cluster, [1, 2]);
  cluster.tick(1, 3);
  settle(cluster, [1, 2]);
  cluster.crash(1);
  cluster.step(3, { type: 'campaign' });
  settle(cluster, [3]);
  cluster.step(3, { type: 'campaign' });
  cluster.sync(3);
  cluster.deliver(({ cargo }) => cargo.type === 'prepare');
  cluster.drop(({ cargo }) => cargo.type === 'prepare');
  cluster.sync(2);
  cluster.deliver(({ cargo, to }) => cargo.type === 'prepare' && to === 2);
  cluster.sync(2);
  cluster.deliver(({ cargo }) => cargo.type === 'promise');
  t.equal(cluster.node(3).status().phase, 'preparing', 'replica 2 knows slots 2 and 3');
  t.same(underWay(cluster, 'accept'), []);
  t.ok(cluster.runUntil(() => cluster.node(3).isLeading, 60));
  t.equal(cluster.oracle.chosen.get(3), 'batch v');
});

test('S6: what is chosen is handed out in slot order, without gaps', async (t) => {
  const cluster = founded(3);
  lead(cluster, 1, THREE);
  for (let i = 0; i < 4; i++) cluster.propose(1, batch(`v${i}`));
  cluster.packets.reverse();
  settle(cluster, THREE);
  for (let i = 0; i < 5; i++) cluster.round();
  t.same(
    cluster.replicas.map(({ applied }) => applied),
    [6, 6, 6],
    'a gap would have stopped one below',
  );
});

test('S11: a leader proposes no further than alpha slots past what it knows chosen', async (t) => {
  const cluster = founded(3, 2);
  lead(cluster, 1, THREE);
  const slots = Array.from({ length: 4 }, (_, i) => cluster.propose(1, batch(`v${i}`)));
  t.same(slots, [3, 4, null, null]);
});

test('S11: a configuration counts alpha slots after its own, and the votes are then its members alone', async (t) => {
  const cluster = founded(3, 2);
  lead(cluster, 1, THREE);
  cluster.propose(1, configurationValue([1, 2], { alpha: 2, replaces: 1 }));
  for (let i = 0; i < 3; i++) cluster.round();
  cluster.crash(2);
  const slot = cluster.propose(1, batch('needs 1 and 2'));
  t.equal(slot, 5, 'slots 3 and 4: the change, and a no-op');
  for (let i = 0; i < 8; i++) cluster.round();
  t.notOk(cluster.oracle.chosen.has(5), 'replica 3 has no vote any more');
});

test('S12: heartbeats carry the digest of the state both ways', async (t) => {
  const cluster = founded(3);
  lead(cluster, 1, THREE);
  const digest = { slot: 1024, hash: 'abc' };
  for (const id of THREE) cluster.node(id).digest = digest;
  cluster.tick(1, 3);
  t.same(underWay(cluster, 'heartbeat')[0]?.digest, digest);
  cluster.deliver(({ to }) => to === 2);
  t.same(underWay(cluster, 'heartbeat-answer')[0]?.digest, digest);
});
