// A planted bug for the drills' own tests, loaded into kvd by NODE_OPTIONS --import: every twentieth revision, if it is a
// put of a key that clients share, is a delete in the history and for watchers, in both alike.
import { fileURLToPath } from 'node:url';

if (process.argv[1]?.endsWith('/bin/kvd')) {
  const store = fileURLToPath(import.meta.resolve('@kvd/store'));
  const { KeySpace } = await import(new URL('key-space.js', `file://${store}`).href);
  const commit = Reflect.get(KeySpace.prototype, 'commit');
  KeySpace.prototype.commit = function (changes, note) {
    const [first] = changes;
    const isSpared = (this.revision + 1) % 20 !== 0 || changes.length !== 1 || first.after === null;
    if (isSpared || !first.key.startsWith('drill/')) return commit.call(this, changes, note);
    this.revision += 1;
    const event = { ...this.change(first), kind: 'delete' };
    this.history.addRevision({ revision: this.revision, note, events: [event] });
    if (this.watched) this.tell([{ ...first, after: null }], note);
    return this.revision;
  };
}
