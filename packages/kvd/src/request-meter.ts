/**
 * Counts and times the requests that reach a replica, by what they ask and how they end. It stands between every
 * client connection and the replica, so it costs two numbers a request and no object: prom-client's own histogram
 * sorts and joins label names at every observation.
 */
import { performance } from 'node:perf_hooks';
import type { Request, Response } from '@kvd/protocol';
import type { ReplicaApi, ReplySink } from '@kvd/replica';
import { Histogram, type HistogramConfiguration } from 'prom-client';

const TYPES = ['mutate', 'get', 'scan', 'leases', 'history', 'members'] as const satisfies Request['type'][];
/** `refused`: certainly nothing was done. */
const RESULTS = ['ok', 'refused', 'unknown'] as const;
/** Upper bounds, in seconds. */
const BOUNDS_SECONDS = [
  0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2, 4, 8, 16,
] as const;
const TYPE_COUNT = 8;
/** Requests of one client that are timed at once. */
const PLACES_MIN = 16;
const PLACES_MAX = 16_384;

type LabelName = 'type' | 'result';

interface Series {
  readonly labels: Readonly<Record<LabelName, string>>;
  /** One more than there are bounds: the last is above all of them. */
  readonly counts: Float64Array;
  sumSeconds: number;
}

/** A line of the page, as prom-client's registry takes it. */
interface Sample {
  readonly metricName: string;
  readonly sharedLabels: Readonly<Record<LabelName, string>>;
  readonly labels: { readonly le?: number | string };
  readonly value: number;
}

/** prom-client's histogram to look at from outside, with counts of its own inside. */
class RequestHistogram extends Histogram<LabelName> {
  readonly #series: readonly Series[];
  readonly #name: string;
  readonly #help: string;

  constructor(config: HistogramConfiguration<LabelName>) {
    super({ ...config, labelNames: ['type', 'result'], buckets: [...BOUNDS_SECONDS] });
    this.#name = config.name;
    this.#help = config.help;
    this.#series = TYPES.flatMap((type) =>
      RESULTS.map((result) => ({
        labels: { type, result },
        counts: new Float64Array(BOUNDS_SECONDS.length + 1),
        sumSeconds: 0,
      })),
    );
  }

  record(type: number, result: number, seconds: number): void {
    const series = this.#series[type * RESULTS.length + result];
    if (series === undefined) return;
    let bucket = 0;
    while (bucket < BOUNDS_SECONDS.length && seconds > (BOUNDS_SECONDS[bucket] ?? 0)) bucket += 1;
    series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
    series.sumSeconds += seconds;
  }

  /** What prom-client's registry, and its own get(), ask for. */
  getForPromString(): Promise<object> {
    const values = this.#series.flatMap((series) => this.#valuesOf(series));
    return Promise.resolve({
      name: this.#name,
      help: this.#help,
      type: 'histogram',
      values,
      aggregator: 'sum',
    });
  }

  #valuesOf({ labels, counts, sumSeconds }: Series): readonly Sample[] {
    const sample = (suffix: string, own: Sample['labels'], value: number): Sample => ({
      metricName: `${this.#name}_${suffix}`,
      sharedLabels: labels,
      labels: own,
      value,
    });
    let total = 0;
    const buckets = [...counts].map((count, i) => {
      total += count;
      return sample('bucket', { le: BOUNDS_SECONDS[i] ?? '+Inf' }, total);
    });
    return [...buckets, sample('sum', {}, sumSeconds), sample('count', {}, total)];
  }
}

export class RequestMeter implements Pick<ReplicaApi, 'request' | 'forgetSink'> {
  readonly histogram: Histogram<LabelName>;
  readonly #histogram: RequestHistogram;
  readonly #replica: Pick<ReplicaApi, 'request' | 'forgetSink'>;
  readonly #clock = new TurnClock();
  readonly #sinks = new Map<ReplySink, TimedSink>();

  constructor(replica: Pick<ReplicaApi, 'request' | 'forgetSink'>) {
    this.#replica = replica;
    this.#histogram = new RequestHistogram({
      name: 'kvd_request_seconds',
      help: 'Requests of clients of this replica, from arrival to answer, by type and result',
      registers: [],
    });
    this.histogram = this.#histogram;
  }

  request(sink: ReplySink, requestId: number, request: Request): void {
    let timed = this.#sinks.get(sink);
    if (timed === undefined) {
      timed = new TimedSink(sink, this.#histogram, this.#clock);
      this.#sinks.set(sink, timed);
    }
    timed.begin(requestId, TYPES.indexOf(request.type));
    this.#replica.request(timed, requestId, request);
  }

  forgetSink(sink: ReplySink): void {
    const timed = this.#sinks.get(sink);
    if (timed === undefined) return;
    this.#sinks.delete(sink);
    this.#replica.forgetSink(timed);
  }
}

/** Asks the system for the time once for all that happens in one go: many requests come in a frame. */
class TurnClock {
  #now = 0;
  readonly #forget = (): void => {
    this.#now = 0;
  };

  microseconds(): number {
    if (this.#now === 0) {
      this.#now = Math.floor(performance.now() * 1_000);
      queueMicrotask(this.#forget);
    }
    return this.#now;
  }
}

/** Requests of a client are numbered one after the other, so the low bits of a number find its place. */
class TimedSink implements ReplySink {
  readonly #sink: ReplySink;
  readonly #histogram: RequestHistogram;
  readonly #clock: TurnClock;
  /** Request id + 1 by place; 0: free. */
  #ids = new Float64Array(PLACES_MIN);
  /** Microseconds at arrival * TYPE_COUNT + type. */
  #began = new Float64Array(PLACES_MIN);

  constructor(sink: ReplySink, histogram: RequestHistogram, clock: TurnClock) {
    this.#sink = sink;
    this.#histogram = histogram;
    this.#clock = clock;
  }

  begin(requestId: number, type: number): void {
    if (this.#ids[requestId & (this.#ids.length - 1)] !== 0) this.#makeRoom(requestId);
    this.#set(requestId, this.#clock.microseconds() * TYPE_COUNT + type);
  }

  reply(requestId: number, response: Response): void {
    const place = requestId & (this.#ids.length - 1);
    if (this.#ids[place] === requestId + 1) {
      this.#ids[place] = 0;
      const began = this.#began[place] ?? 0;
      const type = began % TYPE_COUNT;
      const seconds = (this.#clock.microseconds() - (began - type) / TYPE_COUNT) / 1e6;
      this.#histogram.record(type, resultOf(response), seconds);
    }
    this.#sink.reply(requestId, response);
  }

  #set(requestId: number, began: number): void {
    const place = requestId & (this.#ids.length - 1);
    this.#ids[place] = requestId + 1;
    this.#began[place] = began;
  }

  /** Twice the places until there is one for `requestId`; at the bound an older request goes untimed. */
  #makeRoom(requestId: number): void {
    while (this.#ids.length < PLACES_MAX && this.#ids[requestId & (this.#ids.length - 1)] !== 0) {
      const ids = this.#ids;
      const began = this.#began;
      this.#ids = new Float64Array(ids.length * 2);
      this.#began = new Float64Array(ids.length * 2);
      for (const [place, id] of ids.entries()) if (id !== 0) this.#set(id - 1, began[place] ?? 0);
    }
  }
}

/** Index into RESULTS. */
function resultOf(response: Response): number {
  if (response.type === 'error') return response.outcome === 'unknown' ? 2 : 1;
  return response.type === 'result' && response.result.type === 'error' ? 1 : 0;
}
