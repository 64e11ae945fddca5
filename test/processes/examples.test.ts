/** The examples of @kvd/client do what they say, on a real cluster; each twice, for what it left must not be in its way. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { root, runProgram, startCluster } from '../support/cluster.js';

/** What each writes to stdout. */
const expected: Readonly<Record<string, readonly string[]>> = {
  'config.mjs': ['version 8: 8 settings'],
  'lock.mjs': ['ann was in', 'bob was in', 'cleo was in', 'report: 3 entries'],
  'election.mjs': ['leader: ann', 'leader: bob'],
  'watch.mjs': ['the copy has caught up'],
  'registry.mjs': ['services: mail, web', 'gone: web', 'services: mail', 'web is no longer registered'],
};

const examples = path.join(root, 'packages', 'client', 'examples');

t.test('every example runs', async (t) => {
  const cluster = await startCluster({ replicas: 3 });
  t.teardown(() => cluster.close());
  t.same(readdirSync(examples).sort(), Object.keys(expected).sort(), 'each is here');
  for (const [name, lines] of Object.entries(expected)) {
    for (const run of ['once', 'and again']) {
      const { code, stdout, stderr } = await runProgram(path.join(examples, name), [
        cluster.endpoints.join(','),
      ]);
      t.equal(stderr, '');
      t.equal(code, 0);
      // Who comes first among those that ask at the same time is anybody's guess.
      t.same(stdout.trimEnd().split('\n').sort(), [...lines].sort(), `${name} ${run}`);
    }
  }
});
