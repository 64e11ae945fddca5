/** How kvctl ends: which error means which exit code, and how it is told. Codes are those of docs and ERRORS. */
import { ERRORS, KvdError } from '@kvd/client';

export const EXIT = { done: 0, negative: 1, usage: 2, unavailable: 3, refused: 4, unknown: 5 } as const;
/** One of EXIT, or what a program that kvctl ran ended with. */
export type ExitCode = number;

/** An error that is to be told as it is and to end kvctl with `exitCode`. */
export class CliError extends Error {
  constructor(
    readonly exitCode: ExitCode,
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = 'CliError';
  }
}

/** Bad usage: exit 2. */
export function usage(message: string): CliError {
  return new CliError(EXIT.usage, 'KVCTL_USAGE', message);
}

/** Refused, e.g. a bad argument: exit 4. */
export function refused(message: string): CliError {
  return new CliError(EXIT.refused, 'KVCTL_REFUSED', message);
}

/** Something could not be reached and nothing was done: exit 3. */
export function unavailable(message: string): CliError {
  return new CliError(EXIT.unavailable, 'KVCTL_UNAVAILABLE', message);
}

/** Why a file could not be used, without its name: Node.js puts the code before it, and call and path behind. */
export function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/^E[A-Z]+: /, '').replace(/, \w+( '.*)?$/, '');
}

/** The code to end with after `error`. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CliError) return error.exitCode;
  if (error instanceof KvdError) {
    // What may have been done is unknown whatever the code; else the code says what it is.
    return error.outcome === 'unknown' ? EXIT.unknown : ERRORS[error.code].exitCode;
  }
  return EXIT.refused;
}

/** Its stable code and its message; never a stack. */
export function describeError(error: unknown): { code: string; message: string } {
  if (error instanceof CliError || error instanceof KvdError)
    return { code: error.code, message: error.message };
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    const { code, message } = error;
    // Node.js puts the code of a file's error before its message too.
    return {
      code: error.code,
      message: message.startsWith(`${code}: `) ? message.slice(code.length + 2) : message,
    };
  }
  return { code: 'KVCTL_ERROR', message: error instanceof Error ? error.message : String(error) };
}
