/**
 * A reader of the part of EDN that histories are written in: maps, vectors, strings, numbers, keywords, symbols, nil, true
 * and false, comments and commas. Keywords become their name with the colon.
 */

export type Edn = string | boolean | null | readonly Edn[] | ReadonlyMap<Edn, Edn> | EdnString | EdnNumber;

/** A string, as opposed to a keyword or symbol. */
export class EdnString {
  constructor(readonly text: string) {}
}

/** A number of any size: its digits, without a plus and without zeros that say nothing. */
export class EdnNumber {
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
/** Of a string only its beginning: it may be longer than a pattern with a choice for each character can go. */
const TOKEN = /[\s,]*(?:;[^\n]*\s*)*(["[\]{}()]|[^\s,[\]{}()"]+)?/y;
const NUMBER = /^[+-]?\d+(\.\d+)?N?$/;

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
    return found?.[1] === '"' ? this.string() : found?.[1];
  }

  /** The string whose opening quote was read, with both quotes. */
  private string(): string {
    const start = this.offset - 1;
    for (; this.offset < this.text.length; this.offset++) {
      const character = this.text[this.offset];
      if (character === '"') return this.text.slice(start, ++this.offset);
      if (character === '\\') this.offset++;
    }
    throw new EdnError('a string does not end');
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
    return NUMBER.test(token) ? new EdnNumber(canonical(token)) : token;
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

/** One text for each number: 7 for +007.0 and 7N. */
function canonical(token: string): string {
  const [whole = '', fraction = ''] = token.replace(/^[+-]/, '').replace('N', '').split('.');
  const digits = whole.replace(/^0+(?=\d)/, '');
  let places = fraction.length;
  while (fraction[places - 1] === '0') places--;
  const text = places === 0 ? digits : `${digits}.${fraction.slice(0, places)}`;
  return token.startsWith('-') && text !== '0' ? `-${text}` : text;
}

function unescape(text: string): string {
  return text.replace(/\\(u[0-9a-fA-F]{4}|.)/g, (_, escape: string) => {
    if (escape.length > 1) return String.fromCharCode(Number.parseInt(escape.slice(1), 16));
    const character = ESCAPES[escape];
    if (character === undefined) throw new EdnError(`unknown escape \\${escape}`);
    return character;
  });
}
