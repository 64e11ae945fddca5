/**
 * What the clients of a drill do with transactions: move money between the accounts of a bank, whose total never changes;
 * count; and add up all accounts, as they are or as they were. Pure.
 */

export const BANK_PREFIX = 'bank/';
export const COUNTER_KEY = 'counter';
export const ACCOUNT_START = 100;
const ACCOUNTS = 20;
export const BANK_TOTAL = ACCOUNTS * ACCOUNT_START;
const AMOUNT_MAX = 10;

export const ACCOUNT_KEYS: readonly string[] = Array.from(
  { length: ACCOUNTS },
  (_, index) => `${BANK_PREFIX}${String(index + 1).padStart(2, '0')}`,
);

export interface Transfer {
  readonly op: 'transfer';
  readonly from: string;
  readonly to: string;
  readonly amount: number;
  /** Two additions; or both balances read, and put if neither has changed since. */
  readonly how: 'add' | 'compare';
}

export interface Increment {
  readonly op: 'add';
}

export interface Audit {
  readonly op: 'audit';
  /** 0: as it is; else as it was after this revision. */
  readonly revision: number;
}

export type DataCall = Transfer | Increment | Audit;

/** Of all that a client does; the rest is in workload.ts. */
const DATA_SHARE = 0.22;
/** Shares of these; the rest are transfers. */
const AUDITS = 0.25;
const INCREMENTS = 0.25;
const HALF = 0.5;

/** The next call, if it is to be one of these. `known`: revisions that the bank is known to have had. */
export function nextDataCall(random: () => number, known: readonly number[]): DataCall | null {
  if (random() >= DATA_SHARE) return null;
  const dice = random();
  if (dice < AUDITS) {
    const revision = random() < HALF ? 0 : (known[Math.floor(random() * known.length)] ?? 0);
    return { op: 'audit', revision };
  }
  if (dice < AUDITS + INCREMENTS) return { op: 'add' };
  const from = Math.floor(random() * ACCOUNTS);
  const to = (from + 1 + Math.floor(random() * (ACCOUNTS - 1))) % ACCOUNTS;
  const amount = 1 + Math.floor(random() * AMOUNT_MAX);
  const how = random() < HALF ? 'add' : 'compare';
  return { op: 'transfer', from: account(from), to: account(to), amount, how };
}

function account(index: number): string {
  return ACCOUNT_KEYS[index] ?? '';
}

/** A transaction with one branch; its parts as kvctl txn and POST /v1/txn take them. */
export interface DrillTxn {
  readonly compares: readonly object[];
  readonly operations: readonly object[];
}

/** As JSON. */
export function txnText({ compares, operations }: DrillTxn): string {
  return `{"if":${JSON.stringify(compares)},"then":${JSON.stringify(operations)}}`;
}

/** A balance as it was read. */
export interface Balance {
  readonly amount: number;
  readonly modRevision: number;
}

/** `read`: both balances, for one that compares. */
export function transferTxn(
  { from, to, amount }: Transfer,
  read: readonly [Balance, Balance] | null,
): DrillTxn {
  if (read === null) {
    const additions = [add(from, -amount), add(to, amount)];
    return { compares: [], operations: additions };
  }
  const [source, target] = read;
  return {
    compares: [
      { key: from, modRevision: source.modRevision },
      { key: to, modRevision: target.modRevision },
    ],
    operations: [put(from, source.amount - amount), put(to, target.amount + amount)],
  };
}

export const INCREMENT_TXN: DrillTxn = { compares: [], operations: [add(COUNTER_KEY, 1)] };

/** Opens the accounts. */
export const OPENING_TXN: DrillTxn = {
  compares: [],
  operations: ACCOUNT_KEYS.map((key) => put(key, ACCOUNT_START)),
};

function add(key: string, delta: number): object {
  return { add: { key, delta } };
}

function put(key: string, amount: number): object {
  return { put: { key, value: String(amount) } };
}
