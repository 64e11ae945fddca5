/**
 * What the clients saw: every operation with its begin, its end and its outcome. Owns no judgement; oracle/ judges.
 */
import type { OperationKind } from './plan.js';

/** What a read saw of a key. */
export interface Seen {
  readonly key: string;
  /** Null: absent. */
  readonly value: string | null;
  readonly modRevision: number;
  readonly version: number;
}

export interface Recorded {
  readonly index: number;
  readonly client: number;
  readonly kind: OperationKind;
  readonly keys: readonly string[];
  /** Of a put; no two puts have the same. */
  readonly value: string | null;
  readonly calledMs: number;
  /** Order of begin and end among all operations. */
  readonly calledAt: number;
  returnedMs: number;
  returnedAt: number;
  /** `failed`: certainly without effect. `unknown`: it may take effect at any later time. */
  outcome: 'open' | 'ok' | 'failed' | 'unknown';
  /** Of an answer. */
  revision: number;
  /** Keys that a delete removed; -1: it did not say. */
  deleted: number;
  /** A transaction that has a revision of its own. */
  changed: boolean;
  seen: readonly Seen[];
}

export class History {
  readonly operations: Recorded[] = [];
  private order = 0;

  constructor(private readonly nowMs: () => number) {}

  call(
    index: number,
    client: number,
    kind: OperationKind,
    keys: readonly string[],
    value: string | null,
  ): Recorded {
    const recorded: Recorded = {
      index,
      client,
      kind,
      keys,
      value,
      calledMs: this.nowMs(),
      calledAt: this.order++,
      returnedMs: Number.POSITIVE_INFINITY,
      returnedAt: Number.POSITIVE_INFINITY,
      outcome: 'open',
      revision: 0,
      deleted: -1,
      changed: false,
      seen: [],
    };
    this.operations.push(recorded);
    return recorded;
  }

  end(recorded: Recorded, outcome: 'ok' | 'failed' | 'unknown'): void {
    recorded.outcome = outcome;
    if (outcome === 'unknown') return;
    recorded.returnedMs = this.nowMs();
    recorded.returnedAt = this.order++;
  }
}
