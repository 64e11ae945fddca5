/** Changes of the members that drills make, and what a leader says of them; each until it is done. */
import type { MemberChange, MemberReport, MembersReport } from '@kvd/protocol';
import { MembersClient } from '../commands/members-client.js';
import { progressOf } from '../commands/members-goal.js';
import type { Stage } from './stage.js';

/** An election may come in between. */
const REQUEST_MS = 10_000;
const POLL_MS = 1_000;
const DONE_MS = 30_000;

/** Resolves when it is done. @throws Error when that takes too long */
export async function changeMembers(stage: Stage, change: MemberChange): Promise<void> {
  const client = new MembersClient(stage.cluster.endpoints, REQUEST_MS);
  await client.request({ change, plan: false, force: false });
  let missing = '';
  const isDone = await stage.cluster.waitFor(DONE_MS, async () => {
    const report = await ask(stage);
    if (report === null) return false;
    const progress = progressOf(change, report, 0);
    missing = progress.stage;
    return progress.isDone;
  });
  if (!isDone)
    throw new Error(stage.cluster.surprises[0] ?? `a change is not done after ${DONE_MS} ms: ${missing}`);
}

/** Start one more replica; resolves with its number when the leader has heard of it. @throws Error */
export async function joinOne(stage: Stage): Promise<number> {
  const id = await stage.cluster.join();
  const isThere = await stage.cluster.waitFor(DONE_MS, async () => {
    return (await ask(stage))?.waiting.some((replica) => replica.id === id) ?? false;
  });
  if (!isThere) throw new Error(stage.cluster.surprises[0] ?? `the leader never heard of replica ${id}`);
  return id;
}

/** Until a replica that lost its disk is a voter, with another incarnation than `before`. @throws Error */
export async function votesAgain(stage: Stage, id: number, before: string): Promise<void> {
  const fromMs = stage.now;
  let found: MemberReport | undefined;
  const isVoter = await stage.cluster.waitFor(DONE_MS, async () => {
    const report = await ask(stage);
    found = report?.members.find((member) => member.id === id);
    return found?.role === 'voter' && found.incarnation !== before && report?.done === true;
  });
  const ms = Math.round(stage.now - fromMs);
  const detail = isVoter
    ? `replica ${id} votes after ${ms} ms`
    : `replica ${id}: ${found?.note ?? 'no answer'}`;
  stage.check('who lost its disk is admitted again', isVoter, detail);
}

/** With --readmit manual: until the leader says that nothing but a person's word is missing. @throws Error */
export async function waitsForReadmit(stage: Stage, id: number): Promise<void> {
  let note = '';
  const waits = await stage.cluster.waitFor(DONE_MS, async () => {
    note = (await ask(stage))?.members.find((member) => member.id === id)?.note ?? note;
    return note.includes('member readmit');
  });
  if (!waits)
    throw new Error(stage.cluster.surprises[0] ?? `replica ${id} does not wait to be admitted: ${note}`);
}

/** Null: nobody could say. */
async function ask(stage: Stage): Promise<MembersReport | null> {
  try {
    return await new MembersClient(stage.cluster.endpoints, POLL_MS).ask();
  } catch {
    return null;
  }
}
