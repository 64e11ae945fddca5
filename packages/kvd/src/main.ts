/**
 * The process round one daemon: command line in, ready line and exit status out, signals. No stack trace reaches a user
 * unless the log level is debug. What a daemon is made of is daemon.ts.
 */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { type Daemon, startDaemon } from './daemon.js';
import { EXIT, type ExitCode, StartError } from './exit-codes.js';
import { createLog, type DaemonLog } from './log.js';
import { type KvdOptions, parseCommandLine } from './options.js';

/** A stop that takes longer is cut off: the log is synced already, so nothing that was acknowledged is lost. */
const STOP_DEADLINE_MS = 4_800;

/**
 * V8 lets its heap and the buffers outside grow to a few times of what is alive on the heap before it marks all of it. Here
 * little is: what is large lies in buffers. So it would mark several times a second where values are large.
 */
const HEAP_GROWING_PERCENT = 400;

function packageVersion(): string {
  const content: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  const isPackage = typeof content === 'object' && content !== null && 'version' in content;
  return isPackage ? String(content.version) : 'unknown';
}

/** One line on stderr, and the end. */
function refuse(error: unknown): never {
  const reason = error instanceof Error ? error.message : String(error);
  process.stderr.write(`kvd: ${reason}\n`);
  process.exit(error instanceof StartError ? error.exitCode : EXIT.internal);
}

function exitOnFault(log: DaemonLog): void {
  const onFault = (error: unknown): void => {
    const fault = error instanceof Error ? error : new Error(String(error));
    log.logger.fatal({ event: 'internal-error', reason: fault.message }, `internal error: ${fault.message}`);
    log.logger.debug({ event: 'internal-error', stack: fault.stack }, 'its stack');
    log.flush();
    process.exit(EXIT.internal);
  };
  process.on('uncaughtException', onFault);
  process.on('unhandledRejection', onFault);
}

/** The first signal stops the daemon in order, the second the process at once. */
function stopOnSignal(log: DaemonLog, running: () => Daemon | null): void {
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals, number: number): void => {
    signals += 1;
    log.logger.info(
      { event: 'signal', signal },
      `${signal}: ${signals === 1 ? 'stopping' : 'ending at once'}`,
    );
    const daemon = running();
    if (signals > 1 || daemon === null) {
      log.flush();
      process.exit(signals > 1 ? 128 + number : EXIT.clean);
    }
    setTimeout(() => {
      log.logger.warn({ event: 'stop-cut-off' }, `not stopped within ${STOP_DEADLINE_MS} ms, ending now`);
      log.flush();
      process.exit(EXIT.clean);
    }, STOP_DEADLINE_MS);
    void daemon.stop();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  // Else Node.js would open its debugger to every user of this machine.
  process.on('SIGUSR1', () => undefined);
}

async function run(options: KvdOptions, version: string): Promise<ExitCode> {
  const log = await createLog(options.logLevel, { replica: options.id });
  let daemon: Daemon | null = null;
  exitOnFault(log);
  stopOnSignal(log, () => daemon);
  try {
    daemon = await startDaemon(options, { log, version });
  } catch (error) {
    log.flush();
    if (error instanceof Error) log.logger.debug({ stack: error.stack }, 'the start failed');
    throw error;
  }
  process.stdout.write(`kvd ready: replica ${options.id}, ${daemon.address}\n`);
  const exitCode = await daemon.ended;
  if (exitCode !== EXIT.clean) process.stderr.write(`kvd: ${daemon.failure}\n`);
  log.flush();
  return exitCode;
}

setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);

// Whoever read the ready line may be gone: that is no reason to stop.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);

const version = packageVersion();
const parsed = await parseCommandLine(process.argv.slice(2), process.env, version).catch(refuse);
if (parsed.type === 'print') process.stdout.write(`${parsed.text}\n`);
else process.exit(await run(parsed.options, version).catch(refuse));
