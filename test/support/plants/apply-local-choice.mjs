// A planted bug for the drills' own tests, loaded into kvd by NODE_OPTIONS --import: replica 2 makes something of its own of
// the tenth revision, as one does whose apply reads anything but the state and the batch. (S6, S12) It is a key that nobody
// else writes, so that no later put mends it before the states are compared.
import { fileURLToPath } from 'node:url';

const WHICH = 10;
const OWN_WAY = 'as replica 2 sees it';

if (process.argv[1]?.endsWith('/bin/kvd') && process.argv[process.argv.indexOf('--id') + 1] === '2') {
  const store = fileURLToPath(import.meta.resolve('@kvd/store'));
  const { KeySpace } = await import(new URL('key-space.js', `file://${store}`).href);
  const commit = Reflect.get(KeySpace.prototype, 'commit');
  KeySpace.prototype.commit = function (changes, note) {
    if (this.revision + 1 !== WHICH) return commit.call(this, changes, note);
    const bytes = Buffer.from(OWN_WAY);
    const own = { key: OWN_WAY, before: null, after: this.recordOfPut(bytes, bytes, null) };
    return commit.call(this, [...changes, own], note);
  };
}
