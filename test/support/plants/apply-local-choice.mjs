// A planted bug for the drills' own tests, loaded into kvd by NODE_OPTIONS --import: replica 2 makes something of its own of
// its tenth put, as one does whose apply reads anything but the state and the batch. (S6, S12) It is a key that nobody else
// writes, so that no later put mends it before the states are compared, and takes no revision.
import { fileURLToPath } from 'node:url';

const WHICH = 10;
const OWN_WAY = Buffer.from('as replica 2 sees it');

if (process.argv[1]?.endsWith('/bin/kvd') && process.argv[process.argv.indexOf('--id') + 1] === '2') {
  const store = fileURLToPath(import.meta.resolve('@kvd/store'));
  const { StateModel } = await import(new URL('model.js', `file://${store}`).href);
  const put = Reflect.get(StateModel.prototype, 'put');
  let puts = 0;
  StateModel.prototype.put = function (...args) {
    const result = put.apply(this, args);
    puts += 1;
    if (puts === WHICH) {
      put.call(this, OWN_WAY, ...args.slice(1));
      this.revision -= 1;
    }
    return result;
  };
}
