/**
 * Where everything that kvctl says goes: results to stdout, the rest to stderr; JSON lines or text. A reader that goes
 * away (EPIPE) ends kvctl quietly, whatever it was doing; a full disk ends it with a word.
 */
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { type ErrorCode, KvdError } from '@kvd/client';
import { describeError, EXIT } from './errors.js';

export type Format = 'text' | 'json';

export class Output {
  constructor(
    readonly format: Format,
    private readonly stdout: NodeJS.WriteStream = process.stdout,
    private readonly stderr: NodeJS.WriteStream = process.stderr,
  ) {}

  /** One result: `json` as a line, or `text` (nothing when undefined). */
  async result(json: unknown, text?: string): Promise<void> {
    if (this.format === 'json') await this.write(`${JSON.stringify(json)}\n`);
    else if (text !== undefined) await this.write(`${text}\n`);
  }

  /** To stdout as it is; waits while the reader is behind. */
  async write(data: string | Uint8Array): Promise<void> {
    if (!this.stdout.write(data)) await once(this.stdout, 'drain');
  }

  /** For people, never a result. */
  note(text: string): void {
    this.stderr.write(`${text}\n`);
  }

  /** A negative answer, which is no result. */
  negative(code: ErrorCode, message: string): void {
    this.note(this.format === 'json' ? JSON.stringify({ code, message }) : `kvctl: ${message}`);
  }

  /** Why kvctl ends badly. */
  error(error: unknown): void {
    const { code, message } = describeError(error);
    const outcome = error instanceof KvdError ? { outcome: error.outcome } : {};
    const id = error instanceof KvdError ? error.operationId : undefined;
    if (this.format === 'json') {
      this.note(
        JSON.stringify({ code, message, ...outcome, ...(id === undefined ? {} : { operation: id }) }),
      );
      return;
    }
    this.note(code === 'KVCTL_USAGE' ? `kvctl: ${message}` : `kvctl: ${code}: ${message}`);
    if (id !== undefined) this.note(`kvctl: ask what became of it: kvctl outcome ${id}`);
  }
}

const STDERR_FD = 2;

/**
 * End the process when its output cannot be written: quietly when nobody reads any more, else as one whose outcome is
 * unknown, for what was done (a put perhaps) could not be told, and neither 'key absent' nor 'refused' would be true.
 */
export function endOnBrokenPipe(): void {
  const streams = { stdout: process.stdout, stderr: process.stderr };
  for (const [name, stream] of Object.entries(streams)) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // A command that has set a code is one that is not done by having been heard no more.
      if (error.code === 'EPIPE') process.exit(process.exitCode ?? EXIT.done);
      sayAtOnce(`kvctl: cannot write to ${name}: ${error.code ?? error.message}\n`);
      process.exit(EXIT.unknown);
    });
  }
}

/** The process ends next. */
function sayAtOnce(text: string): void {
  try {
    writeSync(STDERR_FD, text);
  } catch {
    // Stderr cannot be written either: nobody is left to tell.
  }
}
