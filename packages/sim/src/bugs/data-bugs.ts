/** Bugs of the data model: leases, watches, compaction, snapshots of both, transactions, outcomes. */
import type { CommandResult, GetRequest, HistoryPage, LeaseId, TxnCommand } from '@kvd/protocol';
import type { Done, HistoryQuery, Replica, WrappedState } from '@kvd/replica';
import type { KvState } from '@kvd/store';
import type { Bug } from './bug.js';
import { afterInstall } from './install.js';
import type { Patches } from './patches.js';

const SCENARIO = 'data-model';
const EPOCH_MS = 1_700_000_000_000;

/** What the bugs see of the state's inside. */
interface ModelInside {
  clusterMs: number;
  readonly revision: number;
  readonly compactRevision: number;
  readonly leases: { readonly leases: Map<LeaseId, unknown> };
  readonly sessions: {
    get(id: number): object | undefined;
    forget(session: object, sequence: number): void;
  };
}

interface StateInside {
  readonly model: ModelInside;
  diskHead: { readonly compactRevision: number; readonly revision: number };
}

interface HubInside {
  readonly live: number;
}

interface WatcherInside {
  readonly mode: string;
  readonly previous: number;
  position: { readonly revision: number; readonly index: number };
}

const modelOf = (state: KvState): ModelInside => (state as unknown as StateInside).model;

function forget({ sessions }: ModelInside, id: number, sequence: number): void {
  const session = sessions.get(id);
  if (session !== undefined) sessions.forget(session, sequence);
}

/** A bug in a method of the model, on all replicas alike. */
function inModel(name: string, title: string, patch: (patches: Patches, prototype: object) => void): Bug {
  return {
    name,
    title,
    replicas: null,
    scenario: SCENARIO,
    plant: (patches) => ({
      state: (state) => {
        patches.once(modelOf(state), (prototype) => patch(patches, prototype));
        return state;
      },
    }),
  };
}

const overtakenBatchCounts: Bug = {
  ...inModel(
    'overtaken-batch-counts',
    'a batch of a leader that was overtaken is carried out when it is chosen after all',
    (patches, prototype) => {
      patches.method<ModelInside, unknown[], boolean>(prototype, 'isOvertaken', () => () => false);
    },
  ),
  scenario: 'two-leaders',
};

const wallClockLeases: Bug = {
  name: 'wall-clock-leases',
  title: "leases end by the leader's wall clock",
  replicas: null,
  scenario: SCENARIO,
  plant: (patches) => ({
    replica: (replica) => {
      const inside = replica as unknown as { readonly clock: object; readonly wallMs: number };
      patches.method<object, [number], number>(
        inside.clock,
        'read',
        () => (stateMs) => Math.max(stateMs, Math.floor(inside.wallMs - EPOCH_MS)),
      );
    },
  }),
};

const expireUnseen = inModel(
  'expire-unseen',
  'apply ends the leases that the leader names without looking whether they are due',
  (patches, prototype) =>
    patches.method<ModelInside, unknown[], void>(
      prototype,
      'expireLease',
      (original) =>
        function (...args) {
          const { clusterMs } = this;
          this.clusterMs = Number.MAX_SAFE_INTEGER;
          original.apply(this, args);
          this.clusterMs = clusterMs;
        },
    ),
);

const txnNotKept = inModel(
  'txn-not-kept',
  'the result of a transaction is not kept, so a retry does it again',
  (patches, prototype) =>
    patches.method<ModelInside, [{ readonly type: string }, ...unknown[]], CommandResult>(
      prototype,
      'mutateOnce',
      (original) =>
        function (command, ...rest) {
          const result = original.call(this, command, ...rest);
          const { origin } = command as TxnCommand;
          if (command.type === 'txn') forget(this, origin.session, origin.sequence);
          return result;
        },
    ),
);

const outcomeWithoutFence = inModel(
  'outcome-without-fence',
  'an operation that is said never to be applied is not fenced',
  (patches, prototype) =>
    patches.method<ModelInside, [number, number], CommandResult>(
      prototype,
      'outcome',
      (original) =>
        function (session, sequence) {
          const result = original.call(this, session, sequence);
          if (result.type === 'outcome' && result.outcome.status === 'never') forget(this, session, sequence);
          return result;
        },
    ),
);

const partialTxn = inModel(
  'partial-txn',
  'of a transaction that cannot be done the operations before the one that fails are done',
  (patches, prototype) =>
    patches.method<ModelInside, [TxnCommand, ...unknown[]], CommandResult>(
      prototype,
      'txn',
      (original) =>
        function (command, ...rest) {
          const result = original.call(this, command, ...rest);
          if (result.type !== 'error') return result;
          const first = {
            ...command,
            success: command.success.slice(0, 1),
            failure: command.failure.slice(0, 1),
          };
          original.call(this, first, ...rest);
          return result;
        },
    ),
);

/** A bug in a method of the watch hub. */
function inHub(name: string, title: string, patch: (patches: Patches, hub: Replica['watches']) => void): Bug {
  return {
    name,
    title,
    replicas: null,
    scenario: SCENARIO,
    plant: (patches) => ({ replica: ({ watches }) => patch(patches, watches) }),
  };
}

const watchChangeover = inHub(
  'watch-changeover',
  'a watcher that has read the history goes on with what happens now, and misses what was between',
  (patches, hub) =>
    patches.method<HubInside, [unknown, HistoryPage], void>(
      hub,
      'onPage',
      (original) =>
        function (watchers, page) {
          const reached = page.next === null ? Math.max(page.revision, this.live) : page.revision;
          original.call(this, watchers, { ...page, revision: reached });
        },
    ),
);

const watchDoubles = inHub(
  'watch-doubles',
  'a watch that is resumed begins with the revision before',
  (patches, hub) => {
    const begun = new WeakSet();
    patches.method<HubInside, [WatcherInside], void>(
      hub,
      'advance',
      (original) =>
        function (watcher) {
          const { revision } = watcher.position;
          if (!begun.has(watcher) && revision > 1) watcher.position = { revision: revision - 1, index: 0 };
          begun.add(watcher);
          original.call(this, watcher);
        },
    );
  },
);

const longCompaction: Bug = {
  name: 'long-compaction',
  title: 'compaction removes versions that can still be read',
  replicas: null,
  scenario: SCENARIO,
  plant: (patches) => ({
    state: (state) => {
      patches.method<KvState, [], void>(
        state,
        'compactMore',
        (original) =>
          function () {
            const inside = this as unknown as StateInside;
            const { compactRevision, revision } = inside.model;
            const tooFar = Math.min(compactRevision + 3, revision, inside.diskHead.revision);
            if (compactRevision > 0) inside.diskHead = { ...inside.diskHead, compactRevision: tooFar };
            original.call(this);
          },
      );
      return state;
    },
  }),
};

const snapshotWithoutLeases: Bug = {
  name: 'snapshot-without-leases',
  title: 'a snapshot leaves out the leases',
  replicas: null,
  scenario: SCENARIO,
  plant: () => ({ state: (state) => afterInstall(state, () => modelOf(state).leases.leases.clear()) }),
};

const snapshotWithoutHistory: Bug = {
  name: 'snapshot-without-history',
  title: 'a snapshot leaves out the history',
  replicas: null,
  scenario: SCENARIO,
  plant: () => ({
    state: (state) => {
      let installed = 0;
      const wrapped = afterInstall(state, () => {
        installed = state.revision;
      });
      forgetHistory(wrapped, state, () => installed);
      return wrapped;
    },
  }),
};

function forgetHistory(wrapped: WrappedState, state: KvState, installed: () => number): void {
  wrapped.history = (query: HistoryQuery, done: Done<HistoryPage>) =>
    state.history(query, (error, page) => {
      const revisions = page.revisions.filter(({ revision }) => revision > installed());
      done(error, { ...page, revisions });
    });
  wrapped.getAt = (request: GetRequest, done) =>
    state.getAt(request, (error, entry) => {
      const isPresent = entry !== null && state.get(request.key)?.modRevision === entry.modRevision;
      done(error, request.revision > installed() || isPresent ? entry : null);
    });
}

export const DATA_BUGS: readonly Bug[] = [
  overtakenBatchCounts,
  wallClockLeases,
  expireUnseen,
  watchChangeover,
  watchDoubles,
  longCompaction,
  snapshotWithoutHistory,
  snapshotWithoutLeases,
  txnNotKept,
  outcomeWithoutFence,
  partialTxn,
];
