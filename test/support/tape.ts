/**
 * The part of tape's interface that abstract-level's suite is written in, on tap; and a count of the assertions made.
 */
import type { Test } from 'tap';

export interface AssertionCount {
  passed: number;
  failed: number;
}

type Run = (t: object) => unknown;

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
        is: (found: unknown, wanted: unknown, name?: string) => counted(t.equal(found, wanted, named(name))),
        isNot: (found: unknown, other: unknown, name?: string) => counted(t.not(found, other, named(name))),
        same: (found: unknown, wanted: unknown, name?: string) =>
          counted(t.strictSame(found, wanted, named(name))),
        ok: (found: unknown, name?: string) => counted(t.ok(found, named(name))),
        pass: (name?: string) => counted(t.pass(named(name))),
        fail: (name?: string) => counted(t.fail(named(name))),
        throws: (act: () => unknown, isWanted: (error: unknown) => boolean) =>
          counted(t.ok(throwsWanted(act, isWanted), 'throws what is wanted')),
        doesNotThrow: (act: () => unknown) => counted(t.doesNotThrow(act) === true),
      }),
    );
  };
}

/** Only that: the suite hands over more than tape looks at, and tap would take the rest for options. */
function named(name: string | undefined): string {
  return name ?? '(unnamed assertion)';
}

function throwsWanted(act: () => unknown, isWanted: (error: unknown) => boolean): boolean {
  try {
    act();
  } catch (error) {
    return isWanted(error);
  }
  return false;
}
