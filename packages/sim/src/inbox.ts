/** What reaches a process: at once, or when it goes on that was paused, as from a socket that nobody reads. */

/** Events kept for a paused process: what a socket would hold. */
const BACKLOG_MAX = 50_000;

export class Inbox {
  isPaused = false;
  private backlog: (() => void)[] = [];

  constructor(private readonly run: (event: () => void) => void) {}

  deliver(event: () => void): void {
    if (!this.isPaused) this.run(event);
    else if (this.backlog.length < BACKLOG_MAX) this.backlog.push(event);
  }

  /** `isThere`: the process may die of what it finds. */
  resume(isThere: () => boolean): void {
    const { backlog } = this;
    this.isPaused = false;
    this.backlog = [];
    for (const event of backlog) {
      if (!isThere()) return;
      this.run(event);
    }
  }

  /** The process ended. */
  clear(): void {
    this.isPaused = false;
    this.backlog = [];
  }
}
