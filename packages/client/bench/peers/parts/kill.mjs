// The leader is killed (kill -9), and until the next write is acknowledged: at each system's default timeouts, through its
// usual client. Before the next kill all members are back.
import { Cluster } from '../cluster.mjs';
import { Loader } from '../loader.mjs';
import { KEYS, VALUE_BYTES } from '../workloads.mjs';

const TABLE = 'Leader killed: ms until a write begun after it is acknowledged';

export async function kill(run) {
  for (const system of run.systems.filter(({ size }) => size > 1)) {
    await run.attempt(`${system.name}, leader killed ${run.options.kills} times`, async () => {
      const cluster = await Cluster.start(run.scratch, system);
      try {
        const loader = await Loader.start(run.scratch, cluster);
        await loader.prepare({ to: KEYS, valueBytes: VALUE_BYTES });
        for (let i = 0; i < run.options.kills; i++) {
          const leader = await cluster.leader();
          const { ms } = await loader.outage({ pid: leader.child.pid, keys: KEYS, valueBytes: VALUE_BYTES });
          // Somebody else leads now, or it was not the leader that was killed.
          await cluster.leader(cluster.members.filter((member) => member !== leader));
          run.figures.record({ table: TABLE, column: 'ms', system: system.name, value: ms });
          await cluster.revive(leader);
        }
        await loader.close();
      } finally {
        await cluster.stop();
      }
    });
  }
}
