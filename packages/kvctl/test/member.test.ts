/** kvctl member without a cluster: what is typed, when a change is done, what people are shown, who is asked. */
import http from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { MemberReport, MembersReport, Tolerance } from '@kvd/protocol';
import t, { type Test } from 'tap';
import { MembersClient } from '../src/commands/members-client.js';
import { progressOf } from '../src/commands/members-goal.js';
import { membersText, planText, toleranceText } from '../src/commands/members-text.js';
import { readChange } from '../src/member-cli.js';

const tolerance: Tolerance = {
  voters: 3,
  acceptQuorum: 2,
  prepareQuorum: 2,
  crashes: 1,
  lostDisks: 1,
  reachable: 3,
  crashesNow: 1,
};

function member(id: number, more: Partial<MemberReport> = {}): MemberReport {
  return {
    id,
    address: `127.0.0.1:1500${id}`,
    role: 'voter',
    incarnation: `${id}`.repeat(32) as MemberReport['incarnation'],
    promoteTo: null,
    replaces: 0 as MemberReport['replaces'],
    leader: id === 1,
    reachable: true,
    durableThrough: 100,
    lag: 0,
    slowMs: 1,
    stranger: '',
    note: '',
    ...more,
  } as MemberReport;
}

function report(members: readonly MemberReport[], more: Partial<MembersReport> = {}): MembersReport {
  return {
    slot: 7,
    inForce: true,
    done: true,
    leader: 1,
    chosenThrough: 100,
    acceptQuorum: 0,
    readmit: 'auto',
    tolerance,
    members,
    waiting: [],
    steps: [],
    message: '',
    ...more,
  } as MembersReport;
}

const three = [member(1), member(2), member(3)];

t.test('a change in words', async (t) => {
  t.same(readChange(['add', '6'], false), { type: 'add', replicaId: 6, promote: true, replaces: 0 });
  t.same(readChange(['add', '6'], true), { type: 'add', replicaId: 6, promote: false, replaces: 0 });
  t.same(readChange(['replace', '3', '6'], false), {
    type: 'add',
    replicaId: 6,
    promote: true,
    replaces: 3,
  });
  t.same(readChange(['readmit', '2'], false), { type: 'readmit', replicaId: 2 });
  t.same(readChange(['quorum', 'majority'], false), { type: 'accept-quorum', size: 0 });
  t.same(readChange(['quorum', '0'], false), { type: 'accept-quorum', size: 0 }, 'as majority');
  t.same(readChange(['quorum', '2'], false), { type: 'accept-quorum', size: 2 });
  t.same(readChange(['move-leader'], false), { type: 'move-leader', replicaId: 0 });
  for (const words of [
    [],
    ['frob'],
    ['add'],
    ['add', '0'],
    ['add', '6', '7'],
    ['replace', '3'],
    ['replace', '3', '3'],
    ['quorum', 'most'],
    ['quorum', '65'],
  ])
    t.throws(() => readChange(words, false), { code: 'KVCTL_USAGE' }, words.join(' '));
  t.throws(() => readChange(['remove', '3'], true), { code: 'KVCTL_USAGE' }, '--learner is of add');
  t.throws(() => readChange(['replace', '3', '6'], true), { code: 'KVCTL_USAGE' });
});

t.test('an add is done when it votes and a quorum knows', async (t) => {
  const change = readChange(['add', '4'], false);
  const with4 = (more: Partial<MemberReport>, rest: Partial<MembersReport> = {}): MembersReport =>
    report([...three, member(4, more)], rest);
  t.match(progressOf(change, report(three), 1), { isDone: false, stage: /becomes a member/ });
  t.match(progressOf(change, with4({ role: 'learner', promoteTo: 'voter', lag: 1234 }), 1), {
    isDone: false,
    stage: 'replica 4 catches up',
    detail: '1234 slots behind',
  });
  t.match(progressOf(change, with4({}, { inForce: false, done: false }), 1), {
    isDone: false,
    stage: /slot 7 comes into force/,
  });
  t.match(progressOf(change, with4({}, { done: false }), 1), { isDone: false, stage: /known to a quorum/ });
  t.equal(progressOf(change, with4({}), 1).isDone, true);
  t.equal(progressOf(change, with4({ role: 'witness' }), 1).isDone, true, 'a witness votes, too');
  t.equal(progressOf(readChange(['add', '4'], true), with4({ role: 'learner' }), 1).isDone, true);
});

t.test('the other changes are done when it is as they say', async (t) => {
  const isDone = (words: readonly string[], now: MembersReport, before = 1): boolean =>
    progressOf(readChange(words, false), now, before).isDone;
  t.equal(isDone(['remove', '3'], report(three)), false);
  t.equal(isDone(['remove', '4'], report(three)), true);
  t.equal(isDone(['replace', '3', '4'], report([...three, member(4)])), false, '3 has not left');
  t.equal(isDone(['replace', '3', '4'], report([member(1), member(2), member(4)])), true);
  t.equal(isDone(['promote', '3'], report([member(1), member(3, { role: 'learner' })])), false);
  t.equal(isDone(['promote', '3'], report(three)), true);
  t.equal(isDone(['demote', '3'], report(three)), false);
  t.equal(isDone(['demote', '3'], report([member(1), member(3, { role: 'learner' })])), true);
  t.equal(
    isDone(['demote', '3'], report([member(1), member(3, { role: 'learner', promoteTo: 'voter' })])),
    false,
  );
  const stranger = '9'.repeat(32) as MemberReport['incarnation'];
  t.equal(isDone(['readmit', '3'], report([member(1), member(3, { stranger })])), false);
  t.equal(isDone(['readmit', '3'], report(three)), true);
  t.equal(isDone(['quorum', '2'], report(three)), false);
  t.equal(isDone(['quorum', 'majority'], report(three)), true);
  t.equal(isDone(['move-leader', '2'], report(three)), false);
  t.equal(isDone(['move-leader', '1'], report(three)), true);
  t.equal(isDone(['move-leader'], report(three), 1), false, 'it still leads');
  t.equal(isDone(['move-leader'], report(three), 2), true);
});

t.test('what the cluster survives, in words', async (t) => {
  t.equal(toleranceText(tolerance), 'survives the crash of 1, the loss of 1 disk');
  t.equal(
    toleranceText({ ...tolerance, crashes: 2, lostDisks: 2, crashesNow: 1 }),
    'survives the crash of 2, the loss of 2 disks; now: the crash of 1',
  );
  t.match(toleranceText({ ...tolerance, crashesNow: -1 }), /NO QUORUM/);
  t.equal(
    toleranceText({ ...tolerance, crashes: -4, lostDisks: -1, crashesNow: -4 }),
    'survives the crash of 0, the loss of 0 disks; now: NO QUORUM can be reached',
  );
});

t.test('the table of members, and a plan', async (t) => {
  const joining = member(4, { role: 'learner', promoteTo: 'voter', lag: null, replaces: 3 as never });
  const waiting = [
    { id: 9, incarnation: 'f', address: 'h:9', witness: true, lag: 3 },
  ] as unknown as MembersReport['waiting'];
  const text = membersText(report([...three, joining], { waiting, done: false, readmit: 'manual' }));
  for (const wanted of [
    /1 .*leader/,
    /4 .*learner, to be voter, for 3.*yes.*\?/,
    /9 .*waiting \(witness\).*kvctl member add 9/,
    /3 voting members: 2 to accept, 2 to elect; the configuration of slot 7 is not done yet/,
    /kvctl member readmit/,
  ])
    t.match(text, wanted);
  const after = { ...tolerance, voters: 2, crashes: 0, lostDisks: 0, crashesNow: -1 };
  const refusal = { refused: 'it would lose the quorum', forceable: true, warnings: ['replica 2 is away'] };
  const steps = [{ what: 'replica 3 leaves', during: tolerance, after, ...refusal }];
  const plan = planText(report(three, { steps }));
  for (const wanted of [
    /^now: survives the crash of 1/,
    /1\. replica 3 leaves\n {3}meanwhile: survives the crash of 1/,
    /after: survives the crash of 0, the loss of 0 disks; now: NO QUORUM/,
    /note: replica 2 is away\n {3}REFUSED: it would lose the quorum \(--force/,
  ])
    t.match(plan, wanted);
});

t.test('a step that cannot be has no after', async (t) => {
  const after = { ...tolerance, acceptQuorum: 9, prepareQuorum: -3, crashes: -4, crashesNow: -4 };
  const refusal = { refused: 'there would be 5 voters', forceable: false, warnings: [] };
  const step = { what: 'make the accept quorum 9', during: after, after, ...refusal };
  t.equal(
    planText(report(three, { steps: [step] })),
    [
      'now: survives the crash of 1, the loss of 1 disk',
      '1. make the accept quorum 9',
      '   REFUSED: there would be 5 voters',
    ].join('\n'),
  );
});

t.test('a replica gives up before it is given up, and says why', async (t) => {
  const given: number[] = [];
  const server = http.createServer((request, response) => {
    const timeoutMs = Number(request.headers['kvd-timeout-ms']);
    given.push(timeoutMs);
    const body = { code: 'KVD_UNAVAILABLE', message: 'no leader took the request in time; nothing was done' };
    // As a replica without a leader does: it waits for one as long as it may.
    const waitMs = given.length === 1 ? timeoutMs : 0;
    request.resume().on('end', () => {
      setTimeout(() => response.writeHead(503).end(JSON.stringify(body)), waitMs);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const change = readChange(['remove', '3'], false);
  // Who cannot be reached says less, even if it is asked last.
  const client = new MembersClient([address, '127.0.0.1:1'], 1_200);
  await t.rejects(client.request({ change, plan: false, force: false }), {
    code: 'KVD_UNAVAILABLE',
    outcome: 'not-done',
    message: /nothing was done/,
  });
  t.ok(
    given.every((ms) => ms >= 1 && ms <= 1_000 - 300),
    given.join(', '),
  );
});

t.test('an address is named once', async (t) => {
  const silent = http.createServer(() => undefined);
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.teardown(() => silent.closeAllConnections());
  t.teardown(() => silent.close());
  const address = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
  await t.rejects(new MembersClient([address], 100).ask(), {
    message: new RegExp(`^${address}: did not answer within \\d+ ms$`),
  });
  await t.rejects(new MembersClient(['127.0.0.1:1'], 100).ask(), {
    message: '127.0.0.1:1: connection refused',
  });
});

t.test('it asks the next endpoint when one cannot, and says what it was refused', async (t) => {
  const asked: string[] = [];
  const none = await endpoint(t, () => [503, { code: 'KVD_UNAVAILABLE', message: 'no leader' }]);
  const good = await endpoint(t, (method, body) => {
    asked.push(`${method} ${body}`);
    return [200, report(three)];
  });
  const client = new MembersClient(['127.0.0.1:1', none, good], 2_000);
  const change = readChange(['remove', '3'], false);
  t.equal((await client.request({ change, plan: false, force: true })).slot, 7);
  t.equal((await client.ask()).leader, 1);
  t.same(asked, ['POST {"change":{"type":"remove","id":3},"plan":false,"force":true}', 'GET ']);

  const no = await endpoint(t, () => [409, { code: 'KVD_MEMBERS_REFUSED', message: 'it would lose' }]);
  await t.rejects(new MembersClient([no], 2_000).request({ change, plan: false, force: false }), {
    code: 'KVD_MEMBERS_REFUSED',
    message: 'it would lose',
  });
  await t.rejects(new MembersClient([none], 150).ask(), { code: 'KVD_UNAVAILABLE', message: 'no leader' });
});

t.test('a change whose answer was lost is unknown, a question is not', async (t) => {
  const silent = http.createServer((request) => request.socket.destroy());
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.teardown(() => silent.close());
  const address = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const change = readChange(['remove', '3'], false);
  const lost = { code: 'KVD_OUTCOME_UNKNOWN' };
  await t.rejects(new MembersClient([address], 150).request({ change, plan: false, force: false }), lost);
  const nothing = { code: 'KVD_UNAVAILABLE' };
  await t.rejects(new MembersClient([address], 150).request({ change, plan: true, force: false }), nothing);
  const both = new MembersClient([address, '127.0.0.1:1'], 150);
  await t.rejects(both.request({ change, plan: false, force: false }), lost, 'whoever was asked after it');
});

/** A replica that answers so. */
async function endpoint(
  t: Test,
  answer: (method: string, body: string) => [status: number, body: object],
): Promise<string> {
  const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const [status, json] = answer(request.method ?? '', body);
      response.writeHead(status).end(JSON.stringify(json));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
