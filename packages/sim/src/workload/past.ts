/** Reads of the past and of ranges, in pages. What they are told is judged at every answer (oracle/answers.ts). */
import type { Consistency, ErrorCode, HistoryRequest, Response } from '@kvd/protocol';
import type { Operation } from '../plan.js';
import type { Random } from '../random.js';
import { text } from '../reference/plain-txn.js';
import type { PlainRange } from '../reference/versions.js';
import type { Caller } from './caller.js';
import { BANK, EVERYTHING_THERE_IS, keyAt } from './keys.js';

/** `audit`: all that one replica has, of the present and of the past. */
export type PastKind = 'get-past' | 'scan-past' | 'bank-past' | 'history' | 'leases' | 'audit';

type Page = Extract<Response, { type: 'page' }>;

const REFUSALS: readonly ErrorCode[] = ['KVD_COMPACTED', 'KVD_FUTURE_REVISION'];

export function performPast(
  caller: Caller,
  operation: Operation & { readonly kind: PastKind },
  random: Random,
  done: () => void,
): void {
  const { attemptMs: timeoutMs } = caller.plan;
  const { floor } = caller.ledger;
  const near = Math.max(1, floor - random.pick([0, 1, 2, 5, 20, 100]));
  const revision = random.chance(0.05) ? floor + 1000 : near;
  const consistency: Consistency = random.chance(0.3) ? 'stale' : 'linearizable';
  const key = keyAt(operation.key);
  switch (operation.kind) {
    case 'get-past':
      caller.read({ type: 'get', timeoutMs, consistency, key: Buffer.from(key), revision }, done, REFUSALS);
      return;
    case 'bank-past':
      readRange(caller, BANK, random.chance(0.5) ? revision : 0, (page) => {
        if (page !== null)
          caller.ledger.judgeBank(
            page.entries.map(({ value }) => Number(text(value))),
            page.revision,
          );
        done();
      });
      return;
    case 'scan-past': {
      const range = random.pick([EVERYTHING_THERE_IS, { from: 'k', to: 'l' }, { from: key, to: '' }]);
      const shape = {
        consistency,
        limit: random.pick([0, 1, 2, 3]),
        keysOnly: random.chance(0.2),
        countOnly: random.chance(0.1),
        reverse: random.chance(0.4),
      };
      scanOn(caller, range, shape, random.chance(0.3) ? 0 : revision, done);
      return;
    }
    case 'history': {
      const { from, to } = random.pick([EVERYTHING_THERE_IS, BANK]);
      const query = {
        consistency,
        from: Buffer.from(from),
        to: Buffer.from(to),
        limit: random.pick([0, 1, 4]),
      };
      historyOn(caller, query, random.chance(0.3) ? 0 : revision, done);
      return;
    }
    case 'audit': {
      const { compactRevision: oldest } = caller.ledger.reference;
      const all = { from: Buffer.from(''), to: Buffer.from('') };
      historyOn(caller, { consistency: 'stale', ...all, limit: 0 }, 0, () =>
        scanOn(caller, EVERYTHING_THERE_IS, AUDIT, oldest, () =>
          scanOn(caller, EVERYTHING_THERE_IS, AUDIT, Math.floor((oldest + floor) / 2), done),
        ),
      );
      return;
    }
    case 'leases':
      caller.read({ type: 'leases', timeoutMs, consistency, lease: 0, after: 0 }, done);
  }
}

/** A whole range at one revision (0: the present one); null: that could not be had. */
export function readRange(
  caller: Caller,
  range: PlainRange,
  revision: number,
  then: (page: Page | null) => void,
): void {
  caller.read(
    {
      type: 'scan',
      timeoutMs: caller.plan.attemptMs,
      consistency: 'linearizable',
      from: Buffer.from(range.from),
      to: Buffer.from(range.to),
      limit: 0,
      keysOnly: false,
      countOnly: false,
      revision,
      reverse: false,
    },
    (outcome, response) => then(outcome === 'ok' && response?.type === 'page' ? response : null),
    REFUSALS,
  );
}

/** Of the replica that is asked, whatever the others have. */
const AUDIT: Shape = {
  consistency: 'stale',
  limit: 0,
  keysOnly: false,
  countOnly: false,
  reverse: false,
};

interface Shape {
  readonly consistency: Consistency;
  readonly limit: number;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly reverse: boolean;
}

/** Page after page, all at the revision of the first. */
function scanOn(caller: Caller, range: PlainRange, shape: Shape, revision: number, done: () => void): void {
  const { attemptMs: timeoutMs } = caller.plan;
  const request = {
    type: 'scan',
    timeoutMs,
    ...shape,
    from: Buffer.from(range.from, 'latin1'),
    to: Buffer.from(range.to, 'latin1'),
    revision,
  } as const;
  caller.read(
    request,
    (outcome, response) => {
      if (outcome !== 'ok' || response?.type !== 'page' || response.next === null || caller.isRetired)
        return done();
      const next = text(response.next);
      const rest = shape.reverse ? { from: range.from, to: next } : { from: next, to: range.to };
      // Each page may come from another replica, which need not have come so far.
      scanOn(caller, rest, shape, response.revision, done);
    },
    REFUSALS,
  );
}

function historyOn(
  caller: Caller,
  query: Pick<HistoryRequest, 'consistency' | 'from' | 'to' | 'limit'>,
  revision: number,
  done: () => void,
): void {
  const { attemptMs: timeoutMs } = caller.plan;
  let pages = 0;
  const page = (start: { readonly revision: number; readonly index: number }): void => {
    pages += 1;
    caller.read(
      { type: 'history', timeoutMs, ...query, start },
      (outcome, response) => {
        if (outcome !== 'ok' || response?.type !== 'history' || response.next === null || pages > PAGES_MAX)
          return done();
        page(response.next);
      },
      REFUSALS,
    );
  };
  page({ revision, index: 0 });
}

const PAGES_MAX = 12;
