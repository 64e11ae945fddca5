/** Bugs of the log, the state and the driver round them: what is on disk, what is applied, what is answered. */
import { ZERO_BALLOT, type MarkerNumber, type Slot, type Value } from '@kvd/paxos';
import type { Done, LogStore } from '@kvd/replica';
import type { KvState } from '@kvd/store';
import { WrappedState } from '@kvd/replica';
import type { Bug } from './bug.js';
import { afterInstall } from './install.js';

const answerBeforeSync: Bug = {
  name: 'answer-before-sync',
  title: 'the log says that a write is done before it is on disk',
  replicas: null,
  scenario: null,
  plant: () => ({
    log: (log, owner) => {
      const waiting: (() => void)[] = [];
      let marker = log.recovered.marker;
      let busy = false;
      const next = (): void => {
        const write = waiting.shift();
        busy = write !== undefined;
        write?.();
      };
      return wrapLog(log, {
        write: (batch, done) => {
          marker += 1;
          const promisedMarker = marker;
          waiting.push(() => log.write(batch, () => next()));
          if (!busy) next();
          owner.after(0.05, () => done(null, promisedMarker));
        },
      });
    },
  }),
};

const forgottenPromise: Bug = {
  name: 'forgotten-promise',
  title: 'a restart forgets what was promised',
  replicas: null,
  scenario: null,
  plant: () => ({
    log: (log) => wrapLog(log, { recovered: { ...log.recovered, promised: ZERO_BALLOT } }),
  }),
};

const longCut: Bug = {
  name: 'long-cut',
  title: 'the log is cut above what the state has on disk',
  replicas: null,
  scenario: null,
  plant: () => ({
    log: (log) =>
      wrapLog(log, {
        write: (batch, done) =>
          log.write(
            batch.cutThrough === undefined ? batch : { ...batch, cutThrough: batch.cutThrough + 1000 },
            done,
          ),
      }),
  }),
};

/** What the bugs see of the state's inside. */
interface StateInside {
  readonly store: object;
  model: {
    clusterMs: number;
    readonly sessions: {
      readonly sessions: Map<number, { readonly results: Map<number, unknown> }>;
    };
  };
  writeHead(
    head: { readonly appliedThrough: Slot },
    ops: unknown[],
    done: (error: Error | null) => void,
  ): void;
}

function insideOf(state: KvState): StateInside {
  return state as unknown as StateInside;
}

const noDeduplication: Bug = {
  name: 'no-deduplication',
  title: 'the result of a numbered mutation is not kept, so a retry is done again',
  replicas: null,
  scenario: null,
  plant: (patches) => ({
    state: (state) => {
      patches.once(insideOf(state).model.sessions, (prototype) => {
        patches.method<object, unknown[], void>(prototype, 'store', () => () => undefined);
      });
      return state;
    },
  }),
};

const snapshotWithoutResults: Bug = {
  name: 'snapshot-without-results',
  title: 'a snapshot leaves out the results of sessions',
  replicas: null,
  scenario: null,
  plant: () => ({
    state: (state) =>
      afterInstall(state, () => {
        for (const { results } of insideOf(state).model.sessions.sessions.values()) results.clear();
      }),
  }),
};

const skippedSlot: Bug = {
  name: 'skipped-slot',
  title: 'the slot after an installed snapshot is skipped',
  replicas: null,
  scenario: null,
  plant: () => ({
    state: (state) => {
      let skip = 0;
      const wrapped = afterInstall(state, () => {
        skip = state.appliedThrough + 1;
      });
      const apply = wrapped.apply.bind(wrapped);
      wrapped.apply = (slot, value) => {
        if (slot !== skip || value.type !== 'batch') return apply(slot, value);
        const results = apply(slot, { type: 'noop' });
        return results;
      };
      return wrapped;
    },
  }),
};

const flushWithoutMark: Bug = {
  name: 'flush-without-mark',
  title: 'the state is flushed without the number of the slot that it ends with',
  replicas: null,
  scenario: null,
  plant: (patches) => ({
    state: (state) => {
      patches.method<KvState, Parameters<StateInside['writeHead']>, void>(
        state,
        'writeHead',
        (original) =>
          function (head, ops, done) {
            const appliedThrough =
              head.appliedThrough > this.durableThrough + 1 ? this.durableThrough : head.appliedThrough;
            original.call(this, { ...head, appliedThrough }, ops, done);
          },
      );
      return state;
    },
  }),
};

interface StateStoreInside {
  writeValues(added: readonly unknown[], sweeps: boolean, done: (error: Error | null) => void): void;
}

const valuesAfterRecords: Bug = {
  name: 'values-after-records',
  title: 'values that lie apart are written beside the records that refer to them, not before',
  replicas: null,
  scenario: null,
  plant: (patches) => ({
    state: (state) => {
      patches.once(insideOf(state).store, (prototype) => {
        patches.method<StateStoreInside, Parameters<StateStoreInside['writeValues']>, void>(
          prototype,
          'writeValues',
          (original) =>
            function (added, sweeps, done) {
              done(null);
              original.call(this, added, sweeps, () => {});
            },
        );
      });
      return state;
    },
  }),
};

const localTime: Bug = {
  name: 'local-time',
  title: "what is applied depends on the replica's own clock",
  replicas: null,
  scenario: null,
  plant: () => ({
    state: (state, owner) => {
      const wrapped = new WrappedState(state);
      wrapped.apply = (slot: Slot, value: Value) => {
        insideOf(state).model.clusterMs = Math.floor(owner.now());
        return state.apply(slot, value);
      };
      return wrapped;
    },
  }),
};

const unmarkedCatchUp: Bug = {
  name: 'unmarked-catch-up',
  title: 'a peer that is behind is served what was accepted as if it were chosen',
  replicas: null,
  scenario: null,
  plant: () => ({
    replica: ({ driver }) => {
      Object.defineProperty(driver, 'chosenThrough', {
        get: () => Number.MAX_SAFE_INTEGER,
        set() {},
      });
    },
  }),
};

const silentDigest: Bug = {
  name: 'digest-never-speaks',
  title: 'the hashes of states are never compared',
  replicas: null,
  scenario: 'state-diverges',
  plant: (patches) => ({
    replica: ({ keeper }) =>
      patches.once((keeper as unknown as { readonly digests: object }).digests, (prototype) =>
        patches.method(prototype, 'onApplied', () => () => undefined),
      ),
  }),
};

function wrapLog(log: LogStore, changes: Partial<Pick<LogStore, 'write' | 'recovered'>>): LogStore {
  return {
    recovered: changes.recovered ?? log.recovered,
    write: changes.write ?? ((batch, done: Done<MarkerNumber>) => log.write(batch, done)),
    read: (from, through, bytesMax, done) => log.read(from, through, bytesMax, done),
    reload: (done) => log.reload(done),
    close: (done) => log.close(done),
  };
}

export const STORAGE_BUGS: readonly Bug[] = [
  answerBeforeSync,
  forgottenPromise,
  longCut,
  noDeduplication,
  snapshotWithoutResults,
  skippedSlot,
  flushWithoutMark,
  valuesAfterRecords,
  localTime,
  unmarkedCatchUp,
  silentDigest,
];
