/** Drills through the replicas' own chaos: proposers that compete all the time, roles that are dropped and rebuilt. */
import type { Drill } from '../drill.js';
import type { Stage } from '../stage.js';
import { httpCall } from '../../http.js';

const CALL_MS = 1_000;
const RATE = 0.25;
const CHAOS_MS = 1_000;
const RESTORE_MS = 10_000;
const SPARED_MS = 20_000;

export const duellingProposers: Drill = {
  name: 'duelling-proposers',
  about:
    'two of nine replicas campaign for leadership again and again, at the same time: they settle, and values are chosen',
  replicas: 9,
  replicasMin: 3,
  goesOn: true,
  async inflict(stage) {
    const duellists = stage.pick(2);
    const before = await highestBallot(stage);
    let campaigns = 0;
    do {
      campaigns += 1;
      stage.inject(`replicas ${duellists.join(' and ')} campaign`);
      await Promise.all(duellists.map((id) => call(stage, id, 'POST', '/v1/chaos/campaign')));
      await stage.pause(100, 500);
    } while (!stage.isOver);
    const raised = (await highestBallot(stage)) - before;
    const detail = `they campaigned ${campaigns} times, the ballot is ${raised} higher`;
    stage.check('campaigns took higher ballots', raised > 0, detail);
  },
};

export const chaos25: Drill = {
  name: 'chaos-25',
  about:
    'every second, each acceptor is killed with a probability of 25 % and rebuilt from its disk a second later',
  replicas: 5,
  replicasMin: 3,
  goesOn: false,
  async inflict(stage) {
    stage.inject(`acceptors fail at ${RATE * 100} % a second`);
    const settings = { failRate: RATE, intervalMs: CHAOS_MS, downMs: CHAOS_MS, roles: ['acceptor'] };
    await setAll(stage, settings);
    const killsBefore = stage.ids.map((id) => killsOf(stage, id));
    while (!stage.isOver) await stage.pause(200);
    // Chance may spare all of them for a while.
    await stage.cluster.waitFor(SPARED_MS, () => Promise.resolve(killed(stage, killsBefore) > 0));
    await setAll(stage, { failRate: 0 });
    const kills = killed(stage, killsBefore);
    stage.inject(`acceptors fail no more; ${kills} were killed`);
    stage.check('acceptors were killed', kills > 0, `${kills} times`);
    const restored = await stage.cluster.waitFor(RESTORE_MS, async () => {
      const states = await stage.cluster.states();
      return states.length === stage.ids.length && states.every((state) => state.down === 0);
    });
    stage.check('every acceptor came back', restored, restored ? 'all are up' : stage.cluster.tails());
  },
};

/** Counter of the highest ballot that a replica has promised. */
async function highestBallot(stage: Stage): Promise<number> {
  return Math.max(0, ...(await stage.cluster.states()).map((state) => state.ballot));
}

async function setAll(stage: Stage, settings: Readonly<Record<string, unknown>>): Promise<void> {
  await Promise.all(stage.ids.map((id) => call(stage, id, 'PUT', '/v1/chaos', settings)));
}

function killed(stage: Stage, before: readonly number[]): number {
  return stage.ids.reduce((sum, id, index) => sum + killsOf(stage, id) - (before[index] ?? 0), 0);
}

function killsOf(stage: Stage, id: number): number {
  return stage.cluster.log(id).split('"event":"role-killed"').length - 1;
}

async function call(
  stage: Stage,
  id: number,
  method: 'POST' | 'PUT',
  path: string,
  body?: unknown,
): Promise<void> {
  const answer = await httpCall(method, stage.cluster.address(id), path, CALL_MS, body);
  if (answer.status !== 200) throw new Error(`replica ${id}: HTTP ${answer.status} ${answer.body.trim()}`);
}
