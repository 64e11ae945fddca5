/** A drill on locks: their holder is stopped for longer than its lease, as by a machine that swaps, and goes on. */
import type { Drill } from '../drill.js';
import { Holder } from '../holder.js';
import { guardedWrites } from '../model/guarded.js';
import type { Stage } from '../stage.js';

const LOCK = { name: 'drill', key: 'guarded', ttlMs: 1_500 };

const holders = new WeakMap<Stage, readonly Holder[]>();

export const lockHolderPaused: Drill = {
  name: 'lock-holder-paused',
  about:
    'SIGSTOP to the process that holds a lock until its lease is over and the next in the queue has it, then SIGCONT: what it still writes is refused, and never do two get a write accepted',
  replicas: 3,
  replicasMin: 3,
  goesOn: true,
  async inflict(stage) {
    const start = (name: string) => new Holder(name, stage.cluster.endpoints, LOCK);
    let [owner, next] = [start('A'), start('B')] as const;
    holders.set(stage, [owner, next]);
    owner.acquire();
    do {
      await owner.writes();
      next.acquire();
      await stage.pause(100, 400);
      stage.inject(`holder ${owner.name}, which has the lock, paused`);
      owner.pause();
      await next.writes();
      stage.inject(`holder ${owner.name} goes on; holder ${next.name} has the lock`);
      owner.resume();
      const { code, accepted } = await owner.refusal();
      const detail = `${code}; the cluster ${accepted ? 'TOOK' : 'refused'} what holder ${owner.name} sent all the same`;
      stage.check('the paused holder is refused', code === 'KVD_LOCK_LOST' && !accepted, detail);
      await next.writes();
      stage.check('the next holder is not', true, `holder ${next.name} goes on writing`);
      [owner, next] = [next, owner];
    } while (!stage.isOver);
  },
  async examine(stage) {
    await endHolders(stage);
    const found = await guardedWrites(stage.load.data.history(), `kvd/lock/${LOCK.name}/`, LOCK.key);
    const { writes, tokens, wrong } = found;
    const detail =
      wrong ?? `${writes} writes with ${tokens} tokens, each by whoever was first in the queue then`;
    stage.check('only the holder of the lock writes', wrong === null && tokens > 1, detail);
  },
  cleanUp(stage) {
    void endHolders(stage);
  },
};

async function endHolders(stage: Stage): Promise<void> {
  await Promise.all((holders.get(stage) ?? []).map((holder) => holder.kill()));
}
