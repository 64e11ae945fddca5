/** Explicit snapshots: a revision to read at. Nothing is held for it, here or in the cluster. */
import { AbstractSnapshot } from 'abstract-level';
import { LevelError } from './errors.js';

interface SnapshotOptions {
  /** The database that closes it: the one of `database`, or a sublevel of it. */
  readonly owner: unknown;
}

// Its types leave the constructor's options out.
const Base = AbstractSnapshot as unknown as new (options: SnapshotOptions) => AbstractSnapshot;

export class KvdSnapshot extends Base {
  /** `revision` is asked for when the snapshot is made; if that fails, so does every read from the snapshot. */
  constructor(
    options: SnapshotOptions,
    private readonly database: unknown,
    private readonly revision: Promise<number>,
  ) {
    super(options);
    // Whoever reads from the snapshot gets the error; nobody may.
    revision.catch(() => undefined);
  }

  /** @throws LevelError LEVEL_NOT_SUPPORTED for a snapshot of another database */
  static revisionOf(snapshot: unknown, database: unknown): Promise<number> {
    if (snapshot instanceof KvdSnapshot && snapshot.database === database) return snapshot.revision;
    throw new LevelError('LEVEL_NOT_SUPPORTED', 'the snapshot is not one of this database');
  }
}
