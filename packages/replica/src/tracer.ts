/** A replica's logbook: every entry says which replica wrote it. */
import type { ReplicaId } from '@kvd/paxos';
import type { Trace } from './ports.js';

export class Tracer {
  constructor(
    private readonly trace: Trace,
    private readonly replica: ReplicaId,
  ) {}

  event(
    level: 'debug' | 'info' | 'warn' | 'error',
    name: string,
    fields: Readonly<Record<string, unknown>> = {},
  ): void {
    this.trace.event(level, name, { replica: this.replica, ...fields });
  }
}
