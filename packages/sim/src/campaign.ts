/**
 * Many seeds, one after the other or in several threads: hands them out, counts, collects what failed. Each thread runs
 * every so-manieth seed, so that which seeds are run does not depend on how fast they are.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { planOf } from './plan-of.js';
import { simulate } from './simulate.js';

export interface SeedRange {
  readonly from: number;
  readonly count: number;
  readonly replicas: number | null;
  readonly scenario: string | null;
}

/** What is told of one seed. */
export interface SeedResult {
  readonly seed: number;
  readonly violation: {
    readonly kind: 'safety' | 'liveness';
    readonly rule: string;
    readonly message: string;
  } | null;
}

interface Share {
  readonly range: SeedRange;
  readonly offset: number;
  readonly step: number;
}

/** Runs all seeds of the range; `onResult` hears of each, in any order. False from it: enough. */
export async function runSeeds(
  range: SeedRange,
  jobs: number,
  onResult: (result: SeedResult) => boolean,
): Promise<void> {
  if (jobs === 1) {
    await runShare({ range, offset: 0, step: 1 }, onResult);
    return;
  }
  const workers: Worker[] = [];
  const stop = (): void => {
    for (const worker of workers) void worker.terminate();
  };
  await Promise.all(
    Array.from({ length: jobs }, (_, offset) => {
      const share: Share = { range, offset, step: jobs };
      const worker = new Worker(new URL(import.meta.url), { workerData: share });
      workers.push(worker);
      return new Promise<void>((resolve, reject) => {
        worker.on('message', (result: SeedResult) => {
          if (!onResult(result)) stop();
        });
        worker.on('error', reject);
        worker.on('exit', () => resolve());
      });
    }),
  );
}

async function runShare(
  { range, offset, step }: Share,
  onResult: (result: SeedResult) => boolean,
): Promise<void> {
  for (let i = offset; i < range.count; i += step) {
    const seed = range.from + i;
    const { violation } = await simulate(planOf(seed, range.replicas, range.scenario));
    const told = violation && { kind: violation.kind, rule: violation.rule, message: violation.message };
    if (!onResult({ seed, violation: told })) return;
  }
}

if (!isMainThread && parentPort !== null) {
  const port = parentPort;
  await runShare(workerData as Share, (result) => {
    port.postMessage(result);
    return true;
  });
}
