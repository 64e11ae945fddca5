/** Reads what users hand in, files or stdin (`-`), whole or line by line; each with a bound. */
import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { CliError, EXIT, reasonOf, refused, usage } from './errors.js';

/** The file's bytes, or stdin's for `-`. @throws CliError when it cannot be read or is longer than `bytesMax` */
export async function readAll(file: string, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of await openInput(file)) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > bytesMax) {
      throw new CliError(
        EXIT.refused,
        'KVD_TOO_LARGE',
        `${nameOf(file)}: more than the ${bytesMax} bytes allowed`,
      );
    }
  }
  return Buffer.concat(chunks);
}

/** As text. @throws CliError as readAll, and refused when it is no UTF-8 */
export async function readText(file: string, bytesMax: number): Promise<string> {
  const bytes = await readAll(file, bytesMax);
  if (isUtf8(bytes)) return bytes.toString('utf8');
  let [line, start] = [1, 0];
  for (let end = bytes.indexOf(10); end >= 0 && isUtf8(bytes.subarray(start, end)); line++) {
    start = end + 1;
    end = bytes.indexOf(10, start);
  }
  throw refused(`${nameOf(file)}: line ${line}: not UTF-8`);
}

/** A stream of the file or of stdin. @throws CliError usage when there is no such file, or it is a directory */
export async function openInput(file: string): Promise<Readable> {
  if (file === '-') return process.stdin;
  await checkInput(file);
  return createReadStream(file);
}

/** @throws CliError usage when it cannot be read */
export async function checkInput(file: string): Promise<void> {
  // A directory can be opened; only reading it fails, and does not say which.
  if (file !== '-' && (await isDirectory(file))) throw usage(`cannot read ${file}: it is a directory`);
}

/** @throws CliError usage when it cannot be opened */
async function isDirectory(file: string): Promise<boolean> {
  try {
    const handle = await open(file, 'r');
    try {
      return (await handle.stat()).isDirectory();
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw usage(`cannot read ${file}: ${reasonOf(error)}`);
  }
}

/** A line of input, without its end. */
export interface InputLine {
  /** From 1. */
  readonly line: number;
  readonly bytes: Buffer;
}

/** The lines of a stream, bounded: a file without line ends must not fill the memory. */
export async function* readLines(
  input: AsyncIterable<Buffer>,
  lineBytesMax: number,
): AsyncGenerator<InputLine> {
  let rest: Buffer[] = [];
  let restBytes = 0;
  let line = 0;
  for await (const chunk of input) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      rest.push(chunk.subarray(start, end));
      yield { line: ++line, bytes: withoutReturn(Buffer.concat(rest)) };
      rest = [];
      restBytes = 0;
      start = end + 1;
    }
    rest.push(chunk.subarray(start));
    restBytes += chunk.length - start;
    if (restBytes > lineBytesMax)
      throw refused(`line ${line + 1}: longer than the ${lineBytesMax} bytes allowed`);
  }
  if (restBytes > 0) yield { line: ++line, bytes: withoutReturn(Buffer.concat(rest)) };
}

export function nameOf(file: string): string {
  return file === '-' ? 'stdin' : file;
}

function withoutReturn(line: Buffer): Buffer {
  return line.at(-1) === 13 ? line.subarray(0, -1) : line;
}
