/** `kvctl chaos`: failing on purpose, shown and set on running replicas. */
import type { Context } from '../context.js';
import { CliError, EXIT, type ExitCode, unavailable, usage } from '../errors.js';
import { httpCall, parseObject } from '../http.js';
import { askReplicas, findReplica, type ReplicaReport } from '../replicas.js';

export interface ChaosArgs {
  readonly replica?: number | undefined;
  readonly failRate?: number | undefined;
  readonly intervalMs?: number | undefined;
  readonly downMs?: number | undefined;
  readonly roles?: string | undefined;
  readonly off: boolean;
}

const ROLES = ['acceptor', 'learner', 'proposer'];

/** The settings of every replica, or of one. */
export async function chaosShow(context: Context, replica: number | undefined): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.done;
  const reports =
    replica === undefined
      ? await askReplicas(context.endpoints, context.timeoutMs)
      : [await replicaOf(context, replica)];
  for (const report of reports) {
    if (!report.reachable) {
      context.out.note(`kvctl: replica ${report.id || report.address}: ${report.error}`);
      exitCode = EXIT.unavailable;
      continue;
    }
    await tell(context, report, await call(context, 'GET', report, '/v1/chaos'));
  }
  return exitCode;
}

/** Change what is given of a replica's settings; `off` sets the rate to 0. */
export async function chaosSet(context: Context, args: ChaosArgs): Promise<ExitCode> {
  if (args.replica === undefined) throw usage('chaos set needs --replica N, one replica at a time');
  const change = toChange(args);
  const report = await replicaOf(context, args.replica);
  await tell(context, report, await call(context, 'PUT', report, '/v1/chaos', change));
  return EXIT.done;
}

/** Make a replica compete for leadership now. */
export async function chaosCampaign(context: Context, replica: number | undefined): Promise<ExitCode> {
  if (replica === undefined) throw usage('chaos campaign needs --replica N');
  const report = await replicaOf(context, replica);
  await call(context, 'POST', report, '/v1/chaos/campaign');
  await context.out.result({ id: report.id, campaign: true }, `replica ${report.id} campaigns`);
  return EXIT.done;
}

function toChange(args: ChaosArgs): Record<string, unknown> {
  const change: Record<string, unknown> = {};
  if (args.off) {
    if (args.failRate !== undefined) throw usage('--off and --fail-rate exclude each other');
    change.failRate = 0;
  }
  if (args.failRate !== undefined) change.failRate = inRange('--fail-rate', args.failRate, 0, 1);
  if (args.intervalMs !== undefined)
    change.intervalMs = inRange('--interval-ms', args.intervalMs, 1, 3_600_000);
  if (args.downMs !== undefined) change.downMs = inRange('--down-ms', args.downMs, 1, 3_600_000);
  if (args.roles !== undefined) {
    const roles = args.roles.split(',').map((role) => role.trim());
    for (const role of roles) {
      if (!ROLES.includes(role)) throw usage(`--roles: '${role}' is none of ${ROLES.join(', ')}`);
    }
    change.roles = [...new Set(roles)];
  }
  if (Object.keys(change).length === 0) throw usage('chaos set: say what to set, or --off');
  return change;
}

function inRange(name: string, value: number, min: number, max: number): number {
  if (value >= min && value <= max) return value;
  throw usage(`${name}: ${value} is not between ${min} and ${max}`);
}

/** @throws CliError unavailable when it does not answer */
async function replicaOf(context: Context, id: number): Promise<ReplicaReport> {
  const report = await findReplica(context.endpoints, id, context.timeoutMs);
  if (report === undefined) throw unavailable(`no replica ${id} is known at ${context.endpoints.join(', ')}`);
  if (!report.reachable) throw unavailable(`replica ${id}: ${report.error}`);
  return report;
}

async function call(
  context: Context,
  method: 'GET' | 'PUT' | 'POST',
  report: ReplicaReport,
  path: string,
  body?: unknown,
): Promise<Readonly<Record<string, unknown>>> {
  const answer = await httpCall(method, report.address, path, context.timeoutMs, body).catch(
    (error: unknown) => {
      throw unavailable(`replica ${report.id}: ${error instanceof Error ? error.message : String(error)}`);
    },
  );
  const text = answer.body.trim();
  if (answer.status >= 300) {
    throw new CliError(EXIT.refused, 'KVCTL_HTTP', `replica ${report.id}: HTTP ${answer.status} ${text}`);
  }
  return text === '' ? {} : parseObject(text);
}

async function tell(
  context: Context,
  report: ReplicaReport,
  settings: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { failRate, intervalMs, downMs, roles } = settings;
  const names = Array.isArray(roles) ? roles.join(',') : '';
  const text =
    failRate === 0
      ? 'off'
      : `fail-rate ${String(failRate)}, interval ${String(intervalMs)} ms, down ${String(downMs)} ms, roles ${names}`;
  await context.out.result({ id: report.id, ...settings }, `replica ${report.id}: ${text}`);
}
