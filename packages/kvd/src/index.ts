export { type Daemon, type DaemonPorts, startDaemon } from './daemon.js';
export { EXIT, type ExitCode, StartError } from './exit-codes.js';
export { createLog, type DaemonLog } from './log.js';
export { type ChaosSettings, type KvdOptions, type ParsedCommandLine, parseCommandLine } from './options.js';
