// A registry of services: each keeps its entry alive with a lease, and what stops doing so disappears.
//   node packages/client/examples/registry.mjs [HOST:PORT,…]
import { connect } from '@kvd/client';

const kv = await connect({ endpoints: process.argv[2] ?? '127.0.0.1:15000' });
const PREFIX = 'example/services/';

async function register(name, address) {
  const lease = await kv.lease.grant({ ttlMs: 1_000, keepAlive: true });
  await kv.put(PREFIX + name, address, { lease: lease.id });
  // If this process was stopped for too long the entry is gone: it has to register again.
  lease.signal.addEventListener('abort', () => console.log(`${name} is no longer registered`));
  return lease;
}

async function services() {
  const names = [];
  for await (const entry of kv.scan({ prefix: PREFIX })) names.push(entry.key.slice(PREFIX.length));
  return names.join(', ') || 'none';
}

const watch = kv.watch({ prefix: PREFIX });
await watch.started;
const mail = await register('mail', '10.0.0.1:25');
const web = await register('web', '10.0.0.2:80');
console.log(`services: ${await services()}`);
// As if its process had died: nobody keeps the lease alive.
web.stopKeepAlive();
for await (const event of watch) {
  if (event.type !== 'delete') continue;
  console.log(`gone: ${event.keyText().slice(PREFIX.length)}`);
  break;
}
console.log(`services: ${await services()}`);
await mail.revoke();
await kv.close();
