/**
 * Every row of DESIGN.md, section 9, by name, and what MEMBERSHIP.md promises: which faults it injects, over and over with times and victims drawn from
 * the seed, and what must have come of it beyond what every run is judged by. The rest of a scenario's plan, cluster and
 * clients, is drawn as for any seed.
 */
import { drawOperations, drawShape } from '../generate.js';
import { drawDataOperations } from '../generate-data.js';
import type { Plan } from '../plan.js';
import { Random } from '../random.js';
import { CLOCKS_AND_CLIENTS } from './clients.js';
import { CRASHES } from './crashes.js';
import { DISKS } from './disks.js';
import { MEMBERS } from './members.js';
import { NETWORKS } from './networks.js';
import type { Scenario } from './scenario.js';
import { WITNESSES } from './witnesses.js';

export type { Scenario } from './scenario.js';

export const SCENARIOS: readonly Scenario[] = [
  ...CRASHES,
  ...DISKS,
  ...NETWORKS,
  ...CLOCKS_AND_CLIENTS,
  ...MEMBERS,
  ...WITNESSES,
];

export function scenarioNamed(name: string): Scenario | undefined {
  return SCENARIOS.find((scenario) => scenario.name === name);
}

export function scenarioPlan(scenario: Scenario, seed: number, replicas: number | null): Plan {
  const random = new Random(seed, `scenario ${scenario.name}`);
  const size = replicas ?? Math.max(scenario.replicasMin, random.pick([3, 3, 3, 5, 4, 2, 1, 7]));
  const drawn: Plan = {
    seed,
    scenario: scenario.name,
    ...drawShape(random, size, new Random(seed, `limits ${scenario.name}`)),
    faults: [],
    operations: [],
  };
  const shaped = scenario.shape?.({ ...drawn, operations: [] }) ?? drawn;
  const faults = [...scenario.faults(random.fork('faults'), shaped)].sort((a, b) => a.atMs - b.atMs);
  const operations = [
    ...drawOperations(random.fork('operations'), shaped, faults),
    ...drawDataOperations(random.fork('data'), shaped, faults, scenario.data ?? random.pick([0, 0, 1, 1, 2])),
  ].sort((a, b) => a.atMs - b.atMs);
  return { ...shaped, faults, operations: scenario.operations?.(operations, shaped) ?? operations };
}
