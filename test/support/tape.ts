/**
 * The part of tape's interface that abstract-level's suite is written in, on tap; and a count of the assertions made.
 */
import type { Test } from 'tap';

export interface AssertionCount {
  passed: number;
  failed: number;
}

type Run = (t: object) => unknown;
type Name = [] | [name: string];

/** tape's `test(name, run)`, which declares a subtest of `parent`. */
export function tapeTest(parent: Test, count: AssertionCount): (name: string, run: Run) => void {
  const counted = (passed: boolean): void => {
    if (passed) count.passed++;
    else count.failed++;
  };
  return (name, run) => {
    void parent.test(name, (t) =>
      run({
        plan: (assertions: number) => t.plan(assertions),
        end: () => t.end(),
        is: (found: unknown, wanted: unknown, ...name: Name) => counted(t.equal(found, wanted, ...name)),
        isNot: (found: unknown, other: unknown, ...name: Name) => counted(t.not(found, other, ...name)),
        same: (found: unknown, wanted: unknown, ...name: Name) =>
          counted(t.strictSame(found, wanted, ...name)),
        ok: (found: unknown, ...name: Name) => counted(t.ok(found, ...name)),
        pass: (...name: Name) => counted(t.pass(...name)),
        fail: (...name: Name) => counted(t.fail(...name)),
        throws: (act: () => unknown, isWanted: (error: unknown) => boolean) =>
          counted(t.ok(throwsWanted(act, isWanted), 'throws what is wanted')),
        doesNotThrow: (act: () => unknown) => counted(t.doesNotThrow(act) === true),
      }),
    );
  };
}

function throwsWanted(act: () => unknown, isWanted: (error: unknown) => boolean): boolean {
  try {
    act();
  } catch (error) {
    return isWanted(error);
  }
  return false;
}
