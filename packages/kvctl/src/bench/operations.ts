/** How each kind of operation is done with @kvd/client. No more promises here than the client's own, or they are measured. */
import { compare, type KvdClient, op } from '@kvd/client';
import { type KeySpace, keyChoice } from './keys.js';
import type { Values } from './values.js';
import type { Asked, Workload } from './workloads.js';

/** As in YCSB: 1 to 100 entries, each number as likely. */
const SCAN_ENTRIES_MAX = 100;

/** Resolves with undefined where a key was not there that should be. `startMs`: when it began, or should have. */
export type Operation = (client: KvdClient, startMs: number) => Promise<unknown>;
export type Operations = Readonly<Record<Asked, Operation>>;

export function makeOperations(
  workload: Workload,
  keys: KeySpace,
  values: Values,
  random: () => number,
): Operations {
  const choose = keyChoice(workload.distribution, keys, random);
  const key = (): string => keys.name(choose());
  return {
    put: (client) => client.put(key(), values.next()),
    get: (client) => client.get(key()),
    txn: (client) => {
      const [one, other] = twoDifferent(choose, keys);
      return putBoth(client, one, other, values);
    },
    insert: (client) => insert(client, keys, values),
    scan: (client) => scan(client, keys, key(), 1 + Math.floor(random() * SCAN_ENTRIES_MAX)),
    'read-modify-write': (client) => readModifyWrite(client, key(), values),
  };
}

function twoDifferent(choose: () => number, keys: KeySpace): [string, string] {
  const one = choose();
  const other = choose();
  // A transaction changes a key at most once.
  return [keys.name(one), keys.name(other === one ? (one + 1) % keys.count : other)];
}

async function putBoth(
  client: KvdClient,
  one: string,
  other: string,
  values: Values,
): Promise<true | undefined> {
  const { succeeded } = await client.transact({
    compares: [compare.exists(one), compare.exists(other)],
    success: [op.put(one, values.next()), op.put(other, values.next())],
    failure: [],
  });
  return succeeded ? true : undefined;
}

async function insert(client: KvdClient, keys: KeySpace, values: Values): Promise<unknown> {
  const number = keys.insert();
  try {
    return await client.put(keys.name(number), values.next());
  } finally {
    keys.inserted(number);
  }
}

async function scan(
  client: KvdClient,
  { prefix }: KeySpace,
  from: string,
  limit: number,
): Promise<number | undefined> {
  let entries = 0;
  for await (const entry of client.scan({ prefix, from, limit }))
    entries += entry.keyBytes.length > 0 ? 1 : 0;
  return entries === 0 ? undefined : entries;
}

async function readModifyWrite(client: KvdClient, key: string, values: Values): Promise<unknown> {
  const entry = await client.get(key);
  await client.put(key, values.next());
  return entry;
}
