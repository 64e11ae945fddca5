/**
 * The checker's own format, docs/CHECKER.md: one JSON object a line, for an operation, for a final read, or (first) for what
 * is said of the whole history. Reads and writes lines; opens no files.
 */
import {
  type EntryRead,
  type FinalRead,
  HistoryError,
  missingField,
  type Operation,
  type Value,
} from './operation.js';
import { bytesOf, isPlain, isRaw, textOf } from './text.js';

export type HistoryLine =
  | { readonly type: 'operation'; readonly operation: Operation }
  | { readonly type: 'final'; readonly final: FinalRead }
  | { readonly type: 'header'; readonly initial: Value; readonly baseRevision: number | undefined };

type Fields = Readonly<Record<string, unknown>>;

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
  return new LineReader(value as Fields, line).read();
}

/** The fields of one line; says what is wrong with them, with the line's number. */
class LineReader {
  constructor(
    private readonly fields: Fields,
    private readonly line: number,
  ) {}

  read(): HistoryLine {
    const op = this.fields['op'];
    if (op === 'history') {
      return {
        type: 'header',
        initial: this.value('initial') ?? null,
        baseRevision: this.count('baseRevision'),
      };
    }
    if (op === 'final') return { type: 'final', final: this.final() };
    const operation = this.operation(op);
    const missing = missingField(operation);
    if (missing !== undefined) throw malformed(this.line, `"${missing}" is missing`);
    return { type: 'operation', operation };
  }

  private operation(op: unknown): Operation {
    const common = this.common();
    switch (op) {
      case 'get':
        return this.whole({
          ...common,
          op,
          key: this.text('key'),
          value: this.value('value'),
          modRevision: this.count('modRevision'),
          version: this.count('version'),
        });
      case 'put':
      case 'append':
        return this.whole({
          ...common,
          op,
          key: this.text('key'),
          value: this.text('value'),
          revision: this.count('revision'),
        });
      case 'delete':
        return this.whole({
          ...common,
          op,
          key: this.text('key'),
          deleted: this.count('deleted'),
          revision: this.count('revision'),
        });
      case 'cas':
        return this.whole({
          ...common,
          op,
          key: this.text('key'),
          expected: this.needed('expected'),
          value: this.needed('value'),
          swapped: this.flag('swapped'),
          revision: this.count('revision'),
        });
      case 'scan':
        return this.whole({
          ...common,
          op,
          prefix: this.text('prefix'),
          limit: this.count('limit'),
          entries: this.entries(),
        });
      case 'delete-prefix':
        return this.whole({
          ...common,
          op,
          prefix: this.text('prefix'),
          deleted: this.count('deleted'),
          revision: this.count('revision'),
        });
      default:
        throw malformed(this.line, `"op" is ${JSON.stringify(op) ?? 'missing'}, not a known operation`);
    }
  }

  private common() {
    const outcome = this.fields['outcome'];
    if (outcome !== 'ok' && outcome !== 'fail' && outcome !== 'unknown') {
      throw malformed(this.line, '"outcome" is not one of ok, fail, unknown');
    }
    const start = this.time('start');
    const end = this.fields['end'] === undefined || this.fields['end'] === null ? null : this.time('end');
    if (end !== null && end < start) throw malformed(this.line, '"end" is before "start"');
    const client = this.fields['client'];
    if (typeof client !== 'string' && typeof client !== 'number') {
      throw malformed(this.line, '"client" is neither a string nor a number');
    }
    const error = this.fields['error'];
    return {
      client: String(client),
      start,
      end,
      outcome,
      error: typeof error === 'string' ? error : undefined,
      line: this.line,
    } as const;
  }

  private final(): FinalRead {
    const replica = this.fields['replica'];
    if (typeof replica !== 'string' && typeof replica !== 'number') {
      throw malformed(this.line, '"replica" is neither a string nor a number');
    }
    return this.whole({
      replica: String(replica),
      key: this.text('key'),
      value: this.needed('value'),
      modRevision: this.count('modRevision'),
      version: this.count('version'),
      line: this.line,
    });
  }

  private entries(): EntryRead[] | undefined {
    const entries = this.fields['entries'];
    if (entries === undefined) return undefined;
    if (!Array.isArray(entries)) throw malformed(this.line, '"entries" is not an array');
    return entries.map((entry: unknown) => {
      if (typeof entry !== 'object' || entry === null)
        throw malformed(this.line, 'an entry is not an object');
      const reader = new LineReader(entry as Fields, this.line);
      return this.whole({
        key: reader.text('key'),
        value: reader.text('value'),
        modRevision: reader.count('modRevision'),
        version: reader.count('version'),
      });
    });
  }

  private text(name: string): string {
    const value = this.needed(name);
    if (value === null) throw malformed(this.line, `"${name}" is null`);
    return value;
  }

  private needed(name: string): Value {
    const value = this.value(name);
    if (value === undefined) throw malformed(this.line, `"${name}" is missing`);
    return value;
  }

  private value(name: string): Value | undefined {
    const base64 = this.fields[`${name}Base64`];
    if (base64 !== undefined) {
      if (typeof base64 !== 'string') throw malformed(this.line, `"${name}Base64" is not a string`);
      const bytes = Buffer.from(base64, 'base64');
      if (bytes.toString('base64') !== base64) throw malformed(this.line, `"${name}Base64" is not base64`);
      return textOf(bytes);
    }
    const value = this.fields[name];
    if (value === undefined || value === null) return value;
    if (typeof value !== 'string') throw malformed(this.line, `"${name}" is neither a string nor null`);
    if (!isPlain(value))
      throw malformed(this.line, `"${name}" holds half a surrogate pair; bytes go into "${name}Base64"`);
    return value;
  }

  private time(name: string): number {
    const value = this.fields[name];
    if (typeof value !== 'number' || !Number.isFinite(value))
      throw malformed(this.line, `"${name}" is not a number`);
    return value;
  }

  private count(name: string): number | undefined {
    const value = this.fields[name];
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
      throw malformed(this.line, `"${name}" is not a whole number`);
    }
    return value;
  }

  private flag(name: string): boolean | undefined {
    const value = this.fields[name];
    if (value === undefined || typeof value === 'boolean') return value;
    throw malformed(this.line, `"${name}" is neither true nor false`);
  }

  /** Without the fields that are not there. */
  private whole<T extends object>(fields: T): Defined<T> {
    for (const [name, value] of Object.entries(fields)) {
      if (value === undefined) Reflect.deleteProperty(fields, name);
    }
    return fields as Defined<T>;
  }
}

/** T, with fields that may be undefined made optional. */
type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

function malformed(line: number, what: string): HistoryError {
  return new HistoryError('HISTORY_MALFORMED', what, line);
}
