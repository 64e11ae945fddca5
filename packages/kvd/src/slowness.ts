/**
 * How slow this replica is: how long a synced write of its log takes these days, and how long its event loop stands
 * still, in one number of milliseconds that the replica tells the leader, and by which a leader hands over to a faster
 * one. It only measures; what is too slow is the replica's to say.
 */
import { performance } from 'node:perf_hooks';

/** What was measured that long ago counts a third. */
const MEMORY_MS = 2_000;
/** How long a stall of the event loop is remembered. */
const STALL_MEMORY_MS = 1_000;
/** Timers are a little late all the time; that is no stall. */
const STALL_MIN_MS = 1;
const TELL_MS = 200;

/**
 * The arithmetic, with the time as it is told.
 *
 * Stalls are measured here and not by perf_hooks.monitorEventLoopDelay: that has to be reset to forget an old one, and
 * misses the stall that begins between the reset and its next sample.
 */
export class Slowness {
  #averageMs = 0;
  /** When the average was last made. */
  #averagedAtMs: number;
  /** Of the write under way; null: there is none. */
  #beganAtMs: number | null = null;
  #lookedAtMs: number;
  #stalls: { readonly atMs: number; readonly ms: number }[] = [];

  constructor(nowMs: number) {
    this.#averagedAtMs = nowMs;
    this.#lookedAtMs = nowMs;
  }

  writeBegan(nowMs: number): void {
    this.#beganAtMs = nowMs;
  }

  /** Each write counts for the time since the one before, so that a burst of them weighs no more than it lasts. */
  writeEnded(nowMs: number): void {
    if (this.#beganAtMs === null) return;
    const tookMs = nowMs - this.#beganAtMs;
    const kept = Math.exp(-(nowMs - this.#averagedAtMs) / MEMORY_MS);
    this.#averageMs = kept * this.#averageMs + (1 - kept) * tookMs;
    this.#averagedAtMs = nowMs;
    this.#beganAtMs = null;
  }

  /** To be called `dueMs` after the last time: what it is called later than that, the event loop stood still. */
  look(nowMs: number, dueMs: number): void {
    const ms = nowMs - this.#lookedAtMs - dueMs;
    this.#lookedAtMs = nowMs;
    const [oldest] = this.#stalls;
    if (oldest !== undefined && nowMs - oldest.atMs >= STALL_MEMORY_MS)
      this.#stalls = this.#stalls.filter(({ atMs }) => nowMs - atMs < STALL_MEMORY_MS);
    if (ms >= STALL_MIN_MS) this.#stalls.push({ atMs: nowMs, ms });
  }

  /**
   * The slowest of these: the average write, forgotten as time goes by without any; the write under way, for a disk that
   * hangs ends none; the longest stall that is remembered.
   */
  read(nowMs: number): number {
    const averageMs = this.#averageMs * Math.exp(-(nowMs - this.#averagedAtMs) / MEMORY_MS);
    const underWayMs = this.#beganAtMs === null ? 0 : nowMs - this.#beganAtMs;
    return Math.max(averageMs, underWayMs, ...this.#stalls.map(({ ms }) => ms));
  }
}

/**
 * Tells `tell` several times a second, when it is looked at: with the ticks of the daemon, for a timer of its own is a
 * wake-up of its own. Whoever wraps the log says when its writes begin and end.
 */
export class SlownessMeter {
  readonly #slowness = new Slowness(performance.now());
  readonly #tell: (slowMs: number) => void;
  #untoldMs = 0;

  constructor(tell: (slowMs: number) => void) {
    this.#tell = tell;
  }

  /** To be called `dueMs` after the last time. */
  look(dueMs: number): void {
    const nowMs = performance.now();
    this.#slowness.look(nowMs, dueMs);
    this.#untoldMs += dueMs;
    if (this.#untoldMs < TELL_MS) return;
    this.#untoldMs = 0;
    this.#tell(Math.round(this.#slowness.read(nowMs)));
  }

  writeBegan(): void {
    this.#slowness.writeBegan(performance.now());
  }

  writeEnded(): void {
    this.#slowness.writeEnded(performance.now());
  }
}
