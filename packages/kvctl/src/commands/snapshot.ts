/**
 * `kvctl snapshot save|status|restore`: a backup taken from a running cluster, checked, and made a new cluster of. What is
 * in a backup, and what is wrong with one, is @kvd/store's to know; it is loaded only here, for it brings LevelDB along.
 */
import { KvdError } from '@kvd/client';
import type * as StoreModule from '@kvd/store';
import type { BackupProgress, CheckedBackup, SeedMember } from '@kvd/store';
import { SingleBar } from 'cli-progress';
import { randomBytes } from 'node:crypto';
import { fetchSnapshot } from '../backup-fetch.js';
import { type BackupSink, openSink } from '../backup-file.js';
import { backupJson, clusterJson, tableOf } from '../backup-report.js';
import type { Context } from '../context.js';
import { CliError, EXIT, type ExitCode, unavailable } from '../errors.js';
import { openInput } from '../input.js';
import { Stop } from '../stop.js';

type Store = typeof StoreModule;

export interface SaveArgs {
  readonly file: string;
  readonly overwrite: boolean;
}

/** From the first of the endpoints that has a snapshot to give, whole. */
export async function snapshotSave(context: Context, { file, overwrite }: SaveArgs): Promise<ExitCode> {
  const store = await import('@kvd/store');
  const begunMs = performance.now();
  const sink = await openSink(file, overwrite, context.out);
  const stop = new Stop(context.stop);
  let whole = false;
  try {
    const saved = await saveFromAny(context, store, sink, stop);
    await sink.commit();
    whole = true;
    const json = { file, ...backupJson(saved), ms: Math.round(performance.now() - begunMs) };
    const { head } = saved.header;
    const words = `saved ${head.keys} keys at revision ${head.revision}, ${saved.bytes} bytes, content hash ${head.contentHash.toString()}, in ${(json.ms / 1000).toFixed(1)} s`;
    if (file === '-') context.out.note(context.out.format === 'json' ? JSON.stringify(json) : words);
    else await context.out.result(json, words);
    return EXIT.done;
  } catch (error) {
    if (stop.by !== null) return stop.exitCode;
    throw refusalOf(store, error);
  } finally {
    stop.end();
    if (!whole) await sink.discard();
  }
}

async function saveFromAny(
  context: Context,
  store: Store,
  sink: BackupSink,
  stop: Stop,
): Promise<CheckedBackup> {
  const { endpoints, consistency, timeoutMs, out } = context;
  let failure: unknown = unavailable('no replica was asked');
  for (const [i, address] of endpoints.entries()) {
    const decoder = new store.BackupDecoder();
    const bar = new Bar('saving');
    let begun = false;
    try {
      for await (const bytes of fetchSnapshot(address, { consistency, timeoutMs, signal: stop.signal })) {
        begun = true;
        decoder.push(bytes);
        await sink.write(bytes);
        bar.show(decoder.keys, decoder.header?.head.keys ?? 0);
      }
      return decoder.finish();
    } catch (error) {
      // Only what the replica failed at another one may be better at; and what is in a pipe is not taken back.
      const isTheirs = error instanceof KvdError || error instanceof CliError;
      if (stop.by !== null || !isTheirs) throw error;
      failure = error;
      if (begun && !(await sink.restart())) throw error;
      if (i + 1 < endpoints.length) out.note(`kvctl: ${error.message}; asking the next replica`);
    } finally {
      bar.end();
    }
  }
  throw failure;
}

/** Exit 1, and a line that says why, when it is not whole. */
export async function snapshotStatus(context: Context, file: string): Promise<ExitCode> {
  const store = await import('@kvd/store');
  const bar = new Bar('checking');
  try {
    const checked = await store.checkBackup(await openInput(file), bar.show);
    bar.end();
    const json = { file, ...backupJson(checked) };
    await context.out.result(json, tableOf(json));
    return EXIT.done;
  } catch (error) {
    bar.end();
    if (!(error instanceof store.BackupError)) throw error;
    const { kind, message } = error;
    await context.out.result({ file, whole: false, kind, message }, `${file}: ${message}`);
    return EXIT.negative;
  }
}

export interface RestoreArgs {
  readonly file: string;
  readonly data: string;
  readonly peers: readonly SeedMember[];
  readonly revisionStep?: number | undefined;
}

export async function snapshotRestore(context: Context, args: RestoreArgs): Promise<ExitCode> {
  const { file, data, peers: members } = args;
  const store = await import('@kvd/store');
  const begunMs = performance.now();
  const bar = new Bar('restoring');
  try {
    const { backup, cluster } = await store.restoreBackup(data, await openInput(file), {
      clusterId: randomBytes(16).toString('hex'),
      members,
      revisionStep: args.revisionStep ?? store.DEFAULT_REVISION_STEP,
      onProgress: bar.show,
    });
    bar.end();
    const ms = Math.round(performance.now() - begunMs);
    const json = { ...clusterJson(cluster), backup: backupJson(backup), ms };
    const words = [
      `restored ${cluster.keys} keys, content hash ${cluster.contentHash} as in the backup, in ${(ms / 1000).toFixed(1)} s`,
      `new cluster ${cluster.clusterId}, revision ${cluster.revision} (the backup's was ${backup.header.head.revision})`,
      ...cluster.directories.map(({ replicaId, path }) => `kvd --id ${replicaId} --data ${path}`),
    ];
    await context.out.result(json, words.join('\n'));
    return EXIT.done;
  } catch (error) {
    throw refusalOf(store, error);
  } finally {
    bar.end();
  }
}

/** A backup that is not to be believed, or not to be restored there, is refused: exit 4. */
function refusalOf(store: Store, error: unknown): unknown {
  if (!(error instanceof store.BackupError)) return error;
  return new CliError(
    EXIT.refused,
    `KVCTL_BACKUP_${error.kind.toUpperCase().replace('-', '_')}`,
    error.message,
  );
}

/** A progress bar on a terminal, once it is known how many keys there are. */
class Bar {
  private bar: SingleBar | null = null;

  constructor(private readonly doing: string) {}

  readonly show: BackupProgress = (keys, of) => {
    if (!process.stderr.isTTY || of === 0) return;
    if (this.bar === null) {
      this.bar = new SingleBar({
        stream: process.stderr,
        format: `${this.doing} [{bar}] {percentage}% {value}/{total} keys {eta_formatted}`,
      });
      this.bar.start(of, 0);
    }
    this.bar.update(keys);
  };

  /** Called again: nothing. */
  end(): void {
    this.bar?.stop();
    this.bar = null;
  }
}
