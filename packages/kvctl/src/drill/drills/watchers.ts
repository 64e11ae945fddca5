/** A drill on watchers: they come back to another replica than the one that they left, and have missed something meanwhile. */
import type { Drill } from '../drill.js';
import type { Stage } from '../stage.js';

/** So many operations succeed while the watchers are away, and most of them are writes. */
const MISSED = 40;
const MISSED_MS_MAX = 20_000;

export const watcherMoves: Drill = {
  name: 'watcher-moves',
  about:
    'every watcher is cut off and a replica killed; while writes go on, each goes on at another replica from where it was: it must see all that it missed, in order, once',
  replicas: 5,
  replicasMin: 3,
  goesOn: true,
  async inflict(stage) {
    const { streams } = stage.load.data;
    do {
      const victim = stage.pickOne();
      stage.inject(`all watchers cut off, and kill -9 of replica ${victim}`);
      for (const watcher of streams) watcher.cut();
      await stage.cluster.kill(victim);
      await stage.leader();
      await untilMissed(stage);
      stage.inject(`watchers go on, each at another replica; replica ${victim} started again`);
      for (const watcher of streams) watcher.goOn();
      stage.restart(victim);
      await stage.ready(victim);
      await stage.pause(100, 500);
    } while (!stage.isOver);
  },
  async examine(stage) {
    const { streams } = stage.load.data;
    const moved = await stage.cluster.waitFor(MISSED_MS_MAX, async () => {
      return streams.every((watcher) => watcher.moves > 0);
    });
    stage.check('every watcher moved', moved, `${streams.map(({ moves }) => moves).join(', ')} times`);
  },
};

async function untilMissed(stage: Stage): Promise<void> {
  const goal = stage.load.successes.length + MISSED;
  const missed = await stage.cluster.waitFor(MISSED_MS_MAX, async () => stage.load.successes.length >= goal);
  if (!missed) throw new Error(`the clients did not get ${MISSED} operations done in ${MISSED_MS_MAX} ms`);
}
