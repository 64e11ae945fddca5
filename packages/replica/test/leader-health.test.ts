/** When a slow leader hands over, to whom, and that leadership does not go round in circles. */
import { test } from 'tap';
import { LeaderHealth, type PeerHealth } from '../src/leader-health.js';

const DT = 100;
const HOLD_MS = 60_000;
const FAST: readonly PeerHealth[] = [peer(2, 3), peer(3, 4)];

function peer(id: number, slowMs: number | null, lag = 0): PeerHealth {
  return { id, slowMs, lag };
}

interface Move {
  readonly to: number;
  readonly afterMs: number;
}

/** The first move within `ms` of such times. */
function run(health: LeaderHealth, ms: number, own: number | null, peers = FAST): Move | null {
  for (let afterMs = DT; afterMs <= ms; afterMs += DT) {
    const to = health.tick(DT, own, peers);
    if (to !== null) return { to, afterMs };
  }
  return null;
}

/** A leader that has led long enough to be allowed to hand over. */
function settled(patienceMs?: number): LeaderHealth {
  const health = new LeaderHealth(patienceMs);
  run(health, HOLD_MS, 3);
  return health;
}

test('a leader that is much slower than its peers for five seconds hands over to the fastest', (t) => {
  const health = settled();
  t.same(run(health, 60_000, 300), { to: 2, afterMs: 5_000 });
  t.end();
});

test('a leader that is slow for less than that, however often, keeps it', (t) => {
  const health = settled();
  for (let round = 0; round < 100; round += 1) {
    t.equal(run(health, 4_900, 10_000), null);
    t.equal(run(health, DT, 3), null, 'one good moment, and it starts anew');
  }
  t.end();
});

test('not much slower is not slow: five times, and fifty milliseconds', (t) => {
  const cases: readonly [own: number, peers: number, moves: boolean][] = [
    [53, 3, false],
    [54, 3, true],
    [500, 100, false],
    [501, 100, true],
    [3, 3, false],
    [0, 300, false],
    [51, 0, true],
  ];
  for (const [own, slowMs, moves] of cases) {
    const health = settled();
    const move = run(health, 60_000, own, [peer(2, slowMs), peer(3, slowMs)]);
    t.equal(move !== null, moves, `own ${own} ms, the others ${slowMs} ms`);
  }
  t.end();
});

test('where half of the others are as slow, nothing would be won', (t) => {
  t.equal(run(settled(), 60_000, 300, [peer(2, 3), peer(3, 290)]), null);
  const four = [peer(2, 3), peer(3, 4), peer(4, 290), peer(5, 310)];
  t.equal(run(settled(), 60_000, 300, four), null);
  t.equal(run(settled(), 60_000, 300, [...four, peer(6, 5)])?.to, 2);
  t.end();
});

test('who did not say, or too long ago, is not counted and gets nothing', (t) => {
  t.equal(run(settled(), 60_000, 300, []), null, 'alone');
  t.equal(run(settled(), 60_000, 300, [peer(2, null), peer(3, null)]), null, 'nobody says');
  t.equal(run(settled(), 60_000, 300, [peer(2, null), peer(3, 4)])?.to, 3);
  const health = settled();
  t.equal(run(health, 4_900, 300), null);
  t.equal(run(health, DT, 300, [peer(2, null), peer(3, null)]), null);
  t.same(run(health, 60_000, 300), { to: 2, afterMs: 5_000 }, 'a gap in the reports is a break');
  t.end();
});

test('the next leader has caught up; among equals it is the one that has less to learn', (t) => {
  t.equal(run(settled(), 60_000, 300, [peer(2, 3, 5_000), peer(3, 4, 10)])?.to, 3);
  t.equal(run(settled(), 60_000, 300, [peer(2, 3, 20), peer(3, 3, 10)])?.to, 3);
  t.equal(run(settled(), 60_000, 300, [peer(2, 3, 20), peer(3, 4, 10)])?.to, 2);
  t.equal(run(settled(), 60_000, 300, [peer(2, 3, 5_000), peer(3, 4, 5_000)]), null);
  const others = [peer(2, 3, 5_000), peer(3, 4, 5_000), peer(4, 290, 0)];
  t.equal(run(settled(), 60_000, 300, others), null, 'not to one that is as slow');
  t.end();
});

test('who has just got the leadership keeps it for a minute, however slow', (t) => {
  const health = new LeaderHealth();
  t.equal(run(health, 600_000, null), null, 'who does not lead hands nothing over');
  t.same(run(health, 600_000, 300), { to: 2, afterMs: HOLD_MS + DT });
  t.end();
});

test('a move that did not come about is tried again after a minute', (t) => {
  const health = settled();
  run(health, 5_000, 300);
  for (let i = 0; i < 5; i += 1) t.same(run(health, 600_000, 300), { to: 2, afterMs: HOLD_MS });
  t.end();
});

test('leadership that comes back soon stays twice as long, and so on; later it is as it was', (t) => {
  const health = settled();
  t.equal(run(health, 60_000, 300)?.to, 2);
  for (const holdMs of [2 * HOLD_MS, 4 * HOLD_MS, 8 * HOLD_MS, 16 * HOLD_MS]) {
    run(health, 30_000, null);
    t.same(run(health, 10 * holdMs, 300), { to: 2, afterMs: holdMs + DT });
  }
  run(health, 4 * 16 * HOLD_MS, null);
  t.same(run(health, 600_000, 300), { to: 2, afterMs: HOLD_MS + DT }, 'it was away for long');
  t.end();
});

test('an election that it did not ask for is no bounce', (t) => {
  const health = settled();
  run(health, 10_000, null);
  t.same(run(health, 600_000, 300), { to: 2, afterMs: HOLD_MS + DT });
  t.end();
});

test('where leading is what makes slow, leadership moves ever less often', (t) => {
  const replicas = [1, 2, 3].map((id) => ({ id, health: new LeaderHealth() }));
  let leader = 1;
  const movesInHour: number[] = [];
  for (let hour = 0; hour < 12; hour += 1) {
    let moves = 0;
    for (let ms = 0; ms < 3_600_000; ms += DT) {
      const was = leader;
      for (const { id, health } of replicas) {
        const others = replicas.filter((other) => other.id !== id).map((other) => peer(other.id, 3));
        const to = health.tick(DT, id === was ? 300 : null, others);
        if (to !== null) leader = to;
      }
      if (leader !== was) moves += 1;
    }
    movesInHour.push(moves);
  }
  t.comment(movesInHour.join(' '));
  t.ok(movesInHour[0] !== undefined && movesInHour[0] <= 15, 'in the first hour');
  t.ok(Math.max(...movesInHour.slice(6)) <= 2, 'after six hours');
  t.end();
});

test('a patience of its own scales all; none means never', (t) => {
  t.same(run(new LeaderHealth(500), 60_000, 300), { to: 2, afterMs: 6_000 + DT });
  t.equal(run(new LeaderHealth(0), 600_000, 300), null);
  t.end();
});
