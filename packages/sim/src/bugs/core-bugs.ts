/** Bugs in the core: what promises, votes, ballots and chosen values mean. */
import type { Accept, Ballot, Configuration, Identity, LogEntry, ReplicaId, Slot, Value } from '@kvd/paxos';
import { compareBallots, majorityOf, PromiseSet, votersOf } from '@kvd/paxos';
import type { Bug } from './bug.js';
import type { AcceptorInside, LeadershipInside, LearnerInside } from './patches.js';
import { insideOf, namedMember, withAcceptQuorum } from './patches.js';

function smallQuorum(name: string, replicas: number): Bug {
  return {
    name,
    title: `a quorum of ${replicas} is one vote too small`,
    replicas,
    scenario: null,
    plant: (patches) => ({
      replica: (replica) =>
        patches.leadership(replica, (prototype) => {
          patches.method<LeadershipInside, [Slot, Value], Configuration | null>(
            prototype,
            'configurationFor',
            (original) =>
              function (slot, value) {
                const configuration = original.call(this, slot, value);
                if (configuration === null || slot === 1) return configuration;
                return withAcceptQuorum(configuration, majorityOf(votersOf(configuration).length) - 1);
              },
          );
        }),
    }),
  };
}

const lowestBallotsValue: Bug = {
  name: 'lowest-ballot',
  title: 'phase 1 takes over the value of the lowest ballot reported',
  replicas: 3,
  scenario: 'two-leaders',
  plant: (patches) => {
    patches.method<{ readonly highest: Map<Slot, LogEntry> }, [LogEntry], void>(
      PromiseSet.prototype,
      'report',
      () =>
        function (entry) {
          const held = this.highest.get(entry.slot);
          if (!held || compareBallots(entry.ballot, held.ballot) < 0) this.highest.set(entry.slot, entry);
        },
    );
    return {};
  },
};

const emptyGap: Bug = {
  name: 'no-noop',
  title: 'a gap below a reported slot is skipped, not filled with a no-op',
  replicas: null,
  scenario: null,
  plant: (patches) => ({
    replica: (replica) =>
      patches.leadership(replica, (prototype) => {
        patches.method<LeadershipInside, [Slot, Value], void>(
          prototype,
          'proposeIn',
          (original) =>
            function (slot, value) {
              if (value.type === 'noop' && slot < this.promises.lastReported) this.nextSlot = slot + 1;
              else original.call(this, slot, value);
            },
        );
      }),
  }),
};

const foreignChosenThrough: Bug = {
  name: 'foreign-chosen-through',
  title: "a follower trusts chosenThrough for entries of another ballot than the leader's",
  replicas: null,
  scenario: null,
  plant: (patches) => ({
    replica: ({ node }) => {
      const { learner } = insideOf(node).context;
      if (learner === null) return;
      patches.once(learner, (prototype) => {
        patches.method<LearnerInside, [ReplicaId, Ballot, Slot], void>(
          prototype,
          'onLeaderSays',
          () =>
            function (leader, _ballot, chosenThrough) {
              this.heard(leader, chosenThrough);
              const acceptor = this.acceptor();
              for (let slot = this.chosenThrough + 1; slot <= chosenThrough && acceptor; slot++) {
                const entry = acceptor.acceptedAt(slot);
                if (!entry) break;
                this.choose(slot, entry.value, entry.ballot);
              }
              this.advance();
              if (chosenThrough > this.chosenThrough) this.fetchMore();
            },
        );
      });
    },
  }),
};

const reusedBallot: Bug = {
  name: 'reused-ballot',
  title: 'a proposer takes the ballot that it used last, also after a crash',
  replicas: null,
  scenario: null,
  plant: (patches) => ({
    replica: ({ node, identity }) => {
      const { proposer } = insideOf(node);
      if (proposer === null) return;
      patches.method<typeof proposer, [], Ballot>(proposer, 'nextBallot', (original) => {
        return function () {
          const promised = this.context.acceptor?.promised;
          return promised?.incarnation === identity.incarnation ? promised : original.call(this);
        };
      });
    },
  }),
};

const wipedVote: Bug = {
  name: 'wiped-vote',
  title: 'votes are told apart by replica only, so one that lost its disk votes on',
  replicas: null,
  scenario: null,
  plant: (patches) => ({
    replica: (replica) => {
      const { node } = replica;
      patches.method<object, [], boolean>(insideOf(node), 'votes', (original) => {
        return function () {
          return original.call(this) || namedMember(node.history, replica.identity.replicaId) !== undefined;
        };
      });
      patches.method<object, [{ type: string; from?: Identity }], void>(node, 'step', (step) => {
        return function (input) {
          const named = input.from && namedMember(node.history, input.from.replicaId);
          step.call(
            this,
            named
              ? { ...input, from: { replicaId: named.replicaId, incarnation: named.incarnation } }
              : input,
          );
        };
      });
    },
  }),
};

const doubleVote: Bug = {
  name: 'double-vote',
  title: 'a vote that arrives twice counts twice',
  replicas: null,
  scenario: null,
  plant: (patches) => ({
    replica: (replica) =>
      patches.leadership(replica, (prototype) => {
        patches.method<LeadershipInside, [Identity, Ballot, readonly Slot[]], void>(
          prototype,
          'onAccepted',
          (original) =>
            function (from, ballot, slots) {
              for (const slot of slots) {
                const flight = this.inFlight.get(slot);
                if (!flight?.votes.has(from.replicaId)) continue;
                const other = this.context.history.latest?.configuration.members.find(
                  (member) => !flight.votes.has(member.replicaId),
                );
                if (other) flight.votes.set(other.replicaId, other.incarnation);
              }
              original.call(this, from, ballot, slots);
            },
        );
      }),
  }),
};

const unconfirmedRead: Bug = {
  name: 'read-without-round',
  title: 'a leader answers reads without asking whether anybody promised more',
  replicas: null,
  scenario: null,
  plant: (patches) => ({
    replica: (replica) =>
      patches.leadership(replica, (prototype) => {
        patches.method<LeadershipInside, [], { token: number; slot: Slot }[]>(
          prototype,
          'pump',
          (original) =>
            function () {
              const confirmed = original.call(this);
              const { waiting } = this.reads;
              this.reads.waiting = [];
              return [...confirmed, ...waiting.map(({ token, slot }) => ({ token, slot }))];
            },
        );
      }),
  }),
};

const earlyRead: Bug = {
  name: 'read-before-own-slot',
  title: 'a leader answers reads before a slot of its own ballot is chosen',
  replicas: null,
  scenario: null,
  plant: (patches) => ({
    replica: (replica) =>
      patches.leadership(replica, (prototype) => patches.getter(prototype, 'established', () => true)),
  }),
};

const acceptsBelowPromise: Bug = {
  name: 'accept-below-promise',
  title: 'an acceptor accepts below what it promised',
  replicas: null,
  scenario: null,
  plant: (patches) => ({
    replica: ({ node }) => {
      const inside = insideOf(node);
      patches.method<object, [Identity, Accept], void>(inside, 'onAccept', (original) => {
        return function (from, accept) {
          const { acceptor } = inside.context;
          if (acceptor && compareBallots(accept.ballot, acceptor.promised) < 0)
            acceptor.promised = accept.ballot;
          original.call(this, from, accept);
        };
      });
    },
  }),
};

const silentPromise: Bug = {
  name: 'promise-hides-entries',
  title: 'a promise leaves out the last entry that its acceptor accepted',
  replicas: null,
  scenario: null,
  plant: (patches) => ({
    replica: ({ node }) => {
      const { acceptor } = insideOf(node).context;
      if (acceptor === null) return;
      patches.once(acceptor, (prototype) => {
        patches.method<AcceptorInside, [unknown], { accepted: readonly LogEntry[] }>(
          prototype,
          'promisePage',
          (original) =>
            function (prepare) {
              const page = original.call(this, prepare);
              return { ...page, accepted: page.accepted.slice(0, -1) };
            },
        );
      });
    },
  }),
};

const markerBlind: Bug = {
  name: 'marker-blind',
  title: 'nobody minds that a replica has a lower marker than it was heard with',
  replicas: null,
  scenario: 'rolled-back-directory',
  plant: (patches) => ({
    replica: ({ node }) =>
      patches.once(insideOf(node).markers, (prototype) =>
        patches.method(prototype, 'higherThan', () => () => null),
      ),
  }),
};

const firstPage: Bug = {
  name: 'first-page-is-all',
  title: 'a promise counts when its first page is in',
  replicas: null,
  scenario: 'read-after-election',
  plant: (patches) => {
    patches.method<PromiseSet, Parameters<PromiseSet['add']>, Slot | null>(
      PromiseSet.prototype,
      'add',
      (original) =>
        function (from, page, isDecided) {
          return original.call(this, from, { ...page, throughSlot: null }, isDecided);
        },
    );
    return {};
  },
};

export const CORE_BUGS: readonly Bug[] = [
  smallQuorum('small-quorum-odd', 3),
  smallQuorum('small-quorum-even', 4),
  lowestBallotsValue,
  emptyGap,
  foreignChosenThrough,
  reusedBallot,
  wipedVote,
  doubleVote,
  unconfirmedRead,
  earlyRead,
  acceptsBelowPromise,
  silentPromise,
  markerBlind,
  firstPage,
];
