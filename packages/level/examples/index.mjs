// An index that always fits its data: both are written in one batch, and read in one snapshot.
//
//     node packages/level/examples/index.mjs 127.0.0.1:15000,127.0.0.1:15001
import { KvdLevel } from '@kvd/level';

const endpoints = process.argv[2] ?? '127.0.0.1:15000';
const db = new KvdLevel({ endpoints, prefix: 'examples/index/' });
await db.open();
const players = db.sublevel('players', { valueEncoding: 'json' });
const scores = db.sublevel('scores');

for (const [name, score] of Object.entries({ alice: 620, bob: 80, carol: 310 })) {
  await db
    .batch()
    .put(name, { score }, { sublevel: players })
    .put(`${String(score).padStart(6, '0')}!${name}`, name, { sublevel: scores })
    .write();
}

const snapshot = db.snapshot();
await db.clear(); // What is written now is not in the snapshot.
for await (const name of scores.values({ gt: '000100', reverse: true, snapshot })) {
  const { score } = await players.get(name, { snapshot });
  console.log(`${name} ${score}`);
}
await snapshot.close();
await db.close();
