import type { MembersReport } from '@kvd/protocol';
import { test } from 'tap';
import { unavailable } from './fake-replica.js';
import { call } from './http-call.js';
import { serve } from './serve.js';

const TOLERANCE = { voters: 1, acceptQuorum: 1, prepareQuorum: 1, crashes: 0, lostDisks: 0 };
const REPORT: MembersReport = {
  slot: 7,
  inForce: true,
  done: true,
  leader: 1,
  chosenThrough: 300,
  acceptQuorum: 0,
  readmit: 'auto',
  tolerance: { ...TOLERANCE, reachable: 1, crashesNow: 0 },
  members: [],
  waiting: [],
  steps: [],
  message: '',
};

test('the members are asked for, and changed, through the replica', async (t) => {
  const { port, replica } = await serve(t);
  replica.forced = { type: 'members', report: REPORT };
  const got = await call(port, 'GET', '/v1/members', undefined, { 'Kvd-Timeout-Ms': '77' });
  t.equal(got.status, 200);
  t.strictSame(got.json(), REPORT);
  t.strictSame(replica.requests, [
    { type: 'members', timeoutMs: 77, change: null, plan: false, force: false },
  ]);
  const body = '{"change":{"type":"add","id":6,"replaces":3},"force":true}';
  t.strictSame((await call(port, 'POST', '/v1/members', body)).json(), REPORT);
  t.strictSame(replica.requests.at(-1), {
    type: 'members',
    timeoutMs: 5_000,
    change: { type: 'add', replicaId: 6, promote: true, replaces: 3 },
    plan: false,
    force: true,
  });
  t.equal((await call(port, 'HEAD', '/v1/members')).status, 200);
});

test('a change that is refused, not possible now, or lost on the way has the status that says so', async (t) => {
  const { port, replica } = await serve(t);
  const remove = '{"change":{"type":"remove","id":3}}';
  const message = 'it would leave no quorum';
  replica.forced = { type: 'error', code: 'KVD_MEMBERS_REFUSED', message, outcome: 'not-done' };
  const refused = await call(port, 'POST', '/v1/members', remove);
  t.equal(refused.status, 409);
  t.strictSame(refused.json(), { code: 'KVD_MEMBERS_REFUSED', message });
  replica.forced = unavailable;
  t.equal((await call(port, 'POST', '/v1/members', remove)).status, 503);
  t.equal((await call(port, 'GET', '/v1/members')).status, 503);

  replica.forced = 'silence';
  const soon = { 'Kvd-Timeout-Ms': '1' };
  const plan = '{"change":{"type":"remove","id":3},"plan":true}';
  const [change, planned, read] = await Promise.all([
    call(port, 'POST', '/v1/members', remove, soon),
    call(port, 'POST', '/v1/members', plan, soon),
    call(port, 'GET', '/v1/members', undefined, soon),
  ]);
  t.match([change.status, change.json()], [504, { code: 'KVD_OUTCOME_UNKNOWN' }]);
  t.match([planned.status, planned.json()], [503, { code: 'KVD_TIMEOUT' }], 'a plan changes nothing');
  t.match([read.status, read.json()], [503, { code: 'KVD_TIMEOUT' }]);
});

test('what is no request about members is refused before anybody is asked', async (t) => {
  const { port, replica } = await serve(t);
  const refused: readonly (readonly [string, string, string | undefined, number, RegExp])[] = [
    ['POST', '/v1/members', '{', 400, /no JSON/],
    ['POST', '/v1/members', '{"change":{"type":"grow"}}', 400, /change\.type: must be one of add, remove/],
    ['POST', '/v1/members', '{"change":{"type":"remove","id":0}}', 400, /change\.id/],
    ['POST', '/v1/members', '{"changes":[]}', 400, /changes/],
    ['POST', '/v1/members?force', '{}', 400, /force/],
    ['GET', '/v1/members?id=3', undefined, 400, /id/],
    ['PUT', '/v1/members', '{}', 405, /GET, HEAD, POST/],
    ['POST', '/v1/members', `{"x":"${'x'.repeat(200_000)}"}`, 413, /larger than/],
  ];
  for (const [method, path, body, status, message] of refused) {
    const reply = await call(port, method, path, body);
    t.equal(reply.status, status, `${method} ${path} ${body?.slice(0, 40)}`);
    t.match(reply.json(), { message });
  }
  t.strictSame(replica.requests, []);
});
