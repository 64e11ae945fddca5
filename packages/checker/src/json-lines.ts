/**
 * The checker's own format, docs/CHECKER.md: one JSON object a line, for an operation, for a final read, or (first) for what
 * is said of the whole history. Reads and writes lines; opens no files.
 */
import { FieldReader, type Fields, malformed, whole } from './fields.js';
import {
  type Action,
  type ActionResult,
  type Compare,
  type Comparison,
  type EntryRead,
  type FinalRead,
  missingField,
  type Operation,
  type Value,
} from './operation.js';
import { bytesOf, isRaw } from './text.js';

export type HistoryLine =
  | { readonly type: 'operation'; readonly operation: Operation }
  | { readonly type: 'final'; readonly final: FinalRead }
  | { readonly type: 'header'; readonly initial: Value; readonly baseRevision: number | undefined };

const COMPARISONS: readonly Comparison[] = ['=', '!=', '<', '>'];

/** One line, without its end, as JSON. */
export function formatOperation(operation: Operation): string {
  const { line: _, ...fields } = operation;
  return JSON.stringify(encoded(fields));
}

export function formatFinal(final: FinalRead): string {
  const { line: _, ...fields } = final;
  return JSON.stringify(encoded({ op: 'final', ...fields }));
}

/** The first line of a history that begins with a value or has all mutations since `baseRevision`. */
export function formatHeader(header: { initial?: Value; baseRevision?: number }): string {
  return JSON.stringify(encoded({ op: 'history', ...header }));
}

/** Fields as JSON has them: texts that stand for bytes as base64. */
export function encoded(fields: object): object {
  const entries = Object.entries(fields).map(([name, value]: [string, unknown]): [string, unknown] => {
    if (Array.isArray(value)) return [name, value.map((each: object) => encoded(each))];
    if (typeof value !== 'string' || !isRaw(value)) return [name, value];
    return [`${name}Base64`, bytesOf(value).toString('base64')];
  });
  return Object.fromEntries(entries);
}

/** @throws HistoryError with the line's number */
export function parseJsonLine(text: string, line: number): HistoryLine {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw malformed(line, 'not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw malformed(line, 'not a JSON object');
  return readLine(new FieldReader(value as Fields, line));
}

function readLine(from: FieldReader): HistoryLine {
  const op = from.fields['op'];
  if (op === 'history') {
    return {
      type: 'header',
      initial: from.value('initial') ?? null,
      baseRevision: from.count('baseRevision'),
    };
  }
  if (op === 'final') return { type: 'final', final: readFinal(from) };
  const operation = readOperation(from, op);
  const missing = missingField(operation);
  if (missing !== undefined) throw malformed(from.line, `"${missing}" is missing`);
  return { type: 'operation', operation };
}

function readOperation(from: FieldReader, op: unknown): Operation {
  const common = readCommon(from);
  const revision = () => from.count('revision');
  switch (op) {
    case 'get':
      return whole({ ...common, op, key: from.text('key'), ...readFound(from) });
    case 'put':
    case 'append':
      return whole({
        ...common,
        op,
        key: from.text('key'),
        value: from.text('value'),
        revision: revision(),
      });
    case 'delete':
      return whole({
        ...common,
        op,
        key: from.text('key'),
        deleted: from.count('deleted'),
        revision: revision(),
      });
    case 'cas':
      return whole({
        ...common,
        op,
        key: from.text('key'),
        expected: from.needed('expected'),
        value: from.needed('value'),
        swapped: from.flag('swapped'),
        revision: revision(),
      });
    case 'scan':
      return whole({
        ...common,
        op,
        prefix: from.text('prefix'),
        limit: from.count('limit'),
        entries: readEntries(from),
      });
    case 'delete-prefix':
      return whole({
        ...common,
        op,
        prefix: from.text('prefix'),
        deleted: from.count('deleted'),
        revision: revision(),
      });
    case 'add':
      return whole({
        ...common,
        op,
        key: from.text('key'),
        delta: from.decimal('delta'),
        value: from.value('value'),
        revision: revision(),
      });
    case 'txn':
      return readTxn(from, common, op);
    default:
      throw malformed(from.line, `"op" is ${JSON.stringify(op) ?? 'missing'}, not a known operation`);
  }
}

function readCommon(from: FieldReader) {
  const outcome = from.fields['outcome'];
  if (outcome !== 'ok' && outcome !== 'fail' && outcome !== 'unknown') {
    throw malformed(from.line, '"outcome" is not one of ok, fail, unknown');
  }
  const start = from.time('start');
  const end = from.fields['end'] === undefined || from.fields['end'] === null ? null : from.time('end');
  if (end !== null && end < start) throw malformed(from.line, '"end" is before "start"');
  const client = from.fields['client'];
  if (typeof client !== 'string' && typeof client !== 'number') {
    throw malformed(from.line, '"client" is neither a string nor a number');
  }
  const error = from.fields['error'];
  return {
    client: String(client),
    start,
    end,
    outcome,
    error: typeof error === 'string' ? error : undefined,
    line: from.line,
  } as const;
}

/** What a get was told. */
function readFound(from: FieldReader) {
  return {
    value: from.value('value'),
    modRevision: from.count('modRevision'),
    version: from.count('version'),
  };
}

function readFinal(from: FieldReader): FinalRead {
  const replica = from.fields['replica'];
  if (typeof replica !== 'string' && typeof replica !== 'number') {
    throw malformed(from.line, '"replica" is neither a string nor a number');
  }
  return whole({
    ...readFound(from),
    replica: String(replica),
    key: from.text('key'),
    value: from.needed('value'),
    line: from.line,
  });
}

function readEntries(from: FieldReader): EntryRead[] | undefined {
  return from.list('entries', 'an entry', (entry) => {
    return whole({ ...readFound(entry), key: entry.text('key'), value: entry.text('value') });
  });
}

function readTxn(from: FieldReader, common: ReturnType<typeof readCommon>, op: 'txn'): Operation {
  const txn = whole({
    ...common,
    op,
    compares: from.list('compares', 'a compare', readCompare) ?? [],
    success: from.list('success', 'an action', readAction) ?? [],
    failure: from.list('failure', 'an action', readAction) ?? [],
    succeeded: from.flag('succeeded'),
    results: from.list('results', 'a result', readResult),
    revision: from.count('revision'),
  });
  const branch = txn.succeeded === false ? txn.failure : txn.success;
  if (txn.results !== undefined && txn.results.length !== branch.length) {
    throw malformed(from.line, `"results" has ${txn.results.length} of the ${branch.length} actions`);
  }
  return txn;
}

function readCompare(from: FieldReader): Compare {
  const key = from.text('key');
  const target = from.choice('target', [
    'exists',
    'value',
    'version',
    'create-revision',
    'mod-revision',
    'lease',
  ]);
  if (target === 'exists') {
    const exists = from.flag('exists');
    if (exists === undefined) throw malformed(from.line, '"exists" is missing');
    return { key, target, exists };
  }
  const comparison = from.choice('comparison', COMPARISONS);
  if (target === 'value') return { key, target, comparison, value: from.text('value') };
  const number = from.count('number');
  if (number === undefined) throw malformed(from.line, '"number" is missing');
  return { key, target, comparison, number };
}

function readAction(from: FieldReader): Action {
  const op = from.choice('op', ['get', 'put', 'delete', 'add', 'scan', 'delete-prefix']);
  switch (op) {
    case 'get':
    case 'delete':
      return { op, key: from.text('key') };
    case 'put':
      return { op, key: from.text('key'), value: from.text('value') };
    case 'add':
      return { op, key: from.text('key'), delta: from.decimal('delta') };
    case 'scan':
      return whole({ op, prefix: from.text('prefix'), limit: from.count('limit') });
    case 'delete-prefix':
      return { op, prefix: from.text('prefix') };
  }
}

function readResult(from: FieldReader): ActionResult {
  return whole({ ...readFound(from), entries: readEntries(from), deleted: from.count('deleted') });
}
