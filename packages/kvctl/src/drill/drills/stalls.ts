/** Drills that stop time for a replica, or set its clock: SIGSTOP, SIGCONT, and a wall clock that jumps. */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import path from 'node:path';
import { connect } from '@kvd/client';
import { AbandonedLease } from '../abandoned-lease.js';
import type { Drill } from '../drill.js';
import type { Stage } from '../stage.js';
import { httpCall } from '../../http.js';

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const CALL_MS = 1_000;
const SEEN_MS = 5_000;
const POLL_MS = 50;
const CONNECT_MS = 20_000;
const OPERATION_MS = 10_000;
/** Long enough that the clock has jumped, and been seen to, before it is over. */
const LEASE_MS = 2_000;

export const pauseLeader: Drill = {
  name: 'pause-leader',
  about:
    'SIGSTOP to the leader until another leads, then SIGCONT: it must not answer from what it knew before',
  replicas: 5,
  replicasMin: 3,
  goesOn: true,
  async inflict(stage) {
    do {
      const victim = await stage.leader();
      stage.inject(`replica ${victim}, the leader, paused`);
      stage.cluster.pause(victim);
      await stage.leader();
      await stage.pause(500, 1_500);
      stage.inject(`replica ${victim} goes on`);
      stage.cluster.resume(victim);
      await stage.ready(victim);
      await stage.pause(200, 700);
    } while (!stage.isOver);
  },
};

export const slowFollower: Drill = {
  name: 'slow-follower',
  about:
    'one follower is stopped and continued in bursts, as on a starved machine: the others do not wait for it',
  replicas: 5,
  replicasMin: 3,
  goesOn: true,
  async inflict(stage) {
    const victim = stage.pickOne(stage.others(await stage.leader()));
    do {
      stage.inject(`replica ${victim} stalls`);
      stage.cluster.pause(victim);
      await stage.pause(100, 1_200);
      stage.cluster.resume(victim);
      await stage.pause(50, 300);
    } while (!stage.isOver);
  },
};

export const clockJump: Drill = {
  name: 'clock-jump',
  about:
    "the wall clocks of the leader and of others jump by an hour, forward and back, through a preload that shifts the process's Date: no session and no lease ends early, and a lease that is left alone ends in its time",
  replicas: 5,
  replicasMin: 3,
  goesOn: true,
  environment(dir, id) {
    // As a URL it has no blanks, which NODE_OPTIONS would take for the end of a word.
    const preload = `--import=${new URL('../shifted-clock.js', import.meta.url).href}`;
    const options = [process.env.NODE_OPTIONS, preload].filter((option) => option !== undefined);
    return { NODE_OPTIONS: options.join(' '), KVCTL_DRILL_CLOCK_FILE: clockFile(dir, id) };
  },
  prepare(stage) {
    for (const id of stage.ids) setClock(stage, id, 0);
  },
  async inflict(stage) {
    const timeouts = { timeoutMs: OPERATION_MS, connectTimeoutMs: CONNECT_MS };
    const kv = await connect({ endpoints: stage.cluster.endpoints, name: 'lease', ...timeouts });
    try {
      let round = 0;
      do {
        await jump(stage, await AbandonedLease.grant(kv, `leased/${++round}/`, LEASE_MS));
      } while (!stage.isOver);
    } finally {
      await kv.close();
    }
  },
  async examine(stage) {
    const expired = stage.load.errors.get('KVD_SESSION_EXPIRED') ?? 0;
    stage.check('no session ended early', expired === 0, `${expired} sessions expired`);
  },
};

/** All clocks go wrong and right again; the lease has to end while that of the leader says that it is two hours ago. */
async function jump(stage: Stage, lease: AbandonedLease): Promise<void> {
  const leader = await stage.leader();
  const others = stage.pick(stage.tolerated, stage.others(leader));
  stage.inject(`the clock of replica ${leader}, the leader, jumps an hour ahead`);
  setClock(stage, leader, HOUR_MS);
  await seesClock(stage, leader, HOUR_MS);
  await lease.keepAlive();
  await stage.pause(400, 900);
  stage.inject(`the clocks of replicas ${others.join(', ')} jump two hours back`);
  for (const id of others) setClock(stage, id, -2 * HOUR_MS);
  await stage.pause(400, 900);
  stage.inject(`the clock of replica ${leader} jumps back to two hours ago`);
  setClock(stage, leader, -2 * HOUR_MS);
  const { ok, detail } = await lease.end();
  stage.check('no lease ends early, and each ends', ok, detail);
  stage.inject('all clocks are right again');
  for (const id of stage.ids) setClock(stage, id, 0);
  await stage.pause(100, 400);
}

/** The file that tells replica `id` by how many ms its wall clock is off. */
function clockFile(dir: string, id: number): string {
  return path.join(dir, `replica-${id}.clock`);
}

function setClock(stage: Stage, id: number, offsetMs: number): void {
  writeFileSync(clockFile(stage.dir, id), String(offsetMs));
}

/** The replica's own log must show that its clock jumped: any change of its chaos settings, if to none, is a line of it. */
async function seesClock(stage: Stage, id: number, offsetMs: number): Promise<void> {
  const deadlineMs = stage.now + SEEN_MS;
  let offBy = Number.NaN;
  while (stage.now < deadlineMs && !(Math.abs(offBy - offsetMs) < MINUTE_MS)) {
    await httpCall('PUT', stage.cluster.address(id), '/v1/chaos', CALL_MS, { failRate: 0 });
    await sleep(POLL_MS);
    const line = stage.cluster
      .log(id)
      .trimEnd()
      .split('\n')
      .findLast((text) => text.includes('"chaos-set"'));
    offBy = Date.parse(/"time":"([^"]+)"/.exec(line ?? '')?.[1] ?? '') - Date.now();
  }
  const ok = Math.abs(offBy - offsetMs) < MINUTE_MS;
  stage.check(
    'the clock really jumped',
    ok,
    `the log of replica ${id} is ${Math.round(offBy / MINUTE_MS)} minutes ahead`,
  );
}
