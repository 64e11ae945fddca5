/**
 * The plain history of the reference: every revision's events and every key's versions, all of them, for ever. What a
 * read of the past, a page of the history or a watcher may be told is looked up here.
 */
import type { RevisionNote } from '@kvd/protocol';

/** An entry; keys and values are text of one character a byte. */
export interface PlainEntry {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: number;
}

/** `after` null: it was deleted. */
export interface PlainEvent {
  readonly key: string;
  readonly before: PlainEntry | null;
  readonly after: PlainEntry | null;
}

export interface PlainRevision {
  readonly revision: number;
  readonly note: RevisionNote;
  readonly events: readonly PlainEvent[];
}

/** Keys k with from <= k < to; an empty `to` means no upper bound. */
export interface PlainRange {
  readonly from: string;
  readonly to: string;
}

export function holds({ from, to }: PlainRange, key: string): boolean {
  return key >= from && (to === '' || key < to);
}

export class Versions {
  /** Revision r is at index r - 1. */
  readonly revisions: PlainRevision[] = [];
  /** Of each key, ascending; null: absent from then on. */
  private readonly byKey = new Map<
    string,
    { readonly revision: number; readonly entry: PlainEntry | null }[]
  >();
  private readonly present = new Map<string, PlainEntry>();

  get revision(): number {
    return this.revisions.length;
  }

  get(key: string): PlainEntry | null {
    return this.present.get(key) ?? null;
  }

  /** All that ever were. */
  keys(): Iterable<string> {
    return this.byKey.keys();
  }

  keysIn(range: PlainRange): string[] {
    return [...this.present.keys()].filter((key) => holds(range, key)).sort();
  }

  commit(events: readonly PlainEvent[], note: RevisionNote): number {
    const revision = this.revision + 1;
    this.revisions.push({ revision, note, events });
    for (const { key, after } of events) {
      if (after === null) this.present.delete(key);
      else this.present.set(key, after);
      const versions = this.byKey.get(key) ?? [];
      versions.push({ revision, entry: after });
      this.byKey.set(key, versions);
    }
    return revision;
  }

  /** What the key had after this revision. */
  at(key: string, revision: number): PlainEntry | null {
    const versions = this.byKey.get(key) ?? [];
    for (let i = versions.length - 1; i >= 0; i--) {
      const version = versions[i];
      if (version !== undefined && version.revision <= revision) return version.entry;
    }
    return null;
  }

  /** All entries of the range after this revision, in key order. */
  scan(range: PlainRange, revision: number): PlainEntry[] {
    const entries: PlainEntry[] = [];
    for (const key of this.byKey.keys()) {
      const entry = holds(range, key) ? this.at(key, revision) : null;
      if (entry !== null) entries.push(entry);
    }
    return entries.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** Of what the revisions from `from` through `through` did, what concerns the range. */
  events(range: PlainRange, from: number, through: number): PlainRevision[] {
    return this.revisions.slice(Math.max(0, from - 1), through).flatMap((done) => {
      const events = done.events.filter(({ key }) => holds(range, key));
      return events.length === 0 ? [] : [{ ...done, events }];
    });
  }
}
