/** put, get, del, scan. */
import type { KvdClient, ScanOptions } from '@kvd/client';
import { isUtf8 } from 'node:buffer';
import { bytesField, parseBytes, printable } from '../bytes.js';
import type { Context } from '../context.js';
import { EXIT, type ExitCode, usage } from '../errors.js';
import { readAll } from '../input.js';

const VALUE_BYTES_MAX = 1024 * 1024;

export async function put(context: Context, key: string, value: string): Promise<ExitCode> {
  const keyBytes = parseBytes(key, context.encoding);
  // Read before connecting: a slow producer must not cost the operation its time.
  const valueBytes =
    value === '-' ? await readAll('-', VALUE_BYTES_MAX) : parseBytes(value, context.encoding);
  return context.withClient(async (client) => {
    const result = await client.put(keyBytes, valueBytes);
    await context.out.result(result, `revision ${result.revision}`);
    return EXIT.done;
  });
}

/** Text: the value's very bytes, with a line end after text that has none. */
export async function get(context: Context, key: string): Promise<ExitCode> {
  const keyBytes = parseBytes(key, context.encoding);
  return context.withClient(async (client) => {
    const entry = await client.get(keyBytes);
    if (entry === undefined) {
      context.out.note(`kvctl: no such key: ${printable(keyBytes)}`);
      return EXIT.negative;
    }
    if (context.out.format === 'text') {
      await context.out.write(entry.value);
      if (isUtf8(entry.value) && entry.value.at(-1) !== 10) await context.out.write('\n');
      return EXIT.done;
    }
    const { createRevision, modRevision, version } = entry;
    const fields = { ...bytesField('key', entry.keyBytes), ...bytesField('value', entry.value) };
    await context.out.result({ ...fields, createRevision, modRevision, version });
    return EXIT.done;
  });
}

/** One key, or all with a prefix. Deleting what is not there is done, too. */
export async function del(
  context: Context,
  key: string | undefined,
  prefix: string | undefined,
): Promise<ExitCode> {
  if ((key === undefined) === (prefix === undefined)) throw usage('del needs either KEY or --prefix P');
  const remove = (client: KvdClient) =>
    key === undefined
      ? client.delete({ prefix: parseBytes(prefix ?? '', context.encoding) })
      : client.delete(parseBytes(key, context.encoding));
  return context.withClient(async (client) => {
    const { revision, deleted } = await remove(client);
    await context.out.result({ revision, deleted }, `deleted ${deleted}, revision ${revision}`);
    return EXIT.done;
  });
}

export interface ScanArgs {
  readonly prefix?: string | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly limit?: number | undefined;
  readonly keysOnly: boolean;
  readonly count: boolean;
}

export async function scan(context: Context, args: ScanArgs): Promise<ExitCode> {
  if (args.count && (args.keysOnly || args.limit !== undefined)) {
    throw usage('--count goes with neither --keys-only nor --limit');
  }
  const bytes = (text: string) => parseBytes(text, context.encoding);
  const options: ScanOptions = {
    ...(args.prefix === undefined ? {} : { prefix: bytes(args.prefix) }),
    ...(args.from === undefined ? {} : { from: bytes(args.from) }),
    ...(args.to === undefined ? {} : { to: bytes(args.to) }),
    ...(args.limit === undefined ? {} : { limit: args.limit }),
    keysOnly: args.keysOnly,
  };
  return context.withClient(async (client) => {
    if (args.count) {
      const count = await client.count(options);
      await context.out.result({ count }, String(count));
      return EXIT.done;
    }
    for await (const entry of client.scan(options)) {
      const { createRevision, modRevision, version } = entry;
      const key = bytesField('key', entry.keyBytes);
      const value = args.keysOnly ? {} : bytesField('value', entry.value);
      const text = args.keysOnly ? '' : `\t${printable(entry.value)}`;
      const json = { ...key, ...value, createRevision, modRevision, version };
      await context.out.result(json, `${printable(entry.keyBytes)}${text}`);
    }
    return EXIT.done;
  });
}
