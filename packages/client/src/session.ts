/**
 * The client's session: what makes its mutations happen once. Opens it when there is something to number, numbers
 * mutations, and tells the replicas which answers they may forget. Never reuses a number, and never moves an operation
 * from one session to another.
 *
 * An operation whose outcome is unknown keeps its number waiting, so that the replicas can still say what became of it
 * (DESIGN 7). A session in which much was done since is left as it is and another one opened; it expires by itself.
 */
import {
  KvdError,
  type Origin,
  type Response,
  SESSION_IN_FLIGHT_MAX,
  SESSION_TTL_MS,
  type SessionId,
} from '@kvd/protocol';
import { Fifo } from './fifo.js';
import type { Operation, Task } from './operation.js';

type State =
  | { readonly phase: 'none' }
  | { readonly phase: 'opening' }
  | { readonly phase: 'open'; readonly id: SessionId };

export interface SessionHost {
  /** Do it as soon as may be, beside the queues. */
  control(task: Task, onAnswer: (response: Response) => void, onError: (error: KvdError) => void): void;
  /** There is a session now. */
  sessionOpened(): void;
  sessionRefused(error: KvdError): void;
}

/** An idle session is kept alive this often, in ms. */
export const KEEP_ALIVE_MS = SESSION_TTL_MS / 4;
/** Idle for longer (this process or machine slept): expired, or about to be. */
const STALE_MS = SESSION_TTL_MS / 2;
/** How many numbers a session goes on for after one with an unknown outcome: so many results the replicas keep. */
const AFTER_UNRESOLVED_MAX = 1024;

export class Session {
  private state: State = { phase: 'none' };
  private sequence = 0;
  private usedMs = 0;
  /** In order of their numbers; those answered are dropped from the front. */
  private window = new Fifo<Operation>();

  constructor(
    private readonly host: SessionHost,
    private readonly principal: string,
    /** By the wall clock: a machine that slept counts. */
    private readonly wallMs: () => number = Date.now,
  ) {}

  /** 0 while there is none. */
  get id(): SessionId {
    return this.state.phase === 'open' ? this.state.id : 0;
  }

  /** Open one unless there is one, or about to be. */
  open(): void {
    if (this.state.phase !== 'none') return;
    this.state = { phase: 'opening' };
    const onError = (error: KvdError) => {
      this.leave();
      this.host.sessionRefused(error);
    };
    const onAnswer = (response: Response) => {
      if (response.type !== 'result' || response.result.type !== 'session') {
        onError(new KvdError('KVD_INTERNAL', 'the replica did not answer with a session', 'not-done'));
        return;
      }
      this.state = { phase: 'open', id: response.result.session };
      this.sequence = 0;
      this.window = new Fifo();
      this.usedMs = this.wallMs();
      this.host.sessionOpened();
    };
    this.host.control({ type: 'open-session', principal: this.principal }, onAnswer, onError);
  }

  /** The cluster says that it knows no such session. */
  expired(id: SessionId): void {
    if (this.state.phase === 'open' && this.state.id === id) this.leave();
  }

  /** Keep it alive, if it has been idle. */
  keepAlive(): void {
    if (this.state.phase !== 'open' || this.idleMs < KEEP_ALIVE_MS) return;
    const used = () => {
      this.usedMs = this.wallMs();
    };
    // Without an answer nothing is lost but perhaps the session, and then the next mutation opens another.
    this.host.control({ type: 'keep-alive', session: this.state.id }, used, () => undefined);
  }

  /** Is it open, and nothing in it that somebody may yet ask about? */
  get mayBeClosed(): boolean {
    return this.state.phase === 'open' && this.every((operation) => !operation.unresolved);
  }

  /** May another mutation get a number? Forgets a session that should take no more, so that another is opened. */
  makeRoom(): boolean {
    if (this.state.phase !== 'open') return false;
    // While nothing depends on it: better a new one than an error.
    const isStale = this.idleMs >= STALE_MS && this.every((operation) => operation.settled);
    const lowest = this.lowestUnanswered();
    const isPinned = this.window.length >= AFTER_UNRESOLVED_MAX && this.window.peek()?.unresolved === true;
    if (isStale || isPinned) this.leave();
    else return this.sequence + 1 - lowest < SESSION_IN_FLIGHT_MAX;
    return false;
  }

  /** Give a mutation its number. Only where makeRoom said yes. */
  admit(operation: Operation): Origin {
    if (this.state.phase !== 'open') throw new Error('no session is open');
    const sequence = ++this.sequence;
    this.usedMs = this.wallMs();
    this.window.push(operation);
    return { session: this.state.id, sequence, lowestUnanswered: this.lowestUnanswered() };
  }

  /** What became of an operation is known now. */
  resolved(id: SessionId, sequence: number): void {
    if (id !== this.id) return;
    for (const operation of this.window) if (operation.sequence === sequence) operation.unresolved = false;
  }

  private leave(): void {
    this.state = { phase: 'none' };
  }

  private get idleMs(): number {
    return this.wallMs() - this.usedMs;
  }

  private every(holds: (operation: Operation) => boolean): boolean {
    for (const operation of this.window) if (!holds(operation)) return false;
    return true;
  }

  private lowestUnanswered(): number {
    let first = this.window.peek();
    for (; first?.settled === true && !first.unresolved; first = this.window.peek()) this.window.shift();
    return this.sequence + 1 - this.window.length;
  }
}
