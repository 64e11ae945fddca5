// A planted bug for the drills' own tests, loaded into kvctl by NODE_OPTIONS --import: the links between the replicas are as
// good as ever, whatever a drill tells them to be.
import { fileURLToPath } from 'node:url';

if (process.argv[1]?.endsWith('/bin/kvctl')) {
  const kvctl = fileURLToPath(import.meta.resolve('@kvd/kvctl'));
  const { LinkProxy } = await import(new URL('drill/link-proxy.js', `file://${kvctl}`).href);
  LinkProxy.prototype.set = () => undefined;
  LinkProxy.prototype.reset = () => undefined;
}
