/** One replica: crashes, killed roles, a failed log, rolled-back directories, founding. */
import { test } from 'tap';
import type { Message } from '../src/messages.js';
import { PaxosNode } from '../src/node.js';
import { Cluster } from './support/cluster.js';
import { Disk } from './support/disk.js';
import {
  at,
  ballot,
  batch,
  CLUSTER_ID,
  configurationValue,
  identity,
  member,
  NOOP,
  recovered,
} from './support/literals.js';
import type { RecoveredLog, ReplicaId, Value } from '../src/types.js';

const IDS = [1, 2, 3];

/** Replica 2, alone with a disk, spoken to by hand. */
class Alone {
  readonly disk: Disk;
  readonly node: PaxosNode;
  readonly sent: Message[] = [];
  /** Whom it asked for slots. */
  readonly asked: ReplicaId[] = [];
  /** What every draw gives: 0 takes the first of many, 0.99 the last. */
  draw = 0;
  private after: Message[] = [];

  constructor(log: RecoveredLog = member(2, IDS), mayFound = true, mayServe = () => true) {
    this.disk = new Disk(log);
    this.node = new PaxosNode(
      {
        identity: log.identity,
        founding: IDS.map((id) => ({ id, address: `replica-${id}:15000` })),
        newClusterId: CLUSTER_ID,
        mayFound,
        alpha: 8,
        mayServe,
        timing: { electionTicks: 10, heartbeatTicks: 3 },
        inFlightSlots: 4,
        random: () => this.draw,
      },
      log,
    );
  }

  hear(from: ReplicaId, message: Message, marker = 1, life = 0): void {
    this.node.step({ type: 'message', from: identity(from, life), marker, message });
  }

  accept(slot: number, value: Value, chosenThrough = 1): void {
    this.hear(1, { type: 'accept', ballot: ballot(1, 1), slot, value, chosenThrough });
  }

  heartbeat(chosenThrough: number): void {
    const digest = { slot: 0, hash: '' };
    this.hear(1, { type: 'heartbeat', ballot: ballot(1, 1), round: 1, chosenThrough, digest });
  }

  /** Hand out what is to be done; returns the write that begins. */
  begin(): boolean {
    const ready = this.node.takeReady();
    if (!ready) return false;
    this.sent.push(...ready.send.map(({ message }) => message));
    for (const { to, message } of ready.send) if (message.type === 'fetch') this.asked.push(...to);
    const waiting = ready.sendAfterPersist.map(({ message }) => message);
    if (!ready.persist) this.sent.push(...waiting);
    else this.after = waiting;
    if (ready.persist)
      this.pending = () => this.disk.commit(ready.persist as NonNullable<typeof ready.persist>);
    return ready.persist !== null;
  }

  /** The write under way ends. */
  end(): void {
    this.pending();
    this.sent.push(...this.after);
    this.node.step({ type: 'persisted', marker: this.disk.marker });
  }

  write(): void {
    while (this.begin()) this.end();
  }

  tick(ticks: number): void {
    for (let i = 0; i < ticks; i += 1) {
      this.node.step({ type: 'tick' });
      this.write();
    }
  }

  types(): string[] {
    return this.sent.map((message) => message.type);
  }

  private pending: () => void = () => undefined;
}

test('S1: promise and accepted leave after the write, a nack at once', async (t) => {
  const replica = new Alone();
  replica.hear(1, { type: 'prepare', ballot: ballot(2, 1), fromSlot: 2 });
  t.ok(replica.begin(), 'a write begins');
  t.same(replica.types(), []);
  replica.hear(3, { type: 'prepare', ballot: ballot(1, 3), fromSlot: 2 });
  replica.begin();
  t.same(replica.types(), ['nack']);
  replica.end();
  t.same(replica.types(), ['nack', 'promise']);
});

test('what arrives while a write is under way goes into one write after it', async (t) => {
  const replica = new Alone();
  replica.accept(2, batch('a'));
  replica.begin();
  replica.accept(3, batch('b'));
  replica.accept(4, batch('c'));
  t.notOk(replica.begin(), 'one write at a time');
  replica.end();
  t.ok(replica.begin());
  replica.end();
  const accepted = replica.sent.filter((message) => message.type === 'accepted');
  t.same(
    accepted.map(({ slots }) => slots),
    [[2], [3, 4]],
  );
});

test('a candidate uses a ballot only once it is on disk', async (t) => {
  const replica = new Alone();
  replica.node.step({ type: 'campaign' });
  replica.begin();
  t.same(replica.types(), []);
  t.same(replica.disk.promised.counter, 0);
  replica.end();
  t.same(replica.types(), ['promise', 'prepare']);
  t.same(replica.disk.promised, ballot(1, 2));
});

test('killed learner, then killed acceptor: the mark on disk still claims only what the log holds', async (t) => {
  const replica = new Alone();
  replica.accept(2, batch('a'));
  replica.begin();
  replica.accept(3, batch('b'));
  replica.heartbeat(3);
  t.equal(replica.node.chosenThrough, 3);
  replica.node.killRole('learner');
  replica.node.killRole('acceptor');
  replica.end();
  replica.write();
  t.equal(replica.disk.chosenThrough, 3);
  t.ok(replica.disk.entryAt(3), 'else the disk has failed the test already');
});

test('a killed acceptor takes its unwritten promise and vote with it', async (t) => {
  const replica = new Alone();
  replica.accept(2, batch('a'));
  replica.begin();
  replica.hear(3, { type: 'prepare', ballot: ballot(5, 3), fromSlot: 2 });
  replica.node.killRole('acceptor');
  replica.end();
  replica.node.restoreRole('acceptor', replica.disk.recovered());
  replica.write();
  t.notOk(replica.types().includes('promise'));
  t.same(replica.disk.promised, ballot(1, 1), 'free to answer anew');
  replica.hear(3, { type: 'prepare', ballot: ballot(5, 3), fromSlot: 2 });
  replica.write();
  t.same(replica.sent.at(-1), {
    type: 'promise',
    ballot: ballot(5, 3),
    fromSlot: 2,
    throughSlot: null,
    accepted: [at(2, ballot(1, 1), 'a')],
    chosenThrough: 1,
  });
});

test('a killed learner leaves the mark on disk, so that it comes back knowing it', async (t) => {
  const cluster = new Cluster(1);
  cluster.elect();
  cluster.propose(1, batch('a'));
  cluster.quiesce();
  const { applied } = cluster.at(1);
  t.ok(cluster.at(1).disk.chosenThrough < applied, 'the mark rides on the next write');
  cluster.killRole(1, 'learner');
  cluster.quiesce();
  t.equal(cluster.at(1).disk.chosenThrough, applied);
  cluster.restoreRole(1, 'learner');
  t.equal(cluster.elect(), 1, 'a lone replica goes on');
});

test('after a failed write the configuration that was chosen meanwhile is written again', async (t) => {
  const replica = new Alone();
  const changed = configurationValue([1, 2], { replaces: 1 });
  replica.accept(2, changed);
  replica.write();
  replica.heartbeat(2);
  t.equal(replica.node.history.latest?.slot, 2);
  replica.node.poison();
  const log = replica.disk.recovered();
  t.equal(log.configurations.length, 1, 'that write was lost');
  for (const role of ['acceptor', 'learner', 'proposer'] as const) replica.node.restoreRole(role, log);
  replica.heartbeat(2);
  replica.write();
  t.equal(replica.disk.chosenThrough, 2);
  t.same(
    replica.disk.configurations.map(({ slot }) => slot),
    [1, 2],
  );
});

test('a poisoned log says nothing more and writes nothing more', async (t) => {
  const replica = new Alone();
  replica.accept(2, batch('a'));
  replica.begin();
  replica.accept(3, batch('b'));
  replica.node.poison();
  replica.accept(4, batch('c'));
  replica.hear(3, { type: 'prepare', ballot: ballot(5, 3), fromSlot: 2 });
  for (let i = 0; i < 100; i++) replica.node.step({ type: 'tick' });
  t.notOk(replica.begin());
  const said = new Set(replica.types());
  for (const type of ['promise', 'accepted', 'probe', 'prepare', 'heartbeat-answer'])
    t.notOk(said.has(type), type);
});

test('what is cut is not written again in the same write', async (t) => {
  const replica = new Alone();
  replica.accept(2, batch('a'));
  replica.heartbeat(2);
  replica.node.step({ type: 'cut', through: 2 });
  const persist = replica.node.takeReady()?.persist;
  t.same(persist?.entries, []);
  t.equal(persist?.cutThrough, 2);
});

test('a cut that is ahead of what the log knows chosen cuts no further', async (t) => {
  const replica = new Alone();
  replica.node.step({ type: 'cut', through: 7 });
  t.equal(replica.node.takeReady()?.persist?.cutThrough, 1);
});

test('S5: the prepare of a directory that was rolled back is not answered, and it is told', async (t) => {
  const replica = new Alone();
  replica.hear(1, { type: 'prepare', ballot: ballot(2, 1), fromSlot: 2 }, 9);
  replica.write();
  replica.hear(1, { type: 'prepare', ballot: ballot(3, 1), fromSlot: 2 }, 5);
  replica.write();
  t.same(replica.types(), ['promise', 'rolled-back']);
  t.same(replica.sent.at(-1), { type: 'rolled-back', heard: 9, incarnation: identity(1).incarnation });
  t.same(replica.disk.promised, ballot(2, 1));
});

test('S5: a rolled-back replica falls silent, and refuses reads', async (t) => {
  const replica = new Alone();
  const { incarnation } = identity(2);
  replica.hear(1, { type: 'rolled-back', heard: 7, incarnation });
  t.ok(replica.node.rolledBack);
  replica.hear(1, { type: 'prepare', ballot: ballot(2, 1), fromSlot: 2 });
  for (let i = 0; i < 100; i++) replica.node.step({ type: 'tick' });
  replica.node.step({ type: 'read', token: 4 });
  t.same(replica.node.takeReady()?.refusedReads, [4]);
  replica.write();
  t.same(replica.types(), []);
});

test('S5: a late message of its own is no proof of a roll-back', async (t) => {
  const replica = new Alone(member(2, IDS, { marker: 9 }));
  replica.hear(1, { type: 'rolled-back', heard: 9, incarnation: identity(2).incarnation });
  t.notOk(replica.node.rolledBack, 'it has moved on meanwhile');
  replica.hear(1, { type: 'rolled-back', heard: 99, incarnation: identity(2, 1).incarnation });
  t.notOk(replica.node.rolledBack, 'that was another directory');
});

test('S5: a wiped replica of a founded cluster neither votes nor campaigns, and learns', async (t) => {
  const cluster = new Cluster(3);
  const leader = cluster.elect();
  const victim = IDS.find((id) => id !== leader) as number;
  const third = IDS.find((id) => id !== leader && id !== victim) as number;
  cluster.wipe(victim);
  cluster.restart(victim);
  t.ok(
    cluster.runUntil(() => cluster.at(victim).applied === cluster.at(leader).applied, 50),
    'it learns',
  );
  t.notOk(cluster.node(victim).status().votes);
  cluster.crash(third);
  const before = cluster.oracle.learnedThrough;
  cluster.propose(leader, batch('needs two votes'));
  t.notOk(
    cluster.runUntil(() => cluster.oracle.learnedThrough > before, 100),
    'one vote and a stranger do not choose',
  );
  t.same(cluster.leaders, []);
  cluster.restart(third);
  t.ok(cluster.runUntil(() => cluster.oracle.learnedThrough > before, 100));
});

test('who could not serve does not campaign, and votes all the same', (t) => {
  let serves = false;
  const replica = new Alone(member(2, IDS), true, () => serves);
  const until = (ticks: number): void => {
    for (let i = 0; i < ticks; i += 1) replica.node.step({ type: 'tick' });
    replica.write();
  };
  until(100);
  replica.node.step({ type: 'campaign' });
  until(1);
  t.same(
    replica.types().filter((type) => type === 'probe' || type === 'prepare'),
    [],
  );
  replica.hear(1, { type: 'prepare', ballot: ballot(9, 1), fromSlot: 2 });
  replica.write();
  t.equal(replica.disk.promised.counter, 9);
  serves = true;
  until(100);
  t.ok(replica.types().includes('probe'), 'it stands as soon as it can');
  t.end();
});

test('S5: an unnamed incarnation that probes or prepares is told how far the cluster is', async (t) => {
  const replica = new Alone();
  replica.hear(3, { type: 'probe', attempt: 1, ballot: ballot(9, 3, 1) }, 1, 1);
  replica.hear(3, { type: 'prepare', ballot: ballot(9, 3, 1), fromSlot: 1 }, 1, 1);
  replica.write();
  t.same(replica.types(), ['chosen', 'chosen']);
  t.same(replica.disk.promised.counter, 0);
});

test('S4: a fetched value is stored as chosen and reported so', async (t) => {
  const replica = new Alone();
  replica.accept(2, batch('lost'));
  replica.write();
  replica.hear(3, { type: 'chosen', entries: [{ slot: 2, value: batch('won') }], chosenThrough: 2 });
  replica.write();
  t.same(replica.disk.entryAt(2), at(2, ballot(1, 1), 'won', true));
});

test('S4: a leader that says a slot is chosen does not make the value of another ballot chosen', async (t) => {
  const replica = new Alone(
    member(2, IDS, { promised: ballot(1, 3), accepted: [at(2, ballot(1, 3), 'other')] }),
  );
  const digest = { slot: 0, hash: '' };
  replica.hear(1, { type: 'heartbeat', ballot: ballot(2, 1), round: 1, chosenThrough: 2, digest });
  replica.write();
  t.equal(replica.node.chosenThrough, 1);
  t.same(replica.types(), ['fetch', 'heartbeat-answer']);
});

test('a page that brings nothing new is no reason to ask for the next at once', async (t) => {
  const replica = new Alone(recovered(2));
  replica.hear(1, { type: 'chosen', entries: [], chosenThrough: 5 });
  replica.hear(1, { type: 'chosen', entries: [{ slot: 4, value: NOOP }], chosenThrough: 5 });
  replica.write();
  t.same(replica.types(), []);
  replica.node.step({ type: 'tick' });
  replica.write();
  t.same(replica.types(), ['fetch']);
});

test('who is gone is asked no more, though it knew more than anybody who is there', async (t) => {
  const replica = new Alone(recovered(2));
  replica.hear(1, { type: 'chosen', entries: [], chosenThrough: 9 });
  replica.tick(1);
  t.same(replica.asked, [1]);
  replica.node.step({ type: 'disconnected', peer: 1 });
  replica.hear(3, { type: 'chosen', entries: [], chosenThrough: 5 });
  replica.tick(1);
  t.same(replica.asked, [1, 3], 'at once: no answer is waited for');
  replica.tick(100);
  t.notOk(replica.asked.slice(1).includes(1), `asked ${replica.asked.join(', ')}`);
});

test('what a peer has cut is asked of everybody, known to be ahead or not', async (t) => {
  const replica = new Alone();
  replica.draw = 0.99;
  replica.hear(1, { type: 'chosen', entries: [], chosenThrough: 9 });
  replica.tick(1);
  t.same(replica.asked, [1], 'nobody else is known to be ahead');
  replica.hear(1, { type: 'cut', cutThrough: 5 });
  replica.tick(12);
  t.same(replica.asked, [1, 3], 'who never said how far it is');
  replica.hear(3, { type: 'chosen', entries: [{ slot: 2, value: NOOP }], chosenThrough: 2 });
  replica.tick(1);
  t.same(replica.asked, [1, 3, 1], 'what comes now was cut by nobody yet');
});

test('a follower takes what an accept makes known before it looks whether it may accept in its slot', async (t) => {
  const replica = new Alone(member(2, IDS, { alpha: 1 }));
  replica.accept(2, batch('a'), 1);
  replica.accept(3, batch('b'), 2);
  replica.write();
  const accepted = replica.sent.filter((message) => message.type === 'accepted');
  t.same(
    accepted.flatMap(({ slots }) => slots),
    [2, 3],
  );
});

test('founding: slot 1 needs every founding member, slot 2 a majority', async (t) => {
  const cluster = new Cluster(3);
  cluster.crash(3);
  t.notOk(
    cluster.runUntil(() => cluster.leaders.length > 0, 200),
    'two of three do not found',
  );
  cluster.restart(3);
  const leader = cluster.elect();
  cluster.crash(IDS.find((id) => id !== leader) as number);
  const slot = cluster.propose(leader, batch('a')) ?? 0;
  t.ok(
    cluster.runUntil(() => cluster.oracle.chosen.has(slot), 50),
    'two of three choose',
  );
});

test('founding: a replica whose directory was set aside takes no part in it', async (t) => {
  const replica = new Alone(recovered(2), false);
  replica.hear(1, { type: 'prepare', ballot: ballot(1, 1), fromSlot: 1 });
  replica.hear(1, { type: 'probe', attempt: 1, ballot: ballot(1, 1) });
  for (let i = 0; i < 100; i++) replica.node.step({ type: 'tick' });
  replica.write();
  t.same([...new Set(replica.types())], ['fetch'], 'it only asks');
});

test('founding: the configuration names the incarnations that promised', async (t) => {
  const cluster = new Cluster(3);
  cluster.tick(1, 3);
  cluster.wipe(2);
  cluster.restart(2);
  cluster.elect();
  const founding = cluster.node(1).history.latest?.configuration;
  t.same(
    founding?.members.map(({ incarnation }) => incarnation),
    [identity(1).incarnation, identity(2, 1).incarnation, identity(3).incarnation],
  );
});

test('S11: nothing is accepted in slot 2 before slot 1 is known, nor further than alpha ahead', async (t) => {
  const newcomer = new Alone(recovered(2));
  newcomer.accept(2, batch('a'), 0);
  newcomer.write();
  t.notOk(newcomer.types().includes('accepted'));
  const replica = new Alone();
  replica.accept(9, batch('a'));
  replica.accept(10, batch('b'));
  replica.write();
  t.same(
    replica.sent.flatMap((message) => (message.type === 'accepted' ? message.slots : [])),
    [9],
    'alpha is 8',
  );
});

test('S9: a snapshot replaces mark, configurations and log in one write', async (t) => {
  const replica = new Alone();
  replica.accept(2, batch('a'));
  replica.write();
  const configurations = [{ slot: 1, configuration: member(2, IDS).configurations[0]?.configuration }];
  const known = configurations.flatMap(({ slot, configuration }) =>
    configuration ? [{ slot, configuration }] : [],
  );
  replica.node.step({ type: 'snapshot-installed', slot: 20, configurations: known });
  t.ok(replica.begin());
  replica.end();
  t.equal(replica.disk.chosenThrough, 20);
  t.equal(replica.disk.cutThrough, 20);
  t.equal(replica.disk.entryAt(2), undefined);
  t.equal(replica.node.chosenThrough, 20);
});

test('a leader hands over without a gap of an election timeout', async (t) => {
  const cluster = new Cluster(3);
  const leader = cluster.elect();
  const target = IDS.find((id) => id !== leader) as number;
  cluster.step(leader, { type: 'transfer', to: target });
  cluster.quiesce();
  t.same(cluster.leaders, [target]);
});

test('a founder that is alone founds, unless a peer knows a cluster already', (t) => {
  const founder = (): PaxosNode =>
    new PaxosNode(
      {
        identity: identity(1),
        founding: [{ id: 1, address: 'replica-1:15000' }],
        newClusterId: CLUSTER_ID,
        mayFound: true,
        alpha: 8,
        timing: { electionTicks: 10, heartbeatTicks: 3 },
        inFlightSlots: 4,
        random: () => 0,
      },
      recovered(1),
    );
  const phaseAfter = (node: PaxosNode): string => {
    for (let tick = 0; tick < 100; tick++) node.step({ type: 'tick' });
    return node.status().phase;
  };
  t.equal(phaseAfter(founder()), 'preparing', 'as soon as its ballot is on disk it founds');
  const lostItsDisk = founder();
  lostItsDisk.heardOfCluster();
  t.equal(phaseAfter(lostItsDisk), 'idle', 'it waits to learn of that one');
  t.end();
});
