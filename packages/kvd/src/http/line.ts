/** The requests of one connection: who waits for whom, and what becomes of them when it is gone. */
import type { IncomingMessage, ServerResponse } from 'node:http';

const READS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** A request until its answer has left, or its connection is gone. */
export class Exchange {
  readonly #onEnd: (() => void)[] = [];
  #isOver = false;

  constructor(
    readonly request: IncomingMessage,
    readonly response: ServerResponse,
  ) {}

  get isRead(): boolean {
    return READS.has(this.request.method ?? '');
  }

  /** Calls back at once when it is over. */
  whenOver(task: () => void): void {
    if (this.#isOver) task();
    else this.#onEnd.push(task);
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const task of this.#onEnd) task();
  }
}

/** The requests of a connection that are not answered yet. */
export class Line {
  readonly exchanges = new Set<Exchange>();
  /** What the next one waits for: the last that is no read, and the reads since. */
  #lastChange: Exchange | null = null;
  #readsSince = new Set<Exchange>();

  /**
   * Whom it has to wait for. Requests that are sent one behind the other are done in that order, unless all of them only read.
   * (RFC 9112, 9.3.2)
   */
  join(exchange: Exchange): readonly Exchange[] {
    const change = this.#lastChange === null ? [] : [this.#lastChange];
    const reads = this.#readsSince;
    this.exchanges.add(exchange);
    exchange.whenOver(() => this.#leave(exchange));
    if (exchange.isRead) {
      reads.add(exchange);
      return change;
    }
    this.#lastChange = exchange;
    this.#readsSince = new Set();
    return [...change, ...reads];
  }

  #leave(exchange: Exchange): void {
    this.exchanges.delete(exchange);
    this.#readsSince.delete(exchange);
    if (this.#lastChange === exchange) this.#lastChange = null;
  }

  /** Is a whole request on it not answered yet? */
  get owesAnswer(): boolean {
    for (const { request } of this.exchanges) if (request.complete) return true;
    return false;
  }

  /** The connection is gone. Node closes the answer whose turn it is, and forgets those behind it. */
  end(): void {
    for (const { response } of this.exchanges) {
      if (response.socket !== null) continue;
      response.destroy();
      response.emit('close');
    }
  }
}

/** Resolves when none of them is under way. */
export function allOver(exchanges: readonly Exchange[]): Promise<unknown> {
  return Promise.all(exchanges.map((each) => new Promise<void>((resolve) => each.whenOver(resolve))));
}
