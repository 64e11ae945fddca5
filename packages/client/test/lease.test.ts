/** When a lease is given up by who holds it. */
import { KvdError } from '@kvd/client';
import t from 'tap';
import type { Caller } from '../src/caller.js';
import { Leases } from '../src/lease.js';

t.test('a lease is over when its time is, by either clock: a machine may have been suspended', async (t) => {
  for (const clock of ['monotonic', 'wall'] as const) {
    let [nowMs, wallMs] = [1_000, 1_700_000_000_000];
    const caller = {
      dispatcher: { now: () => nowMs },
      mutate: async () => ({ id: 7, ttlMs: 10_000 }),
      repeat: async () => ({ ttlMs: 10_000 }),
    } as unknown as Caller;
    const lease = await new Leases(caller, () => wallMs).grant({ ttlMs: 10_000 });
    const pass = (ms: number): void => {
      if (clock === 'monotonic') nowMs += ms;
      else wallMs += ms;
    };
    pass(9_999);
    lease.checkTime();
    t.notOk(lease.signal.aborted);
    await lease.keepAliveOnce();
    pass(9_999);
    lease.checkTime();
    t.notOk(lease.signal.aborted, 'it was kept alive');
    pass(1);
    lease.checkTime();
    t.match(lease.signal, { aborted: true, reason: { code: 'KVD_LEASE_NOT_FOUND' } }, clock);
  }
});

t.test('a revocation that did nothing leaves a lease as it was: kept alive, or not', async (t) => {
  let kept = 0;
  const caller = {
    dispatcher: { now: () => performance.now() },
    mutate: async ({ type }: { type: string }) => {
      if (type === 'lease-grant') return { id: 7, ttlMs: 1_500 };
      throw new KvdError('KVD_UNAVAILABLE', 'no leader');
    },
    repeat: async () => {
      kept += 1;
      return { ttlMs: 1_500 };
    },
  } as unknown as Caller;
  const leases = new Leases(caller);
  const lease = await leases.grant({ ttlMs: 1_500, keepAlive: true });
  await t.rejects(lease.revoke(), { code: 'KVD_UNAVAILABLE' });
  const before = kept;
  while (kept === before) await new Promise((resolve) => setTimeout(resolve, 5));
  t.notOk(lease.signal.aborted);
  lease.stopKeepAlive();
  await t.rejects(lease.revoke(), { code: 'KVD_UNAVAILABLE' });
  // Its timer keeps no process alive.
  while (!lease.signal.aborted) await new Promise((resolve) => setTimeout(resolve, 5));
  t.match(lease.signal.reason, { code: 'KVD_LEASE_NOT_FOUND' }, 'it ends by itself');
});
