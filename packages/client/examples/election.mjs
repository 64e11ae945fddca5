// Several candidates, one leader at a time, and everybody sees who it is.
//   node packages/client/examples/election.mjs [HOST:PORT,…]
import { connect } from '@kvd/client';

const kv = await connect({ endpoints: process.argv[2] ?? '127.0.0.1:15000' });
const election = kv.election('example');

async function candidate(name) {
  const leadership = await election.campaign(name, { ttlMs: 5_000 });
  await leadership.proclaim(`${name}, in office`);
  // Writes through the leadership are fenced like those through a lock.
  await leadership.put('example/decree', `by ${name}`);
  await leadership.resign();
}

const terms = new Set();
let candidates;
for await (const leader of election.observe()) {
  // What is so now comes first; nobody can come and go unseen after it.
  candidates ??= Promise.all([candidate('ann'), candidate('bob')]);
  if (leader === undefined) {
    if (terms.size === 2) break;
    continue;
  }
  if (!terms.has(leader.token)) console.log(`leader: ${leader.text().split(',')[0]}`);
  terms.add(leader.token);
}
await candidates;
await kv.close();
