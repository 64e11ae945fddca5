/** Bugs of membership: who votes from when on, who has caught up, what a witness may forget. */
import {
  type Configuration,
  ConfigurationHistory,
  type Identity,
  phase2Size,
  type ReplicaId,
  type Slot,
  type Value,
  votersOf,
} from '@kvd/paxos';
import type { Replica } from '@kvd/replica';
import type { Bug } from './bug.js';
import { insideOf, type LeadershipInside, namedMember, type Patches, withAcceptQuorum } from './patches.js';

/** What the bugs see of the part that keeps the state and cuts the log. */
interface KeeperInside {
  readonly handler: { send(to: ReplicaId, message: { readonly type: string }): void };
  readonly driver: { cutThrough: Slot; readonly chosenThrough: Slot };
  sendHead(to: ReplicaId): void;
}

const standingOf = (membership: Replica['membership']): object =>
  (membership as unknown as { readonly standing: object }).standing;

const atOnce: Bug = {
  name: 'in-force-at-once',
  title: 'a configuration governs the slots after its own, and not those alpha slots later',
  replicas: 3,
  scenario: 'members-come-and-go',
  plant: (patches) => {
    patches.method<ConfigurationHistory, [Slot], Configuration | null>(
      ConfigurationHistory.prototype,
      'at',
      (original) =>
        function (slot) {
          return original.call(this, slot + this.alpha - 1);
        },
    );
    return {};
  },
};

/** The one before the one that governs the slot, while it is known. */
function configurationBefore(history: ConfigurationHistory, slot: Slot): Configuration | null {
  const now = history.at(slot);
  const index = history.all.findIndex(({ configuration }) => configuration === now);
  return history.all[index - 1]?.configuration ?? now;
}

const oldQuorum: Bug = {
  name: 'old-quorum',
  title: 'votes are counted by the configuration before the one that is in force',
  replicas: 3,
  scenario: 'members-come-and-go',
  plant: (patches) => ({
    replica: (replica) =>
      patches.leadership(replica, (prototype) => {
        patches.method<LeadershipInside, [Slot, Value], Configuration | null>(
          prototype,
          'configurationFor',
          (original) =>
            function (slot, value) {
              if (slot === 1) return original.call(this, slot, value);
              return configurationBefore(this.context.history, slot);
            },
        );
      }),
  }),
};

const earlyReadmission: Bug = {
  name: 'early-readmission',
  title: 'who lost its disk is admitted again before it has caught up',
  replicas: 3,
  scenario: 'slow-newcomer',
  plant: (patches) => ({
    replica: ({ membership }) => patches.method(standingOf(membership), 'whyBehind', () => () => ''),
  }),
};

/** Its votes go on as if it were who the configuration names. */
function takenForItsSuccessor(patches: Patches, { node, identity }: Replica): void {
  patches.method<object, [], boolean>(insideOf(node), 'votes', (original) => {
    return function () {
      return original.call(this) || namedMember(node.history, identity.replicaId) !== undefined;
    };
  });
  patches.method<object, [{ type: string; from?: Identity }], void>(node, 'step', (step) => {
    return function (input) {
      const named = input.from && namedMember(node.history, input.from.replicaId);
      if (named === undefined) return step.call(this, input);
      const { replicaId, incarnation } = named;
      step.call(this, { ...input, from: { replicaId, incarnation } });
    };
  });
}

const oldIncarnation: Bug = {
  name: 'old-incarnation-counts',
  title: 'after a replica was admitted again the votes of its old disk count on',
  replicas: 3,
  scenario: 'old-disk-returns',
  plant: (patches) => ({
    replica: (replica) => takenForItsSuccessor(patches, replica),
  }),
};

/** With those who left, and a quorum that is no larger for it. */
function withThoseWhoLeft(history: ConfigurationHistory, slot: Slot): Configuration | null {
  const now = history.at(slot);
  const before = configurationBefore(history, slot);
  if (now === null || before === null || before === now) return now;
  const left = votersOf(before).filter(
    ({ replicaId }) => !now.members.some((member) => member.replicaId === replicaId),
  );
  return withAcceptQuorum({ ...now, members: [...now.members, ...left] }, phase2Size(now));
}

const removedVotes: Bug = {
  name: 'removed-votes',
  title: 'a replica that was removed votes until it stops, and its votes count',
  replicas: 3,
  scenario: 'members-come-and-go',
  plant: (patches) => ({
    replica: (replica) => {
      const { node } = replica;
      patches.method<object, [], boolean>(insideOf(node), 'votes', (original) => {
        return function () {
          return original.call(this) || node.history.names(replica.identity);
        };
      });
      patches.method<ConfigurationHistory, [Slot], ReplicaId[]>(
        node.history,
        'replicasFrom',
        (original) =>
          function (slot) {
            const left = withThoseWhoLeft(this, slot)?.members.map(({ replicaId }) => replicaId) ?? [];
            return [...new Set([...original.call(this, slot), ...left])];
          },
      );
      patches.leadership(replica, (prototype) => {
        patches.method<LeadershipInside, [Slot, Value], Configuration | null>(
          prototype,
          'configurationFor',
          (original) =>
            function (slot, value) {
              return slot === 1
                ? original.call(this, slot, value)
                : withThoseWhoLeft(this.context.history, slot);
            },
        );
      });
    },
  }),
};

const keeperOf = (replica: Replica): KeeperInside => replica.keeper as unknown as KeeperInside;

const forgetfulWitness: Bug = {
  name: 'witness-cuts-too-far',
  title: 'a witness cuts its log by what it has itself, above what every data voter holds',
  replicas: 3,
  scenario: 'witness-holds-the-rest',
  plant: (patches) => ({
    replica: (replica) => {
      if (replica.options.witness === true)
        patches.getter(keeperOf(replica), 'witnessBound', () => Number.POSITIVE_INFINITY);
    },
  }),
};

const skippingWitness: Bug = {
  name: 'witness-skips-too-far',
  title: 'a witness that lags skips to where the sender is, and not to where its log is cut',
  replicas: 5,
  scenario: 'witness-far-behind',
  plant: (patches) => ({
    replica: (replica) => {
      patches.method<KeeperInside, [ReplicaId], void>(
        keeperOf(replica),
        'sendHead',
        (original) =>
          function (to) {
            const { cutThrough, chosenThrough } = this.driver;
            this.driver.cutThrough = chosenThrough;
            original.call(this, to);
            this.driver.cutThrough = cutThrough;
          },
      );
    },
  }),
};

const installedHead: Bug = {
  name: 'witness-skips-installed',
  title: 'a witness that lags skips to where the log of one is cut that took a snapshot',
  replicas: 5,
  scenario: 'witness-far-behind',
  plant: () => ({
    replica: (replica) =>
      Object.defineProperty(keeperOf(replica).driver, 'installedThrough', { get: () => 0, set() {} }),
  }),
};

const aheadOfTheLog: Bug = {
  name: 'snapshot-ahead-of-log',
  title:
    'a snapshot is read from a state that was flushed for it, ahead of its log; and a witness skips to where that ends',
  replicas: 3,
  scenario: 'witness-and-snapshots',
  plant: () => ({
    state: (state) => {
      state.openSnapshot = (done) => state.openFlushed('all', done);
      return state;
    },
    replica: (replica) =>
      Object.defineProperty(keeperOf(replica).driver, 'installedThrough', { get: () => 0, set() {} }),
  }),
};

/** Whoever votes by a new configuration is not asked what it promised and accepted. (S11) */
const unaskedVoters: Bug = {
  name: 'unasked-voters',
  title: 'a leader proposes in the slots of a new configuration without promises of its prepare quorum',
  replicas: 3,
  scenario: 'quorums-change',
  plant: (patches) => ({
    replica: (replica) =>
      patches.leadership(replica, (prototype) =>
        patches.method<object, [Configuration], boolean>(prototype, 'holdsPromisesFor', () => () => true),
      ),
  }),
};

const strangerProbes: Bug = {
  name: 'stranger-probes',
  title: 'who is no voter probes all the same',
  replicas: null,
  scenario: 'wiped-directory',
  plant: (patches) => ({
    replica: ({ node }) => {
      const { proposer } = insideOf(node);
      if (proposer !== null)
        patches.once(proposer, (prototype) => patches.getter(prototype, 'eligible', () => true));
    },
  }),
};

const forgetfulSnapshot: Bug = {
  name: 'snapshot-forgets-members',
  title: 'a snapshot has the latest configuration alone, and not those of the last alpha slots',
  replicas: 3,
  scenario: 'members-come-and-go',
  plant: () => ({
    state: (state) => {
      const openSnapshot = state.openSnapshot.bind(state);
      state.openSnapshot = (done) =>
        openSnapshot((error, reader) => {
          if (error === null) {
            const { head } = reader as unknown as { readonly head: object };
            const configurations = reader.configurations.slice(-1);
            Object.assign(reader, { configurations, head: { ...head, configurations } });
          }
          done(error, reader);
        });
      return state;
    },
  }),
};

const forgetfulCut: Bug = {
  name: 'cut-forgets-members',
  title:
    'who cuts its log keeps the last configuration before the cut, and not those of the alpha slots below it',
  replicas: 3,
  scenario: 'members-come-and-go',
  plant: (patches) => {
    patches.method<ConfigurationHistory, [Slot], void>(
      ConfigurationHistory.prototype,
      'trim',
      (original) =>
        function (through) {
          original.call(this, through + this.alpha - 1);
        },
    );
    return {};
  },
};

export const MEMBER_BUGS: readonly Bug[] = [
  atOnce,
  oldQuorum,
  earlyReadmission,
  oldIncarnation,
  removedVotes,
  forgetfulWitness,
  skippingWitness,
  installedHead,
  aheadOfTheLog,
  unaskedVoters,
  strangerProbes,
  forgetfulSnapshot,
  forgetfulCut,
];
