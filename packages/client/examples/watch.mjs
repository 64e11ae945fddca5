// A copy of a part of the data in memory, always that of some revision: read it, then follow what happens after. Where the
// cluster has forgotten what comes next, because nobody looked for too long, it is read anew.
//   node packages/client/examples/watch.mjs [HOST:PORT,…]
import { connect, KvdError } from '@kvd/client';

const kv = await connect({ endpoints: process.argv[2] ?? '127.0.0.1:15000' });
const PREFIX = 'example/copy/';

async function* copies() {
  for (;;) {
    const revision = await kv.revision();
    const copy = new Map();
    for await (const entry of kv.scan({ prefix: PREFIX, revision })) copy.set(entry.key, entry.text());
    yield copy;
    try {
      for await (const batch of kv.watch({ prefix: PREFIX, fromRevision: revision + 1 }).batches()) {
        for (const event of batch.events) {
          if (event.type === 'put') copy.set(event.keyText(), event.text());
          else copy.delete(event.keyText());
        }
        // Between the parts of one revision the copy is of no revision.
        if (!batch.more) yield copy;
      }
    } catch (error) {
      if (!(error instanceof KvdError && error.code === 'KVD_COMPACTED')) throw error;
    }
  }
}

await kv.delete({ prefix: PREFIX });
await kv.put(`${PREFIX}a`, '1');
const writing = (async () => {
  for (let i = 2; i <= 20; i++) await kv.put(`${PREFIX}${i % 2 === 0 ? 'b' : 'a'}`, String(i));
  await kv.delete(`${PREFIX}a`);
})();
for await (const copy of copies()) {
  if (copy.get(`${PREFIX}b`) === '20' && copy.size === 1) break;
}
console.log('the copy has caught up');
await writing;
await kv.close();
