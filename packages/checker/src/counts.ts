/**
 * Can a deletion of a prefix have found as many keys as it was told? At least those that were surely there all the time
 * that it took, at most those that were not surely absent all that time. So a count that is wrong passes only
 * if some other operation was under way then, or its outcome is unknown. Exact are groups, and a prefix of one key.
 */
import type { KeysUnder, WrongAnswer } from './answers.js';
import type { DeletePrefixOperation, History, Value } from './operation.js';
import type { Step } from './steps.js';

/** @param registers the steps of each key in no group; of others nothing is sure here */
export function findWrongCounts(
  history: History,
  registers: ReadonlyMap<string, readonly Step[]>,
  keysUnder: KeysUnder,
): WrongAnswer[] {
  const presences = new Map<string, Presence | undefined>();
  const presenceOf = (key: string): Presence | undefined => {
    if (!presences.has(key)) {
      const steps = registers.get(key);
      presences.set(key, steps && new Presence(steps, history.initial ?? null));
    }
    return presences.get(key);
  };
  return history.operations.flatMap((operation, index) => {
    if (operation.op !== 'delete-prefix' || operation.outcome !== 'ok') return [];
    const { prefix, deleted = 0 } = operation;
    const keys = keysUnder(prefix);
    if (deleted === 0 || keys.length < 2 || deleted > keys.length) return [];
    const found = keys.map((key) => presenceOf(key)?.during(operation, index));
    const least = found.filter((isThere) => isThere === true).length;
    const most = found.filter((isThere) => isThere !== false).length;
    if (least <= deleted && deleted <= most) return [];
    const bound = deleted < least ? `at least ${least}` : `at most ${most}`;
    const what = `deleted ${deleted}, where ${bound} of ${keys.length} keys can have been there`;
    return [{ operation: index, key: prefix, what }];
  });
}

/** When one key was surely there, and when surely not. */
class Presence {
  private readonly writes: Changes;
  private readonly deletions: Changes;

  constructor(
    steps: readonly Step[],
    private readonly initial: Value,
  ) {
    this.writes = new Changes(
      steps.filter(({ sets, appends }) => typeof sets === 'string' || appends !== undefined),
    );
    this.deletions = new Changes(steps.filter(({ sets }) => sets === null));
  }

  /** Did `deletion`, at `index` of the history, surely find it there (true), or surely not (false)? */
  during({ start, end }: DeletePrefixOperation, index: number): boolean | undefined {
    const until = end ?? Number.POSITIVE_INFINITY;
    const beginning = (isSo: boolean) => (isSo ? Number.NEGATIVE_INFINITY : undefined);
    const written = this.writes.lastSureBefore(start) ?? beginning(this.initial !== null);
    if (written !== undefined && !this.deletions.anyBetween(written, until, index)) return true;
    const deleted = this.deletions.lastSureBefore(start) ?? beginning(this.initial === null);
    if (deleted !== undefined && !this.writes.anyBetween(deleted, until, index)) return false;
    return undefined;
  }
}

/** Steps of one kind, ready for two questions. */
class Changes {
  private readonly byStart: readonly Step[];
  private readonly byEnd: readonly Step[];
  /** Of each and those before it in order of starts, the one that ends last; and the one of another operation that does. */
  private readonly lastEnds: readonly (readonly [Step, Step | undefined])[];
  /** Of each and those before it in order of ends, the latest start. */
  private readonly lastStarts: readonly number[];

  constructor(steps: readonly Step[]) {
    this.byStart = [...steps].sort((a, b) => a.start - b.start);
    this.byEnd = steps.filter(({ end }) => end !== Number.POSITIVE_INFINITY).sort((a, b) => a.end - b.end);
    let [last, second]: (Step | undefined)[] = [];
    this.lastEnds = this.byStart.map((step) => {
      if (last === undefined || step.end > last.end) [last, second] = [step, last];
      else if (second === undefined || step.end > second.end) second = step;
      return [last, second];
    });
    let latest = Number.NEGATIVE_INFINITY;
    this.lastStarts = this.byEnd.map(({ start }) => (latest = Math.max(latest, start)));
  }

  /** When the last of those began that were surely done before `time`: none of what was over by then came after. */
  lastSureBefore(time: number): number | undefined {
    return this.lastStarts[countWhile(this.byEnd, ({ end }) => end < time) - 1];
  }

  /** May one of them have taken effect between two times, other than that of the operation at `except`? */
  anyBetween(from: number, until: number, except: number): boolean {
    const last = this.lastEnds[countWhile(this.byStart, ({ start }) => start <= until) - 1];
    return last?.some((step) => step !== undefined && step.operation !== except && step.end >= from) ?? false;
  }
}

/** How many of `steps` satisfy what the first of them do and the others do not. */
function countWhile(steps: readonly Step[], holds: (step: Step) => boolean): number {
  let [low, high] = [0, steps.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(steps[middle] as Step)) low = middle + 1;
    else high = middle;
  }
  return low;
}
