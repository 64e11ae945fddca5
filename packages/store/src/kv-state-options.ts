import { DEFAULT_APART_BYTES } from './kv-record.js';
import { DEFAULT_SPAN_REVISIONS } from './version-spans.js';

export interface KvStateOptions {
  /** Clean records kept in memory (record-cache.ts). */
  readonly cacheBytes: number;
  /** Values of so many bytes or more lie apart (kv-record.ts); at least 1. Replicas need not agree. */
  readonly apartBytes: number;
  /** Revisions in a span of the history (version-spans.ts). Of one directory always the same. */
  readonly spanRevisions: number;
  /** Where superseded versions are written. Tests make directories of format 4 with it. */
  readonly versions: 'spans' | 'as-format-4';
}

export const DEFAULT_STATE_OPTIONS: KvStateOptions = {
  // Room for a million records of 100 B, which LevelDB takes fifty times as long to read. Taken as it is needed.
  cacheBytes: 192 * 1024 * 1024,
  apartBytes: DEFAULT_APART_BYTES,
  spanRevisions: DEFAULT_SPAN_REVISIONS,
  versions: 'spans',
};
