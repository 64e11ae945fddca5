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

/** Whatever was thrown; an exception that leaves a replica is a bug of its own. */
export function asViolation(thrown: unknown): Violation {
  if (thrown instanceof Violation) return thrown;
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const violation = safety('exception', `${error.name}: ${error.message}`);
  if (error.stack !== undefined) violation.stack = error.stack;
  return violation;
}
