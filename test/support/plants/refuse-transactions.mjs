// A planted bug for the drills' own tests, loaded into kvd by NODE_OPTIONS --import: transactions are refused, but for the
// one that opens the bank.
import { fileURLToPath } from 'node:url';

if (process.argv[1]?.endsWith('/bin/kvd')) {
  const load = async (name) => import(`file://${fileURLToPath(import.meta.resolve(name))}`);
  const { Replica } = await load('@kvd/replica');
  const { decodeCommand } = await load('@kvd/protocol');
  const { request } = Replica.prototype;
  Replica.prototype.request = function (sink, requestId, asked) {
    let command = asked.type === 'mutate' ? decodeCommand(asked.command) : { type: 'none' };
    if (command.type === 'keyed') command = decodeCommand(command.command);
    // It opens all accounts at once.
    const isRefused = command.type === 'txn' && command.success.length < 10;
    const error = { type: 'error', code: 'KVD_BAD_REQUEST', message: 'transactions are refused' };
    return isRefused ? sink.reply(requestId, error) : request.call(this, sink, requestId, asked);
  };
}
