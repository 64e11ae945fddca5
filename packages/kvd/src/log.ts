/**
 * The logbook of a daemon: pino, JSON lines on stderr, pretty ones on a terminal. Writing never blocks the event loop,
 * and a reader that is too slow costs lines, not memory. Nothing here decides anything.
 */
import type { Trace } from '@kvd/replica';
import { destination, type Logger, pino, stdTimeFunctions } from 'pino';

/** Bytes that may wait for a slow reader of stderr; beyond, lines are dropped. */
const WAITING_BYTES_MAX = 4 * 1024 * 1024;
const STDERR = 2;

export interface DaemonLog {
  readonly logger: Logger;
  /** Write out what waits. Before the process ends. */
  flush(): void;
}

/** @param level a pino level, or `silent` */
export async function createLog(
  level: string,
  bindings: Readonly<Record<string, unknown>>,
): Promise<DaemonLog> {
  const options = {
    level,
    base: bindings,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  if (process.stderr.isTTY) {
    const { default: pretty } = await import('pino-pretty');
    const stream = pretty({ destination: STDERR, sync: true, colorize: true, ignore: 'replica' });
    return { logger: pino(options, stream), flush: () => undefined };
  }
  const stream = destination({ dest: STDERR, sync: false, maxLength: WAITING_BYTES_MAX });
  return {
    logger: pino(options, stream),
    flush: () => {
      try {
        stream.flushSync();
      } catch {
        // Nobody reads stderr any more: there is nowhere to say so.
      }
    },
  };
}

/** What replica, store and transport report, as log lines: `event` is the stable name. */
export function traceTo(logger: Logger): Trace {
  return {
    event(level, name, fields) {
      // Every line says whose it is already.
      if (logger.isLevelEnabled(level)) logger[level]({ event: name, ...fields, replica: undefined }, name);
    },
  };
}
