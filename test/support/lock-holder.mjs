// A process that holds a lock, for tests that stop it: node lock-holder.mjs ENDPOINTS NAME TTL_MS. Tells on stdout, a JSON
// line each, when it has the lock, when it learns that it lost it, and for each line on stdin what became of two writes:
// one through the lock, and one that carries its token but asks only the cluster.
import { createInterface } from 'node:readline';
import { compare, connect, op } from '@kvd/client';

const [endpoints, name, ttlMs] = process.argv.slice(2);
const kv = await connect({ endpoints });
const lock = await kv.lock.acquire(name, { ttlMs: Number(ttlMs), value: `process ${process.pid}` });
const tell = (message) => console.log(JSON.stringify(message));
lock.signal.addEventListener('abort', () => tell({ event: 'lost', code: lock.signal.reason.code }));
tell({ event: 'held', token: lock.token, key: lock.key });
for await (const key of createInterface({ input: process.stdin })) {
  const byToken = kv
    .txn()
    .if(compare.createRevision(lock.key, '=', lock.token))
    .then(op.put(key, 'first holder, by token'))
    .commit();
  const byLock = lock.put(key, 'first holder').then(
    () => 'done',
    (error) => error.code,
  );
  tell({ event: 'written', byLock: await byLock, byToken: (await byToken).succeeded });
}
await kv.close();
