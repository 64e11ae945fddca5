// A planted bug for the drills' own tests, loaded into kvd by NODE_OPTIONS --import: a watcher that comes back from a position
// in the past is told from now on, and what happened between is forgotten.
import { fileURLToPath } from 'node:url';

if (process.argv[1]?.endsWith('/bin/kvd')) {
  const replica = fileURLToPath(import.meta.resolve('@kvd/replica'));
  const { WatchHub } = await import(new URL('watch-hub.js', `file://${replica}`).href);
  const advance = Reflect.get(WatchHub.prototype, 'advance');
  WatchHub.prototype.advance = function (watcher) {
    watcher.advanceTo(this.live + 1);
    advance.call(this, watcher);
  };
}
