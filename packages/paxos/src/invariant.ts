/** Assertions of our own bugs: a broken safety rule throws with its number and stops the replica. */

export class InvariantError extends Error {
  /** The rule of docs/PROTOCOL.md that was broken, such as 'S4'. */
  readonly rule: string;

  constructor(rule: string, message: string) {
    super(`${rule} broken: ${message}`);
    this.name = 'InvariantError';
    this.rule = rule;
  }
}

export function invariant(holds: boolean, rule: string, message: string): asserts holds {
  if (!holds) throw new InvariantError(rule, message);
}
