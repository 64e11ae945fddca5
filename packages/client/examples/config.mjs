// Configuration that several programs change at the same time, none of them over the changes of another: read, change,
// and write only if nobody wrote in between (compare and set).
//   node packages/client/examples/config.mjs [HOST:PORT,…]
import { connect, KvdError } from '@kvd/client';

const kv = await connect({ endpoints: process.argv[2] ?? '127.0.0.1:15000', principal: 'config example' });
const KEY = 'example/config';

async function change(update) {
  for (;;) {
    const entry = await kv.get(KEY);
    const config = update(entry === undefined ? {} : JSON.parse(entry.text()));
    try {
      // 0: only if it is absent.
      return await kv.put(KEY, JSON.stringify(config), { ifRevision: entry?.modRevision ?? 0 });
    } catch (error) {
      // Somebody was faster: look at what they wrote, and try again.
      if (!(error instanceof KvdError && error.code === 'KVD_CONDITION_FALSE')) throw error;
    }
  }
}

await kv.delete(KEY);
await Promise.all(
  Array.from({ length: 8 }, (_, i) => change((config) => ({ ...config, [`setting${i}`]: i }))),
);
const entry = await kv.get(KEY);
console.log(`version ${entry.version}: ${Object.keys(JSON.parse(entry.text())).length} settings`);
await kv.close();
