/** For bugs that strike when a snapshot is installed. */
import { type SnapshotInstaller, WrappedState } from '@kvd/replica';
import type { KvState } from '@kvd/store';

/** A state that does something when a snapshot has replaced it. */
export function afterInstall(state: KvState, then: () => void): WrappedState {
  const wrapped = new WrappedState(state);
  wrapped.createInstaller = (): SnapshotInstaller => {
    const installer = state.createInstaller();
    return {
      write: (records, done) => installer.write(records, done),
      finish: (slot, done) =>
        installer.finish(slot, (error, result) => {
          if (error === null) then();
          done(error, result);
        }),
      abort: () => installer.abort(),
    };
  };
  return wrapped;
}
