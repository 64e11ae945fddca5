/**
 * The clients of a drill at work: each does one operation after another and records what it asked and was told. Knows
 * when operations succeeded, and so how long the cluster was of no use to anybody.
 */
import { type Completion, HistoryRecorder } from '@kvd/checker';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DrillClient, FaithfulClient, openRoamingClient } from './drill-client.js';
import { DataLoad } from './model/data-load.js';
import { seededRandom } from './random.js';
import { type DrillCall, SHARED_KEYS, Workload } from './workload.js';

export interface LoadOptions {
  readonly clients: number;
  readonly seed: number;
  /** Of whoever is replaced, the address changes in place. */
  readonly endpoints: readonly string[];
  /** Milliseconds since the drill began. */
  readonly now: () => number;
}

/** Between two operations of a client on average; the machine is to be busy with the cluster, not with its clients. */
const THINK_MS = 3;
/** After a failure, which comes at once where nobody listens. */
const FAILURE_PAUSE_MS = 60;
const READS: readonly string[] = ['get', 'scan', 'audit'];

export class Load {
  readonly recorder: HistoryRecorder;
  /** Transactions and watchers, which the recorder knows nothing of. */
  readonly data = new DataLoad();
  /** Of all operations, those of `data` too. */
  readonly counts = { ok: 0, fail: 0, unknown: 0 };
  /** When each success came, ascending. */
  readonly successes: number[] = [];
  /** By code: what clients were told that were told no. */
  readonly errors = new Map<string, number>();
  private readonly lastSuccess: number[];
  /** Of what changes something. */
  private readonly lastWrite: number[];
  private readonly workloads: Workload[];
  private readonly loops: Promise<void>[] = [];
  private clients: DrillClient[] = [];
  private stopping = false;

  constructor(private readonly options: LoadOptions) {
    const { now, clients, seed } = options;
    this.recorder = new HistoryRecorder({ now });
    this.lastSuccess = Array.from({ length: clients }, () => Number.NEGATIVE_INFINITY);
    this.lastWrite = [...this.lastSuccess];
    this.workloads = Array.from({ length: clients }, (_, index) => {
      return new Workload(nameOf(index), clients, seededRandom(seed * 1_009 + index));
    });
  }

  /** Resolves once all clients are at work. */
  async start(): Promise<void> {
    const { clients, endpoints } = this.options;
    await this.data.open(endpoints);
    const opening = Array.from({ length: clients }, async (_, index): Promise<DrillClient> => {
      const addressOf = (): string => endpoints[(index >> 1) % endpoints.length] ?? '';
      const name = nameOf(index);
      return index % 2 === 0 ? openRoamingClient(endpoints, name) : new FaithfulClient(addressOf, name);
    });
    this.clients = await Promise.all(opening);
    this.loops.push(
      ...this.workloads.flatMap((workload, index) => {
        const client = this.clients[index];
        return client === undefined ? [] : [this.work(client, workload, index)];
      }),
    );
  }

  /** Let operations under way end, and begin no more. @throws what a client threw that is no outcome */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.loops);
    await this.data.settle();
    await Promise.all(this.clients.map((client) => client.close()));
  }

  /** Every key that any client may have written. */
  get keys(): string[] {
    return [...SHARED_KEYS, ...this.workloads.flatMap((workload) => workload.ownKeys)];
  }

  /** Did every client read or write something since then, and write something? */
  allSucceededSince(sinceMs: number): boolean {
    return [...this.lastSuccess, ...this.lastWrite].every((last) => last > sinceMs);
  }

  /** The longest stretch without a success between two times, and where it began. */
  longestGap(fromMs: number, toMs: number): { readonly ms: number; readonly atMs: number } {
    let longest = { ms: 0, atMs: fromMs };
    let last = fromMs;
    for (const at of [...this.successes.filter((time) => time > fromMs && time < toMs), toMs]) {
      if (at - last > longest.ms) longest = { ms: at - last, atMs: last };
      last = at;
    }
    return longest;
  }

  private async work(client: DrillClient, workload: Workload, index: number): Promise<void> {
    const random = seededRandom(this.options.seed * 2_003 + index);
    while (!this.stopping) {
      const data = this.data.next(random);
      const call = data ?? workload.next();
      const completion = await (data === null
        ? this.operate(client, call as DrillCall, index)
        : this.data.perform(client, data));
      this.counts[completion.outcome] += 1;
      if (completion.outcome === 'ok') {
        const nowMs = this.options.now();
        this.successes.push(nowMs);
        this.lastSuccess[index] = nowMs;
        if (!READS.includes(call.op)) this.lastWrite[index] = nowMs;
        await sleep(Math.random() * THINK_MS * 2);
      } else {
        this.noteError(completion.error ?? '');
        await sleep(FAILURE_PAUSE_MS);
      }
    }
  }

  /** One operation that the checker will judge. */
  private async operate(client: DrillClient, call: DrillCall, index: number): Promise<Completion> {
    const id = this.recorder.invoke(nameOf(index), call);
    const completion = await client.perform(call);
    this.recorder.complete(id, completion);
    return completion;
  }

  private noteError(error: string): void {
    const code = /KVD_[A-Z_]+/.exec(error)?.[0] ?? 'no answer';
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
  }
}

function nameOf(index: number): string {
  return `c${index + 1}`;
}
