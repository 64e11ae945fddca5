/** @kvd/sim: a deterministic simulator of whole clusters. Private: tests and bin/kvd-sim use it. */
export { type Bug, type Hunt, hunt, ONCE_REAL_BUGS, plant, PLANTED_BUGS } from './bugs/index.js';
export { runSeeds, type SeedRange, type SeedResult } from './campaign.js';
export { main, EXIT } from './main.js';
export { planOf } from './plan-of.js';
export type * from './parts.js';
export * from './plan.js';
export { type Scenario, SCENARIOS } from './scenarios/index.js';
export { shrink } from './shrink.js';
export { simulate } from './simulate.js';
export { Violation } from './violation.js';
export type { Outcome } from './world.js';
