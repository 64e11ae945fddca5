/** All drills, in the order in which they are listed and run. */
import type { Drill } from './drill.js';
import { crashAcceptor, crashAll, crashLeader, crashTwoOfFive, rollingRestart } from './drills/crashes.js';
import { diskFull, flipBits, wipeDisk } from './drills/disks.js';
import { flappingLink, oneWayLink, partitionHalves, partitionLeader, slowLink } from './drills/links.js';
import { lockHolderPaused } from './drills/locks.js';
import { growAndShrink, loseDisks, replaceAll } from './drills/members.js';
import { chaos25, duellingProposers } from './drills/proposers.js';
import { clockJump, pauseLeader, slowFollower } from './drills/stalls.js';
import { watcherMoves } from './drills/watchers.js';

export const DRILLS: readonly Drill[] = [
  crashAcceptor,
  crashLeader,
  crashTwoOfFive,
  crashAll,
  rollingRestart,
  pauseLeader,
  partitionLeader,
  partitionHalves,
  oneWayLink,
  flappingLink,
  slowLink,
  slowFollower,
  wipeDisk,
  loseDisks,
  flipBits,
  diskFull,
  growAndShrink,
  replaceAll,
  duellingProposers,
  chaos25,
  clockJump,
  watcherMoves,
  lockHolderPaused,
];
