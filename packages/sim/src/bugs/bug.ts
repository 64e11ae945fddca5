/** What a planted bug is: a name, what it gets wrong, and the parts that get it wrong. */
import type { Parts } from '../parts.js';
import type { Patches } from './patches.js';

export interface Bug {
  readonly name: string;
  readonly title: string;
  /** The cluster it needs; null: any. */
  readonly replicas: number | null;
  /** The scenario that it shows in; null: any seed may show it. */
  readonly scenario: string | null;
  /** Parts for one run; `patches` are taken back after it. */
  readonly plant: (patches: Patches) => Parts;
}
