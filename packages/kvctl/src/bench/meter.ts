/**
 * What is measured. Latencies go into histograms (HdrHistogram, which Node.js brings along), to three figures; those of
 * the operations that began, or should have begun, while the window was open, so that one that is slow at its end counts.
 * Throughput is what ended well inside the window.
 */
import { KvdError } from '@kvd/client';
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { KINDS, type Kind } from './workloads.js';

const MICROSECONDS_MAX = 3_600_000_000;
const FIGURES = 3;

/** Of one kind of operation, or of all. Latencies in ms; null when nothing ended well. */
export interface Figures {
  /** Operations a second. */
  readonly throughput: number;
  /** Operations that the latencies are of. */
  readonly count: number;
  readonly min: number | null;
  readonly mean: number | null;
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p99: number | null;
  readonly 'p99.9': number | null;
  readonly max: number | null;
  /** Of these operations, those that did not find the key. */
  readonly absent: number;
  /** How many failed, by code. */
  readonly errors: Readonly<Record<string, number>>;
}

class Series {
  readonly latencies = newHistogram();
  readonly errors = new Map<string, number>();
  endedInside = 0;
  absent = 0;
}

export class Meter {
  /** All so far, in the window or not. */
  ended = 0;
  failures = 0;
  private readonly series = new Map<Kind, Series>();
  private openedMs = Number.POSITIVE_INFINITY;
  private closedMs = Number.POSITIVE_INFINITY;

  /** The window is open from `startMs` on and until `endMs`, or until it is closed earlier. */
  open(startMs: number, endMs = Number.POSITIVE_INFINITY): void {
    this.openedMs = startMs;
    this.closedMs = endMs;
  }

  close(nowMs: number): void {
    this.closedMs = Math.max(this.openedMs, Math.min(this.closedMs, nowMs));
  }

  /** How long the window was open. */
  get measuredMs(): number {
    return Number.isFinite(this.openedMs) ? this.closedMs - this.openedMs : 0;
  }

  /** Of the kinds that there was any of, in the order of KINDS. */
  get kinds(): Kind[] {
    return KINDS.filter((kind) => this.series.has(kind));
  }

  succeeded(kind: Kind, startMs: number, endMs: number, found = true): void {
    this.ended++;
    if (endMs < this.openedMs) return;
    const series = this.seriesOf(kind);
    if (endMs <= this.closedMs) series.endedInside++;
    if (!this.isInside(startMs)) return;
    series.latencies.record(toMicroseconds(endMs - startMs));
    if (!found) series.absent++;
  }

  failed(kind: Kind, startMs: number, error: unknown): void {
    // Anything else is a fault of ours, and nothing to be counted.
    if (!(error instanceof KvdError)) throw error;
    this.ended++;
    this.failures++;
    if (!this.isInside(startMs)) return;
    const { errors } = this.seriesOf(kind);
    errors.set(error.code, (errors.get(error.code) ?? 0) + 1);
  }

  /** Of these kinds together. */
  figures(kinds: readonly Kind[] = this.kinds): Figures {
    const latencies = newHistogram();
    const errors: Record<string, number> = {};
    let endedInside = 0;
    let absent = 0;
    for (const kind of kinds) {
      const series = this.series.get(kind);
      if (series === undefined) continue;
      latencies.add(series.latencies);
      endedInside += series.endedInside;
      absent += series.absent;
      for (const [code, count] of series.errors) errors[code] = (errors[code] ?? 0) + count;
    }
    const { measuredMs } = this;
    const throughput = measuredMs > 0 ? round((endedInside * 1000) / measuredMs, 1) : 0;
    return { throughput, ...summaryOf(latencies), absent, errors };
  }

  private isInside(startMs: number): boolean {
    return startMs >= this.openedMs && startMs < this.closedMs;
  }

  private seriesOf(kind: Kind): Series {
    let series = this.series.get(kind);
    if (series === undefined) {
      series = new Series();
      this.series.set(kind, series);
    }
    return series;
  }
}

function newHistogram(): RecordableHistogram {
  return createHistogram({ lowest: 1, highest: MICROSECONDS_MAX, figures: FIGURES });
}

function toMicroseconds(ms: number): number {
  return Math.min(MICROSECONDS_MAX, Math.max(1, Math.round(ms * 1000)));
}

function summaryOf(latencies: RecordableHistogram): Omit<Figures, 'throughput' | 'absent' | 'errors'> {
  const { count } = latencies;
  const ms = (microseconds: number): number | null => (count === 0 ? null : round(microseconds / 1000, 3));
  return {
    count,
    min: ms(latencies.min),
    mean: ms(latencies.mean),
    p50: ms(latencies.percentile(50)),
    p90: ms(latencies.percentile(90)),
    p99: ms(latencies.percentile(99)),
    'p99.9': ms(latencies.percentile(99.9)),
    max: ms(latencies.max),
  };
}

function round(value: number, decimals: number): number {
  return Number(value.toFixed(decimals));
}
