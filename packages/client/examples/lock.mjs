// Work that only one program may do at a time. What is written through the lock is refused by the cluster as soon as the
// lock has gone to somebody else, even if this process was stopped meanwhile and does not know.
//   node packages/client/examples/lock.mjs [HOST:PORT,…]
import { connect, KvdError } from '@kvd/client';

const kv = await connect({ endpoints: process.argv[2] ?? '127.0.0.1:15000' });

async function work(name) {
  const lock = await kv.lock.acquire('example', { ttlMs: 5_000, value: name, timeoutMs: 60_000 });
  try {
    // Hand lock.signal to whatever takes long: it fires when the lock is lost.
    const last = await kv.get('example/report', { signal: lock.signal });
    await lock.put('example/report', `${last?.text() ?? ''}${name} `);
    console.log(`${name} was in`);
  } catch (error) {
    if (!(error instanceof KvdError && error.code === 'KVD_LOCK_LOST')) throw error;
    console.log(`${name} lost the lock: nothing was written`);
  } finally {
    await lock.release();
  }
}

await kv.delete('example/report');
await Promise.all(['ann', 'bob', 'cleo'].map(work));
console.log(`report: ${(await kv.get('example/report')).text().trim().split(' ').length} entries`);
await kv.close();
