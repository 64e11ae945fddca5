/**
 * Virtual time: a queue of events in order of time, and of their making where times are equal. Nothing here sleeps;
 * a second of virtual time costs what its events cost.
 */

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class VirtualClock {
  nowMs = 0;
  private readonly heap: Event[] = [];
  private count = 0;

  after(delayMs: number, run: () => void): void {
    this.at(this.nowMs + delayMs, run);
  }

  at(atMs: number, run: () => void): void {
    this.push({ atMs: Math.max(atMs, this.nowMs), order: this.count++, run });
  }

  /** Takes the next event due at or before `throughMs`; time moves to it. False: there is none, time moves to the end. */
  step(throughMs: number): boolean {
    const first = this.heap[0];
    if (first === undefined || first.atMs > throughMs) {
      this.nowMs = throughMs;
      return false;
    }
    this.pop();
    this.nowMs = first.atMs;
    first.run();
    return true;
  }

  get events(): number {
    return this.count;
  }

  private push(event: Event): void {
    const { heap } = this;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const other = heap[parent] as Event;
      if (isBefore(other, event)) break;
      heap[at] = other;
      at = parent;
    }
    heap[at] = event;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop() as Event;
    const length = heap.length;
    if (length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child += 1;
      const other = heap[child] as Event;
      if (isBefore(last, other)) break;
      heap[at] = other;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs !== b.atMs ? a.atMs < b.atMs : a.order < b.order;
}
