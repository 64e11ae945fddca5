/**
 * Who waits for whom among the operations of one database. Level promises that a read does not see what is written after
 * it was begun, and that holds for iterators and snapshots too, which are begun without waiting. On the way to a cluster
 * a later write may overtake an earlier read; so a write here waits until every read that was begun before it has been
 * answered, or knows the revision that it will read at. Reads wait for nothing, so there is no deadlock.
 */
export class OperationOrder {
  private lastRead = 0;
  /** Reads that have no revision and no answer yet. A Set keeps them in the order they were begun. */
  private readonly unsettled = new Set<number>();
  /** Writes that wait for the reads up to a number, in the order they were begun. */
  private waiting: { readonly read: number; readonly go: () => void }[] = [];
  private underWay = 0;
  private onIdle: (() => void)[] = [];

  /** A read of the present. Begun in this very call. */
  async read<T>(run: () => Promise<T>): Promise<T> {
    const number = ++this.lastRead;
    this.unsettled.add(number);
    try {
      return await this.track(run);
    } finally {
      this.unsettled.delete(number);
      this.release();
    }
  }

  async write<T>(run: () => Promise<T>): Promise<T> {
    return this.track(async () => {
      if (this.unsettled.size > 0)
        await new Promise<void>((go) => this.waiting.push({ read: this.lastRead, go }));
      return run();
    });
  }

  /** An operation that is in nobody's way, such as a read of the past. */
  async track<T>(run: () => Promise<T>): Promise<T> {
    this.underWay++;
    try {
      return await run();
    } finally {
      this.underWay--;
      if (this.underWay === 0) for (const idle of this.onIdle.splice(0)) idle();
    }
  }

  /** Until nothing is under way. */
  async idle(): Promise<void> {
    if (this.underWay > 0) await new Promise<void>((idle) => this.onIdle.push(idle));
  }

  private release(): void {
    const [oldest = Number.POSITIVE_INFINITY] = this.unsettled;
    const held = this.waiting.findIndex((write) => write.read >= oldest);
    for (const write of this.waiting.splice(0, held < 0 ? this.waiting.length : held)) write.go();
  }
}
