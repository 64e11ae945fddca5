// A planted bug for the drills' own tests, loaded into kvd by NODE_OPTIONS --import: the log says at once that a batch is
// on disk, and writes it a while later, as a disk does that lies about its cache. What is still to be written when the
// process is killed is lost. (S1) The state, which would have kept most of it, is flushed late as well.
import { KvState, OrderedLogStore } from '@kvd/store';

const LATE_MS = 2_000;

if (process.argv[1]?.endsWith('/bin/kvd')) {
  const reallyWrite = Reflect.get(OrderedLogStore.prototype, 'write');
  const reallyFlush = Reflect.get(KvState.prototype, 'writeFrozen');
  KvState.prototype.writeFrozen = function (done) {
    setTimeout(() => reallyFlush.call(this, done), LATE_MS);
  };
  const states = new WeakMap();
  OrderedLogStore.prototype.write = function (batch, done) {
    const state = states.get(this) ?? { marker: this.recovered.marker, waiting: [], busy: false };
    states.set(this, state);
    state.waiting.push({ batch, dueMs: performance.now() + LATE_MS });
    state.marker += 1;
    const { marker } = state;
    setImmediate(() => done(null, marker));
    if (!state.busy) writeNext(this, state);
  };
  const writeNext = (log, state) => {
    const [next] = state.waiting;
    state.busy = next !== undefined;
    if (next === undefined) return;
    setTimeout(
      () => {
        state.waiting.shift();
        reallyWrite.call(log, next.batch, () => writeNext(log, state));
      },
      Math.max(0, next.dueMs - performance.now()),
    );
  };
}
