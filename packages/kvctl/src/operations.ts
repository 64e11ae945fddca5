/**
 * The operations of scripts and of the shell, read from the words of a line: what they are, not what they do
 * (executor.ts). Pure.
 */
import { KvdError } from '@kvd/client';
import { parseInt64, parseTxnJson, type TxnParts } from '@kvd/protocol';
import { readWords } from './words.js';

export type ScriptOperation =
  | { readonly op: 'PUT'; readonly key: string; readonly value: string }
  | { readonly op: 'GET'; readonly key: string }
  | { readonly op: 'DELETE'; readonly key: string }
  | { readonly op: 'SCAN'; readonly prefix: string }
  /** `old` null: CAS key NONE new. */
  | { readonly op: 'CAS'; readonly key: string; readonly old: string | null; readonly value: string }
  | { readonly op: 'ADD'; readonly key: string; readonly delta: bigint }
  | { readonly op: 'TXN'; readonly parts: TxnParts }
  | { readonly op: 'WATCH'; readonly prefix: string; readonly count: number }
  | { readonly op: 'SLEEP'; readonly ms: number }
  /** `value` null: EXPECT NONE. */
  | { readonly op: 'EXPECT'; readonly value: string | null };

/** Why words are no operation. */
export class OperationError extends Error {
  override name = 'OperationError';
}

/** Usage of every operation, in the order of `HELP`. */
export const OPERATIONS: readonly { readonly usage: string; readonly about: string }[] = [
  { usage: 'PUT key value', about: 'store a value' },
  { usage: 'GET key', about: 'read a value' },
  { usage: 'DELETE key', about: 'delete a key (also DEL)' },
  { usage: 'SCAN [prefix]', about: 'list the keys that begin with prefix, with their values' },
  { usage: 'CAS key old new', about: 'store new if the value is old; old NONE: if there is no such key' },
  { usage: 'ADD key number', about: 'add to the number that is the value' },
  { usage: 'TXN {"if":[…],…}', about: 'do a transaction: JSON, the rest of the line as it is' },
  {
    usage: 'WATCH prefix [n]',
    about: 'wait for n (1) events of keys that begin with prefix, since the last WATCH',
  },
  {
    usage: 'EXPECT value',
    about: "check the value of the last GET; NONE: there was none ('NONE' in quotes is a value)",
  },
  { usage: 'SLEEP ms', about: 'wait' },
];

const SLEEP_MS_MAX = 3_600_000;
/** Of one WATCH: its result is one line, held in memory. `kvctl watch` has no such bound. */
const WATCH_EVENTS_MAX = 10_000;
/** JSON has quotes of its own, which words would lose. */
const TXN_LINE = /^\s*txn\s+(\{.*)$/is;

/** The operation of a line; null: it is blank, or a comment. @throws OperationError, WordsError */
export function parseLine(line: string): ScriptOperation | null {
  const [, json] = TXN_LINE.exec(line) ?? [];
  if (json !== undefined) return parseTxn(json);
  const words = readWords(line);
  if (words.length === 0) return null;
  return parseOperation(
    words.map(({ text }) => text),
    (index) => words[index]?.text === 'NONE' && !words[index].isQuoted,
  );
}

/**
 * The operation that the words of a line are. `isNone`: is this word NONE, and not the value 'NONE' in quotes?
 * @throws OperationError saying what is wrong
 */
export function parseOperation(
  words: readonly string[],
  isNone = (index: number): boolean => words[index] === 'NONE',
): ScriptOperation {
  const [name = '', ...rest] = words;
  const [first = '', second = '', third = ''] = rest;
  switch (name.toUpperCase()) {
    case 'PUT':
      checkCount(rest, 2, 2, 'PUT key value');
      return { op: 'PUT', key: first, value: second };
    case 'GET':
      checkCount(rest, 1, 1, 'GET key');
      return { op: 'GET', key: first };
    case 'DELETE':
    case 'DEL':
      checkCount(rest, 1, 1, 'DELETE key');
      return { op: 'DELETE', key: first };
    case 'SCAN':
      checkCount(rest, 0, 1, 'SCAN [prefix]');
      return { op: 'SCAN', prefix: first };
    case 'CAS':
      checkCount(rest, 3, 3, 'CAS key old new');
      return { op: 'CAS', key: first, old: isNone(2) ? null : second, value: third };
    case 'ADD': {
      checkCount(rest, 2, 2, 'ADD key number');
      const delta = parseInt64(second);
      if (delta === null) throw new OperationError(`ADD: '${second}' is no whole number of 64 bits`);
      return { op: 'ADD', key: first, delta };
    }
    case 'TXN':
      checkCount(rest, 1, 1, 'TXN {"if":[…],"then":[…],"else":[…]}');
      return parseTxn(first);
    case 'WATCH':
      checkCount(rest, 1, 2, 'WATCH prefix [n]');
      return { op: 'WATCH', prefix: first, count: wholeNumber('WATCH', second || '1', 1, WATCH_EVENTS_MAX) };
    case 'EXPECT':
      checkCount(rest, 1, 1, 'EXPECT value');
      return { op: 'EXPECT', value: isNone(1) ? null : first };
    case 'SLEEP':
      checkCount(rest, 1, 1, 'SLEEP ms');
      return { op: 'SLEEP', ms: wholeNumber('SLEEP', first, 0, SLEEP_MS_MAX) };
    default:
      throw new OperationError(`unknown operation '${name}'`);
  }
}

function parseTxn(json: string): ScriptOperation {
  try {
    return { op: 'TXN', parts: parseTxnJson(json) };
  } catch (error) {
    if (error instanceof KvdError) throw new OperationError(`TXN: ${error.message}`);
    throw error;
  }
}

function wholeNumber(name: string, text: string, min: number, max: number): number {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (number >= min && number <= max) return number;
  throw new OperationError(`${name}: '${text}' is not a whole number from ${min} to ${max}`);
}

function checkCount(words: readonly string[], min: number, max: number, usage: string): void {
  if (words.length >= min && words.length <= max) return;
  throw new OperationError(
    `${words.length === 0 ? 'nothing' : `${words.length} word(s)`} after the name, wanted: ${usage}`,
  );
}
