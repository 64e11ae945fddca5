/**
 * @kvd/client: a kvd cluster from TypeScript.
 *
 *     import { connect } from '@kvd/client';
 *     const kv = await connect({ endpoints: ['127.0.0.1:15000', '127.0.0.1:15001'] });
 *     await kv.put('a', '1');
 *     const entry = await kv.get('a');
 *     console.log(entry?.text());
 *     await kv.close();
 *
 * Everything is in docs/API.md; packages/client/examples has programs to begin from.
 */
export {
  type Compare,
  type Comparison,
  type Consistency,
  ERRORS,
  type ErrorCode,
  KvdError,
  type Outcome,
  type TxnOperation,
} from '@kvd/protocol';
export type { Bytes } from './bytes.js';
export { connect, KvdClient, type Retention } from './client.js';
export type { CampaignOptions, Election, Leader, Leadership } from './election.js';
export type { Entry } from './entry.js';
export type { Fenced } from './fenced.js';
export type { GrantOptions, Lease, Leases, LeaseStatus } from './lease.js';
export type { Lock, LockOptions, Locks } from './lock.js';
export type {
  ConnectOptions,
  CountOptions,
  DeleteOptions,
  GetOptions,
  HistoryOptions,
  KeysOptions,
  MutationOptions,
  OperationOptions,
  PutOptions,
  RangeOptions,
  ReadOptions,
  ScanOptions,
} from './options.js';
export type { AppliedResult, OperationName, OperationOutcome } from './outcome.js';
export type { ContendOptions } from './ownership.js';
export type { HistoryRevision } from './reads.js';
export {
  type AddDone,
  compare,
  type DeleteDone,
  type GetDone,
  op,
  type OperationDone,
  type PutDone,
  type TxnBuilder,
  type TxnParts,
  type TxnResult,
} from './txn.js';
export type { Watch, WatchBatch } from './watch.js';
export type { WatchEvent } from './watch-event.js';
export type { WatchOptions } from './watch-options.js';
export type { AddResult, DeleteResult, PutResult } from './writes.js';
