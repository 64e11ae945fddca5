/**
 * Which watchers does a change of this key concern? An index of the ranges that are watched, so that ten thousand
 * watchers of ten thousand keys or prefixes cost a look-up or two for each change and not ten thousand comparisons: by
 * key where a range is one key, by prefix where it is all that begins alike, one by one else. Watchers of the same range
 * share a group.
 */
import type { Watcher } from './watcher.js';

export class WatchGroup {
  /** Those that are told as things happen. */
  readonly live = new Set<Watcher>();
  /** All watchers of this range, live or not. */
  members = 0;

  constructor(
    readonly from: Uint8Array,
    readonly to: Uint8Array,
    readonly text: string,
  ) {}

  holds(key: Uint8Array): boolean {
    if (Buffer.compare(this.from, key) > 0) return false;
    return this.to.length === 0 || Buffer.compare(key, this.to) < 0;
  }
}

/** Strings of one character a byte: they compare as the bytes do, and are keys of maps. */
interface OpenRange {
  readonly from: string;
  readonly to: string;
  readonly group: WatchGroup;
}

type Place =
  | { readonly kind: 'key' | 'prefix'; readonly text: string }
  | { readonly kind: 'range'; readonly from: string; readonly to: string };

export class WatchRanges {
  private readonly groups = new Map<string, WatchGroup>();
  private readonly keys = new Map<string, WatchGroup>();
  private readonly prefixes = new Map<string, WatchGroup>();
  /** How many of the prefixes have this length. */
  private readonly prefixLengths = new Map<number, number>();
  private readonly ranges = new Map<string, OpenRange>();

  /** Of this range, with one more member. The bytes are copied: they may be views on a message. */
  join(from: Uint8Array, to: Uint8Array): WatchGroup {
    const fromText = textOf(from);
    const text = `${fromText.length} ${fromText}${textOf(to)}`;
    let group = this.groups.get(text);
    if (group === undefined) {
      group = new WatchGroup(Uint8Array.from(from), Uint8Array.from(to), text);
      this.groups.set(text, group);
      this.insert(group, placeOf(fromText, textOf(to)));
    }
    group.members += 1;
    return group;
  }

  leave(group: WatchGroup): void {
    group.members -= 1;
    if (group.members > 0) return;
    this.groups.delete(group.text);
    const place = placeOf(textOf(group.from), textOf(group.to));
    if (place.kind === 'range') this.ranges.delete(group.text);
    else if (place.kind === 'key') this.keys.delete(place.text);
    else {
      this.prefixes.delete(place.text);
      this.countLength(place.text.length, -1);
    }
  }

  /** Every group whose range holds the key. */
  find(key: Uint8Array, visit: (group: WatchGroup) => void): void {
    const text = textOf(key);
    const exact = this.keys.get(text);
    if (exact !== undefined) visit(exact);
    for (const length of this.prefixLengths.keys()) {
      const group = length <= text.length ? this.prefixes.get(text.slice(0, length)) : undefined;
      if (group !== undefined) visit(group);
    }
    for (const { from, to, group } of this.ranges.values()) {
      if (text >= from && (to === '' || text < to)) visit(group);
    }
  }

  private insert(group: WatchGroup, place: Place): void {
    if (place.kind === 'range') this.ranges.set(group.text, { from: place.from, to: place.to, group });
    else if (place.kind === 'key') this.keys.set(place.text, group);
    else {
      this.prefixes.set(place.text, group);
      this.countLength(place.text.length, 1);
    }
  }

  private countLength(length: number, by: number): void {
    const count = (this.prefixLengths.get(length) ?? 0) + by;
    if (count > 0) this.prefixLengths.set(length, count);
    else this.prefixLengths.delete(length);
  }
}

function placeOf(from: string, to: string): Place {
  if (to === `${from}\0`) return { kind: 'key', text: from };
  if (to === prefixEnd(from)) return { kind: 'prefix', text: from };
  return { kind: 'range', from, to };
}

/** The lowest text above all that begins with `prefix`; empty when there is none. */
function prefixEnd(prefix: string): string {
  let length = prefix.length;
  while (length > 0 && prefix.charCodeAt(length - 1) === 0xff) length -= 1;
  if (length === 0) return '';
  return prefix.slice(0, length - 1) + String.fromCharCode(prefix.charCodeAt(length - 1) + 1);
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}
