/**
 * Why the daemon ends, as its exit status. Scripts and supervisors rely on these numbers (docs/OPERATIONS.md): they
 * are never given another meaning.
 */

export const EXIT = {
  clean: 0,
  /** Flags, environment or configuration file; a founding list that differs from the one written down. */
  badUsage: 2,
  /** The data directory belongs to another replica or cluster, has another format, or is locked. */
  directory: 3,
  /** The disk failed, or what is on it failed verification. */
  storage: 4,
  portTaken: 5,
  /** The cluster's configuration no longer names this replica. */
  removed: 6,
  /** A fault of kvd itself (EX_SOFTWARE of sysexits.h): the process stops before it can do harm. */
  internal: 70,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** What stops a start, for people: one line without a stack, and the status to exit with. */
export class StartError extends Error {
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StartError';
    this.exitCode = exitCode;
  }
}
