/** How a replica is started, by the plan. */
import type { ReplicaOptions } from '@kvd/replica';
import type { World } from './world.js';

/** What differs from machine to machine. */
export interface MachineOptions {
  readonly address: string;
  /** Of a cluster that others founded. */
  readonly joins: boolean;
  readonly isWitness: boolean;
  readonly mayFound: boolean;
  readonly newClusterId: string;
}

export function replicaOptions(
  { plan, contacts, foundingReplicas }: World,
  { address, joins, isWitness, mayFound, newClusterId }: MachineOptions,
): ReplicaOptions {
  return {
    founding: joins ? null : foundingReplicas,
    contacts: joins ? contacts : [],
    acceptQuorum: plan.acceptQuorum,
    readmit: plan.readmit,
    witness: isWitness,
    newClusterId,
    mayFound,
    address,
    alpha: plan.alpha,
    tickMs: plan.tickMs,
    electionTimeoutMs: plan.electionTimeoutMs,
    heartbeatMs: plan.heartbeatMs,
    inFlightSlots: plan.inFlightSlots,
    batchBytes: 64 * 1024,
    batchCommands: plan.batchCommands,
    snapshotSlots: plan.snapshotSlots,
    promiseEntries: plan.promiseEntries,
    digestSlots: plan.digestSlots,
  };
}
