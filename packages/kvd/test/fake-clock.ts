import type { ChaosClock } from '../src/chaos.js';

/** Time that passes when it is told to. */
export class FakeClock implements ChaosClock {
  #now = 0;
  #timers: { readonly at: number; readonly callback: () => void }[] = [];

  after(ms: number, callback: () => void): { cancel(): void } {
    const timer = { at: this.#now + ms, callback };
    this.#timers.push(timer);
    return { cancel: () => void (this.#timers = this.#timers.filter((other) => other !== timer)) };
  }

  pass(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#now = next.at;
      next.callback();
    }
    this.#now = until;
  }

  get waiting(): number {
    return this.#timers.length;
  }
}
