/** What other parts of kvd use of kvctl: local clusters of real processes, scripts, and how it reports. */
export { decideLayout, type Layout, type LayoutWish, readLayout } from './cluster/layout.js';
export { LocalCluster, type ReplicaProcess } from './cluster/local-cluster.js';
export { EXIT, type ExitCode, exitCodeOf } from './errors.js';
export { parseScript, ScriptError, type ScriptLine } from './script.js';
