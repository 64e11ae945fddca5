/** Which configuration may follow which, and what each survives. */
import { test } from 'tap';
import { isPhase1Quorum, isPhase2Quorum, phase1Size, phase2Size } from '../src/configuration.js';
import { following, promoted, survives, whyImpossible, withMember, without } from '../src/membership.js';
import type { Member, MemberRole, ReplicaId } from '../src/types.js';
import { PaxosNode } from '../src/node.js';
import { ballot, CLUSTER_ID, configuration, identity, incarnation, member } from './support/literals.js';

const ids = (count: number): ReplicaId[] => Array.from({ length: count }, (_, i) => i + 1);

test('quorums of both phases meet, whatever the accept quorum', (t) => {
  for (let voters = 1; voters <= 9; voters++) {
    for (let acceptQuorum = 0; acceptQuorum <= voters; acceptQuorum++) {
      const one = configuration(ids(voters), { acceptQuorum });
      t.equal(whyImpossible(one), '', `${voters} voters, accept quorum ${acceptQuorum}`);
      const spare = phase1Size(one) + phase2Size(one) - voters;
      t.ok(spare >= 1, `${voters} voters, accept quorum ${acceptQuorum}: they share ${spare}`);
      const first = new Map(ids(phase1Size(one)).map((id) => [id, incarnation(id)]));
      const second = new Map(ids(phase2Size(one)).map((id) => [id, incarnation(id)]));
      t.ok(isPhase1Quorum(one, first) && isPhase2Quorum(one, second));
    }
  }
  t.end();
});

test('what a configuration survives', (t) => {
  const rows: [voters: number, acceptQuorum: number, crashes: number, lostDisks: number][] = [
    [1, 0, 0, 0],
    [2, 0, 0, 0],
    [3, 0, 1, 1],
    [4, 0, 1, 1],
    [5, 0, 2, 2],
    [5, 2, 1, 1],
    [5, 4, 1, 3],
    [9, 0, 4, 4],
    [3, 1, 0, 0],
    [3, 3, 0, 2],
  ];
  for (const [voters, acceptQuorum, crashes, lostDisks] of rows) {
    const { crashes: c, lostDisks: d } = survives(configuration(ids(voters), { acceptQuorum }));
    t.strictSame([c, d], [crashes, lostDisks], `${voters} voters, accept quorum ${acceptQuorum}`);
  }
  t.end();
});

test('a configuration that no cluster may have is refused, with its reason', (t) => {
  const roles = (...list: MemberRole[]) => Object.fromEntries(list.map((role, i) => [i + 1, role]));
  const why = (count: number, list: MemberRole[], acceptQuorum = 0): string =>
    whyImpossible(configuration(ids(count), { roles: roles(...list), acceptQuorum }));
  t.match(why(2, ['learner', 'learner']), /no voter would be left/);
  t.match(why(2, ['witness', 'learner']), /no voter would be left/);
  t.match(why(3, ['voter', 'witness', 'witness']), /2 witnesses would be a quorum/);
  t.match(why(3, ['voter', 'voter', 'witness'], 1), /1 witnesses would be a quorum/);
  t.match(why(5, ['voter', 'voter', 'voter', 'voter', 'witness'], 5), /1 witnesses would be a quorum/);
  t.match(why(3, ['voter', 'voter', 'learner'], 3), /an accept quorum of 3 needs as many voters/);
  t.equal(why(3, ['voter', 'voter', 'witness']), '');
  t.equal(why(5, ['voter', 'voter', 'voter', 'witness', 'witness']), '');
  const twice = configuration([1, 2]);
  t.match(whyImpossible({ ...twice, members: [...twice.members, ...twice.members] }), /named twice/);
  t.end();
});

test('members come, are promoted, replace others and leave', (t) => {
  const latest = { slot: 1, configuration: configuration([1, 2, 3]) };
  const learner: Member = {
    ...identity(6),
    address: 'h:6',
    role: 'learner',
    promoteTo: 'voter',
    replaces: 2,
  };
  const added = following(latest, withMember(latest.configuration.members, learner));
  t.strictSame([added.replaces, added.members.map(({ replicaId }) => replicaId)], [1, [1, 2, 3, 6]]);
  const next = following({ slot: 9, configuration: added }, promoted(added.members, learner));
  t.strictSame(
    next.members.map(({ replicaId, role }) => [replicaId, role]),
    [
      [1, 'voter'],
      [3, 'voter'],
      [6, 'voter'],
    ],
  );
  t.notOk('promoteTo' in (next.members[2] as Member), 'its wish has come true');
  t.strictSame(
    without(next.members, 1, 3).map(({ replicaId }) => replicaId),
    [6],
  );
  t.end();
});

test('who does not vote on what is to come is promised nothing', (t) => {
  const founding = { slot: 1, configuration: configuration([1, 2, 3]) };
  const shrunk = { slot: 5, configuration: configuration([1, 2], { replaces: 1 }) };
  const open = (chosenThrough: number): PaxosNode =>
    new PaxosNode(
      {
        identity: identity(2),
        founding: [],
        newClusterId: CLUSTER_ID,
        mayFound: false,
        alpha: 8,
        timing: { electionTicks: 10, heartbeatTicks: 3 },
        inFlightSlots: 4,
        random: () => 0,
      },
      member(2, [1, 2, 3], { chosenThrough, configurations: [founding, shrunk] }),
    );
  const answers = (node: PaxosNode, from: ReplicaId): string[] => {
    const message = { type: 'prepare', ballot: ballot(7, from), fromSlot: 2 } as const;
    node.step({ type: 'message', from: identity(from), marker: 1, message });
    const ready = node.takeReady();
    return [...(ready?.send ?? []), ...(ready?.sendAfterPersist ?? [])].map(({ message: { type } }) => type);
  };
  t.strictSame(answers(open(11), 3), ['promise'], 'slot 12 is still governed by the configuration of three');
  t.strictSame(
    answers(open(12), 3),
    ['chosen'],
    'from slot 13 on replica 3 is nobody: it is told how far things are',
  );
  t.strictSame(answers(open(12), 1), ['promise']);
  t.end();
});
