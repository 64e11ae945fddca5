/**
 * Reads a watch for a `for await`. Not a generator: of that, return() would have to wait for what next() waits for, which may
 * never come.
 */

export interface WatchSource<T> {
  /** What comes next; undefined: nothing is there yet. */
  take(): T | undefined;
  /** Nothing more will come, and why; null: it may. */
  over(): { readonly error: Error | null } | null;
  /** Nothing more is read here. */
  left(): void;
}

interface Waiting<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: Error): void;
}

const DONE = { done: true, value: undefined } as const;

export class WatchReader<T> implements AsyncIterableIterator<T, undefined> {
  /** Calls of next() without an answer, in their order. */
  private waiting: Waiting<T>[] = [];
  private isDone = false;

  constructor(private readonly source: WatchSource<T>) {}

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.serve();
    });
  }

  /** Ends the watch, and what waits for it. */
  async return(): Promise<IteratorResult<T, undefined>> {
    this.end();
    return DONE;
  }

  /** To be called when something may be there, or nothing will be any more. */
  serve(): void {
    while (this.waiting.length > 0) {
      if (this.isDone) return this.end();
      const value = this.source.take();
      if (value !== undefined) {
        this.waiting.shift()?.resolve({ done: false, value });
        continue;
      }
      const over = this.source.over();
      if (over === null) return;
      if (over.error !== null) this.waiting.shift()?.reject(over.error);
      this.end();
    }
  }

  private end(): void {
    const { waiting, isDone } = this;
    this.waiting = [];
    this.isDone = true;
    for (const each of waiting) each.resolve(DONE);
    if (!isDone) this.source.left();
  }
}
