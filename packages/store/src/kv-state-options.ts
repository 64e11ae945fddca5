import { DEFAULT_APART_BYTES } from './kv-record.js';

export interface KvStateOptions {
  /** Clean records kept in memory (record-cache.ts). */
  readonly cacheBytes: number;
  /** Values of so many bytes or more lie apart (kv-record.ts); at least 1. Replicas need not agree. */
  readonly apartBytes: number;
}

export const DEFAULT_STATE_OPTIONS: KvStateOptions = {
  // Room for a million records of 100 B, which LevelDB takes fifty times as long to read. Taken as it is needed.
  cacheBytes: 192 * 1024 * 1024,
  apartBytes: DEFAULT_APART_BYTES,
};
