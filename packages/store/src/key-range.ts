/**
 * Ranges of user keys over layers and disk: what of the layers falls into one, and which disk keys it spans.
 */
import type { KvRecord } from './kv-record.js';
import type { KeyRange } from './ordered-store.js';
import { generationPrefix, KIND_KEY, kvKey } from './state-records.js';
import type { Layer } from './write-back.js';

/** Keys k, as text, with from <= k < to; an empty `to` means no upper bound. */
export interface TextRange {
  readonly from: string;
  readonly to: string;
}

export function isIn(key: string, { from, to }: TextRange): boolean {
  return key >= from && (to === '' || key < to);
}

/** What the layers (newest first) say about keys in the range; null: deleted. */
export function overlayIn(range: TextRange, layers: readonly Layer[]): Map<string, KvRecord | null> {
  const overlay = new Map<string, KvRecord | null>();
  for (const layer of layers) {
    for (const [key, record] of layer) {
      if (isIn(key, range) && !overlay.has(key)) overlay.set(key, record);
    }
  }
  return overlay;
}

export function diskRange(generation: number, { from, to }: TextRange): KeyRange {
  const prefix = generationPrefix(generation);
  const end = Buffer.concat([prefix, Buffer.of(KIND_KEY + 1)]);
  return { gte: kvKey(prefix, from), lt: to === '' ? end : kvKey(prefix, to) };
}
