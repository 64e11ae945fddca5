// A planted bug for the drills' own tests, loaded into kvd by NODE_OPTIONS --import: compares of create revisions, which are
// what fences the writes of a lock's holder, are not looked at.
import { fileURLToPath } from 'node:url';

if (process.argv[1]?.endsWith('/bin/kvd')) {
  const store = fileURLToPath(import.meta.resolve('@kvd/store'));
  const { StateModel } = await import(new URL('model.js', `file://${store}`).href);
  const txn = Reflect.get(StateModel.prototype, 'txn');
  StateModel.prototype.txn = function (command, ...rest) {
    const compares = command.compares.filter(({ target }) => target !== 'create-revision');
    return txn.call(this, { ...command, compares }, ...rest);
  };
}
