/** The thread of metronome.ts: sleeps until the next tick, and tells it, unless the one before was not heard yet. */
import { parentPort, workerData } from 'node:worker_threads';
import { hrtimeMs, type MetronomePlan, STOPPED, TICK_UNDER_WAY } from './metronome.js';

const { state, firstMs, periodMs } = workerData as MetronomePlan;

for (let dueMs = firstMs; sleptUntil(dueMs); dueMs = nextDueMs(dueMs)) {
  if (Atomics.compareExchange(state, TICK_UNDER_WAY, 0, 1) === 0) parentPort?.postMessage(null);
}

/** False: it was stopped. */
function sleptUntil(dueMs: number): boolean {
  const restMs = dueMs - hrtimeMs();
  return restMs <= 0
    ? Atomics.load(state, STOPPED) === 0
    : Atomics.wait(state, STOPPED, 0, restMs) === 'timed-out';
}

/** Ticks that nobody could have heard are left out. */
function nextDueMs(dueMs: number): number {
  return dueMs + periodMs * Math.max(1, Math.ceil((hrtimeMs() - dueMs) / periodMs));
}
