/**
 * A reader of the part of EDN that histories are written in: maps, vectors, strings, numbers, keywords, symbols, nil, true
 * and false, comments and commas. Keywords become their name with the colon.
 */

export type Edn = string | number | boolean | null | readonly Edn[] | ReadonlyMap<Edn, Edn> | EdnString;

/** A string, as opposed to a keyword or symbol. */
export class EdnString {
  constructor(readonly text: string) {}
}

export class EdnError extends Error {}

const NESTING_MAX = 20;
const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  '"': '"',
  '\\': '\\',
  b: '\b',
  f: '\f',
};
const TOKEN = /[\s,]*(?:;[^\n]*\s*)*([[\]{}()]|"(?:[^"\\]|\\.)*"|[^\s,[\]{}()"]+)?/y;

/** The one value that `text` holds. @throws EdnError */
export function parseEdn(text: string): Edn {
  const reader = new Reader(text);
  const value = reader.value(reader.token(), 0);
  if (reader.token() !== undefined) throw new EdnError('more than one value');
  return value;
}

class Reader {
  private offset = 0;

  constructor(private readonly text: string) {}

  token(): string | undefined {
    TOKEN.lastIndex = this.offset;
    const found = TOKEN.exec(this.text);
    this.offset = TOKEN.lastIndex;
    if (found?.[1] === undefined && this.offset < this.text.length)
      throw new EdnError('a string does not end');
    return found?.[1];
  }

  value(token: string | undefined, depth: number): Edn {
    if (token === undefined) throw new EdnError('it ends too early');
    if (depth > NESTING_MAX) throw new EdnError('nested too deeply');
    if (token === '{') return mapOf(this.sequence('}', depth));
    if (token === '[') return this.sequence(']', depth);
    if (token === '(') return this.sequence(')', depth);
    if (token === ']' || token === '}' || token === ')') throw new EdnError(`unexpected ${token}`);
    if (token.startsWith('"')) return new EdnString(unescape(token.slice(1, -1)));
    if (token === 'nil') return null;
    if (token === 'true' || token === 'false') return token === 'true';
    return /^[+-]?\d+(\.\d+)?N?$/.test(token) ? Number.parseFloat(token) : token;
  }

  private sequence(end: string, depth: number): Edn[] {
    const items: Edn[] = [];
    for (let token = this.token(); token !== end; token = this.token())
      items.push(this.value(token, depth + 1));
    return items;
  }
}

function mapOf(items: readonly Edn[]): ReadonlyMap<Edn, Edn> {
  if (items.length % 2 === 1) throw new EdnError('a map with a key that has no value');
  const map = new Map<Edn, Edn>();
  for (let i = 0; i < items.length; i += 2) map.set(items[i] ?? null, items[i + 1] ?? null);
  return map;
}

function unescape(text: string): string {
  return text.replace(/\\(u[0-9a-fA-F]{4}|.)/g, (_, escape: string) => {
    if (escape.length > 1) return String.fromCharCode(Number.parseInt(escape.slice(1), 16));
    const character = ESCAPES[escape];
    if (character === undefined) throw new EdnError(`unknown escape \\${escape}`);
    return character;
  });
}
