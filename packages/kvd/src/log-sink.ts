/**
 * Where the lines of the log go: a file descriptor whose reader may be slow, whose disk may be full, or which is gone. A daemon
 * lives on without its log, so writing never blocks the event loop and never fails: what cannot be written is dropped, and
 * how many lines that were is said when there is room again. Of pino's own destination, sonic-boom 4, neither can be had:
 * without room its flushSync() tries for ever.
 */
import { write, writeSync } from 'node:fs';

/** Bytes that may wait for a slow reader; beyond, lines are dropped. */
const WAITING_BYTES_MAX = 4 * 1024 * 1024;
/** A reader that took nothing is offered it again after so long. */
const RETRY_MS = 100;
/** How long the end of the process waits for a reader. */
const FLUSH_MS = 500;
const FLUSH_RETRY_MS = 5;
const NEWLINE = 0x0a;

export class LogSink {
  private waiting: string[] = [];
  private waitingBytes = 0;
  /** What is being written, or was not taken and is tried again. */
  private current: Buffer | null = null;
  private isWriting = false;
  private dropped = 0;
  /** The last thing written was a part of a line. */
  private isInLine = false;

  /** @param onRoom lines were dropped, and there is room again */
  constructor(
    private readonly fd: number,
    private readonly onRoom: (dropped: number) => void,
  ) {}

  /** Of one or more whole lines. */
  write(lines: string): void {
    if (this.waitingBytes + lines.length > WAITING_BYTES_MAX) {
      this.dropped += 1;
      return;
    }
    this.waiting.push(lines);
    this.waitingBytes += lines.length;
    if (this.current === null) this.next();
  }

  /**
   * Write out what waits, before the process ends: as much as is taken without waiting long. What a thread of the pool is
   * writing is not waited for, the end of the process does that.
   */
  flush(): void {
    const untilMs = performance.now() + FLUSH_MS;
    const begun = this.isWriting || this.current === null ? [] : [this.current];
    let rest = Buffer.concat([...begun, this.joinWaiting()]);
    if (!this.isWriting) this.current = null;
    while (rest.length > 0) {
      try {
        rest = rest.subarray(writeSync(this.fd, rest));
      } catch (error) {
        if (!isFull(error) || performance.now() > untilMs) return;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FLUSH_RETRY_MS);
      }
    }
  }

  private next(): void {
    if (this.waiting.length === 0) return;
    this.current = this.joinWaiting();
    this.writeCurrent();
  }

  private joinWaiting(): Buffer {
    const lines = this.waiting.join('');
    this.waiting = [];
    this.waitingBytes = 0;
    // A line that was cut off, and whose rest was dropped, ends here.
    const isCut = this.isInLine && this.current === null && lines !== '';
    return Buffer.from(isCut ? `\n${lines}` : lines);
  }

  private readonly writeCurrent = (): void => {
    if (this.current === null) return;
    this.isWriting = true;
    write(this.fd, this.current, this.onWritten);
  };

  private readonly onWritten = (error: Error | null, count: number): void => {
    this.isWriting = false;
    if (error !== null) return this.onFailed(error);
    const written = this.current as Buffer;
    if (count > 0) this.isInLine = written[count - 1] !== NEWLINE;
    this.current = count < written.length ? written.subarray(count) : null;
    if (this.current !== null) return this.writeCurrent();
    const { dropped } = this;
    this.dropped = 0;
    if (dropped > 0) this.onRoom(dropped);
    if (this.current === null) this.next();
  };

  private onFailed(error: Error): void {
    if (isFull(error)) {
      setTimeout(this.writeCurrent, RETRY_MS).unref();
      return;
    }
    // No room on the disk, or nobody there. The next line tries again.
    for (const byte of this.current as Buffer) if (byte === NEWLINE) this.dropped += 1;
    this.current = null;
  }
}

/** The reader takes nothing at the moment. */
function isFull(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EAGAIN';
}
