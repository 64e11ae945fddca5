/**
 * One drill from its beginning to its verdict: a cluster of real processes on a copy of a template, clients at work, the
 * drill's faults, the end of all faults, and then what must hold. A drill that breaks off has failed; what it did until
 * then is judged all the same.
 */
import {
  checkHistory,
  type EntryRead,
  formatFinal,
  formatHeader,
  formatOperation,
  type History,
  type HistoryReport,
} from '@kvd/checker';
import { once } from 'node:events';
import { createWriteStream, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { DrillCluster } from './cluster.js';
import { staleScan } from './drill-client.js';
import { type Drill, NotHere } from './drill.js';
import { Load } from './load.js';
import { Network } from './network.js';
import { seededRandom } from './random.js';
import type { DataReport } from './model/report.js';
import type { DrillResult, DrillSetting, FinishedDrill } from './result.js';
import { type Injection, Stage } from './stage.js';
import type { Templates } from './template.js';
import { OWN_PREFIX, SHARED_PREFIX } from './workload.js';

/** Where a majority is up and connected all the time, no break may be longer. */
const GAP_MS_MAX = 5_000;
/** From the end of all faults until every client is served, and until all states are equal. */
const RECOVERY_MS_MAX = 30_000;
const CALM_MS = 300;
const CHECK_MS_MAX = 60_000;
/** What a replica logs when the others' hashes say that its state is wrong. */
const DIVERGED = '"event":"state-diverged"';

/** Told of a drill as it goes on. */
export interface Watcher {
  injected(injection: Injection): void;
  /** Several times a second. */
  progress(load: Load, nowMs: number): void;
  /** What goes on besides the load. */
  phase(what: string): void;
}

export interface RunOptions {
  /** Where the drill has its scratch directory; removed when it passed. */
  readonly dir: string;
  readonly templates: Templates;
  readonly watcher: Watcher;
}

const PROGRESS_MS = 200;
/** In the scratch directory of a drill that failed. */
export const HISTORY_FILE = 'history.jsonl';

/** @throws CliError when there is no template, and so no cluster for any drill */
export async function runDrill(
  drill: Drill,
  setting: DrillSetting,
  options: RunOptions,
): Promise<DrillResult> {
  const dir = path.join(options.dir, drill.name);
  mkdirSync(dir);
  options.watcher.phase('starting');
  const template = await options.templates.of(setting.replicas);
  const environment = drill.environment && ((id: number) => drill.environment?.(dir, id) ?? {});
  const cluster = new DrillCluster({ ...template, dir, environment });
  const random = seededRandom(setting.seed);
  const network = await Network.open(cluster.ids, (id) => cluster.address(id), random);
  const run = new Run(drill, setting, cluster, network, { dir, random, watcher: options.watcher });
  try {
    return await run.toTheEnd(template.dir);
  } catch (error) {
    if (!(error instanceof NotHere)) throw error;
    return { ...setting, verdict: 'skipped', reason: error.message };
  } finally {
    await run.close();
  }
}

class Run {
  private readonly load: Load;
  private readonly stage: Stage;
  private beganMs = performance.now();
  private loadedMs = 0;
  private healedMs = 0;
  private endedMs = 0;
  private progress: NodeJS.Timeout | null = null;
  private closed = false;

  constructor(
    private readonly drill: Drill,
    private readonly setting: DrillSetting,
    private readonly cluster: DrillCluster,
    private readonly network: Network,
    private readonly parts: {
      readonly dir: string;
      readonly random: () => number;
      readonly watcher: Watcher;
    },
  ) {
    const { clients, seed, durationMs } = setting;
    const { dir, random, watcher } = parts;
    const now = (): number => performance.now() - this.beganMs;
    this.load = new Load({ clients, seed, endpoints: cluster.endpoints, now });
    this.stage = new Stage({
      cluster,
      network,
      load: this.load,
      random,
      dir,
      durationMs,
      now,
      onInjection: (injection) => watcher.injected(injection),
    });
  }

  /** @throws NotHere when this machine does not allow it */
  async toTheEnd(templateDir: string): Promise<FinishedDrill> {
    this.drill.prepare?.(this.stage);
    try {
      await this.start(templateDir);
      await this.drill.inflict(this.stage);
      this.stage.check('the drill was done', true, `${this.stage.injections.length} injections`);
    } catch (error) {
      this.brokeOff(error);
    }
    await this.recover();
    const finished = await this.judge();
    await this.close();
    if (finished.verdict === 'passed') rmSync(this.parts.dir, { recursive: true, force: true });
    else await writeHistory(path.join(this.parts.dir, HISTORY_FILE), finished.history);
    return finished;
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    if (this.progress !== null) clearInterval(this.progress);
    await this.load.data.close();
    await this.cluster.close();
    this.network.close();
    this.drill.cleanUp?.(this.stage);
  }

  private async start(templateDir: string): Promise<void> {
    this.cluster.adopt(templateDir);
    this.stage.restart(...this.stage.ids);
    await this.stage.ready(...this.stage.ids);
    this.beganMs = performance.now();
    await this.load.start();
    this.loadedMs = this.stage.now;
    const { watcher } = this.parts;
    this.progress = setInterval(() => watcher.progress(this.load, this.stage.now), PROGRESS_MS);
    await this.stage.pause(CALM_MS);
  }

  /** End all faults, whatever state the drill left, and wait until all clients are served. */
  private async recover(): Promise<void> {
    this.network.heal();
    for (const id of this.stage.ids) this.cluster.resume(id);
    this.stage.restart(...this.stage.ids.filter((id) => !this.cluster.isRunning(id)));
    this.healedMs = this.stage.now;
    const served = await this.cluster.waitFor(RECOVERY_MS_MAX, () =>
      Promise.resolve(this.load.allSucceededSince(this.healedMs)),
    );
    this.endedMs = this.stage.now;
    const tookMs = Math.round(this.endedMs - this.healedMs);
    const detail = served ? `${tookMs} ms after the last fault` : `not within ${tookMs} ms`;
    this.stage.check('every client was served again', served, detail);
    try {
      await this.drill.examine?.(this.stage);
    } catch (error) {
      this.brokeOff(error);
    }
    await this.load.stop();
    if (this.progress !== null) clearInterval(this.progress);
  }

  private async judge(): Promise<FinishedDrill> {
    this.parts.watcher.phase('comparing states, checking the history');
    const stateHash = await this.compareStates();
    await this.readFinals();
    const longestGap = this.load.longestGap(this.loadedMs, this.endedMs);
    if (this.drill.goesOn) {
      const detail = `longest break ${Math.round(longestGap.ms)} ms, at most ${GAP_MS_MAX} ms`;
      this.stage.check('operations went on', longestGap.ms <= GAP_MS_MAX, detail);
    }
    for (const surprise of this.cluster.surprises)
      this.stage.check('no replica ended by itself', false, surprise);
    const history = this.load.recorder.history();
    const data = await this.load.data.judge(history.operations);
    this.checkWork(history, data);
    const now = (): number => performance.now();
    const report: HistoryReport = checkHistory(history, { timeLimitMs: CHECK_MS_MAX, now });
    const { injections, checks } = this.stage;
    const isSound = report.verdict === 'ok' && data.findings.length === 0;
    const ok = isSound && checks.every((check) => check.ok);
    return {
      ...this.setting,
      verdict: ok ? 'passed' : 'failed',
      tookMs: this.endedMs,
      injections,
      longestGap,
      checks,
      history,
      report,
      data,
      errors: this.load.errors,
      stateHash,
      scratch: ok ? null : this.parts.dir,
    };
  }

  /** Nothing was lost, because nothing was written: that would prove nothing. */
  private checkWork({ operations }: History, { bank, counter }: DataReport): void {
    const done = (op: string): number =>
      operations.filter((operation) => operation.op === op && operation.outcome === 'ok').length;
    const counts = {
      puts: done('put'),
      gets: done('get'),
      transactions: bank.transfers + counter.value,
    };
    const detail = Object.entries(counts).map(([what, count]) => `${count} ${what}`);
    const ok = Object.values(counts).every((count) => count > 0);
    this.stage.check('there was something to lose', ok, detail.join(', '));
  }

  private brokeOff(error: unknown): void {
    const what = error instanceof Error ? error.message : String(error);
    this.stage.check('the drill was done', false, `it broke off: ${what}`);
  }

  /** Once all replicas have applied the same slots: the hash that all of them have. */
  private async compareStates(): Promise<string | null> {
    let found = 'not all replicas answered';
    let hash: string | null = null;
    await this.cluster.waitFor(RECOVERY_MS_MAX, async () => {
      const states = await this.cluster.states();
      if (states.length < this.stage.ids.length) return false;
      const goal = Math.max(...states.map((state) => state.chosenThrough));
      const behind = states.filter((state) => state.appliedThrough !== goal);
      found = `replicas ${behind.map((state) => state.id).join(', ')} did not catch up with slot ${goal}`;
      if (behind.length > 0) return false;
      const hashes = new Set(states.map((state) => state.stateHash));
      found = [...hashes].join(', ');
      hash = hashes.size === 1 ? found : null;
      return true;
    });
    const detail = this.divergences() || found;
    this.stage.check('all replicas hold the same', hash !== null && detail === found, detail);
    return hash;
  }

  /** A replica that finds that its state is wrong takes another's, and is right in the end: it was wrong all the same. */
  private divergences(): string {
    const diverged = this.stage.ids.filter((id) => this.cluster.log(id).includes(DIVERGED));
    return diverged.length > 0
      ? `found wrong, and replaced: the state of replica ${diverged.join(', ')}`
      : '';
  }

  private async readFinals(): Promise<void> {
    const { keys } = this.load;
    for (const id of this.cluster.running) {
      try {
        const address = this.cluster.address(id);
        const entries = new Map<string, EntryRead>();
        for (const prefix of [SHARED_PREFIX, OWN_PREFIX]) {
          const read = await staleScan(address, prefix);
          if (read.outcome !== 'ok') throw new Error(read.error ?? 'no answer');
          for (const entry of read.entries ?? []) entries.set(entry.key, entry);
        }
        for (const key of keys) {
          const entry = entries.get(key) ?? { key, value: null };
          this.load.recorder.final({ replica: String(id), ...entry });
        }
      } catch (error) {
        const what = error instanceof Error ? error.message : String(error);
        this.stage.check('every replica can be read', false, `replica ${id}: ${what}`);
      }
    }
  }
}

/** As JSON lines, which `kvctl check` reads. */
async function writeHistory(file: string, history: History): Promise<void> {
  const { operations, finals = [] } = history;
  const stream = createWriteStream(file);
  stream.write(`${formatHeader({})}\n`);
  for (const operation of operations) stream.write(`${formatOperation(operation)}\n`);
  for (const final of finals) stream.write(`${formatFinal(final)}\n`);
  stream.end();
  await once(stream, 'finish');
}
