/** How long nothing is acknowledged when the leader is killed, on a machine that does nothing else. */
import { test } from 'tap';
import { startCluster } from '../support/cluster.js';
import { assertNothingLost, Writers } from '../support/writers.js';

const LEADER_KILLS = 10;
const FAILOVER_MS_MAX = 2_000;

test('the leader is killed ten times under load', async (t) => {
  const cluster = await startCluster({ replicas: 5 });
  t.teardown(() => cluster.close());
  const writers = new Writers(cluster, 8);
  const gaps: number[] = [];
  for (let kill = 0; kill < LEADER_KILLS; kill++) {
    const leader = await cluster.leader();
    await cluster.waitFor('writes before the kill', () => writers.firstAfter(0));
    await cluster.kill(leader);
    const killedMs = performance.now();
    // What was answered before the kill may still be on its way to us for an instant.
    await cluster.leader();
    const nextMs = await cluster.waitFor('a write after the kill', () => writers.firstAfter(killedMs));
    gaps.push(longestGap(writers.acknowledgedAt, killedMs, nextMs));
    await cluster.restart(leader);
  }
  await assertNothingLost(t, cluster, writers);
  gaps.sort((a, b) => a - b);
  const [median, worst] = [gaps[LEADER_KILLS / 2] as number, gaps.at(-1) as number];
  t.comment(`without an acknowledged write: median ${median.toFixed(0)} ms, worst ${worst.toFixed(0)} ms`);
  t.ok(worst < FAILOVER_MS_MAX, 'writes went on within 2 s of every kill');
  t.same(writers.errors, [], 'no writer saw an error: the client retried by itself');
});

/** The longest time without an acknowledgement that touches the kill. */
function longestGap(acknowledgedAt: readonly number[], killedMs: number, nextMs: number): number {
  const around = acknowledgedAt.filter((at) => at > killedMs - 1_000 && at <= nextMs + 500);
  let longest = nextMs - killedMs;
  for (let i = 1; i < around.length; i++) {
    const [from, to] = [around[i - 1] as number, around[i] as number];
    if (to > killedMs) longest = Math.max(longest, to - from);
  }
  return longest;
}
