/**
 * Reads on this replica: linearizable ones wait for a confirmed round and for the state to have applied what it covers
 * (S7); stale ones are answered from the state as it is. All that arrive in one turn share one token.
 */
import type { ConfirmedRead } from '@kvd/paxos';
import { KvdError, type Request, type Response } from '@kvd/protocol';
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

  /** All that only waits for the state, which is not believed any more; to be sent elsewhere. */
  takeConfirmed(): Pending[] {
    const { confirmed } = this;
    this.confirmed = [];
    return confirmed.flatMap(({ reads }) => reads);
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
    if (pending.answered) return;
    try {
      this.read(pending, pending.request);
    } catch (error) {
      this.fail(pending, error as Error);
    }
  }

  private read(pending: Pending, request: Request): void {
    const { state } = this;
    const reply = (error: Error | null, response: Response): void => {
      if (error) this.fail(pending, error);
      else pending.reply(response);
    };
    switch (request.type) {
      case 'mutate':
      case 'members':
        return;
      case 'get': {
        const { revision } = state;
        if (request.revision === 0)
          return pending.reply({ type: 'entry', entry: state.get(request.key), revision });
        return state.getAt(request, (error, entry) =>
          reply(error, { type: 'entry', entry, revision: request.revision }),
        );
      }
      case 'scan':
        return state.scan(request, reply);
      case 'leases':
        return pending.reply(state.leases(request));
      case 'history':
        return state.history({ ...request, previous: true }, reply);
    }
  }

  private fail(pending: Pending, error: Error): void {
    // What was asked for cannot be had; all else is the state's.
    if (error instanceof KvdError && error.code !== 'KVD_STORAGE') {
      pending.fail(error.code, error.message);
      return;
    }
    pending.fail('KVD_STORAGE', `this replica could not read its state: ${error.message}`);
    this.onFailure(error);
  }
}
