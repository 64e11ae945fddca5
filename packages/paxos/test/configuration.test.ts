/** Quorums, who counts in them, and which configuration governs a slot. (S5, S9, S11) */
import { test } from 'tap';
import {
  ConfigurationHistory,
  countVotes,
  isPhase1Quorum,
  isPhase2Quorum,
  majorityOf,
  phase1Size,
  phase2Size,
  trimConfigurations,
  type Votes,
} from '../src/configuration.js';
import type { ConfigurationAt, Member, ReplicaId, Slot } from '../src/types.js';
import { sameConfiguration, sameValue } from '../src/value.js';
import { batch, configuration, configurationValue, identity, incarnation, NOOP } from './support/literals.js';

function votesOf(...ids: readonly ReplicaId[]): Votes {
  return new Map(ids.map((id) => [id, incarnation(id)]));
}

test('a majority of 1 to 9 voters is more than half, also where their number is even', async (t) => {
  t.same([1, 2, 3, 4, 5, 6, 7, 8, 9].map(majorityOf), [1, 2, 2, 3, 3, 4, 4, 5, 5]);
});

test('every two quorums of 1 to 9 voters meet, and one vote fewer is no quorum', async (t) => {
  for (let size = 1; size <= 9; size++) {
    const ids = Array.from({ length: size }, (_, i) => i + 1);
    const on = configuration(ids);
    const enough = majorityOf(size);
    t.ok(isPhase1Quorum(on, votesOf(...ids.slice(0, enough))), `${enough} of ${size}`);
    t.notOk(isPhase1Quorum(on, votesOf(...ids.slice(0, enough - 1))), `${enough - 1} of ${size}`);
    t.ok(phase1Size(on) + phase2Size(on) > size, 'phase 1 meets phase 2');
    t.ok(phase1Size(on) * 2 > size, 'phase 1 meets phase 1');
  }
});

test('with a phase-2 quorum of its own choice phase 1 asks as many more as make them meet', async (t) => {
  for (let size = 1; size <= 9; size++) {
    for (let acceptQuorum = 1; acceptQuorum <= size; acceptQuorum++) {
      const on = configuration(
        Array.from({ length: size }, (_, i) => i + 1),
        { acceptQuorum },
      );
      t.equal(phase1Size(on) + phase2Size(on), size + 1, `${acceptQuorum} of ${size}`);
    }
  }
});

test('S5: a vote of an incarnation that is not named, of a stranger or a learner counts for nothing', async (t) => {
  const on = configuration([1, 2, 3, 4], { roles: { 4: 'learner' } });
  const votes = new Map([
    [1, incarnation(1)],
    [2, incarnation(2, 1)],
    [4, incarnation(4)],
    [9, incarnation(9)],
  ]);
  t.equal(countVotes(on, votes), 1);
  t.notOk(isPhase2Quorum(on, votes));
  t.ok(isPhase2Quorum(on, new Map([...votes, [2, incarnation(2)]])));
});

test('a witness votes', async (t) => {
  const on = configuration([1, 2, 3], { roles: { 3: 'witness' } });
  t.ok(isPhase2Quorum(on, votesOf(1, 3)));
});

function historyOf(...slots: readonly Slot[]): ConfigurationHistory {
  const list = slots.map((slot, i): ConfigurationAt => {
    const replaces = slots[i - 1] ?? 0;
    return { slot, configuration: configuration([i + 1], { alpha: 4, replaces }) };
  });
  return new ConfigurationHistory(list);
}

test('S11: a configuration governs from alpha slots after its own on', async (t) => {
  const history = historyOf(1, 7, 9);
  const governing = (slot: Slot): unknown => history.at(slot)?.members[0]?.replicaId;
  t.same([2, 4, 5, 10].map(governing), [1, 1, 1, 1]);
  t.same([11, 12].map(governing), [2, 2], 'the one of slot 7 from slot 11 on');
  t.same([13, 99].map(governing), [3, 3]);
  t.equal(new ConfigurationHistory([]).at(1), null, 'before the founding nobody knows');
});

test('S11: a configuration that does not replace the latest is a no-op', async (t) => {
  const history = historyOf(1);
  t.ok(history.add(7, configuration([2], { replaces: 1 })));
  t.notOk(history.add(8, configuration([3], { replaces: 1 })), 'slot 7 was quicker');
  t.ok(history.add(9, configuration([3], { replaces: 7 })));
  t.same(
    history.all.map(({ slot }) => slot),
    [1, 7, 9],
  );
  t.throws(() => history.add(9, configuration([4], { replaces: 9 })), { message: /^S11 broken/ });
});

test('S9: a cut keeps the configuration of the next slot and those of the alpha slots before', async (t) => {
  const list = historyOf(1, 7, 9).all;
  const kept = (through: Slot): Slot[] => trimConfigurations(list, through).map(({ slot }) => slot);
  t.same(kept(9), [1, 7, 9], 'slot 10 is governed by slot 1');
  t.same(kept(10), [7, 9], 'slot 11 by slot 7');
  t.same(kept(12), [9]);
  t.same(trimConfigurations([], 5), []);
});

test('a snapshot replaces what is known but for later configurations', async (t) => {
  const history = historyOf(1, 7, 9);
  const list = [{ slot: 8, configuration: configuration([8], { alpha: 4 }) }];
  history.replace(list, 8);
  t.same(
    history.all.map(({ slot }) => slot),
    [8, 9],
  );
});

test('who may vote from a slot on, and who is named at all', async (t) => {
  const history = historyOf(1, 7);
  t.ok(history.isVoterFrom(10, identity(1)));
  t.notOk(history.isVoterFrom(11, identity(1)), 'replaced in slot 7');
  t.ok(history.isVoterFrom(2, identity(2)), 'for slots to come');
  t.ok(history.names(identity(1)));
  t.notOk(history.names(identity(1, 1)));
  t.same(history.replicasFrom(2), [1, 2]);
  t.same(history.replicasFrom(11), [2]);
});

test('values are the same when their contents are', async (t) => {
  t.ok(sameValue(NOOP, { type: 'noop' }));
  t.ok(sameValue(batch('ab'), batch('ab')));
  t.notOk(sameValue(batch('ab'), batch('abc')));
  t.notOk(sameValue(batch('ab'), batch('ac')));
  t.notOk(sameValue(batch(''), NOOP));
  t.ok(sameValue(configurationValue([1, 2]), configurationValue([1, 2])));
  t.notOk(sameValue(configurationValue([1, 2]), configurationValue([1, 2], { lives: { 2: 1 } })));
  t.notOk(sameValue(configurationValue([1, 2]), configurationValue([1, 2], { roles: { 2: 'learner' } })));
  t.notOk(sameValue(configurationValue([1, 2]), configurationValue([1, 2, 3])));
  t.notOk(sameValue(configurationValue([1, 2]), configurationValue([1, 2], { replaces: 4 })));
});

test('configurations that differ in anything are not the same', async (t) => {
  const learner = {
    ...identity(2),
    role: 'learner',
    address: 'h:2',
    promoteTo: 'voter',
    replaces: 1,
  } as const;
  const on = { ...configuration([1]), members: [learner] };
  const others: Record<keyof Member, Member> = {
    replicaId: { ...learner, replicaId: 3 },
    incarnation: { ...learner, incarnation: incarnation(3) },
    role: { ...learner, role: 'witness' },
    address: { ...learner, address: 'h:3' },
    promoteTo: { ...learner, promoteTo: 'witness' },
    replaces: { ...learner, replaces: 3 },
  };
  t.ok(sameConfiguration(on, structuredClone(on)));
  for (const [field, member] of Object.entries(others))
    t.notOk(sameConfiguration(on, { ...on, members: [member] }), field);
  const { promoteTo: _, ...stays } = learner;
  t.notOk(sameConfiguration(on, { ...on, members: [stays] }), 'a learner that stays one');
  for (const field of ['alpha', 'acceptQuorum', 'replaces'] as const)
    t.notOk(sameConfiguration(on, { ...on, [field]: on[field] + 1 }), field);
  t.notOk(sameConfiguration(on, { ...on, clusterId: 'another' }), 'clusterId');
});

test('S9: what was dropped for a cut that never reached the disk is taken back from it, without a gap', async (t) => {
  const at = (slot: Slot, replaces: Slot): ConfigurationAt => ({
    slot,
    configuration: { ...configuration([1, 2, 3]), replaces },
  });
  const onDisk = [at(1, 0), at(10, 1), at(20, 10)];
  const history = new ConfigurationHistory([...onDisk, at(30, 20)]);
  history.trim(25);
  t.ok(history.all.length < 4, 'some are dropped');
  history.takeBack(onDisk);
  t.same(
    history.all.map(({ slot }) => slot),
    [1, 10, 20, 30],
  );
  const installed = new ConfigurationHistory([at(50, 40)]);
  installed.takeBack(onDisk);
  t.same(
    installed.all.map(({ slot }) => slot),
    [50],
    'what a snapshot replaced is not what comes before it',
  );
});
