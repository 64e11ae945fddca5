/**
 * Runs asynchronous steps that must not overlap, in the order asked for: flushes, an install's last step, reload; the writes of a database.
 */

export class SerialQueue {
  private readonly waiting: ((release: () => void) => void)[] = [];
  private busy = false;

  /** `step` begins at once when nothing runs; the next one begins when it calls `release`. */
  run(step: (release: () => void) => void): void {
    this.waiting.push(step);
    this.next();
  }

  private next(): void {
    if (this.busy) return;
    const step = this.waiting.shift();
    if (step === undefined) return;
    this.busy = true;
    step(() => {
      this.busy = false;
      this.next();
    });
  }
}
