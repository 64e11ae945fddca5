/** What the options of kvctl's commands are made of, and what they may be. */
import type { Context, GlobalArgs } from './context.js';
import { type ExitCode, usage } from './errors.js';

/** Makes a command of kvctl into what yargs calls. */
export type Doing = <A>(
  command: (context: Context, args: A) => Promise<ExitCode>,
) => (args: A & GlobalArgs) => Promise<void>;

/** A command whose file is loaded when it is run: to load all of them takes longer than most of them do. */
export function late<A extends readonly unknown[]>(
  load: () => Promise<(...args: A) => Promise<ExitCode>>,
): (...args: A) => Promise<ExitCode> {
  return async (...args) => (await load())(...args);
}

export const text = { type: 'string', demandOption: true } as const;
export const optionalText = { type: 'string' } as const;
/** The words after --, which cli.ts makes a list of before the command gets them. */
export const program = {
  default: [],
  defaultDescription: 'none',
  describe: '-- CMD …',
  coerce: (words: unknown): readonly string[] => words as readonly string[],
} as const;

/** An option that is a whole number. */
export function number(name: string, min: number, max: number) {
  return {
    requiresArg: true,
    coerce: (given: unknown): number | undefined =>
      given === undefined ? undefined : wholeNumber(name, given, min, max),
  } as const;
}

export function count(name: string) {
  return {
    requiresArg: true,
    coerce: (given: unknown): number => wholeNumber(name, given, 1, 1_000_000),
  } as const;
}

export function fraction(name: string) {
  return {
    requiresArg: true,
    coerce: (given: unknown): number | undefined => {
      if (given === undefined) return undefined;
      const text = given as string;
      const value = Number(text);
      if (text.trim() !== '' && value >= 0 && value <= 1) return value;
      throw usage(`${name}: '${text}' is not a number from 0 to 1`);
    },
  } as const;
}

/** Seconds, with a fraction perhaps, as ms. */
export function secondsAsMs(name: string, given: unknown, minMs: number, maxMs: number): number {
  const ms = /^\d+(\.\d+)?$/.test(String(given)) ? Math.round(Number(given) * 1_000) : Number.NaN;
  if (ms >= minMs && ms <= maxMs) return ms;
  throw usage(
    `${name}: '${String(given)}' is not a number of seconds from ${minMs / 1_000} to ${maxMs / 1_000}`,
  );
}

export function wholeNumber(name: string, given: unknown, min: number, max: number): number {
  const value = /^\d+$/.test(String(given)) ? Number(given) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw usage(`${name}: '${String(given)}' is not a whole number from ${min} to ${max}`);
}
