/**
 * @kvd/client: a kvd cluster from TypeScript.
 *
 *     import { connect } from '@kvd/client';
 *     const kv = await connect({ endpoints: ['127.0.0.1:15000', '127.0.0.1:15001'] });
 *     await kv.put('a', '1');
 *     const entry = await kv.get('a');
 *     console.log(entry?.text());
 *     await kv.close();
 */
export { type Consistency, ERRORS, type ErrorCode, KvdError, type Outcome } from '@kvd/protocol';
export type { Bytes } from './bytes.js';
export { connect, type DeleteResult, KvdClient, type PutResult } from './client.js';
export type { Entry } from './entry.js';
export type {
  ConnectOptions,
  CountOptions,
  OperationOptions,
  RangeOptions,
  ReadOptions,
  ScanOptions,
} from './options.js';
