// A planted bug for the drills' own tests, loaded into kvd by NODE_OPTIONS --import: replica 2 applies every hundredth put
// in its own way, as one does whose apply reads anything but the state and the batch. (S6, S12)
import { fileURLToPath } from 'node:url';

const EVERY = 100;
const OWN_WAY = Buffer.from('as replica 2 sees it');

if (process.argv[1]?.endsWith('/bin/kvd') && process.argv[process.argv.indexOf('--id') + 1] === '2') {
  const store = fileURLToPath(import.meta.resolve('@kvd/store'));
  const { StateModel } = await import(new URL('model.js', `file://${store}`).href);
  const put = Reflect.get(StateModel.prototype, 'put');
  let puts = 0;
  StateModel.prototype.put = function (key, value) {
    puts += 1;
    return put.call(this, key, puts % EVERY === 0 ? OWN_WAY : value);
  };
}
