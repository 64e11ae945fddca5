/** The watchers of a plan. */
import { Random } from './random.js';
import { BANK, EVERYTHING_THERE_IS, keyAt } from './workload/keys.js';
import { SimWatcher, type WatchNetwork } from './workload/watcher.js';
import type { World } from './world.js';

export function createWatchers({ plan, hosts, connections, reference, clock }: World): SimWatcher[] {
  const replicaIds = hosts.map(({ id }) => id);
  return plan.operations
    .filter(({ kind }) => kind === 'watch')
    .map((operation, id) => {
      const own = new Random(operation.dice ?? 0, 'watch');
      const range = own.pick([
        EVERYTHING_THERE_IS,
        { from: keyAt(operation.key), to: '' },
        { from: 'k', to: 'l' },
        BANK,
      ]);
      const connect: WatchNetwork['connect'] = (...way) => connections.watch(id, ...way);
      const network = { replicaIds, connect };
      const dice = own.fork('dice');
      const watcher = new SimWatcher(id, range, network, reference, clock, dice, plan.electionTimeoutMs);
      clock.at(operation.atMs, () => watcher.start());
      return watcher;
    });
}
