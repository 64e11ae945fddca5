/** `kvctl member …`: who the members are, changes of them, and what a change would mean. */
import type { MemberChange, MembersReport } from '@kvd/protocol';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from '../context.js';
import { EXIT, type ExitCode } from '../errors.js';
import { Stop } from '../stop.js';
import { MembersClient } from './members-client.js';
import { progressOf } from './members-goal.js';
import { MembersProgress } from './members-progress.js';
import { canBe, doneText, membersText, planText, toleranceText } from './members-text.js';

const POLL_MS = 100;

export interface ChangeOptions {
  readonly force: boolean;
  /** Until all of it is done; 0: only until the change is chosen. */
  readonly waitMs: number;
}

export async function memberList(context: Context): Promise<ExitCode> {
  const report = await clientOf(context).ask();
  if (context.out.format === 'text') await context.out.write(`${membersText(report)}\n`);
  else {
    for (const member of report.members) await context.out.result(member);
    for (const replica of report.waiting) await context.out.result({ waiting: true, ...replica });
  }
  return EXIT.done;
}

/** What a change would mean, or without one how it stands; exit 1 when it would be refused. */
export async function memberPlan(
  context: Context,
  change: MemberChange | null,
  force: boolean,
): Promise<ExitCode> {
  const report = await clientOf(context).request({ change, plan: true, force });
  const { slot, leader, tolerance, message } = report;
  const isRefused = report.steps.some((step) => step.refused !== '');
  const steps = report.steps.map((step) => (canBe(step) ? step : { ...step, during: null, after: null }));
  const text = change === null ? membersText(report) : planText(report);
  await context.out.result({ slot, leader, tolerance, steps, refused: isRefused, message }, text);
  return isRefused ? EXIT.negative : EXIT.done;
}

/** Change it, and wait until that is done; exit 1 when it is not by then, though it goes on. */
export async function memberChange(
  context: Context,
  change: MemberChange,
  { force, waitMs }: ChangeOptions,
): Promise<ExitCode> {
  const client = clientOf(context);
  const leaderBefore = change.type === 'move-leader' ? (await client.ask()).leader : 0;
  const asked = await client.request({ change, plan: false, force });
  if (waitMs === 0) {
    await context.out.result(asked, asked.message);
    return EXIT.done;
  }
  const stop = new Stop(context.stop);
  try {
    const report = await waitUntilDone(context, client, { change, asked, leaderBefore, waitMs, stop });
    if (report === null) return stop.by === null ? EXIT.negative : stop.exitCode;
    const { message, steps } = asked;
    const text = `${doneText(change, report)}\n${toleranceText(report.tolerance)}`;
    await context.out.result({ ...report, message, steps }, text);
    return EXIT.done;
  } finally {
    stop.end();
  }
}

interface Waiting {
  readonly change: MemberChange;
  readonly asked: MembersReport;
  readonly leaderBefore: number;
  readonly waitMs: number;
  readonly stop: Stop;
}

/** Null: it was not done in time, or nobody wanted to wait any more. */
async function waitUntilDone(
  context: Context,
  client: MembersClient,
  { change, asked, leaderBefore, waitMs, stop }: Waiting,
): Promise<MembersReport | null> {
  const deadlineMs = performance.now() + waitMs;
  const shown = new MembersProgress(context.out);
  let report = asked;
  try {
    for (;;) {
      const progress = progressOf(change, report, leaderBefore);
      if (progress.isDone) return report;
      shown.show(progress);
      if (stop.signal.aborted || performance.now() > deadlineMs) {
        shown.end();
        context.out.note(`kvctl: not done yet (${progress.stage}); it goes on: kvctl member list shows it`);
        return null;
      }
      await sleep(POLL_MS, undefined, { signal: stop.signal }).catch(() => undefined);
      report = await client.ask();
    }
  } finally {
    shown.end();
  }
}

function clientOf({ endpoints, timeoutMs }: Context): MembersClient {
  return new MembersClient(endpoints, timeoutMs);
}
