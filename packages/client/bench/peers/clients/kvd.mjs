import { connect as connectKvd } from '@kvd/client';

export async function connect(endpoints) {
  const kv = await connectKvd({ endpoints, timeoutMs: 30_000 });
  const stale = { consistency: 'stale' };
  return {
    put: (key, value) => kv.put(key, value),
    get: async (key) => (await kv.get(key))?.value,
    stale: async (key) => (await kv.get(key, stale))?.value,
    close: () => kv.close(),
  };
}
