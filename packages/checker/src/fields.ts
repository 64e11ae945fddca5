/** The fields of one JSON object, each read as what it has to be; says what is wrong with one, with the line's number. */
import { HistoryError, type Value } from './operation.js';
import { isPlain, textOf } from './text.js';

export type Fields = Readonly<Record<string, unknown>>;

const DECIMAL = /^(0|-?[1-9][0-9]*)$/;

export class FieldReader {
  constructor(
    readonly fields: Fields,
    readonly line: number,
  ) {}

  text(name: string): string {
    const value = this.needed(name);
    if (value === null) throw malformed(this.line, `"${name}" is null`);
    return value;
  }

  needed(name: string): Value {
    const value = this.value(name);
    if (value === undefined) throw malformed(this.line, `"${name}" is missing`);
    return value;
  }

  value(name: string): Value | undefined {
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

  time(name: string): number {
    const value = this.fields[name];
    if (typeof value !== 'number' || !Number.isFinite(value))
      throw malformed(this.line, `"${name}" is not a number`);
    return value;
  }

  count(name: string): number | undefined {
    const value = this.fields[name];
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
      throw malformed(this.line, `"${name}" is not a whole number`);
    }
    return value;
  }

  flag(name: string): boolean | undefined {
    const value = this.fields[name];
    if (value === undefined || typeof value === 'boolean') return value;
    throw malformed(this.line, `"${name}" is neither true nor false`);
  }

  /** An integer of any size: a number, or text where a number would not be exact. */
  decimal(name: string): string {
    const value = this.fields[name];
    const text = typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : value;
    if (typeof text === 'string' && DECIMAL.test(text)) return text;
    throw malformed(this.line, `"${name}" is neither a whole number nor the text of one`);
  }

  /** One of `choices`. */
  choice<T extends string>(name: string, choices: readonly T[]): T {
    const found = choices.find((choice) => choice === this.fields[name]);
    if (found !== undefined) return found;
    throw malformed(this.line, `"${name}" is not one of ${choices.join(' ')}`);
  }

  /** An array of objects, read each by `read`. */
  list<T>(name: string, what: string, read: (each: FieldReader) => T): T[] | undefined {
    const list = this.fields[name];
    if (list === undefined) return undefined;
    if (!Array.isArray(list)) throw malformed(this.line, `"${name}" is not an array`);
    return list.map((each: unknown) => {
      if (typeof each !== 'object' || each === null || Array.isArray(each))
        throw malformed(this.line, `${what} is not an object`);
      return read(new FieldReader(each as Fields, this.line));
    });
  }
}

/** Without the fields that are not there. */
export function whole<T extends object>(fields: T): Defined<T> {
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) Reflect.deleteProperty(fields, name);
  }
  return fields as Defined<T>;
}

/** T, with fields that may be undefined made optional. */
type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

export function malformed(line: number, what: string): HistoryError {
  return new HistoryError('HISTORY_MALFORMED', what, line);
}
