import { InvariantError } from '@kvd/paxos';

/** What a simulation can find. Safety: something was wrong. Liveness: something did not come about in time. */

export class Violation extends Error {
  constructor(
    readonly kind: 'safety' | 'liveness',
    /** A stable word for what was broken: the invariant's number, or a name. */
    readonly rule: string,
    message: string,
  ) {
    super(message);
    this.name = 'Violation';
  }
}

export function safety(rule: string, message: string): Violation {
  return new Violation('safety', rule, message);
}

/** Whatever was thrown: by a judge, by an assertion of the product's, else an exception, which is a bug of its own. */
export function asViolation(thrown: unknown): Violation {
  if (thrown instanceof Violation) return thrown;
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const rule = error instanceof InvariantError ? error.rule : 'exception';
  const violation = safety(rule, `${error.name}: ${error.message}`);
  violation.cause = error;
  return violation;
}
