/** What backups and new clusters made of them refuse. */

/**
 * `damaged`: not what was written, or cut short. `no-backup`: not a backup at all. `newer-format`: written by a later
 * version of kvd. `not-empty`: a directory that holds something. `bad-request`: what was asked for contradicts itself.
 */
export type BackupErrorKind = 'damaged' | 'no-backup' | 'newer-format' | 'not-empty' | 'bad-request';

/** A backup that is not to be believed, or a restore that is not to be done. */
export class BackupError extends Error {
  readonly kind: BackupErrorKind;

  constructor(kind: BackupErrorKind, message: string) {
    super(message);
    this.name = 'BackupError';
    this.kind = kind;
  }
}
