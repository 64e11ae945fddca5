/**
 * A history split into parts that are judged each alone. Linearizability is local to objects, and a transaction makes one
 * object of all the keys it touches: so the keys that transactions connect, directly or over others, are a group and are
 * judged together; every other key is a part by itself.
 *
 * A scan, and the deletion of a prefix, connect nothing: they are one moment within each group, and one for each key
 * that is in none. How many keys a deletion found is not lost by that: see counts.ts.
 */
import { findWrongAnswers, type WrongAnswer } from './answers.js';
import { findWrongCounts } from './counts.js';
import { Connected } from './group/connected.js';
import { makeWays, movesOf, type WholeOperation } from './group/make-ways.js';
import type { Move, Transition, Way } from './group/transition.js';
import { type History, HistoryError, type Operation } from './operation.js';
import { demandsOf, makeStep, type Step, timesOf } from './steps.js';
import { hasPrefix } from './text.js';
import { namedKeys } from './transactions.js';
import { takenRevision } from './written.js';

/** More steps than this are refused: scans multiply. */
export const STEPS_MAX = 5_000_000;

export interface Group {
  readonly keys: readonly string[];
  /** In the order of the history. */
  readonly transitions: readonly Transition[];
}

export interface Partition {
  /** Steps of each key in no group, in the order of the history. */
  readonly registers: ReadonlyMap<string, readonly Step[]>;
  readonly groups: readonly Group[];
  /** What no part needs to be searched for. */
  readonly wrongAnswers: readonly WrongAnswer[];
}

/** @throws HistoryError when there are more than STEPS_MAX steps */
export function partition(history: History): Partition {
  return new Partitioning(history).run();
}

/** A group in the making. */
interface Draft {
  readonly keys: string[];
  readonly places: Map<string, number>;
  readonly transitions: Transition[];
}

class Partitioning {
  private readonly registers = new Map<string, Step[]>();
  private readonly keys: ReadonlySet<string>;
  private readonly drafts = new Map<string, Draft>();
  private readonly underPrefix = new Map<string, readonly string[]>();
  private count = 0;

  constructor(private readonly history: History) {
    const keys = new Set<string>();
    for (const operation of history.operations) for (const key of namedKeys(operation)) keys.add(key);
    this.keys = keys;
  }

  run(): Partition {
    this.makeDrafts();
    for (const key of this.keys) if (!this.drafts.has(key)) this.registers.set(key, []);
    this.history.operations.forEach((operation, index) => {
      if (operation.outcome === 'fail') return;
      if (this.isWhole(operation)) this.addWhole(operation, index);
      else this.addByKey(operation, index);
    });
    const groups = [...new Set(this.drafts.values())];
    return {
      registers: this.registers,
      groups: groups.filter(({ transitions }) => transitions.length > 0),
      wrongAnswers: this.findWrong(),
    };
  }

  private findWrong(): WrongAnswer[] {
    const keysUnder = (prefix: string) => this.keysUnder(prefix);
    return [
      ...findWrongAnswers(this.history, keysUnder),
      ...findWrongCounts(this.history, this.registers, keysUnder),
    ];
  }

  /** Which keys belong together. */
  private makeDrafts(): void {
    const connected = new Connected();
    for (const operation of this.history.operations) {
      if (operation.outcome === 'fail') continue;
      if (operation.op === 'txn' || operation.op === 'add') connected.connect(this.touchedBy(operation));
    }
    for (const keys of connected.groups()) {
      const draft = { keys, places: new Map(keys.map((key, place) => [key, place])), transitions: [] };
      for (const key of keys) this.drafts.set(key, draft);
    }
  }

  /** Is it one moment on one group? */
  private isWhole(operation: Operation): operation is WholeOperation {
    if (operation.op === 'txn' || operation.op === 'add') return true;
    if (operation.op !== 'delete-prefix') return false;
    const [first, ...others] = this.keysUnder(operation.prefix).map((key) => this.drafts.get(key));
    return first !== undefined && others.every((draft) => draft === first);
  }

  private touchedBy(operation: WholeOperation): readonly string[] {
    if (operation.op === 'add') return [operation.key];
    if (operation.op === 'delete-prefix') return this.keysUnder(operation.prefix);
    const actions = [...operation.success, ...operation.failure];
    return [
      ...operation.compares.map(({ key }) => key),
      ...actions.flatMap((action) => ('key' in action ? [action.key] : this.keysUnder(action.prefix))),
    ];
  }

  private keysUnder(prefix: string): readonly string[] {
    let keys = this.underPrefix.get(prefix);
    if (keys === undefined) {
      keys = [...this.keys].filter((key) => hasPrefix(key, prefix));
      this.underPrefix.set(prefix, keys);
    }
    return keys;
  }

  /** An operation that is one moment on its group. */
  private addWhole(operation: WholeOperation, index: number): void {
    const [first] = this.touchedBy(operation);
    const draft = first === undefined ? undefined : this.drafts.get(first);
    if (draft === undefined) return;
    const placeOf = (key: string) => draft.places.get(key) ?? 0;
    const ways = makeWays(operation, placeOf, (prefix) => this.keysUnder(prefix));
    const moves = ways.reduce((sum, way) => sum + way.moves.length, 0);
    this.spend(Math.max(1, moves));
    if (ways.length > 0) draft.transitions.push(transitionOf(operation, index, ways));
  }

  private addByKey(operation: Operation, index: number): void {
    const byDraft = new Map<Draft, Move[]>();
    demandsOf(
      operation,
      (prefix) => this.keysUnder(prefix),
      (key, demand) => {
        this.spend(1);
        const draft = this.drafts.get(key);
        if (draft === undefined) this.registers.get(key)?.push(makeStep(operation, index, demand));
        else {
          const moves = byDraft.get(draft) ?? [];
          moves.push(...movesOf(demand, draft.places.get(key) ?? 0));
          byDraft.set(draft, moves);
        }
      },
    );
    for (const [draft, moves] of byDraft) {
      draft.transitions.push(transitionOf(operation, index, [{ guard: undefined, moves }]));
    }
  }

  private spend(steps: number): void {
    this.count += steps;
    if (this.count > STEPS_MAX) {
      throw new HistoryError('HISTORY_TOO_LARGE', `more than ${STEPS_MAX} operations and reads of scans`);
    }
  }
}

function transitionOf(operation: Operation, index: number, ways: readonly Way[]): Transition {
  return { ...timesOf(operation), operation: index, revision: takenRevision(operation), ways };
}
