/** The judges, shown what they must object to and what they must let pass. */
import type { Ballot, Configuration, Identity, LogEntry, Persist, Value } from '@kvd/paxos';
import { encodeBatch, encodeCommand, NO_ORIGIN } from '@kvd/protocol';
import { type Test, test } from 'tap';
import { History, type Recorded } from '../src/history.js';
import { judgeHistory } from '../src/oracle/histories.js';
import { judgeRevisions } from '../src/oracle/revisions.js';
import { States } from '../src/oracle/states.js';
import { Votes } from '../src/oracle/votes.js';

const identity = (replicaId: number, life = 'a'): Identity => ({
  replicaId,
  incarnation: `${life}${replicaId}`.padEnd(32, '0'),
});
const ballot = (counter: number, replicaId = 1): Ballot => ({ counter, ...identity(replicaId) });
/** The judge throws a Violation of this rule. */
function objects(t: Test, rule: string, judging: () => void, message = rule): void {
  try {
    judging();
  } catch (error) {
    t.match(error, { name: 'Violation', kind: 'safety', rule }, message);
    return;
  }
  t.fail(`${message}: nothing was said`);
}

const NOOP: Value = { type: 'noop' };
const batch = (text: string): Value => ({ type: 'batch', bytes: Buffer.from(text) });
const entry = (slot: number, at: Ballot, value: Value): LogEntry => ({
  slot,
  ballot: at,
  value,
  chosen: false,
});
const write = (...entries: LogEntry[]): Persist => ({ entries });

/** Three replicas that founded a cluster in slot 1. */
function founded(): Votes {
  const votes = new Votes();
  const configuration: Configuration = {
    clusterId: 'c'.repeat(32),
    alpha: 8,
    replaces: 0,
    members: [1, 2, 3].map((id) => ({ ...identity(id), role: 'voter', address: `host:${id}` })),
    acceptQuorum: 0,
  };
  for (const id of [1, 2, 3])
    votes.onWritten(identity(id), write(entry(1, ballot(1), { type: 'configuration', configuration })), 0);
  return votes;
}

test('a value is chosen when a majority of the named incarnations has it on disk', (t) => {
  const votes = founded();
  t.ok(votes.founded);
  votes.onWritten(identity(1), write(entry(2, ballot(1), batch('x'))), 0);
  votes.onWritten(identity(2, 'wiped'), write(entry(2, ballot(1), batch('x'))), 0);
  objects(t, 'quorum', () => votes.onApplied(identity(1), 2, batch('x')), 'a wiped one does not count');
  votes.onWritten(identity(1), write(entry(2, ballot(1), batch('x'))), 0);
  t.throws(
    () => votes.onApplied(identity(1), 2, batch('x')),
    /no quorum/,
    'the same one twice does not count twice',
  );
  votes.onWritten(identity(3), write(entry(2, ballot(1), batch('x'))), 0);
  votes.onApplied(identity(1), 2, batch('x'));
  t.throws(() => votes.onApplied(identity(2), 2, batch('y')), /chosen was/);
  t.end();
});

test('a slot has one value, and a ballot one value in a slot', (t) => {
  const votes = founded();
  for (const id of [1, 2]) votes.onWritten(identity(id), write(entry(2, ballot(1), batch('x'))), 0);
  votes.onWritten(identity(3), write(entry(2, ballot(2, 3), batch('y'))), 0);
  t.throws(
    () => votes.onWritten(identity(2), write(entry(2, ballot(2, 3), batch('y'))), 0),
    'a second value got a quorum',
  );
  objects(t, 'S4', () => votes.onWritten(identity(2), write(entry(2, ballot(2, 3), NOOP)), 0));
  t.end();
});

test('a promise that was told is on disk, binds, and is still there after a restart', (t) => {
  const votes = founded();
  const promise = (at: Ballot) =>
    ({
      type: 'promise',
      ballot: at,
      fromSlot: 2,
      throughSlot: null,
      accepted: [],
      chosenThrough: 1,
    }) as const;
  objects(t, 'S1', () => votes.onSent(identity(2), 1, promise(ballot(5))), 'not on disk');
  votes.onWritten(identity(2), { entries: [], promised: ballot(5) }, 0);
  votes.onSent(identity(2), 1, promise(ballot(5)));
  objects(t, 'S2', () => votes.onWritten(identity(2), write(entry(2, ballot(4), NOOP)), 0));
  objects(t, 'S2', () => votes.onWritten(identity(2), { entries: [], promised: ballot(3) }, 0));
  const reopened = {
    identity: identity(2),
    marker: 3,
    chosenThrough: 0,
    cutThrough: 0,
    configurations: [],
    accepted: [],
  };
  votes.onOpened({ ...reopened, promised: ballot(5) });
  objects(t, 'S2', () => votes.onOpened({ ...reopened, promised: ballot(4) }));
  t.end();
});

test('an accepted that was told is on disk', (t) => {
  const votes = founded();
  const accepted = { type: 'accepted', ballot: ballot(1), slots: [2] } as const;
  objects(t, 'S1', () => votes.onSent(identity(2), 1, accepted));
  votes.onWritten(identity(2), write(entry(2, ballot(1), NOOP)), 0);
  votes.onSent(identity(2), 1, accepted);
  t.end();
});

test('no ballot serves two processes', (t) => {
  const votes = founded();
  votes.onWritten(identity(1), { entries: [], promised: ballot(7) }, 0);
  const prepare = { type: 'prepare', ballot: ballot(7), fromSlot: 2 } as const;
  votes.onSent(identity(1), 1, prepare);
  votes.onSent(identity(1), 1, prepare);
  objects(t, 'ballot', () => votes.onSent(identity(1), 2, prepare));
  t.end();
});

test('who has slot 1 on disk knows the founding only once its mark is there too', (t) => {
  const votes = founded();
  t.notOk(votes.knowsFounding(identity(2)), 'accepted is not known chosen');
  knows(votes, 2, 1);
  t.ok(votes.knowsFounding(identity(2)));
  t.end();
});

test('who knows a slot as chosen keeps the configurations through it', (t) => {
  const votes = founded();
  objects(t, 'S9', () => votes.onWritten(identity(2), { entries: [], chosenThrough: 1 }, 0));
  knows(votes, 2, 1);
  const loaded = { durableThrough: 1, appliedThrough: 1, configurations: [...votes.chain.from(1, 1)] };
  votes.onLoaded(identity(2), loaded);
  objects(t, 'S9', () => votes.onLoaded(identity(2), { ...loaded, configurations: [] }));
  t.end();
});

test('a log is not cut above what the state has on disk', (t) => {
  const votes = founded();
  votes.onWritten(identity(1), { entries: [], cutThrough: 4 }, 4);
  objects(t, 'S9', () => votes.onWritten(identity(1), { entries: [], cutThrough: 6 }, 5));
  t.end();
});

test('a snapshot does not replace a state when the log no longer reaches back to it', (t) => {
  const votes = founded();
  votes.onWritten(identity(1), { entries: [], cutThrough: 4 }, 4);
  votes.onInstalled(identity(1), 4);
  objects(t, 'S9', () => votes.onInstalled(identity(1), 3));
  t.end();
});

/** A configuration of slot `slot` that replaces the founding one; its votes and what follows are on the disks of 1 and 2. */
function reconfigured(votes: Votes, slot: number, members: Configuration['members']): void {
  const configuration: Configuration = {
    clusterId: 'c'.repeat(32),
    alpha: 8,
    replaces: 1,
    members,
    acceptQuorum: 0,
  };
  for (let next = 2; next < slot; next++) accepted(votes, [1, 2], next, NOOP);
  accepted(votes, [1, 2], slot, { type: 'configuration', configuration });
}

function accepted(votes: Votes, ids: readonly number[], slot: number, value: Value): void {
  for (const id of ids) votes.onWritten(identity(id), write(entry(slot, ballot(1), value)), 0);
}

/** With the configurations that there are until then. */
function knows(votes: Votes, id: number, chosenThrough: number, life = 'a'): void {
  const configurations = [...votes.chain.from(1, chosenThrough)];
  votes.onWritten(identity(id, life), { entries: [], chosenThrough, configurations }, 0);
}

const voter = (id: number, life = 'a') =>
  ({ ...identity(id, life), role: 'voter', address: `host:${id}` }) as const;
const witness = (id: number) => ({ ...voter(id), role: 'witness' }) as const;

test('a configuration governs the slots from alpha after its own on, and only there are its votes counted', (t) => {
  const votes = founded();
  reconfigured(votes, 2, [voter(1), voter(2)]);
  for (let slot = 3; slot <= 9; slot++) accepted(votes, [1, 3], slot, NOOP);
  votes.onApplied(identity(1), 9, NOOP);
  accepted(votes, [1, 3], 10, NOOP);
  objects(t, 'quorum', () => votes.onApplied(identity(1), 10, NOOP), 'who was removed does not count');
  objects(t, 'quorum', () => knows(votes, 3, 10), 'nor is it believed chosen');
  accepted(votes, [2], 10, NOOP);
  votes.onApplied(identity(1), 10, NOOP);
  t.end();
});

test('nobody votes in a slot of which nobody can know who votes there', (t) => {
  const votes = founded();
  accepted(votes, [1], 9, NOOP);
  objects(t, 'S11', () => accepted(votes, [1], 10, NOOP), 'slot 2 is not chosen');
  t.end();
});

test('what is on disk as chosen in a slot is what was chosen there', (t) => {
  const votes = founded();
  accepted(votes, [1, 2], 2, NOOP);
  const wrong = { ...entry(2, ballot(1), batch('x')), chosen: true };
  objects(t, 'agreement', () => votes.onWritten(identity(3), write(wrong), 0));
  t.end();
});

test('who begins to vote holds what was known before its disk was there', (t) => {
  const late = founded();
  accepted(late, [1, 2], 2, NOOP);
  accepted(late, [1, 2], 3, NOOP);
  knows(late, 1, 3);
  knows(late, 3, 2, 'b');
  objects(t, 'caught-up', () => reconfigured(late, 4, [voter(1), voter(2), voter(3, 'b')]));
  const intime = founded();
  accepted(intime, [1, 2], 2, NOOP);
  accepted(intime, [1, 2], 3, NOOP);
  knows(intime, 1, 3);
  knows(intime, 3, 3, 'b');
  reconfigured(intime, 4, [voter(1), voter(2), voter(3, 'b')]);
  t.equal(intime.chain.latest?.slot, 4);
  t.end();
});

test('who never was a voter does not campaign, but may where it knows of no configuration', (t) => {
  const votes = founded();
  const probe = { type: 'probe', attempt: 1, ballot: ballot(9, 3) } as const;
  votes.onSent(identity(3, 'b'), 1, probe);
  knows(votes, 3, 1, 'b');
  objects(t, 'S5', () => votes.onSent(identity(3, 'b'), 1, probe));
  votes.onSent(identity(3), 1, probe);
  t.end();
});

test('where there is a witness nobody cuts what a data voter does not hold', (t) => {
  const votes = new Votes([3]);
  const configuration: Configuration = {
    clusterId: 'c'.repeat(32),
    alpha: 8,
    replaces: 0,
    members: [voter(1), voter(2), witness(3)],
    acceptQuorum: 0,
  };
  accepted(votes, [1, 2, 3], 1, { type: 'configuration', configuration });
  for (let slot = 2; slot <= 6; slot++) accepted(votes, [1, 3], slot, NOOP);
  for (const id of [1, 3]) knows(votes, id, 6);
  knows(votes, 2, 1);
  const cut = (id: number, cutThrough: number, installedThrough = 0) =>
    votes.onWritten(identity(id), { entries: [], cutThrough, installedThrough }, 6);
  cut(3, 1);
  objects(t, 'W1', () => cut(3, 4), 'a witness');
  objects(t, 'W1', () => cut(1, 4), 'a data replica, which a witness may follow');
  cut(1, 5, 5);
  objects(t, 'W1', () => cut(3, 5, 5), 'a witness that skips has no state in its place');
  t.end();
});

test('a change is done when a prepare quorum has written down what is chosen before it is in force', (t) => {
  const votes = founded();
  reconfigured(votes, 2, [voter(1), voter(2)]);
  const isAlive = (): boolean => true;
  for (let slot = 3; slot <= 9; slot++) accepted(votes, [1, 2], slot, NOOP);
  t.equal(votes.members.undone(isAlive).length, 2, 'holding it is not enough');
  knows(votes, 1, 9);
  t.equal(votes.members.undone(isAlive).length, 2);
  knows(votes, 2, 9);
  t.equal(votes.members.undone(({ replicaId }) => replicaId === 1).length, 2, 'on a disk that is there');
  t.equal(votes.members.undone(isAlive).length, 1);
  t.equal(votes.members.undone(() => false).length, 1, 'once done is done');
  t.end();
});

const after = (appliedThrough: number, stateHash: string) => ({
  appliedThrough,
  stateHash,
  revision: 1,
  compactRevision: 0,
  clusterMs: 0,
});

test('what replicas made of a slot is compared, also when it came with a snapshot', (t) => {
  const states = new States(() => 100, 1);
  states.onApplied(identity(1), 5, NOOP, [], after(5, 'h'));
  states.onApplied(identity(2), 5, NOOP, [], after(5, 'h'));
  objects(t, 'S12', () => states.onApplied(identity(3), 5, NOOP, [], after(5, 'other')));
  objects(t, 'S6', () => states.onApplied(identity(3), 5, NOOP, [{ type: 'done' }], after(5, 'h')));
  states.onLoaded(identity(3), after(5, 'h'));
  objects(t, 'S10', () => states.onLoaded(identity(3), after(5, 'other')));
  t.end();
});

test('a numbered mutation has one result; cluster time does not run ahead', (t) => {
  const origin = { session: 65_536, sequence: 1, lowestUnanswered: 1 };
  const command = encodeCommand({ type: 'put', origin, key: Buffer.from('k'), value: Buffer.from('v') });
  const bare = encodeCommand({
    type: 'put',
    origin: NO_ORIGIN,
    key: Buffer.from('k'),
    value: Buffer.from('v'),
  });
  const holding = (...commands: Uint8Array[]): Value => ({
    type: 'batch',
    bytes: encodeBatch({ ballot: { counter: 1, replicaId: 1 }, clusterMs: 0, wallMs: 0, commands }),
  });
  const states = new States(() => 100, 1);
  states.onApplied(identity(1), 2, holding(command), [{ type: 'put', revision: 1 }], after(2, 'a'));
  states.onApplied(identity(1), 3, holding(command), [{ type: 'put', revision: 1 }], after(3, 'b'));
  states.onApplied(identity(1), 4, holding(bare), [{ type: 'put', revision: 2 }], after(4, 'c'));
  states.onApplied(identity(1), 5, holding(bare), [{ type: 'put', revision: 3 }], after(5, 'd'));
  objects(t, 'exactly-once', () =>
    states.onApplied(identity(1), 6, holding(command), [{ type: 'put', revision: 4 }], after(6, 'e')),
  );
  const late = { ...after(7, 'f'), clusterMs: 200 };
  objects(t, 'cluster-time', () =>
    states.onApplied(identity(1), 7, holding(bare), [{ type: 'put', revision: 5 }], late),
  );
  t.end();
});

/** A history told in a line an operation: kind, key, value or what was seen, revision. */
function historyOf(
  ...told: readonly (readonly [
    'put' | 'get' | 'delete',
    string,
    string | null,
    number,
    ('ok' | 'failed' | 'unknown')?,
    number?,
  ])[]
): History {
  let now = 0;
  const history = new History(() => now++);
  told.forEach(([kind, key, value, revision, outcome = 'ok', modRevision = revision], index) => {
    const recorded: Recorded = history.call(index, 0, kind, [key], kind === 'put' ? value : null);
    recorded.revision = revision;
    if (kind === 'delete') recorded.deleted = 1;
    if (kind === 'get')
      recorded.seen = [{ key, value, modRevision: value === null ? 0 : modRevision, version: 1 }];
    history.end(recorded, outcome);
  });
  return history;
}

const judge = (history: History) => () => {
  judgeRevisions(history);
  judgeHistory(history, []);
};

test('a history that one copy could have made passes', (t) => {
  t.doesNotThrow(
    judge(
      historyOf(['put', 'a', '1', 1], ['get', 'a', '1', 1], ['delete', 'a', null, 2], ['get', 'a', null, 2]),
    ),
  );
  t.doesNotThrow(
    judge(historyOf(['put', 'a', '1', 0, 'unknown'], ['get', 'a', null, 0], ['get', 'a', '1', 1])),
  );
  t.end();
});

test('a history that no single copy could have made does not', (t) => {
  t.throws(judge(historyOf(['put', 'a', '1', 1], ['get', 'a', null, 0])), /comes before/, 'a stale read');
  t.throws(judge(historyOf(['put', 'a', '1', 1], ['get', 'a', null, 1])), /does not see/, 'a lost write');
  t.throws(judge(historyOf(['put', 'a', '1', 0, 'failed'], ['get', 'a', '1', 1])), /failed for certain/);
  t.throws(judge(historyOf(['get', 'a', '7', 1])), /nobody wrote/);
  t.throws(judge(historyOf(['put', 'a', '1', 2], ['put', 'b', '2', 2])), /revision/, 'two of one revision');
  t.throws(
    judge(historyOf(['put', 'a', '1', 1], ['put', 'a', '2', 2], ['get', 'a', '1', 2, 'ok', 1])),
    /and not/,
  );
  t.throws(
    judge(historyOf(['put', 'a', '1', 1], ['get', 'a', '1', 2, 'ok', 2])),
    /at revision 2/,
    'done twice',
  );
  t.end();
});

test('the checker of histories judges alone, without believing revisions', (t) => {
  const stale = historyOf(['put', 'a', '1', 1], ['put', 'a', '2', 2], ['get', 'a', '1', 2, 'ok', 1]);
  objects(t, 'linearizability', () => judgeHistory(stale, []));
  const lost = historyOf(['put', 'a', '1', 1]);
  const finals = [[{ key: 'a', value: null, modRevision: 0, version: 0 }]];
  objects(t, 'lost-write', () => judgeHistory(lost, finals));
  t.end();
});
