/** When a lease is given up by who holds it. */
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
