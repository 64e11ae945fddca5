// A planted bug for the drills' own tests, loaded into kvd by NODE_OPTIONS --import: the cluster's time is what the wall
// clock of the leader says, so a lease ends when that jumps ahead.
import { fileURLToPath } from 'node:url';

if (process.argv[1]?.endsWith('/bin/kvd')) {
  const replica = fileURLToPath(import.meta.resolve('@kvd/replica'));
  const { ClusterClock } = await import(new URL('cluster-clock.js', `file://${replica}`).href);
  ClusterClock.prototype.read = (stateMs) => Math.max(stateMs, Date.now());
}
