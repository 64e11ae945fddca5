/** What an operation of the workload sees of the client that performs it. */
import type { Command, ErrorCode, Origin, Request, Response } from '@kvd/protocol';
import type { VirtualClock } from '../clock.js';
import type { History } from '../history.js';
import type { Ledger } from '../oracle/ledger.js';
import type { ClientPlan } from '../plan.js';

/**
 * How a call ended. `refused`: with one of the errors that its caller accepts; the response says which. `sentMs`: when
 * the attempt was sent that was answered.
 */
export type End = (
  outcome: 'ok' | 'refused' | 'failed' | 'unknown',
  response: Response | null,
  sentMs: number,
) => void;

/** A place in a session. */
export interface Numbered {
  readonly origin: Origin;
  /** Nobody waits for it any more. */
  readonly settle: () => void;
}

export interface Caller {
  readonly id: number;
  readonly plan: ClientPlan;
  readonly clock: VirtualClock;
  readonly history: History;
  readonly ledger: Ledger;
  /** It begins nothing new. */
  readonly isRetired: boolean;
  number(): Numbered;
  read(request: Exclude<Request, { type: 'mutate' }>, end: End, accepts?: readonly ErrorCode[]): void;
  mutate(
    command: Command,
    how: {
      /** May be sent again while the fate of an earlier attempt is open. */
      readonly retrySafe: boolean;
      readonly forMs?: number;
      readonly accepts?: readonly ErrorCode[];
    },
    end: End,
  ): void;
}
