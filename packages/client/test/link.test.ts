/** When a replica that says nothing is asked whether it is alive, and when it is taken for dead. */
import type { Request, WatchRequest } from '@kvd/protocol';
import t from 'tap';
import { Link } from '../src/link.js';

const request: WatchRequest = {
  from: Buffer.from('a'),
  to: Buffer.from('b'),
  fromRevision: 0,
  previous: false,
};
const target = { onMessage: () => undefined };

function setUp(): { link: Link; sent: Request[]; alive: (nowMs: number) => boolean } {
  const link = new Link('a:1', 'any', 0);
  const sent: Request[] = [];
  link.attach({
    send: (_id, asked) => sent.push(asked),
    watch: () => undefined,
    unwatch: () => undefined,
    close: () => undefined,
  });
  link.welcome = {
    type: 'welcome',
    protocolVersion: 1,
    clusterId: '',
    replicaId: 1,
    leaderId: 1,
    members: [],
  };
  return { link, sent, alive: (nowMs) => link.checkLife(nowMs, () => 99) };
}

t.test('a replica that nobody waits for may say nothing', async (t) => {
  const { link, sent, alive } = setUp();
  t.ok(alive(1_000_000));
  t.notOk(link.isSilent(1_000_000));
  t.equal(sent.length, 0);
});

t.test('a watch whose replica sends no marks for long has it asked, and then given up', async (t) => {
  const { link, sent, alive } = setUp();
  link.watch(1, request, target);
  t.ok(alive(14_999));
  t.notOk(link.isSilent(14_999));
  t.equal(sent.length, 0);
  t.ok(link.isSilent(15_000));
  t.ok(alive(15_000), 'asked');
  t.match(sent, [{ type: 'get', consistency: 'stale' }]);
  t.ok(alive(15_999));
  t.notOk(alive(16_000), 'no answer');
});

t.test('marks, and the answer when it is asked, are signs of life', async (t) => {
  const { link, sent, alive } = setUp();
  link.watch(1, request, target);
  t.equal(link.takeWatchMessage(1, 10_000), target);
  t.ok(alive(24_999));
  t.equal(sent.length, 0);
  t.ok(alive(25_000));
  t.equal(link.take(99, 25_100), undefined);
  t.ok(alive(26_500));
  t.notOk(link.isSilent(26_500));
  link.unwatch(1);
  t.equal(link.takeWatchMessage(1, 27_000), undefined, 'what comes for it later is for nobody');
  t.ok(alive(1_000_000));
});
