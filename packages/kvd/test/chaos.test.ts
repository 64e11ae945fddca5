import { test } from 'tap';
import { Chaos, seededRandom } from '../src/chaos.js';
import type { ChaosSettings } from '../src/options.js';
import { FakeClock } from './fake-clock.js';
import { FakeReplica } from './fake-replica.js';

const ALWAYS: ChaosSettings = { failRate: 1, intervalMs: 1_000, downMs: 1_500, roles: ['acceptor'] };

function start(
  settings: ChaosSettings,
  random = (): number => 0,
): { chaos: Chaos; replica: FakeReplica; clock: FakeClock } {
  const replica = new FakeReplica();
  const clock = new FakeClock();
  return { chaos: new Chaos(settings, { replica, random, clock, log: () => undefined }), replica, clock };
}

test('a role is killed at an interval, comes back after its time, and is not killed while it is down', (t) => {
  const { chaos, replica, clock } = start(ALWAYS);
  clock.pass(999);
  t.strictSame(replica.calls, []);
  clock.pass(1);
  t.strictSame(replica.calls, ['kill acceptor']);
  t.strictSame(chaos.down, ['acceptor']);
  clock.pass(1_499);
  t.strictSame(replica.calls, ['kill acceptor'], 'not at 2,000');
  clock.pass(1);
  t.strictSame(replica.calls, ['kill acceptor', 'restore acceptor']);
  t.strictSame(chaos.down, []);
  clock.pass(500);
  t.equal(chaos.kills, 2);
  t.end();
});

test('with several roles the ones that are up are killed in turn', (t) => {
  const { replica, clock } = start({
    ...ALWAYS,
    downMs: 100_000,
    roles: ['acceptor', 'learner', 'proposer'],
  });
  clock.pass(10_000);
  t.strictSame(replica.calls, ['kill acceptor', 'kill learner', 'kill proposer']);
  t.end();
});

test('a fail rate of a quarter kills at about every fourth interval, the same ones for the same seed', (t) => {
  const run = (): number => {
    const { chaos, clock } = start({ ...ALWAYS, failRate: 0.25, downMs: 1 }, seededRandom(7));
    clock.pass(4_000_000);
    return chaos.kills;
  };
  const kills = run();
  t.ok(kills > 900 && kills < 1_100, `${kills} of 4,000, seed 7`);
  t.equal(run(), kills);
  t.end();
});

test('chaos is off until it is set, and off again: what is down still comes back', (t) => {
  const { chaos, replica, clock } = start({ ...ALWAYS, failRate: 0 });
  clock.pass(60_000);
  t.equal(clock.waiting, 0);
  chaos.configure(ALWAYS);
  clock.pass(1_000);
  chaos.configure({ ...ALWAYS, failRate: 0 });
  clock.pass(60_000);
  t.strictSame(replica.calls, ['kill acceptor', 'restore acceptor']);
  t.equal(clock.waiting, 0);
  t.end();
});

test('a daemon that stops has its roles left alone', (t) => {
  const { chaos, replica, clock } = start(ALWAYS);
  clock.pass(1_000);
  chaos.stop();
  clock.pass(60_000);
  chaos.configure(ALWAYS);
  clock.pass(60_000);
  t.strictSame(replica.calls, ['kill acceptor']);
  t.end();
});
