/** What a recovery refuses. Nothing was changed, and no original ever is. */

/**
 * `no-directory`: not a replica's data directory. `locked`: a process has it open. `other-cluster`: the directories are of
 * different clusters. `twice`: two are of one incarnation. `io`: the file system refused. `unrecoverable`: no state can be
 * built of what there is.
 */
export type RecoverErrorKind = 'no-directory' | 'locked' | 'other-cluster' | 'twice' | 'io' | 'unrecoverable';

export class RecoverError extends Error {
  readonly kind: RecoverErrorKind;

  constructor(kind: RecoverErrorKind, message: string) {
    super(message);
    this.name = 'RecoverError';
    this.kind = kind;
  }
}
