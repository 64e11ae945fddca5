/** The keys of the workload: who writes what. All of them are in the range of whoever wants everything. */

export function keyAt(index: number): string {
  return `k${String(index).padStart(4, '0')}`;
}

/** Accounts of the bank: money is moved between them, and never made. */
export const ACCOUNTS = 5;
export const FUNDS = 100;
export const BANK = { from: 'bank', to: 'banl' } as const;
export function accountAt(index: number): string {
  return `bank${index % ACCOUNTS}`;
}

export function counterAt(index: number): string {
  return `count${index % 2}`;
}

/** What transactions compare, write and delete. */
export function boxAt(index: number): string {
  return `tx${index % 4}`;
}

export function lockAt(index: number): string {
  return `lock${index % 2}`;
}

/** What only the holder of the lock may write. */
export function guardedBy(lock: string): string {
  return `guarded-${lock}`;
}

export const EVERYTHING_THERE_IS = { from: '', to: '' } as const;
