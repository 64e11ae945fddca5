/** A leader that is slow, and not so slow that anybody would stand for its place: it hands over by itself. */
import { setTimeout as lasting } from 'node:timers/promises';
import { test } from 'tap';
import { startCluster, type TestCluster } from '../support/cluster.js';
import { assertNothingLost, letRun, Writers } from '../support/writers.js';

const SLOW_LEADER_MS = 300;
/** No leadership moves sooner than that after the last time; see leader-health.ts. */
const HOLD_MS = 12 * SLOW_LEADER_MS;
/** Far more than what a machine with too much to do does to the others. */
const STALL_MS = 800;
const BETWEEN_STALLS_MS = 150;
/** The stalls are much shorter, so no peer gives it up. */
const ELECTION_TIMEOUT_MS = 3_000;
const FLAGS = [`--slow-leader-ms=${SLOW_LEADER_MS}`, `--election-timeout-ms=${ELECTION_TIMEOUT_MS}`];
/** Where much else runs, a leader that is stopped most of the time may need long to notice. */
const PATIENCE_MS = 90_000;
/** After leadership moved. */
const MORE_STALLS = 6;

/** Stops and continues the process of a replica again and again, as a host does that has too much to do. */
class Stalls {
  count = 0;
  private readonly ended: Promise<void>;
  private ending = false;

  constructor(
    private readonly cluster: TestCluster,
    private readonly id: number,
  ) {
    this.ended = this.run();
  }

  end(): Promise<void> {
    this.ending = true;
    return this.ended;
  }

  private async run(): Promise<void> {
    while (!this.ending) {
      this.cluster.pause(this.id);
      await lasting(STALL_MS);
      this.cluster.resume(this.id);
      await lasting(BETWEEN_STALLS_MS);
      this.count += 1;
    }
  }
}

test('a leader that stalls again and again hands over, and does not get it back', async (t) => {
  const cluster = await startCluster({ replicas: 3, flags: FLAGS });
  const writers = new Writers(cluster, 2);
  let stalls: Stalls | null = null;
  t.teardown(async () => {
    await stalls?.end();
    await writers.stop();
    await cluster.close();
  });
  await cluster.leader();
  await letRun(1.5 * HOLD_MS);
  const slow = await cluster.leader();
  const others = cluster.ids.filter((id) => id !== slow);

  const began = performance.now();
  stalls = new Stalls(cluster, slow);
  const leaderOf = async (id: number): Promise<number> => (await cluster.status(id))?.leader ?? 0;
  const next = await cluster.waitFor(
    'another leader',
    async () => {
      const [one = 0, two = 0] = await Promise.all(others.map(leaderOf));
      return one === two && one !== 0 && one !== slow ? one : undefined;
    },
    PATIENCE_MS,
  );
  t.comment(`after ${stalls.count} stalls, ${(performance.now() - began).toFixed(0)} ms`);
  const saidSo = await cluster.waitFor('its word', () => handedOver(cluster.log(slow)));
  t.match(saidSo, { to: next }, 'it handed over, to the one that leads now');
  t.ok(Number(saidSo['slowMs']) > STALL_MS / 2, 'and says how slow it found itself');

  const enough = stalls.count + MORE_STALLS;
  const seen = new Set<number>();
  await cluster.waitFor('more stalls', async () => {
    for (const id of others) seen.add(await leaderOf(id));
    return stalls.count > enough || undefined;
  });
  await stalls.end();
  t.same([...seen], [next], 'leadership stays away from it');
  await assertNothingLost(t, cluster, writers);
  t.same(writers.errors, [], 'no writer saw an error');
});

/** What the log says of the last time that it did. */
function handedOver(log: string): Record<string, unknown> | undefined {
  const line = log.split('\n').findLast((each) => each.includes('"event":"slow-leader"'));
  return line === undefined ? undefined : (JSON.parse(line) as Record<string, unknown>);
}
