/** Scripts of `kvctl run`: read whole and checked before anything of them is done. Pure. */
import { OperationError, parseLine, type ScriptOperation } from './operations.js';
import { WordsError } from './words.js';

export interface ScriptLine {
  /** From 1. */
  readonly line: number;
  readonly operation: ScriptOperation;
}

/** A line that is no operation. `message` begins with the line's number. */
export class ScriptError extends Error {
  constructor(
    readonly line: number,
    message: string,
  ) {
    super(`line ${line}: ${message}`);
    this.name = 'ScriptError';
  }
}

/** The operations of a script, without blank lines and comments. @throws ScriptError on the first line that is none */
export function parseScript(text: string): ScriptLine[] {
  const lines: ScriptLine[] = [];
  const parts = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  for (const [index, part] of parts.entries()) {
    try {
      const operation = parseLine(part);
      if (operation !== null) lines.push({ line: index + 1, operation });
    } catch (error) {
      if (error instanceof OperationError || error instanceof WordsError)
        throw new ScriptError(index + 1, error.message);
      throw error;
    }
  }
  return lines;
}
