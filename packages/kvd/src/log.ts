/**
 * The logbook of a daemon: pino, JSON lines on stderr (log-sink.ts), pretty ones on a terminal. Nothing here decides
 * anything.
 */
import type { Trace } from '@kvd/replica';
import { constants, openSync } from 'node:fs';
import { type Logger, pino, stdTimeFunctions } from 'pino';
import { LogSink } from './log-sink.js';

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
  const sink = new LogSink(stderrThatNeverBlocks(), (lines) =>
    logger.warn(
      { event: 'log-lines-dropped', lines },
      `${lines} lines of the log were dropped: they could not be written`,
    ),
  );
  const format = process.stderr.isTTY ? await prettyLines() : (line: string) => line;
  const logger = pino(options, { write: (line) => sink.write(format(line)) });
  return { logger, flush: () => sink.flush() };
}

/** Node.js sees to that for pipes. A terminal, which Ctrl-S stops, is opened once more. */
function stderrThatNeverBlocks(): number {
  if (!process.stderr.isTTY) return STDERR;
  try {
    return openSync('/proc/self/fd/2', constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return STDERR;
  }
}

async function prettyLines(): Promise<(line: string) => string> {
  const { prettyFactory } = await import('pino-pretty');
  return prettyFactory({ colorize: true, ignore: 'replica' });
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
