/** The stores of a process, with the judges looking on. */
import type { Identity } from '@kvd/paxos';
import type { LogStore, StateMachine } from '@kvd/replica';
import { MARK } from './journal.js';
import { describePersist, WatchedLog } from './watched-log.js';
import { WatchedState } from './watched-state.js';
import type { World } from './world.js';

/** What is seen of the process. */
export interface StorageOwner {
  readonly id: number;
  /** Of its state. */
  durableThrough(): number;
  /** It reads its log anew: something asynchronous is under way, until it is not. */
  reloading(isUnderWay: boolean): void;
}

export function watchLog(log: LogStore, identity: Identity, owner: StorageOwner, world: World): LogStore {
  const { journal, votes } = world;
  const { id } = owner;
  return new WatchedLog(log, {
    writing: (batch) => journal.say(id, () => `writes ${describePersist(batch)}`),
    written: (batch, error, marker) => {
      journal.mark(MARK.disk, id, error === null ? marker : -1);
      journal.say(id, () =>
        error === null ? `write ${marker} is on disk` : `a write failed: ${error.message}`,
      );
      if (error === null) world.guard(() => votes.onWritten(identity, batch, owner.durableThrough()));
    },
    reloading: () => owner.reloading(true),
    reloaded: (error, recovered) => {
      owner.reloading(false);
      if (error === null) world.guard(() => votes.onOpened(recovered));
    },
  });
}

/** `isKept`: what it applies becomes a state. A witness's does not. */
export function watchState(
  state: StateMachine,
  identity: Identity,
  isKept: boolean,
  world: World,
): StateMachine {
  const { journal, states, votes } = world;
  return new WatchedState(state, {
    applying: (slot, value) => world.guard(() => votes.onApplied(identity, slot, value)),
    applied: (slot, value, results, after) => {
      journal.mark(MARK.apply, identity.replicaId, slot);
      if (isKept) world.guard(() => states.onApplied(identity, slot, value, results, after));
    },
    loaded: (now) => {
      const { durableThrough, appliedThrough } = now;
      const configurations = isKept ? now.configurations : null;
      world.guard(() => votes.onLoaded(identity, { durableThrough, appliedThrough, configurations }));
      if (isKept) world.guard(() => states.onLoaded(identity, now));
    },
    installed: (slot) => world.guard(() => votes.onInstalled(identity, slot)),
  });
}
