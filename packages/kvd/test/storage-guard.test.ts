import { StoreError } from '@kvd/store';
import { test } from 'tap';
import { StorageGuard } from '../src/storage-guard.js';
import { FakeClock } from './fake-clock.js';
import { FakeReplica } from './fake-replica.js';

const noSpace = new StoreError('no-space', 'No space left on device');
const broken = new StoreError('io', 'Input/output error');

interface Watched {
  readonly guard: StorageGuard;
  readonly replica: FakeReplica;
  readonly clock: FakeClock;
  readonly happened: string[];
  readonly disk: { full: boolean; freeBytes: number };
}

function watch(full = false): Watched {
  const replica = new FakeReplica();
  const clock = new FakeClock();
  const happened: string[] = [];
  const disk = { full, freeBytes: 1e9 };
  const guard = new StorageGuard({
    replica,
    clock,
    setReserve: (held) => {
      happened.push(held ? 'ensure' : 'free');
      if (held && disk.full) throw noSpace;
    },
    condemnLog: () => happened.push('condemn'),
    freeBytes: () => disk.freeBytes,
    log: () => undefined,
    giveUp: (reason) => happened.push(`give up: ${reason}`),
  });
  return { guard, replica, clock, happened, disk };
}

test('a full disk: the reserve is given up, the log reopened with back-off until a write works', (t) => {
  const { guard, replica, clock, happened, disk } = watch();
  t.strictSame(happened.splice(0), ['ensure']);
  replica.recoveryErrors.push(noSpace, noSpace);
  guard.onStoreError(noSpace);
  guard.onFailure({ kind: 'log', error: noSpace });
  guard.onFailure({ kind: 'log', error: noSpace });
  t.strictSame(replica.calls, [], 'not at once');
  const waits: number[] = [];
  for (let attempt = 1; attempt <= 4; attempt += 1) {
    let waitedMs = 0;
    while (replica.calls.length < attempt) {
      clock.pass(50);
      waitedMs += 50;
    }
    waits.push(waitedMs);
    // The third works, but the first write after it fails again.
    if (attempt === 3) guard.onFailure({ kind: 'log', error: noSpace });
  }
  t.strictSame(waits, [250, 500, 1_000, 2_000]);
  clock.pass(60_000);
  t.strictSame(happened, ['free'], 'and the reserve is not made again meanwhile');
  guard.onLogWritten();
  disk.freeBytes = 60_000_000;
  clock.pass(60_000);
  t.strictSame(happened, ['free'], 'nor while there is little room');
  disk.freeBytes = 110_000_000;
  clock.pass(10_000);
  t.strictSame(happened, ['free', 'ensure']);
  clock.pass(60_000);
  t.equal(replica.calls.length, 4, 'no attempt after it worked');
  t.end();
});

test('a log that fails otherwise ends the process: only a verification can tell what it lost', (t) => {
  for (const error of [broken, new StoreError('damaged', 'bad'), new Error('strange')]) {
    const { guard, replica, clock, happened } = watch();
    guard.onFailure({ kind: 'log', error });
    t.strictSame(happened, ['ensure', `give up: the log failed: ${error.message}`]);
    clock.pass(60_000);
    t.strictSame(replica.calls, []);
  }
  t.end();
});

test('a log found damaged when it is reopened ends the process too', (t) => {
  const { guard, replica, clock, happened } = watch();
  replica.recoveryErrors.push(new StoreError('damaged', 'a marker is missing'));
  guard.onFailure({ kind: 'log', error: noSpace });
  clock.pass(250);
  t.equal(happened.at(-1), 'give up: the log failed: a marker is missing');
  t.end();
});

test('a state that fails is left to the replica, with the room of the reserve should it need some', (t) => {
  const { guard, clock, happened, replica } = watch();
  guard.onStoreError(broken);
  guard.onFailure({ kind: 'state', error: broken });
  t.strictSame(happened, ['ensure']);
  guard.onStoreError(noSpace);
  guard.onFailure({ kind: 'state', error: noSpace });
  t.strictSame(happened, ['ensure', 'free']);
  clock.pass(10_000);
  t.strictSame(happened, ['ensure', 'free', 'ensure'], 'which is taken again later');
  t.strictSame(replica.calls, []);
  t.end();
});

test('a reserve that is needed again each time that it was taken is taken later and later: a quota says nothing', (t) => {
  const { guard, clock, happened } = watch();
  const waits: number[] = [];
  for (let time = 1; time <= 4; time += 1) {
    guard.onStoreError(noSpace);
    const before = happened.length;
    let waitedMs = 0;
    while (happened.length === before) {
      clock.pass(1_000);
      waitedMs += 1_000;
    }
    waits.push(waitedMs);
  }
  t.strictSame(waits, [10_000, 20_000, 40_000, 80_000]);
  t.end();
});

test('a directory that was rolled back ends the process', (t) => {
  const { guard, happened } = watch();
  guard.onFailure({ kind: 'rolled-back' });
  t.match(happened.at(-1), /^give up: the data directory is an older copy/);
  t.equal(happened.at(-2), 'condemn', 'and has the next start set it aside');
  t.end();
});

test('a reserve for which there is no room is tried again later; a stopped guard does nothing', (t) => {
  const { guard, clock, happened, disk } = watch(true);
  clock.pass(10_000);
  disk.full = false;
  clock.pass(10_000);
  t.strictSame(happened, ['ensure', 'ensure', 'ensure']);
  clock.pass(100_000);
  guard.stop();
  guard.onFailure({ kind: 'log', error: broken });
  t.equal(happened.length, 3);
  t.end();
});
