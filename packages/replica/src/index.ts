export type * from './api.js';
export type * from './ports.js';
export { DIGEST_SLOTS } from './digest-watch.js';
export { Replica } from './replica.js';
export { WrappedState } from './wrapped-state.js';
