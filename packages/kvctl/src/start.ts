/**
 * What `npm start` runs: a local cluster in the foreground. Starts the replicas, loads the sample at the first start,
 * says when it is ready, shows what happens, and stops them all when it is told to.
 *
 * It restarts nothing by itself. Should it be killed itself (-9), its replicas go on; the next start, or `kvctl cluster
 * down`, finds them by their pid files.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type KvdClient } from '@kvd/client';
import yargs from 'yargs';
import type { LayoutWish } from './cluster/layout.js';
import { leaderOf, LiveView, type Snapshot } from './cluster/live-view.js';
import type { LocalCluster } from './cluster/local-cluster.js';
import { takeOwnership } from './cluster/owner-file.js';
import { openForStart } from './commands/cluster.js';
import { loadFile } from './commands/load.js';
import { EXIT, type ExitCode, exitCodeOf, unavailable, usage } from './errors.js';
import { endOnBrokenPipe, Output } from './output.js';
import { dataDir, sampleFile } from './paths.js';
import { askReplicas } from './replicas.js';

const READY_MS = 60_000;
/** Replicas that are slow to come back are not waited for any longer, once the others answer. */
const STRAGGLERS_MS = 15_000;
const WATCH_MS = 500;
const STATUS_MS = 1_000;
/** Deleting it changes nothing, and shows that writes are answered. */
const PROBE_KEY = new Uint8Array([0]);

class Foreground {
  private readonly stopping = new AbortController();
  private readonly view = new LiveView();
  private readonly out = new Output('text');

  constructor(private readonly cluster: LocalCluster) {}

  async run(): Promise<ExitCode> {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => this.stopping.abort());
    // The last resort when this process ends in a way that nobody foresaw.
    process.on('exit', () => this.terminateAll());
    try {
      await this.start();
      if (!this.stopped) await this.announce();
      while (!this.stopped) {
        this.view.show(await this.snapshot());
        await this.pause(WATCH_MS);
      }
    } catch (error) {
      if (!this.stopped) throw error;
    } finally {
      await this.stopAll();
    }
    return EXIT.done;
  }

  private get stopped(): boolean {
    return this.stopping.signal.aborted;
  }

  private async start(): Promise<void> {
    const { cluster } = this;
    const running = cluster.processes().filter((replica) => replica.state !== 'stopped');
    for (const { id, pid, state } of running) {
      this.out.note(
        `replica ${id} runs already (pid ${pid}${state === 'paused' ? ', paused' : ''}): taken over`,
      );
      if (state === 'paused') cluster.signal(id, 'SIGCONT');
    }
    const taken = new Set(running.map((replica) => replica.id));
    await cluster.start(cluster.ids.filter((id) => !taken.has(id)));
    this.out.note(`starting ${cluster.ids.length} replicas, data in ${cluster.dir}`);
    await this.waitReady();
  }

  /** Until all replicas are ready; or most, and the rest is slow; or one ended. */
  private async waitReady(): Promise<void> {
    const ready = new Set<number>();
    const failures: Error[] = [];
    const { ids } = this.cluster;
    const waits = ids.map((id) =>
      this.cluster.waitReady(id, READY_MS, this.stopping.signal).then(
        () => ready.add(id),
        (error: unknown) => {
          failures.push(error instanceof Error ? error : new Error(String(error)));
          this.out.error(error);
        },
      ),
    );
    const all = Promise.all(waits).then(() => true);
    const startMs = performance.now();
    let settled = false;
    while (!settled && !this.stopped) {
      settled = await Promise.race([all, sleep(50, false)]);
      const enough = ready.size * 2 > ids.length;
      // At the founding all must be there, so one that ended means that nothing will ever be ready.
      const [failure] = failures;
      if (failure !== undefined && ready.size === 0 && !this.cluster.layout.sampleLoaded) throw failure;
      if (enough && performance.now() - startMs > STRAGGLERS_MS) settled = true;
    }
    if (this.stopped || ready.size > 0) return;
    throw failures[0] ?? unavailable('no replica became ready');
  }

  private async announce(): Promise<void> {
    const { signal } = this.stopping;
    const endpoints = this.cluster.addresses;
    const client = await connect({ endpoints, timeoutMs: READY_MS, name: 'npm start', signal });
    try {
      await this.loadSample(client);
      await client.delete(PROBE_KEY, { signal });
      await client.get(PROBE_KEY, { signal });
    } finally {
      await client.close();
    }
    const { reports } = await this.snapshotWithLeader();
    const { ids } = this.cluster;
    const address = this.cluster.addressOf(ids[0] ?? 1);
    this.view.say(
      `kvd cluster ready: ${ids.length} replicas, leader ${leaderOf(reports)}, http://${address}`,
    );
  }

  /** Noted only once it is whole: cut short, it is loaded again, which changes nothing for the worse. */
  private async loadSample(client: KvdClient): Promise<void> {
    if (this.cluster.layout.sampleLoaded) return;
    const loaded = await loadFile(client, sampleFile);
    this.cluster.save({ ...this.cluster.layout, sampleLoaded: true });
    this.out.note(`loaded ${loaded} entries of data/sample.jsonl`);
  }

  private async snapshotWithLeader(): Promise<Snapshot> {
    for (;;) {
      const snapshot = await this.snapshot();
      if (leaderOf(snapshot.reports) !== 0 || this.stopped) return snapshot;
      await this.pause(WATCH_MS / 10);
    }
  }

  private async snapshot(): Promise<Snapshot> {
    const processes = this.cluster.processes();
    const running = processes
      .filter((replica) => replica.state === 'running')
      .map((replica) => replica.address);
    return { processes, reports: running.length === 0 ? [] : await askReplicas(running, STATUS_MS) };
  }

  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.stopping.signal }).catch(() => undefined);
  }

  private async stopAll(): Promise<void> {
    this.out.note('stopping the replicas');
    const stops = this.cluster.ids.map(async (id) => {
      if ((await this.cluster.stop(id)) === 'killed')
        this.out.note(`replica ${id} did not stop when asked and was killed`);
    });
    await Promise.all(stops);
  }

  private terminateAll(): void {
    for (const id of this.cluster.ids) this.cluster.trySignal(id, 'SIGTERM');
  }
}

async function main(argv: readonly string[]): Promise<ExitCode> {
  const separator = argv.indexOf('--');
  const own = separator < 0 ? argv : argv.slice(0, separator);
  const flags = separator < 0 ? undefined : argv.slice(separator + 1);
  const args = await yargs()
    .scriptName('npm start --')
    .usage('$0 [--replicas N] [--port P] [--dir DIR] [-- more flags for every kvd]')
    .option('replicas', {
      type: 'number',
      describe: 'how many, 1 to 9, at the first start [5]',
      requiresArg: true,
    })
    .option('port', {
      type: 'number',
      describe: 'of replica 1; the others follow [15000]',
      requiresArg: true,
    })
    .option('dir', {
      type: 'string',
      default: dataDir,
      defaultDescription: 'data/ in the repository',
      describe: 'where the data is',
      requiresArg: true,
    })
    .parserConfiguration({ 'duplicate-arguments-array': false })
    .strict()
    .version(false)
    .exitProcess(false)
    .fail((message, error) => {
      throw error === undefined || error.name === 'YError' ? usage(message ?? error?.message ?? '') : error;
    })
    .parseAsync([...own]);
  if ('help' in args && args.help) return EXIT.done;
  return foreground(args.dir, { replicas: args.replicas, port: args.port, flags });
}

async function foreground(dir: string, wish: LayoutWish): Promise<ExitCode> {
  const cluster = openForStart(dir, wish);
  const release = takeOwnership(cluster.dir);
  try {
    return await new Foreground(cluster).run();
  } finally {
    release();
  }
}

endOnBrokenPipe();
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  new Output('text').error(error);
  process.exitCode = exitCodeOf(error);
}
