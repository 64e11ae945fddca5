/**
 * One listener on an AbortSignal for all that wait for it: a program may hand the same signal to a thousand operations,
 * and Node.js warns of a leak from the eleventh listener on.
 */
const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/** Call `task` once when the signal, which is not aborted yet, is. Returns what makes it wait no longer. */
export function onAbort(signal: AbortSignal, task: () => void): () => void {
  const tasks = waiting.get(signal) ?? listen(signal);
  tasks.add(task);
  return () => {
    if (!tasks.delete(task) || tasks.size > 0) return;
    // A signal that lives long and has a listener would keep those that AbortSignal.any() made of it alive.
    signal.removeEventListener('abort', run);
    waiting.delete(signal);
  };
}

function listen(signal: AbortSignal): Set<() => void> {
  const tasks = new Set<() => void>();
  waiting.set(signal, tasks);
  signal.addEventListener('abort', run, { once: true });
  return tasks;
}

function run(event: Event): void {
  const signal = event.target as AbortSignal;
  const tasks = waiting.get(signal) ?? [];
  waiting.delete(signal);
  for (const task of tasks) task();
}
