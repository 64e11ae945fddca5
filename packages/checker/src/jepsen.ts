/**
 * Lines of the two foreign formats as events: the log of Jepsen's etcd test (one register, initially nil), and maps in EDN
 * (many keys, initially empty strings, as the histories of porcupine's key-value test have them; nil is the same there).
 */
import { type Edn, EdnError, EdnNumber, EdnString, parseEdn } from './edn.js';
import type { Event } from './events.js';
import { HistoryError, type Value } from './operation.js';

const LINE = /jepsen\.util - (\S+)\s+(:\S+)\s+(:\S+)\s+(.*?)\s*$/;
const TYPES: ReadonlyMap<unknown, Event['type']> = new Map<string, Event['type']>([
  [':invoke', 'invoke'],
  [':ok', 'ok'],
  [':fail', 'fail'],
  [':info', 'info'],
]);
const FUNCTIONS: ReadonlyMap<unknown, Event['f']> = new Map<string, Event['f']>([
  [':read', 'get'],
  [':get', 'get'],
  [':write', 'put'],
  [':put', 'put'],
  [':append', 'append'],
  [':delete', 'delete'],
  [':cas', 'cas'],
]);

/** The key of a history that is about one register only. */
export const REGISTER = 'register';

/** undefined: what the nemesis did, or nothing. @throws HistoryError */
export function parseJepsenLine(text: string, line: number): Event | undefined {
  const [, process = '', typeName = '', functionName = '', argument = ''] = LINE.exec(text) ?? [];
  if (process === ':nemesis') return undefined;
  const type = TYPES.get(typeName);
  const f = FUNCTIONS.get(functionName);
  if (type === undefined || f === undefined || !/^\d+$/.test(process)) {
    throw malformed(line, 'not a line "jepsen.util - PROCESS :TYPE :OPERATION VALUE"');
  }
  const value = readEdn(argument, line);
  // A cas that fails with its values did take place. Of all else that fails or times out the line says why, not what.
  const failedComparison = type === 'fail' && f === 'cas' && Array.isArray(value);
  if (type === 'info' || (type === 'fail' && !failedComparison)) {
    return {
      process,
      type,
      f,
      key: REGISTER,
      value: null,
      expected: null,
      failedComparison,
      error: argument,
    };
  }
  return { process, type, f, key: REGISTER, ...valuesOf(f, value, line), failedComparison };
}

/** @throws HistoryError */
export function parseEdnLine(text: string, line: number): Event | undefined {
  const map = readEdn(text, line);
  if (!(map instanceof Map)) throw malformed(line, 'not a map {:process …, :type …, :f …, :value …}');
  const get = (name: string): Edn | undefined => map.get(name) as Edn | undefined;
  const process = get(':process');
  if (process === ':nemesis') return undefined;
  const type = TYPES.get(get(':type') ?? null);
  const f = FUNCTIONS.get(get(':f') ?? null);
  if (!(process instanceof EdnNumber)) throw malformed(line, ':process is not a number');
  if (type === undefined) throw malformed(line, ':type is not one of :invoke :ok :fail :info');
  if (f === undefined) throw malformed(line, ':f is not one of :read :get :write :put :append :delete :cas');
  const key = get(':key');
  const values =
    type === 'info' || type === 'fail'
      ? { value: null, expected: null }
      : valuesOf(f, get(':value') ?? null, line);
  return {
    process: process.text,
    type,
    f,
    key: key === undefined ? REGISTER : (textOf(key, line) ?? ''),
    ...values,
    failedComparison: false,
  };
}

function readEdn(text: string, line: number): Edn {
  try {
    return parseEdn(text);
  } catch (error) {
    if (error instanceof EdnError) throw malformed(line, error.message);
    throw error;
  }
}

function valuesOf(f: Event['f'], value: Edn, line: number): { value: Value; expected: Value } {
  if (f !== 'cas') return { value: textOf(value, line), expected: null };
  if (!Array.isArray(value) || value.length !== 2)
    throw malformed(line, 'the value of a cas is not [from to]');
  const [from, to] = value as readonly Edn[];
  return { value: textOf(to ?? null, line), expected: textOf(from ?? null, line) };
}

function textOf(value: Edn, line: number): Value {
  if (value === null) return null;
  if (value instanceof EdnString || value instanceof EdnNumber) return value.text;
  if (typeof value === 'object')
    throw malformed(line, 'a key or value is neither a string nor a number nor nil');
  return String(value);
}

function malformed(line: number, what: string): HistoryError {
  return new HistoryError('HISTORY_MALFORMED', what, line);
}
