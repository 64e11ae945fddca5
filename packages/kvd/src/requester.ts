/**
 * Requests to the replica as promises, for HTTP. The replica keeps the deadlines; should an answer not come at all,
 * this still ends the wait: unknown for what may have changed something, unavailable for a read.
 */
import type { ReplicaApi, ReplySink } from '@kvd/replica';
import type { Request, Response } from '@kvd/protocol';

/** How much longer than the request's own deadline the replica may take to answer. */
const GRACE_MS = 2_000;

interface Waiting {
  readonly resolve: (response: Response) => void;
  readonly timer: NodeJS.Timeout;
}

export class Requester implements ReplySink {
  readonly #replica: Pick<ReplicaApi, 'request' | 'forgetSink'>;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  constructor(replica: Pick<ReplicaApi, 'request' | 'forgetSink'>) {
    this.#replica = replica;
  }

  /** Never rejects: an error is a response. */
  request(request: Request): Promise<Response> {
    return new Promise((resolve) => {
      this.#lastId = (this.#lastId + 1) % 2 ** 31;
      const id = this.#lastId;
      const timer = setTimeout(() => this.reply(id, unanswered(request)), request.timeoutMs + GRACE_MS);
      this.#waiting.set(id, { resolve, timer });
      this.#replica.request(this, id, request);
    });
  }

  reply(requestId: number, response: Response): void {
    const waiting = this.#waiting.get(requestId);
    if (waiting === undefined) return;
    this.#waiting.delete(requestId);
    clearTimeout(waiting.timer);
    waiting.resolve(response);
  }

  /** End every wait; the replica has stopped. */
  close(): void {
    this.#replica.forgetSink(this);
    for (const [id, { resolve, timer }] of this.#waiting) {
      clearTimeout(timer);
      this.#waiting.delete(id);
      resolve({
        type: 'error',
        code: 'KVD_OUTCOME_UNKNOWN',
        message: 'this replica stopped before the answer was known',
        outcome: 'unknown',
      });
    }
  }
}

function unanswered(request: Request): Response {
  const message = `no answer within ${request.timeoutMs} ms`;
  const changes =
    request.type === 'mutate' || (request.type === 'members' && request.change !== null && !request.plan);
  return changes
    ? { type: 'error', code: 'KVD_OUTCOME_UNKNOWN', message, outcome: 'unknown' }
    : { type: 'error', code: 'KVD_TIMEOUT', message, outcome: 'not-done' };
}
