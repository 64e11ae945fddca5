/** What is judged alone: a key, or a group of keys that transactions connect. Both are judged and shown in the same way. */
import type { WrongAnswer } from './answers.js';
import { explain } from './explain.js';
import { explainGroup } from './group/explain-group.js';
import { minimizeGroup } from './group/group-minimize.js';
import { searchGroup } from './group/group-search.js';
import { keysOf } from './group/on-key.js';
import { judge, minimize } from './minimize.js';
import type { History, Operation, Value } from './operation.js';
import type { Group } from './partition.js';
import type { Answer, Budget } from './search.js';
import type { Step } from './steps.js';
import { compareBytes } from './text.js';
import { lastToEnd, type Timed } from './timing.js';
import { nameOperation } from './wording.js';

/** Few operations that no order explains. */
export interface Violation {
  /** The first of `keys`. */
  readonly key: string;
  /** Those that it is about: several only where transactions connect them. */
  readonly keys: readonly string[];
  /** Indices in the history, by start; of final reads, those that withFinalReads gives them. */
  readonly operations: readonly number[];
  /** The one whose answer cannot be: without it the others can be ordered. */
  readonly culprit: number;
  /** Those that had not ended when the culprit did, and so may have taken effect or not. */
  readonly open: readonly number[];
  /** Those of which only the effect counts here: what they were told does not matter, and may have no cause here. */
  readonly effectOnly: readonly number[];
  /** In a sentence. */
  readonly explanation: string;
  /** None of them could be left out; false when there was no time to make sure. */
  readonly minimal: boolean;
}

export interface Part {
  readonly keys: readonly string[];
  /** How many operations, about. */
  readonly size: number;
  /** Can it be ordered? `variant`: see search. */
  judge(budget: Budget, variant: number): Answer;
  /** The smallest piece of it that cannot. @param makeBudget see minimize */
  show(makeBudget: () => Budget | undefined): Violation;
}

const NOT_MINIMAL = 'no order explains all answers; there was no time to find out which of them are to blame';

/** A key in no transaction. */
export class RegisterPart implements Part {
  readonly keys: readonly string[];

  constructor(
    private readonly history: History,
    private readonly key: string,
    private readonly steps: readonly Step[],
  ) {
    this.keys = [key];
  }

  get size(): number {
    return this.steps.length;
  }

  judge(budget: Budget, variant: number): Answer {
    return judge(this.steps, initialOf(this.history), budget, variant);
  }

  show(makeBudget: () => Budget | undefined): Violation {
    const { history, key } = this;
    const { steps, minimal } = minimize(this.steps, initialOf(history), makeBudget);
    const byStart = [...steps].sort((a, b) => a.start - b.start);
    const last = lastToEnd(byStart);
    const effectOnly = byStart.filter((step) => demandsLess(step, history.operations[step.operation]));
    return {
      key,
      keys: [key],
      ...describe(byStart, last),
      effectOnly: effectOnly.map(({ operation }) => operation),
      explanation: minimal ? explain(history, key, byStart, last) : NOT_MINIMAL,
      minimal,
    };
  }
}

/** Keys that transactions connect. */
export class GroupPart implements Part {
  /** See GroupAnswer. */
  private notReached = Number.POSITIVE_INFINITY;

  constructor(
    private readonly history: History,
    private readonly group: Group,
  ) {}

  get keys(): readonly string[] {
    return this.group.keys;
  }

  get size(): number {
    return this.group.transitions.length;
  }

  judge(budget: Budget, variant: number): Answer {
    const { keys, transitions } = this.group;
    const found = searchGroup(transitions, keys.length, initialOf(this.history), budget, variant);
    this.notReached = found.notReached;
    return found.answer;
  }

  show(makeBudget: () => Budget | undefined): Violation {
    const { history, group } = this;
    const { transitions, ...piece } = minimizeGroup(
      group.transitions,
      group.keys.length,
      initialOf(history),
      this.notReached,
      makeBudget,
    );
    const places = [...new Set(transitions.flatMap(keysOf))];
    const keys = places.map((place) => group.keys[place] ?? '').sort(compareBytes);
    const byStart = [...transitions].sort((a, b) => a.start - b.start);
    const last = lastToEnd(byStart);
    return {
      key: keys[0] ?? '',
      keys,
      ...describe(byStart, last),
      effectOnly: piece.effectOnly,
      explanation: piece.minimal
        ? explainGroup(history, group.keys, places, byStart, last, piece.isLastToBlame)
        : `${NOT_MINIMAL}, but no order comes past the end of ${nameOfOperation(history, last.operation)}`,
      minimal: piece.minimal,
    };
  }
}

/** An answer that cannot be, whatever else was done. */
export class AnswerPart implements Part {
  readonly keys: readonly string[];
  readonly size = 1;

  constructor(
    private readonly history: History,
    private readonly wrong: WrongAnswer,
  ) {
    this.keys = [wrong.key];
  }

  judge(): Answer {
    return 'no';
  }

  show(): Violation {
    const { key, operation, what } = this.wrong;
    return {
      key,
      keys: this.keys,
      operations: [operation],
      culprit: operation,
      open: [],
      effectOnly: [],
      explanation: `${nameOfOperation(this.history, operation)} ${what}`,
      minimal: true,
    };
  }
}

function nameOfOperation({ operations }: History, index: number): string {
  const operation = operations[index];
  return operation === undefined ? 'an operation' : nameOperation(operation, index);
}

function initialOf(history: History): Value {
  return history.initial ?? null;
}

function describe(byStart: readonly (Timed & { readonly operation: number })[], last: { operation: number }) {
  return {
    operations: [...new Set(byStart.map(({ operation }) => operation))],
    culprit: last.operation,
    open: byStart.filter(({ end }) => end === Number.POSITIVE_INFINITY).map(({ operation }) => operation),
  };
}

function demandsLess(step: Step, operation: Operation | undefined): boolean {
  if (operation === undefined || step.requires !== undefined || step.excludes !== undefined) return false;
  if (operation.op === 'cas') return step.sets !== undefined;
  const deletes = operation.op === 'delete' || operation.op === 'delete-prefix';
  return deletes && operation.outcome === 'ok' && (operation.deleted ?? 0) > 0;
}
