/** Splits a line into words as a shell would: blanks, single and double quotes, backslash, # comments. Pure. */

/** Why a line is no list of words. */
export class WordsError extends Error {
  override name = 'WordsError';
}

/** A double-quoted backslash means itself before anything but these, as in a shell. */
const ESCAPED_IN_QUOTES = '"\\$`';

export interface Word {
  readonly text: string;
  /** Was any of it quoted or escaped? Then it is a value, whatever it looks like. */
  readonly isQuoted: boolean;
}

/** The words of `line`, without their quotes. @throws WordsError as readWords */
export function splitWords(line: string): string[] {
  return readWords(line).map(({ text }) => text);
}

/**
 * The words of `line`. A # that begins a word begins a comment; nothing is expanded.
 * @throws WordsError on a quote that is not closed, or a backslash at the end
 */
export function readWords(line: string): Word[] {
  const words: Word[] = [];
  let at = 0;
  while (at < line.length) {
    if (/\s/.test(line.charAt(at))) {
      at++;
      continue;
    }
    if (line.charAt(at) === '#') break;
    const [text, next] = readWord(line, at);
    // A word that is all as it was written had no quotes.
    words.push({ text, isQuoted: text.length !== next - at });
    at = next;
  }
  return words;
}

function readWord(line: string, start: number): [text: string, next: number] {
  let word = '';
  let at = start;
  while (at < line.length && !/\s/.test(line.charAt(at))) {
    const c = line.charAt(at);
    if (c === "'") {
      const end = line.indexOf("'", at + 1);
      if (end < 0) throw new WordsError(`the quote ' in column ${at + 1} is not closed`);
      word += line.slice(at + 1, end);
      at = end + 1;
    } else if (c === '"') {
      const [text, next] = readDoubleQuoted(line, at);
      word += text;
      at = next;
    } else if (c === '\\') {
      if (at + 1 === line.length) throw new WordsError('a backslash at the end of the line escapes nothing');
      word += line.charAt(at + 1);
      at += 2;
    } else {
      word += c;
      at++;
    }
  }
  return [word, at];
}

function readDoubleQuoted(line: string, open: number): [text: string, next: number] {
  let text = '';
  for (let at = open + 1; at < line.length; at++) {
    const c = line.charAt(at);
    if (c === '"') return [text, at + 1];
    if (c === '\\' && at + 1 < line.length && ESCAPED_IN_QUOTES.includes(line.charAt(at + 1))) at++;
    text += line.charAt(at);
  }
  throw new WordsError(`the quote " in column ${open + 1} is not closed`);
}
