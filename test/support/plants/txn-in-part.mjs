// A planted bug for the drills' own tests, loaded into kvd by NODE_OPTIONS --import: of a transaction that changes two keys,
// every tenth is done in part: only the first change, as after a crash between two writes that are no batch.
import { fileURLToPath } from 'node:url';

const EVERY = 10;

if (process.argv[1]?.endsWith('/bin/kvd')) {
  const store = fileURLToPath(import.meta.resolve('@kvd/store'));
  const { KeySpace } = await import(new URL('key-space.js', `file://${store}`).href);
  const commit = Reflect.get(KeySpace.prototype, 'commit');
  KeySpace.prototype.commit = function (changes, note) {
    const isCut = changes.length === 2 && (this.revision + 1) % EVERY === 0;
    return commit.call(this, isCut ? changes.slice(0, 1) : changes, note);
  };
}
