/** What one directory has on disk, and what it let others know of it, as the judges wrote it down. */
import type { Ballot, Identity, Incarnation, Slot } from '@kvd/paxos';

export interface DirectoryRecord {
  readonly identity: Identity;
  promised: Ballot | null;
  /** The highest ballot that left in a promise or an accepted. */
  told: Ballot | null;
  readonly accepted: Map<Slot, Ballot>;
  /** What each slot holds, by the value's hash: accepted, or fetched as chosen. */
  readonly content: Map<Slot, string>;
  chosenThrough: Slot;
  /** The slots of the configurations that its log keeps. */
  configurations: ReadonlySet<Slot>;
  cutThrough: Slot;
  /** So far goes the state that is on its disk. */
  stateThrough: Slot;
  /** So far it once held all that is chosen, before its state was damaged: that counts as a lost disk. */
  heldThrough: Slot;
  /** It has applied a configuration that names it. */
  sawItself: boolean;
  /** Through it somebody had written down what is chosen when this directory was formatted. */
  knownAtBirth: Slot;
}

export class DirectoryRecords {
  private readonly records = new Map<Incarnation, DirectoryRecord>();
  /** The furthest that any directory has written down. */
  private knownThrough: Slot = 0;

  of(identity: Identity): DirectoryRecord {
    let record = this.records.get(identity.incarnation);
    if (record === undefined) {
      record = {
        identity,
        promised: null,
        told: null,
        accepted: new Map(),
        content: new Map(),
        chosenThrough: 0,
        configurations: new Set(),
        cutThrough: 0,
        stateThrough: 0,
        heldThrough: 0,
        sawItself: false,
        knownAtBirth: this.knownThrough,
      };
      this.records.set(identity.incarnation, record);
    }
    return record;
  }

  get all(): Iterable<DirectoryRecord> {
    return this.records.values();
  }

  noteKnown(through: Slot): void {
    this.knownThrough = Math.max(this.knownThrough, through);
  }

  forget({ incarnation }: Identity): void {
    this.records.delete(incarnation);
  }
}
