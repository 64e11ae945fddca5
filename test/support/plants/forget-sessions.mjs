// A planted bug for the drills' own tests, loaded into kvd by NODE_OPTIONS --import: the results of mutations are not
// remembered, so what a client sends again is done again. (S8)
import { fileURLToPath } from 'node:url';

if (process.argv[1]?.endsWith('/bin/kvd')) {
  const store = fileURLToPath(import.meta.resolve('@kvd/store'));
  const { SessionTable } = await import(new URL('sessions.js', `file://${store}`).href);
  const { IdempotencyTable } = await import(new URL('idempotency.js', `file://${store}`).href);
  SessionTable.prototype.store = () => undefined;
  IdempotencyTable.prototype.keep = () => undefined;
}
