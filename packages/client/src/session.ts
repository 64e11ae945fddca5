/**
 * The client's session: what makes its mutations happen once. Numbers them, and tells the replicas which answers they
 * may forget. Never reuses a number, and never moves an operation from one session to another.
 */
import { type Origin, SESSION_IN_FLIGHT_MAX, SESSION_TTL_MS, type SessionId } from '@kvd/protocol';
import { Fifo } from './fifo.js';
import type { Operation } from './operation.js';

type State =
  | { readonly phase: 'none' }
  | { readonly phase: 'opening' }
  | { readonly phase: 'open'; readonly id: SessionId };

/** An idle session is kept alive this often, in ms. */
export const KEEP_ALIVE_MS = SESSION_TTL_MS / 4;
/** Idle for longer (this process or machine slept): expired, or about to be. */
const STALE_MS = SESSION_TTL_MS / 2;

export class Session {
  state: State = { phase: 'none' };
  private sequence = 0;
  private usedMs = 0;
  /** In order of their numbers; those answered are dropped from the front. */
  private window = new Fifo<Operation>();

  opening(): void {
    this.state = { phase: 'opening' };
  }

  opened(id: SessionId, wallMs: number): void {
    this.state = { phase: 'open', id };
    this.sequence = 0;
    this.window = new Fifo();
    this.usedMs = wallMs;
  }

  lost(): void {
    this.state = { phase: 'none' };
  }

  /** Can another mutation get a number? */
  get hasRoom(): boolean {
    if (this.state.phase !== 'open') return false;
    return this.sequence + 1 - this.lowestUnanswered() < SESSION_IN_FLIGHT_MAX;
  }

  /** Give a mutation its number. Only where hasRoom. */
  admit(operation: Operation, wallMs: number): Origin {
    if (this.state.phase !== 'open') throw new Error('no session is open');
    const sequence = ++this.sequence;
    this.usedMs = wallMs;
    this.window.push(operation);
    return { session: this.state.id, sequence, lowestUnanswered: this.lowestUnanswered() };
  }

  used(wallMs: number): void {
    this.usedMs = wallMs;
  }

  /** How long it was idle, by the wall clock: a machine that slept counts. */
  idleMs(wallMs: number): number {
    return wallMs - this.usedMs;
  }

  /** Forget a session that will be expired, while nothing depends on it: better a new one than an error. */
  dropWhenStale(wallMs: number): void {
    if (this.state.phase !== 'open' || this.idleMs(wallMs) < STALE_MS) return;
    if (this.lowestUnanswered() > this.sequence) this.lost();
  }

  private lowestUnanswered(): number {
    for (let first = this.window.peek(); first?.settled; first = this.window.peek()) this.window.shift();
    return this.sequence + 1 - this.window.length;
  }
}
