// A planted bug for the drills' own tests, loaded into kvd by NODE_OPTIONS --import: a linearizable read is answered from
// what the replica at hand has applied, without asking a quorum whether that is the latest. (S7)
import { Replica } from '@kvd/replica';

if (process.argv[1]?.endsWith('/bin/kvd')) {
  const request = Reflect.get(Replica.prototype, 'request');
  Replica.prototype.request = function (sink, requestId, asked) {
    const isRead = asked.type === 'get' || asked.type === 'scan';
    request.call(this, sink, requestId, isRead ? { ...asked, consistency: 'stale' } : asked);
  };
}
