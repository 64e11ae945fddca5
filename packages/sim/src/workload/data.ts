/**
 * The data model's operations: transactions, counters, a bank, reads of the past, compaction, and what became of
 * operations that nobody knows the fate of.
 */
import { encodeCommand, type Command, type Compare, type TxnCommand, type TxnOperation } from '@kvd/protocol';
import type { Operation } from '../plan.js';
import { Random } from '../random.js';
import { text } from '../reference/plain-txn.js';
import type { Caller, End } from './caller.js';
import { ACCOUNTS, accountAt, BANK, boxAt, counterAt, FUNDS } from './keys.js';
import { performPast, type PastKind, readRange } from './past.js';

export type DataKind = 'txn' | 'transfer' | 'add' | 'fenced-add' | 'compact' | 'set-retention' | PastKind;

type Data = Operation & { readonly kind: DataKind };
type Parts = Omit<TxnCommand, 'type' | 'origin'>;

export function performData(caller: Caller, index: number, operation: Data, done: () => void): void {
  const random = new Random(operation.dice ?? 0, operation.kind);
  switch (operation.kind) {
    case 'txn':
      send(caller, index, drawTxn(random, operation.key), random, done);
      return;
    case 'add':
      add(caller, index, counterAt(operation.key), random, done);
      return;
    case 'fenced-add':
      fencedAdd(caller, index, counterAt(operation.key), random, done);
      return;
    case 'transfer':
      transfer(caller, index, random, done);
      return;
    case 'compact': {
      const revision = Math.max(0, caller.ledger.floor - random.integer(0, 40));
      const accepts = ['KVD_FUTURE_REVISION'] as const;
      caller.mutate({ type: 'compact', revision }, { retrySafe: true, accepts }, done);
      return;
    }
    case 'set-retention': {
      const { origin, settle } = caller.number();
      const keepRevisions = random.pick([0, 5, 20, 100]);
      const keepMs = random.pick([0, 0, 1000, 5000]);
      const command: Command = { type: 'set-retention', origin, keepRevisions, keepMs };
      caller.mutate(command, { retrySafe: origin.session > 0 }, () => {
        settle();
        done();
      });
      return;
    }
    default:
      performPast(caller, { ...operation, kind: operation.kind }, random, done);
  }
}

/** An Idempotency-Key is new again an hour after its first use: retries must be over by then. */
const KEY_SURELY_KEPT_MS = 1_200_000;

const ACCEPTED = ['KVD_NOT_AN_INTEGER', 'KVD_LEASE_NOT_FOUND', 'KVD_FENCED'] as const;

/** Sends a transaction with what may be put round it, and records its revision. */
function send(
  caller: Caller,
  index: number,
  parts: Parts,
  random: Random,
  done: () => void,
  onEnd: End = () => undefined,
): void {
  const recorded = caller.history.call(index, caller.id, 'txn', [], null);
  const keyed = random.chance(0.2) && caller.plan.deadlineMs < KEY_SURELY_KEPT_MS;
  const { origin, settle } = keyed ? { origin: NOT_NUMBERED, settle: () => undefined } : caller.number();
  let command: Command = { type: 'txn', origin, ...parts };
  if (random.chance(0.3))
    command = {
      type: 'noted',
      principal: `p${caller.id}`,
      reason: `#${index}`,
      command: encodeCommand(command),
    };
  if (keyed)
    command = { type: 'keyed', idempotencyKey: Buffer.from(`txn-${index}`), command: encodeCommand(command) };
  caller.mutate(
    command,
    { retrySafe: keyed || origin.session > 0, accepts: ACCEPTED },
    (outcome, response, sentMs) => {
      settle();
      const result = response?.type === 'result' ? response.result : null;
      if (outcome === 'ok' && result?.type === 'txn') {
        recorded.revision = result.revision;
        recorded.changed = result.results.some(
          (one) => one.type === 'put' || one.type === 'added' || (one.type === 'deleted' && one.deleted > 0),
        );
        caller.ledger.saw(result.revision);
      }
      caller.history.end(recorded, outcome === 'refused' ? 'failed' : outcome);
      onEnd(outcome, response, sentMs);
      done();
    },
  );
}

const NOT_NUMBERED = { session: 0, sequence: 0, lowestUnanswered: 0 };

function bytes(key: string): Buffer {
  return Buffer.from(key, 'latin1');
}

/** A few compares and operations on a few keys; some of them cannot be done, and then none may be. */
function drawTxn(random: Random, key: number): Parts {
  const compares = Array.from({ length: random.integer(0, 2) }, () => drawCompare(random, key));
  return { compares, success: drawBranch(random), failure: random.chance(0.5) ? drawBranch(random) : [] };
}

function drawCompare(random: Random, index: number): Compare {
  const key = bytes(boxAt(index + random.integer(0, 1)));
  const comparison = random.pick(['=', '!=', '<', '>'] as const);
  const target = random.pick([
    'exists',
    'value',
    'version',
    'create-revision',
    'mod-revision',
    'lease',
  ] as const);
  if (target === 'exists') return { key, target, exists: random.chance(0.5) };
  if (target === 'value') return { key, target, comparison, value: bytes(String(random.integer(0, 5))) };
  return { key, target, comparison, number: random.pick([0, 1, 2, 10, 40]) };
}

/** A key is changed at most once, and gets see what was done before them. */
function drawBranch(random: Random): TxnOperation[] {
  const operations = random.sample([0, 1, 2, 3], random.integer(1, 4)).map((index): TxnOperation => {
    const key = bytes(boxAt(index));
    const type = random.pick(['put', 'put', 'put', 'add', 'delete', 'nothing'] as const);
    if (type === 'put') {
      const lease = random.chance(0.06) ? 1 : 0;
      return { type, key, value: bytes(random.pick(['1', '2', 'x'])), lease };
    }
    if (type === 'add') return { type, key, delta: BigInt(random.integer(-3, 3)) };
    if (type === 'delete') return { type, key };
    return { type: 'put', key, value: bytes(''), lease: 0 };
  });
  if (random.chance(0.15)) operations.push({ type: 'delete-range', from: bytes('ty'), to: bytes('tz') });
  if (random.chance(0.4)) operations.push({ type: 'get', key: bytes(boxAt(random.integer(0, 3))) });
  return operations;
}

function addOne(counter: string): Parts {
  return { compares: [], success: [{ type: 'add', key: bytes(counter), delta: 1n }], failure: [] };
}

function add(caller: Caller, index: number, counter: string, random: Random, done: () => void): void {
  send(caller, index, addOne(counter), random, done, (outcome) => {
    if (outcome === 'ok') caller.ledger.counted(counter, 'acknowledged');
    else if (outcome === 'unknown') caller.ledger.counted(counter, 'unknown');
  });
}

/**
 * An increment that is given up almost at once; then what became of it is asked, which fences it; and sometimes it is
 * sent once more after all, as a late duplicate.
 */
function fencedAdd(caller: Caller, index: number, counter: string, random: Random, done: () => void): void {
  const { origin, settle } = caller.number();
  const numbered: Command = { type: 'txn', origin, ...addOne(counter) };
  const isKeyed = origin.session === 0 || random.chance(0.3);
  const idempotencyKey = bytes(`fate-${index}`);
  const command: Command = isKeyed
    ? { type: 'keyed', idempotencyKey, command: encodeCommand({ ...numbered, origin: NOT_NUMBERED }) }
    : numbered;
  const question: Command = isKeyed
    ? { type: 'keyed-outcome', idempotencyKey }
    : { type: 'outcome', session: origin.session, sequence: origin.sequence };
  const { ledger, plan } = caller;
  const over = (): void => {
    settle();
    done();
  };
  const late = (): void => {
    if (random.chance(0.4) || plan.deadlineMs >= KEY_SURELY_KEPT_MS) return over();
    caller.mutate(command, { retrySafe: true, accepts: ACCEPTED }, over);
  };
  const ask = (): void =>
    caller.mutate(question, { retrySafe: true }, (outcome, response) => {
      if (outcome !== 'ok' || response?.type !== 'result' || response.result.type !== 'outcome')
        return over();
      const { status } = response.result.outcome;
      if (status !== 'applied' && status !== 'never') return over();
      ledger.fateOf(command, `increment #${index} of ${counter}`, status);
      ledger.recounted(counter, status === 'applied');
      late();
    });
  const forMs = plan.attemptMs * random.pick([0.02, 0.2, 0.6]);
  caller.mutate(command, { retrySafe: true, forMs, accepts: ACCEPTED }, (outcome) => {
    if (outcome === 'ok') ledger.counted(counter, 'acknowledged');
    else if (outcome === 'unknown') ledger.counted(counter, 'unknown');
    if (outcome === 'unknown') ask();
    else over();
  });
}

/** Reads the bank at one revision, and moves money if nobody else did meanwhile. */
function transfer(caller: Caller, index: number, random: Random, done: () => void): void {
  readRange(caller, BANK, 0, (page) => {
    if (page === null) return done();
    const balances = new Map(page.entries.map(({ key, value }) => [text(key), Number(text(value))]));
    caller.ledger.judgeBank([...balances.values()], page.revision);
    if (balances.size === 0) return send(caller, index, foundation(), random, done);
    const [from = 0, to = 1] = random.sample([...Array(ACCOUNTS).keys()], 2);
    const amount = random.integer(1, 30);
    const moves = [
      { key: accountAt(from), now: balances.get(accountAt(from)) ?? 0, by: -amount },
      { key: accountAt(to), now: balances.get(accountAt(to)) ?? 0, by: amount },
    ];
    send(
      caller,
      index,
      {
        compares: moves.map(({ key, now }) => ({
          key: bytes(key),
          target: 'value',
          comparison: '=',
          value: bytes(String(now)),
        })),
        success: moves.map(({ key, now, by }) => ({
          type: 'put',
          key: bytes(key),
          value: bytes(String(now + by)),
          lease: 0,
        })),
        failure: moves.map(({ key }) => ({ type: 'get', key: bytes(key) })),
      },
      random,
      done,
    );
  });
}

function foundation(): Parts {
  const accounts = [...Array(ACCOUNTS).keys()].map((index) => bytes(accountAt(index)));
  const [first = bytes(accountAt(0))] = accounts;
  return {
    compares: [{ key: first, target: 'exists', exists: false }],
    success: accounts.map((key) => ({ type: 'put', key, value: bytes(String(FUNDS)), lease: 0 })),
    failure: [],
  };
}
