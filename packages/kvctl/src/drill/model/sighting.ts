/** A sequence of events as somebody saw it: a watcher, or a reader of the history. And where two of them differ. Pure. */

/** An event, whoever told it. */
export interface SeenEvent {
  readonly type: 'put' | 'delete';
  readonly key: string;
  /** Empty for a delete. */
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
}

/** Events in the order in which they came. Of each only its revision and a hash are kept: there may be millions. */
export class Sighting {
  readonly revisions: number[] = [];
  readonly prints: number[] = [];

  add(event: SeenEvent): void {
    this.revisions.push(event.modRevision);
    this.prints.push(printOf(event));
  }

  get size(): number {
    return this.revisions.length;
  }

  /** The revision of the last event; 0: none yet. */
  get last(): number {
    return this.revisions.at(-1) ?? 0;
  }
}

/**
 * The first thing in which `seen` is not what `history` says up to revision `through`; null: it is the same.
 * `describe`: the event at a place of the history, for people.
 */
export function difference(
  seen: Sighting,
  history: Sighting,
  through: number,
  describe: (index: number) => string,
): string | null {
  for (let index = 0; ; index++) {
    const expected = upTo(history.revisions[index], through);
    const got = upTo(seen.revisions[index], through);
    if (expected === undefined && got === undefined) return null;
    const before = index === 0 ? 0 : (seen.revisions[index - 1] ?? 0);
    const after = `after revision ${before}`;
    if (got === undefined)
      return `${after} it saw nothing more; the history goes on with ${describe(index)}, revision ${expected}`;
    if (expected === undefined || got < expected)
      return `${after} it saw an event of revision ${got}, which came before or never was`;
    if (got > expected)
      return `${after} it saw revision ${got} and missed ${describe(index)}, revision ${expected}`;
    if (seen.prints[index] !== history.prints[index])
      return `of revision ${got} it saw something else than ${describe(index)}`;
  }
}

function upTo(revision: number | undefined, through: number): number | undefined {
  return revision !== undefined && revision <= through ? revision : undefined;
}

const FNV_BASIS = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** FNV-1a of all that an event says: enough to tell that two differ, as nobody here tries to deceive. */
function printOf({ type, key, value, createRevision, version }: SeenEvent): number {
  const text = `${type} ${createRevision} ${version} ${key.length} ${key}${value}`;
  let hash = FNV_BASIS;
  for (let index = 0; index < text.length; index++)
    hash = Math.imul(hash ^ text.charCodeAt(index), FNV_PRIME);
  return hash;
}
