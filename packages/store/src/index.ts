/** @kvd/store: a replica's data directory, its log and its key-value state, on LevelDB and in memory. */
export { BackupDecoder, type CheckedBackup } from './backup-decoder.js';
export { BackupError, type BackupErrorKind } from './backup-errors.js';
export type { BackupHeader } from './backup-format.js';
export {
  type BackupBytes,
  type BackupProgress,
  checkBackup,
  restoreBackup,
  type Restored,
  type RestoreRequest,
} from './backup-source.js';
export { type BackupOrigin, BackupWriter } from './backup-writer.js';
export { type DirectoryRequest, type OpenedDirectory } from './directory.js';
export { DirectoryError, type DirectoryErrorKind, StoreError, type StoreErrorKind } from './errors.js';
export { openDirectory } from './file-disk.js';
export { KvState } from './kv-state.js';
export { DEFAULT_STATE_OPTIONS, type KvStateOptions } from './kv-state-options.js';
export { type DurableMark, OrderedLogStore } from './log-store.js';
export { createMemoryLog, createMemoryState, MemoryDisk, openMemoryDirectory } from './memory-disk.js';
export { MemoryContent, MemoryStore, type Schedule, scheduleMicrotask } from './memory-store.js';
export {
  type SeededCluster,
  seedDirectories,
  type SeedMember,
  type SeedRequest,
} from './seed-directories.js';
export { DEFAULT_REVISION_STEP, SLOT_STEP } from './seed-state.js';
export { type WitnessLog, WitnessState } from './witness-state.js';
export { type DescribedCommand, type DescribedValue } from './recover/described.js';
export { type Verdict } from './recover/judge.js';
export {
  type PlannedDirectory,
  type PlannedSlot,
  type RecoveryPlan,
  type SlotRange,
} from './recover/plan.js';
export { RecoverError, type RecoverErrorKind } from './recover/recover-error.js';
export { type NewCluster, openRecovery, type Recovery, type RecoveryOptions } from './recover/recovery.js';
