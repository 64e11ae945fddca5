/** What is judged when a run has come to its end: what the clients saw, what the replicas hold, whether all came round. */
import type { Seen } from './history.js';
import { judgeState } from './oracle/answers.js';
import { judgeHistory } from './oracle/histories.js';
import { judgeRevisions } from './oracle/revisions.js';
import { PROBE_CLIENT } from './probe.js';
import { scenarioNamed } from './scenarios/index.js';
import { Violation } from './violation.js';
import type { World } from './world.js';

/** @throws Violation */
export function judgeWorld(world: World): void {
  const { history, ledger, plan, census, reference, hasCaughtUp } = world;
  judgeRevisions(history);
  ledger.judge();
  const isWhole = plan.operations.every(({ dice }) => dice === undefined);
  judgeHistory(history, hasCaughtUp ? finalReads(world) : [], isWhole);
  if (hasCaughtUp)
    for (const { id, state } of census.keepers) if (state !== null) judgeState(reference, state, id);
  const scenario = scenarioNamed(plan.scenario);
  if (scenario?.isHopeless !== true) mustHaveComeRound(world);
  scenario?.expect?.(world);
}

function mustHaveComeRound(world: World): void {
  const { census, history, states, reference, watchers } = world;
  if (census.unsettled !== '') throw stuck('members', census.unsettled);
  const unanswered = history.operations.find(
    ({ client, outcome }) => client >= PROBE_CLIENT && outcome !== 'ok',
  );
  if (unanswered !== undefined)
    throw stuck('answers', `replica ${unanswered.client - PROBE_CLIENT} does not answer`);
  if (!world.hasCaughtUp) {
    const where = census.members.map(
      (host) => `replica ${host.id} ${host.phase} ${host.state?.appliedThrough ?? '-'}`,
    );
    throw stuck('catch-up', `applied through ${states.appliedThrough}; ${where.join(', ')}`);
  }
  // Long after the last fault no lease outlives its time, and every watcher was told everything.
  if (reference.leases.size > 0)
    throw stuck('lease', `leases ${[...reference.leases.keys()].join(', ')} do not end`);
  const behind = watchers.find((watcher) => !watcher.hasCaughtUp);
  if (behind !== undefined) throw stuck('watch', behind.describe());
}

function stuck(rule: string, message: string): Violation {
  return new Violation('liveness', rule, message);
}

/** What every replica holds in the end. */
function finalReads({ history, census }: World): Seen[][] {
  const keys = new Set(history.operations.flatMap((operation) => operation.keys));
  return census.keepers.flatMap(({ state }) =>
    state === null
      ? []
      : [
          [...keys].map((key) => {
            const entry = state.get(Buffer.from(key));
            const value = entry === null ? null : Buffer.from(entry.value).toString('latin1');
            return { key, value, modRevision: entry?.modRevision ?? 0, version: entry?.version ?? 0 };
          }),
        ],
  );
}
