/** put, get, del, scan. */
import type { PutOptions, ScanOptions } from '@kvd/client';
import { isUtf8 } from 'node:buffer';
import { parseBytes, parseKey, printable } from '../bytes.js';
import type { Context } from '../context.js';
import { entryFields } from '../entries.js';
import { EXIT, type ExitCode, usage } from '../errors.js';
import { readAll } from '../input.js';

const VALUE_BYTES_MAX = 1024 * 1024;
const DELETE_ALL = `echo '{"then":[{"deleteRange":{"from":""}}]}' | kvctl txn -`;

export interface PutArgs {
  readonly key: string;
  readonly value: string;
  readonly lease?: number | undefined;
  readonly ifAbsent: boolean;
  readonly ifRevision?: number | undefined;
}

export async function put(context: Context, args: PutArgs): Promise<ExitCode> {
  const { key, value, lease, ifAbsent, ifRevision } = args;
  if (ifAbsent && ifRevision !== undefined) throw usage('--if-absent and --if-revision exclude each other');
  const keyBytes = parseKey(key, context.encoding);
  // Read before connecting: a slow producer must not cost the operation its time.
  const valueBytes =
    value === '-' ? await readAll('-', VALUE_BYTES_MAX) : parseBytes(value, context.encoding);
  const options: PutOptions = {
    ...context.note,
    ...(lease === undefined ? {} : { lease }),
    ...(ifAbsent ? { ifAbsent } : {}),
    ...(ifRevision === undefined ? {} : { ifRevision }),
  };
  return context.withClient(async (client) => {
    const { revision } = await client.put(keyBytes, valueBytes, options);
    await context.out.result({ revision }, `revision ${revision}`);
    return EXIT.done;
  });
}

export interface GetArgs {
  readonly key: string;
  readonly revision?: number | undefined;
}

/** Text: the value's very bytes, with a line end after text that has none. */
export async function get(context: Context, { key, revision }: GetArgs): Promise<ExitCode> {
  const keyBytes = parseKey(key, context.encoding);
  return context.withClient(async (client) => {
    const entry = await client.get(keyBytes, revision === undefined ? {} : { revision });
    if (entry === undefined) {
      const then = revision === undefined ? '' : ` at revision ${revision}`;
      context.out.negative('KVD_NOT_FOUND', `no such key${then}: ${printable(keyBytes)}`);
      return EXIT.negative;
    }
    if (context.out.format === 'text') {
      await context.out.write(entry.value);
      if (isUtf8(entry.value) && entry.value.at(-1) !== 10) await context.out.write('\n');
      return EXIT.done;
    }
    await context.out.result(entryFields(entry));
    return EXIT.done;
  });
}

export interface DelArgs {
  readonly key?: string | undefined;
  readonly prefix?: string | undefined;
  readonly ifRevision?: number | undefined;
}

/** One key, or all with a prefix. Deleting what is not there is done, too. */
export async function del(context: Context, { key, prefix, ifRevision }: DelArgs): Promise<ExitCode> {
  if ((key === undefined) === (prefix === undefined)) throw usage('del needs either KEY or --prefix P');
  if (prefix !== undefined && ifRevision !== undefined)
    throw usage('--if-revision goes with KEY, not with --prefix');
  // In a script it is a variable that was not set.
  if (prefix === '') throw usage(`--prefix needs at least one byte; to delete every key: ${DELETE_ALL}`);
  const options = { ...context.note, ...(ifRevision === undefined ? {} : { ifRevision }) };
  const target =
    key === undefined
      ? { prefix: parseBytes(prefix ?? '', context.encoding) }
      : parseKey(key, context.encoding);
  return context.withClient(async (client) => {
    const { revision, deleted } = await client.delete(target, options);
    await context.out.result({ revision, deleted }, `deleted ${deleted}, revision ${revision}`);
    return EXIT.done;
  });
}

export interface ScanArgs {
  readonly prefix?: string | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly limit?: number | undefined;
  readonly reverse: boolean;
  readonly revision?: number | undefined;
  readonly keysOnly: boolean;
  readonly count: boolean;
}

export async function scan(context: Context, args: ScanArgs): Promise<ExitCode> {
  if (args.count && (args.keysOnly || args.reverse || args.limit !== undefined)) {
    throw usage('--count goes with none of --keys-only, --limit and --reverse');
  }
  const bytes = (text: string) => parseBytes(text, context.encoding);
  const options: ScanOptions = {
    ...(args.prefix === undefined ? {} : { prefix: bytes(args.prefix) }),
    ...(args.from === undefined ? {} : { from: bytes(args.from) }),
    ...(args.to === undefined ? {} : { to: bytes(args.to) }),
    ...(args.limit === undefined ? {} : { limit: args.limit }),
    ...(args.revision === undefined ? {} : { revision: args.revision }),
    keysOnly: args.keysOnly,
    reverse: args.reverse,
    ...context.stopping,
  };
  return context.withClient(async (client) => {
    if (args.count) {
      const count = await client.count(options);
      await context.out.result({ count }, String(count));
      return EXIT.done;
    }
    for await (const entry of client.scan(options)) {
      const text = args.keysOnly ? '' : `\t${printable(entry.value)}`;
      await context.out.result(entryFields(entry, args.keysOnly), `${printable(entry.keyBytes)}${text}`);
    }
    return EXIT.done;
  });
}
