/**
 * Roles that are killed and built again: by chaos one at a time, after a failure of the log all of them. Each comes back
 * through the same code as at the start of a process: the log (and for a learner the state) is read from disk.
 */
import type { PaxosNode } from '@kvd/paxos';
import type { PaxosRole } from './api.js';
import type { LogDriver } from './log-driver.js';
import type { LogStore } from './ports.js';
import type { StateKeeper } from './state-keeper.js';
import type { Tracer } from './tracer.js';

export interface RolesHandler {
  onRestored(role: PaxosRole): void;
  onLogFailure(error: Error): void;
}

export class Roles {
  readonly down = new Set<PaxosRole>();

  constructor(
    private readonly log: LogStore,
    private readonly node: PaxosNode,
    private readonly driver: LogDriver,
    private readonly keeper: StateKeeper,
    private readonly tracer: Tracer,
    private readonly handler: RolesHandler,
  ) {}

  kill(role: PaxosRole): void {
    if (this.down.has(role)) return;
    this.tracer.event('warn', 'role-killed', { role });
    this.down.add(role);
    this.node.killRole(role);
    this.driver.dropRole(role);
    if (role === 'learner') this.keeper.killLearner();
  }

  restore(role: PaxosRole): void {
    if (!this.down.has(role)) return;
    this.driver.reload((error) => {
      if (error) this.handler.onLogFailure(error);
      else if (role === 'learner')
        this.keeper.restoreLearner(
          () => this.log.recovered,
          () => this.restored(role),
        );
      else this.restored(role);
    });
  }

  /** As at the start of a process: what the state holds beyond the log's mark may be in no log we can read any more. */
  recoverLog(done: (error: Error | null) => void): void {
    this.driver.reload((error, recovered) => {
      if (error) {
        done(error);
        return;
      }
      this.keeper.killLearner();
      const restore = (): void => {
        this.node.step({ type: 'persisted', marker: recovered.marker });
        for (const role of ['acceptor', 'learner'] as const) this.node.restoreRole(role, recovered);
        // With a state in trouble it leads nothing until that is over.
        if (this.keeper.trouble === '') this.node.restoreRole('proposer', recovered);
        this.tracer.event('warn', 'log-recovered', { marker: recovered.marker });
        done(null);
      };
      this.keeper.restoreLearner(() => recovered, restore);
    });
  }

  private restored(role: PaxosRole): void {
    if (!this.down.delete(role)) return;
    if (role !== 'proposer' || this.keeper.trouble === '') this.node.restoreRole(role, this.log.recovered);
    this.tracer.event('info', 'role-restored', { role, chosenThrough: this.node.chosenThrough });
    this.handler.onRestored(role);
  }
}
