/**
 * Reads on this replica: linearizable ones wait for a confirmed round and for the state to have applied what it covers
 * (S7); stale ones are answered from the state as it is. All that arrive in one turn share one token.
 */
import type { ConfirmedRead } from '@kvd/paxos';
import type { Pending } from './pending.js';
import type { StateMachine } from './ports.js';

interface ConfirmedReads {
  readonly slot: number;
  readonly reads: readonly Pending[];
}

export class Reads {
  private gathering: Pending[] = [];
  private readonly byToken = new Map<number, Pending[]>();
  private confirmed: ConfirmedReads[] = [];
  private nextToken = 1;

  constructor(
    private readonly state: StateMachine,
    private readonly onFailure: (error: Error) => void,
  ) {}

  add(pending: Pending): void {
    this.gathering.push(pending);
  }

  get isGathering(): boolean {
    return this.gathering.length > 0;
  }

  /** The token of what gathered since the last call; null when nothing did. */
  takeToken(): number | null {
    if (this.gathering.length === 0) return null;
    const token = this.nextToken++;
    this.byToken.set(token, this.gathering);
    this.gathering = [];
    return token;
  }

  onConfirmed(reads: readonly ConfirmedRead[]): void {
    for (const { token, slot } of reads) {
      const group = this.byToken.get(token);
      this.byToken.delete(token);
      if (group) this.confirmed.push({ slot, reads: group });
    }
  }

  /** The reads under these tokens, to be sent elsewhere. */
  takeRefused(tokens: readonly number[]): Pending[] {
    const refused: Pending[] = [];
    for (const token of tokens) {
      refused.push(...(this.byToken.get(token) ?? []));
      this.byToken.delete(token);
    }
    return refused;
  }

  /** Answer what the state covers by now. */
  pump(): void {
    if (this.confirmed.length === 0) return;
    const { appliedThrough } = this.state;
    const rest: ConfirmedReads[] = [];
    for (const group of this.confirmed) {
      if (group.slot > appliedThrough) rest.push(group);
      else for (const pending of group.reads) this.answer(pending);
    }
    this.confirmed = rest;
  }

  answer(pending: Pending): void {
    const { request } = pending;
    if (pending.answered || request.type === 'mutate') return;
    if (request.type === 'scan') {
      this.state.scan(request, (error, page) => {
        if (error) this.fail(pending, error);
        else pending.reply(page);
      });
      return;
    }
    try {
      const entry = this.state.get(request.key);
      pending.reply({ type: 'entry', entry, revision: this.state.revision });
    } catch (error) {
      this.fail(pending, error as Error);
    }
  }

  private fail(pending: Pending, error: Error): void {
    pending.fail('KVD_STORAGE', `this replica could not read its state: ${error.message}`);
    this.onFailure(error);
  }
}
