/** From an operation of the plan to whoever performs it. */
import type { Operation } from '../plan.js';
import { performBasic } from './basic.js';
import type { Caller } from './caller.js';
import { performData } from './data.js';
import { hold } from './holder.js';

/** `done`: the client may begin its next one. */
export function perform(caller: Caller, index: number, operation: Operation, done: () => void): void {
  const { kind } = operation;
  switch (kind) {
    case 'put':
    case 'get':
    case 'delete':
    case 'scan':
    case 'delete-range':
    case 'keyed-put':
      performBasic(caller, index, { ...operation, kind }, done);
      return;
    case 'hold':
      hold(caller, index, operation, done);
      return;
    case 'watch':
      // Watchers are beside the clients (watcher.ts).
      done();
      return;
    default:
      performData(caller, index, { ...operation, kind }, done);
  }
}
