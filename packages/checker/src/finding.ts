/** What the checks other than linearizability find: one thing that cannot be, told in a sentence. */

export type FindingKind =
  /** An acknowledged write is missing from what a replica holds in the end. */
  | 'lost-write'
  /** A number is not the sum of what was added: an addition was lost, or done twice. */
  | 'sum-wrong'
  /** Replicas hold different things in the end. */
  | 'replicas-differ'
  /** One mutation took effect twice. */
  | 'applied-twice'
  /** Something later has a smaller revision than something that was over before it began. */
  | 'revision-went-back'
  /** Two mutations have the same revision. */
  | 'revision-shared'
  /** A read does not fit what the write with its revision was answered. */
  | 'revision-mismatch';

export interface Finding {
  readonly kind: FindingKind;
  /** null: it is about the whole store. */
  readonly key: string | null;
  /** Indices in the history of the operations concerned. */
  readonly operations: readonly number[];
  readonly explanation: string;
}

/** Gathers findings; beyond `FINDINGS_MAX` it only counts. */
export class Findings {
  readonly list: Finding[] = [];
  count = 0;
  /** All keys that there is a finding of, also beyond the list. */
  readonly keys = new Set<string>();

  add(kind: FindingKind, key: string | null, operations: readonly number[], explanation: string): void {
    this.count++;
    if (key !== null) this.keys.add(key);
    if (this.list.length < FINDINGS_MAX) this.list.push({ kind, key, operations, explanation });
  }
}

const FINDINGS_MAX = 100;
