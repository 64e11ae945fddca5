/** `kvctl load` and `kvctl dump`: entries as JSON lines, in and out. What dump writes, load reads. */
import type { KvdClient } from '@kvd/client';
import { bytesField } from '@kvd/protocol';
import { SingleBar } from 'cli-progress';
import { isUtf8 } from 'node:buffer';
import { stat } from 'node:fs/promises';
import { parseBytes } from '../bytes.js';
import type { Context } from '../context.js';
import { CliError, EXIT, type ExitCode, refused } from '../errors.js';
import { checkInput, nameOf, openInput, readLines } from '../input.js';

/** A key and a value at their limits, every byte escaped by JSON as \u00XX. */
const LINE_BYTES_MAX = 8 * 1024 * 1024;
/** Puts under way at once; enough to fill batches, few enough that an error is near its line. */
const IN_FLIGHT_MAX = 1024;
const IN_FLIGHT_BYTES_MAX = 16 * 1024 * 1024;

export async function load(context: Context, file: string): Promise<ExitCode> {
  await checkInput(file);
  const startMs = performance.now();
  const progress = await makeProgress(file);
  try {
    const loaded = await context.withClient((client) =>
      loadFile(client, file, (bytes) => progress?.increment(bytes), context.stop),
    );
    const ms = Math.round(performance.now() - startMs);
    progress?.stop();
    await context.out.result({ loaded, ms }, `loaded ${loaded} entries in ${(ms / 1000).toFixed(1)} s`);
    return EXIT.done;
  } finally {
    progress?.stop();
  }
}

/**
 * Put every entry of a file; resolves with how many.
 * @throws CliError refused, with the line's number, on the first bad line; KvdError when a put fails. What was put
 *   before stays: loading again is harmless.
 */
export async function loadFile(
  client: KvdClient,
  file: string,
  onBytes: (bytes: number) => void = () => undefined,
  stop?: AbortSignal,
): Promise<number> {
  const puts = new PutWindow(client);
  let loaded = 0;
  try {
    for await (const { line, bytes } of readLines(await openInput(file), LINE_BYTES_MAX)) {
      stop?.throwIfAborted();
      onBytes(bytes.length + 1);
      const where = `${nameOf(file)}: line ${line}`;
      if (!isUtf8(bytes)) throw refused(`${where}: not UTF-8; keyBase64 and valueBase64 take any bytes`);
      // A byte order mark is what some editors begin a file with; to trim() it is a blank.
      const text = bytes.toString('utf8').trim();
      if (text === '') continue;
      const { key, value } = parseEntry(text, where);
      await puts.put(key, value, line);
      loaded++;
    }
  } finally {
    await puts.idle();
  }
  puts.throwIfFailed();
  return loaded;
}

/** Puts under way, bounded in number and bytes, one per key (the later line wins); remembers the first that failed. */
class PutWindow {
  private readonly keys = new Set<string>();
  private bytes = 0;
  private failure: { error: unknown; line: number } | null = null;
  private wake: (() => void) | null = null;

  constructor(private readonly client: KvdClient) {}

  async put(key: Uint8Array, value: Uint8Array, line: number): Promise<void> {
    const name = Buffer.from(key).toString('latin1');
    const bytes = key.length + value.length;
    const full = () => this.keys.size >= IN_FLIGHT_MAX || this.bytes + bytes > IN_FLIGHT_BYTES_MAX;
    while (this.keys.has(name) || (this.keys.size > 0 && full())) await this.next();
    this.throwIfFailed();
    this.keys.add(name);
    this.bytes += bytes;
    const onEnd = () => {
      this.keys.delete(name);
      this.bytes -= bytes;
      this.wake?.();
    };
    this.client.put(key, value).then(onEnd, (error: unknown) => {
      if (this.failure === null || line < this.failure.line) this.failure = { error, line };
      onEnd();
    });
  }

  async idle(): Promise<void> {
    while (this.keys.size > 0) await this.next();
  }

  throwIfFailed(): void {
    if (this.failure === null) return;
    const { error, line } = this.failure;
    if (error instanceof Error) error.message = `line ${line}: ${error.message}`;
    this.failure = null;
    throw error;
  }

  private next(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }
}

function parseEntry(line: string, where: string): { key: Uint8Array; value: Uint8Array } {
  let fields: unknown;
  try {
    fields = JSON.parse(line);
  } catch {
    throw refused(`${where}: not JSON`);
  }
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields))
    throw refused(`${where}: not an object`);
  return { key: field(fields, 'key', where), value: field(fields, 'value', where) };
}

function field(fields: object, name: string, where: string): Uint8Array {
  const text: unknown = Reflect.get(fields, name);
  const base64: unknown = Reflect.get(fields, `${name}Base64`);
  if (text !== undefined && base64 !== undefined)
    throw refused(`${where}: both "${name}" and "${name}Base64" are given`);
  if (typeof text === 'string') {
    if (!text.isWellFormed())
      throw refused(`${where}: "${name}" is no valid text; "${name}Base64" takes any bytes`);
    return Buffer.from(text, 'utf8');
  }
  if (typeof base64 !== 'string')
    throw refused(`${where}: neither "${name}" nor "${name}Base64" is a string`);
  try {
    return parseBytes(base64, 'base64');
  } catch (error) {
    if (error instanceof CliError) throw refused(`${where}: "${name}Base64": ${error.message}`);
    throw error;
  }
}

/** A bar on a terminal, where the length is known; else null. */
async function makeProgress(file: string): Promise<SingleBar | null> {
  if (!process.stderr.isTTY || file === '-') return null;
  const size = await stat(file).then(
    (s) => s.size,
    () => 0,
  );
  if (size === 0) return null;
  const bar = new SingleBar({
    stream: process.stderr,
    format: 'loading [{bar}] {percentage}% {eta_formatted}',
  });
  bar.start(size, 0);
  return bar;
}

export async function dump(context: Context, prefix: string): Promise<ExitCode> {
  const range = parseBytes(prefix, context.encoding);
  return context.withClient(async (client) => {
    for await (const entry of client.scan({ prefix: range, ...context.stopping })) {
      const line = { ...bytesField('key', entry.keyBytes), ...bytesField('value', entry.value) };
      await context.out.write(`${JSON.stringify(line)}\n`);
    }
    return EXIT.done;
  });
}
