/**
 * Bugs that the product had until the simulator found them, put back in. Each names the seed that found it at the time;
 * seeds draw other plans since the simulator has grown, so the list of regressions runs the bug, not the old seed.
 */
import type { ReplicaId, Slot } from '@kvd/paxos';
import type { LeaderBallot, PeerMessage } from '@kvd/protocol';
import type { Replica } from '@kvd/replica';
import type { Bug } from './bug.js';

interface KeeperInside {
  trouble: string;
  needsReload: boolean;
  contradicted: boolean;
  ticksSinceReload: number;
  rebuildFrom: ReplicaId | null;
  learnerDown: boolean;
  beforeInstall(slot: Slot): string;
  readonly applier: { pause(): void; resume(): void };
  readonly handler: { send(to: ReplicaId, message: PeerMessage): void };
  readonly sender: { onFailure: (error: Error) => void; onGivenUp(): void };
}

interface RouterInside {
  nextForwardId: number;
  live: { forwardId: number }[];
  failAll(code: string, message: string): void;
}

interface ReplicaInside {
  readonly forwardsTaken: { take(from: ReplicaId, forwardId: number): boolean };
  readonly keeper: KeeperInside;
  readonly router: RouterInside;
  readonly catchUp: { readonly handler: { send(to: ReplicaId, message: PeerMessage): void } };
}

function insideOf(replica: Replica): ReplicaInside {
  return replica as unknown as ReplicaInside;
}

const reusedForwardIds: Bug = {
  name: 'reused-forward-ids',
  title: 'what is passed on to the leader is numbered from 1 in every life (seed 1133)',
  replicas: 3,
  scenario: 'quick-restarts',
  plant: () => ({
    replica: (replica) => {
      insideOf(replica).router.nextForwardId = 1;
    },
  }),
};

const certainOfWhatIsOnItsWay: Bug = {
  name: 'stop-says-not-done',
  title: "a replica that stops says 'nothing was done' of what it passed on (seed 100683)",
  replicas: 3,
  scenario: 'rolling-restart',
  plant: (patches) => ({
    replica: (replica) => {
      const { router } = insideOf(replica);
      patches.method<RouterInside, Parameters<RouterInside['failAll']>, void>(
        router,
        'failAll',
        (original) => {
          return function (code, message) {
            for (const pending of this.live) pending.forwardId = 0;
            original.call(this, code, message);
          };
        },
      );
    },
  }),
};

const believedAgain: Bug = {
  name: 'believed-again',
  title: 'a state with a damaged record is read anew and believed, again and again (seed 10218)',
  replicas: 3,
  scenario: 'damaged-record',
  plant: () => ({
    replica: (replica) => {
      Object.defineProperty(insideOf(replica).keeper, 'ticksSinceReload', {
        get: () => Number.POSITIVE_INFINITY,
        set() {},
      });
    },
  }),
};

const silentCatchUp: Bug = {
  name: 'silent-catch-up',
  title: 'a peer is told nothing about a slot whose record is damaged (seed 20462)',
  replicas: 5,
  scenario: 'damaged-source',
  plant: () => ({
    replica: (replica) => {
      const { handler } = insideOf(replica).catchUp;
      const send = handler.send.bind(handler);
      handler.send = (to, message) => {
        if (message.type !== 'cut' || message.cutThrough <= replica.driver.cutThrough) send(to, message);
      };
    },
  }),
};

const silentTrouble: Bug = {
  name: 'silent-trouble',
  title: 'a replica without a state to give says nothing when asked for it (seed 20028)',
  replicas: 3,
  scenario: 'disk-full',
  plant: () => ({
    replica: (replica) => {
      const { keeper } = insideOf(replica);
      const send = keeper.handler.send.bind(keeper.handler);
      keeper.handler.send = (to, message) => {
        if (message.type !== 'snapshot-gone' || keeper.trouble === '') send(to, message);
      };
    },
  }),
};

const damagedSnapshot: Bug = {
  name: 'damaged-snapshot',
  title: 'who cannot read its state for a snapshot goes on as if it were well (seed 44)',
  replicas: 5,
  scenario: 'damaged-source',
  plant: () => ({
    replica: (replica) => {
      insideOf(replica).keeper.sender.onFailure = () => undefined;
    },
  }),
};

const neverItsOwnDisk: Bug = {
  name: 'never-its-own-disk',
  title: 'a state in trouble waits for a snapshot though nobody has one (disk-full, seed 9)',
  replicas: 3,
  scenario: 'disk-full',
  plant: (patches) => ({
    replica: (replica) => {
      patches.method<KeeperInside, [string, boolean], void>(
        insideOf(replica).keeper,
        'onAborted',
        (original) => {
          return function (reason, whileInstalling) {
            const { trouble } = this;
            original.call(this, reason, whileInstalling);
            if (trouble !== '') this.needsReload = whileInstalling;
          };
        },
      );
    },
  }),
};

const shutStore: Bug = {
  name: 'shut-store',
  title: 'a snapshot that the disk refused once is refused for ever (seed 107669)',
  replicas: 3,
  scenario: 'snapshot-write-errors',
  plant: (patches) => ({
    replica: (replica) => {
      patches.method<KeeperInside, [string, boolean], void>(
        insideOf(replica).keeper,
        'onAborted',
        (original) => {
          return function (reason, whileInstalling) {
            if (this.trouble !== '') original.call(this, reason, whileInstalling);
            else if (whileInstalling && !this.learnerDown) this.applier.resume();
          };
        },
      );
    },
  }),
};

const olderSnapshot: Bug = {
  name: 'older-snapshot',
  title: 'a state in trouble takes a snapshot that its log does not reach back to (seed 514023)',
  replicas: 3,
  scenario: 'read-error-and-laggard',
  plant: () => ({
    replica: (replica) => {
      const { keeper } = insideOf(replica);
      keeper.beforeInstall = (): string => {
        keeper.applier.pause();
        return '';
      };
    },
  }),
};

const heldPlaces: Bug = {
  name: 'held-places',
  title: 'snapshots that their receivers gave up keep the places of the sender (seed 574995)',
  replicas: 4,
  scenario: 'snapshots-given-up',
  plant: () => ({
    replica: (replica) => {
      insideOf(replica).keeper.sender.onGivenUp = () => undefined;
    },
  }),
};

const keptClock: Bug = {
  name: 'kept-clock',
  title: 'who leads again goes on from its own old time, which nobody knew of (leaders-take-turns, seed 1)',
  replicas: null,
  scenario: 'leaders-take-turns',
  plant: (patches) => ({
    replica: (replica) => {
      const { clock } = replica as unknown as { readonly clock: object };
      patches.method<{ nowMs: number }, [LeaderBallot, number], void>(
        clock,
        'lead',
        (original) =>
          function (ballot, stateMs) {
            original.call(this, ballot, Math.max(this.nowMs, stateMs));
          },
      );
    },
  }),
};

const forwardTakenTwice: Bug = {
  name: 'forward-taken-twice',
  title: 'a request that was passed on is taken twice when the network repeats it (seed 1512580446)',
  replicas: 3,
  scenario: 'bad-network',
  plant: () => ({
    replica: (replica) => {
      insideOf(replica).forwardsTaken.take = () => true;
    },
  }),
};

export const ONCE_REAL_BUGS: readonly Bug[] = [
  reusedForwardIds,
  certainOfWhatIsOnItsWay,
  believedAgain,
  silentCatchUp,
  silentTrouble,
  damagedSnapshot,
  neverItsOwnDisk,
  shutStore,
  olderSnapshot,
  heldPlaces,
  keptClock,
  forwardTakenTwice,
];
