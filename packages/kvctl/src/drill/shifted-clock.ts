/**
 * Loaded into kvd before its own code (NODE_OPTIONS --import) by the drill clock-jump: the process's wall clock is off by
 * as many ms as a file says, which is read again and again. The monotonic clock and timers stay as they are, as they do
 * when an administrator sets the clock. Harmless in any other process: without the variable it does nothing.
 */
import { readFileSync } from 'node:fs';
import process from 'node:process';

const POLL_MS = 25;
const file = process.env.KVCTL_DRILL_CLOCK_FILE;

if (file !== undefined && file !== '') shiftClock(file);

function shiftClock(offsetFile: string): void {
  const SystemDate = globalThis.Date;
  let offsetMs = 0;
  const read = (): void => {
    try {
      offsetMs = Number(readFileSync(offsetFile, 'utf8')) || 0;
    } catch {
      // Being written; the next look finds it.
    }
  };
  read();
  setInterval(read, POLL_MS).unref();
  globalThis.Date = new Proxy(SystemDate, {
    construct: (target, given: unknown[], newTarget) =>
      Reflect.construct(target, given.length === 0 ? [target.now() + offsetMs] : given, newTarget) as object,
    apply: (target) => new target(target.now() + offsetMs).toString(),
    get: (target, name, receiver) =>
      name === 'now' ? () => target.now() + offsetMs : (Reflect.get(target, name, receiver) as unknown),
  });
}
