/** `kvctl cluster …`: a local cluster of real processes that outlives the command. */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { decideLayout, type Layout, type LayoutWish, readLayout } from '../cluster/layout.js';
import { LocalCluster, type ReplicaProcess } from '../cluster/local-cluster.js';
import type { Context } from '../context.js';
import { EXIT, type ExitCode, refused, unavailable } from '../errors.js';
import { askReplicas, textOf } from '../replicas.js';
import { MembersClient } from './members-client.js';

/** Opening of a cluster: processes up, directories formatted or recovered, a leader found. */
const READY_MS = 60_000;
const STATUS_MS = 1_000;
const POLL_MS = 50;

/** Start all replicas that do not run. */
export async function clusterUp(context: Context, dir: string, wish: LayoutWish): Promise<ExitCode> {
  const cluster = openForStart(dir, wish);
  const stopped = cluster.processes().filter((replica) => replica.state === 'stopped');
  if (stopped.length === 0) throw refused(`the cluster in ${cluster.dir} is already up`);
  await cluster.start(stopped.map((replica) => replica.id));
  await Promise.all(stopped.map((replica) => cluster.waitReady(replica.id, READY_MS)));
  for (const { id } of stopped) await tell(context, cluster.processOf(id));
  return EXIT.done;
}

/** The cluster in `dir` with the wished layout, saved. @throws CliError when it runs with another */
export function openForStart(dir: string, wish: LayoutWish): LocalCluster {
  const full = path.resolve(dir);
  const found = readLayout(full);
  // Where the first start failed, or the replicas' directories were removed, there is nothing yet, and everything may be
  // chosen anew; what is not is as it was asked for the last time.
  const present = found !== null && new LocalCluster(full, found).hasData() ? found : null;
  const layout = decideLayout(
    full,
    present,
    present === null ? { ...lastWish(found), ...given(wish) } : wish,
  );
  if (present !== null) {
    const running = new LocalCluster(full, present)
      .processes()
      .filter((replica) => replica.state !== 'stopped');
    const ids = running.map((replica) => replica.id).join(', ');
    if (running.length > 0 && layout.port !== present.port) {
      throw refused(
        `the cluster in ${full} is up at port ${present.port} (replicas ${ids}): stop it to change its port`,
      );
    }
  }
  const cluster = new LocalCluster(full, layout);
  cluster.save(layout);
  return cluster;
}

function lastWish(found: Layout | null): LayoutWish {
  return found === null ? {} : { replicas: found.replicas, port: found.port, flags: found.flags };
}

/** Without what is undefined, which would hide what it is spread over. */
function given(wish: LayoutWish): LayoutWish {
  return Object.fromEntries(Object.entries(wish).filter(([, value]) => value !== undefined));
}

/** @throws CliError when there is no cluster in `dir` */
export function openExisting(dir: string): LocalCluster {
  const full = path.resolve(dir);
  const layout = readLayout(full);
  if (layout === null) throw refused(`there is no cluster in ${full}: start one with kvctl cluster up`);
  return new LocalCluster(full, layout);
}

export async function clusterDown(context: Context, dir: string): Promise<ExitCode> {
  const cluster = openExisting(dir);
  await Promise.all(
    cluster.ids.map(async (id) => {
      const how = await cluster.stop(id);
      if (how === 'killed') context.out.note(`kvctl: replica ${id} did not stop when asked and was killed`);
    }),
  );
  for (const replica of cluster.processes()) await tell(context, replica);
  return EXIT.done;
}

/** What runs; exit 0 when all replicas do. */
export async function clusterStatus(context: Context, dir: string): Promise<ExitCode> {
  const cluster = openExisting(dir);
  const processes = cluster.processes();
  const running = processes
    .filter((replica) => replica.state === 'running')
    .map((replica) => replica.address);
  const reports = running.length === 0 ? [] : await askReplicas(running, STATUS_MS);
  for (const replica of processes) {
    const report = reports.find((candidate) => candidate.id === replica.id);
    const role = report === undefined ? '' : textOf(report, 'role');
    await tell(context, replica, role, report?.status.ready === true);
  }
  return processes.every((replica) => replica.state === 'running') ? EXIT.done : EXIT.negative;
}

/** kill -9. */
export async function clusterKill(context: Context, dir: string, id: number): Promise<ExitCode> {
  const cluster = openExisting(dir);
  await cluster.kill(cluster.check(id));
  return tell(context, cluster.processOf(id));
}

/** SIGSTOP: the process stays, and does nothing. */
export async function clusterPause(context: Context, dir: string, id: number): Promise<ExitCode> {
  const cluster = openExisting(dir);
  cluster.signal(cluster.check(id), 'SIGSTOP');
  return tell(context, { ...cluster.processOf(id), state: 'paused' });
}

export async function clusterResume(context: Context, dir: string, id: number): Promise<ExitCode> {
  const cluster = openExisting(dir);
  cluster.signal(cluster.check(id), 'SIGCONT');
  return tell(context, { ...cluster.processOf(id), state: 'running' });
}

/** Stop it if it runs, start it, and wait at most `timeoutMs` until it can answer requests. */
export async function clusterRestart(
  context: Context,
  dir: string,
  id: number,
  timeoutMs: number,
): Promise<ExitCode> {
  const cluster = openExisting(dir);
  await cluster.stop(cluster.check(id));
  await cluster.start([id]);
  await cluster.waitReady(id, timeoutMs);
  return tell(context, cluster.processOf(id));
}

/** Start one more replica, which joins the cluster and waits to be made a member. */
export async function clusterAdd(context: Context, dir: string, witness: boolean): Promise<ExitCode> {
  const cluster = openExisting(dir);
  if (cluster.processes().every((replica) => replica.state === 'stopped'))
    throw refused(`the cluster in ${cluster.dir} is down: start it with kvctl cluster up`);
  const { id } = cluster.add(witness);
  const leader = new MembersClient(cluster.addresses, context.timeoutMs);
  await cluster.start([id]);
  await cluster.waitReady(id, READY_MS);
  await untilHeardOf(leader, id);
  context.out.note(`replica ${id} runs; make it a member with: kvctl member add ${id}`);
  return tell(context, cluster.processOf(id));
}

/** @throws CliError or KvdError when the leader does not hear of it */
async function untilHeardOf(leader: MembersClient, id: number): Promise<void> {
  const deadlineMs = performance.now() + READY_MS;
  while (!(await leader.ask()).waiting.some((replica) => replica.id === id)) {
    if (performance.now() > deadlineMs)
      throw unavailable(`replica ${id} runs, but the leader has not heard of it`);
    await sleep(POLL_MS);
  }
}

/** Kill it and remove its data directory, as if its disk were lost. It stays down until it is restarted. */
export async function clusterWipe(context: Context, dir: string, id: number): Promise<ExitCode> {
  const cluster = openExisting(dir);
  if (cluster.processOf(cluster.check(id)).state !== 'stopped') await cluster.kill(id);
  cluster.wipe(id);
  context.out.note(`replica ${id} has lost its disk; start it with: kvctl cluster restart ${id}`);
  return tell(context, cluster.processOf(id));
}

async function tell(
  context: Context,
  replica: ReplicaProcess,
  role = '',
  ready?: boolean,
): Promise<ExitCode> {
  const { id, address, pid, state } = replica;
  const more = ready === undefined ? {} : { role: role === '' ? null : role, ready };
  const words = [
    `replica ${id}`,
    address,
    state,
    ...(pid === null ? [] : [`pid ${pid}`]),
    ...(role === '' ? [] : [role]),
  ];
  await context.out.result({ id, address, state, pid, ...more }, words.join('  '));
  return EXIT.done;
}
