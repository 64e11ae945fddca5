/**
 * A process of its own that wants a lock and writes through it all the time, for the drill lock-holder-paused, which stops
 * it. Stands in the queue whenever its parent says so, and tells it what becomes of its writes. Its arguments: the
 * endpoints, the lock's name, the key to write, the lease's ms.
 */
import { compare, connect, type KvdClient, KvdError, type Lock, op } from '@kvd/client';
import { setTimeout as sleep } from 'node:timers/promises';

export type HolderTold =
  /** A write through the lock was acknowledged. */
  | { readonly type: 'wrote' }
  /** A write through the lock was refused with `code`; the cluster accepted one that was sent without asking, or not. */
  | { readonly type: 'refused'; readonly code: string; readonly accepted: boolean };

const CONNECT_MS = 20_000;
const BETWEEN_WRITES_MS = 10;
const RETRY_MS = 50;

const [endpoints = '', name = '', key = '', ttl = '0'] = process.argv.slice(2);

function tell(told: HolderTold): void {
  process.send?.(told);
}

/** From acquiring the lock until it is lost. @throws KvdError when it cannot be acquired */
async function hold(kv: KvdClient): Promise<void> {
  const lock = await kv.lock.acquire(name, { ttlMs: Number(ttl) });
  const code = await writeUntilLost(lock);
  tell({ type: 'refused', code, accepted: await defy(kv, lock) });
}

async function writeUntilLost(lock: Lock): Promise<string> {
  for (let count = 1; ; count++) {
    try {
      await lock.put(key, `${lock.token} ${count}`);
      tell({ type: 'wrote' });
      await sleep(BETWEEN_WRITES_MS);
    } catch (error) {
      const { code } = asKvdError(error);
      if (code === 'KVD_LOCK_LOST') return code;
      await sleep(RETRY_MS);
    }
  }
}

/** The client refuses by itself what it knows to be lost: so send the same to the cluster without asking it. */
async function defy(kv: KvdClient, lock: Lock): Promise<boolean> {
  for (;;) {
    try {
      const holds = compare.createRevision(lock.key, '=', lock.token);
      const write = op.put(key, `${lock.token} in defiance`);
      return (await kv.txn().if(holds).then(write).commit()).succeeded;
    } catch (error) {
      asKvdError(error);
      await sleep(RETRY_MS);
    }
  }
}

function asKvdError(error: unknown): KvdError {
  if (error instanceof KvdError) return error;
  throw error;
}

const client = connect({ endpoints, name: `holder-${process.pid}`, connectTimeoutMs: CONNECT_MS });

/** Also when the cluster is of no use for a while. */
async function holdOnce(): Promise<void> {
  const kv = await client;
  for (;;) {
    try {
      await hold(kv);
      return;
    } catch (error) {
      asKvdError(error);
      await sleep(RETRY_MS);
    }
  }
}

process.on('message', () => void holdOnce());
process.on('disconnect', () => process.exit(0));
