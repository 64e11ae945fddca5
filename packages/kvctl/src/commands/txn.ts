/** txn: a transaction in JSON, as docs/API.md tells. */
import { parseTxnJson, REQUEST_BYTES_MAX } from '@kvd/protocol';
import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../errors.js';
import { readText } from '../input.js';
import { txnFields, txnText } from '../results.js';

/** As over HTTP: JSON is longer than the request that it becomes. */
const TXN_BYTES_MAX = 2 * REQUEST_BYTES_MAX;

/** Exit 0 whichever branch was taken: both are what was asked for. */
export async function txn(context: Context, file: string): Promise<ExitCode> {
  const parts = parseTxnJson(await readText(file, TXN_BYTES_MAX));
  return context.withClient(async (client) => {
    const result = await client.transact(parts, context.note);
    await context.out.result(txnFields(result), txnText(result));
    return EXIT.done;
  });
}
