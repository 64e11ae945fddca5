/**
 * What the replicas say of themselves (GET /v1/status): asks the given addresses, then every member learned from the
 * answers. A replica reached under two addresses counts once.
 */
import { httpCall, parseObject } from './http.js';

/** A replica's answer, or that there was none. */
export interface ReplicaReport {
  /** 0 when an address did not answer and no other replica says whose it is. */
  readonly id: number;
  readonly address: string;
  readonly reachable: boolean;
  /** Of an unreachable one: why. */
  readonly error: string;
  /** What it answered; empty when unreachable. */
  readonly status: Readonly<Record<string, unknown>>;
}

/** Reports of all replicas, by id. */
export async function askReplicas(endpoints: readonly string[], timeoutMs: number): Promise<ReplicaReport[]> {
  const reports = await Promise.all([...new Set(endpoints)].map((address) => ask(address, 0, timeoutMs)));
  const byId = new Map<number, ReplicaReport>();
  for (const report of reports) if (report.reachable) byId.set(report.id, report);
  const missing = new Map<number, string>();
  for (const report of reports) {
    for (const member of membersOf(report)) if (!byId.has(member.id)) missing.set(member.id, member.address);
  }
  const more = await Promise.all(
    [...missing].map(async ([id, address]) => {
      // Who was silent as an endpoint is not waited for a second time.
      const asked = reports.find((report) => !report.reachable && report.address === address);
      return asked === undefined ? ask(address, id, timeoutMs) : { ...asked, id };
    }),
  );
  for (const report of more) byId.set(report.id, report);
  const known = new Set([...byId.values()].map((report) => report.address));
  const strangers = reports.filter((report) => !report.reachable && !known.has(report.address));
  // With answers at hand, an endpoint that did not answer is most likely one of the members listed already.
  const all = byId.size > 0 ? [...byId.values()] : strangers;
  return all.sort((a, b) => a.id - b.id);
}

/** Where the replica with this id answers. */
export async function findReplica(
  endpoints: readonly string[],
  id: number,
  timeoutMs: number,
): Promise<ReplicaReport | undefined> {
  return (await askReplicas(endpoints, timeoutMs)).find((report) => report.id === id);
}

async function ask(address: string, id: number, timeoutMs: number): Promise<ReplicaReport> {
  const deadlineMs = performance.now() + timeoutMs;
  try {
    const { status, body } = await httpCall('GET', address, '/v1/status', timeoutMs);
    if (status !== 200) throw new Error(`HTTP ${status}`);
    const fields = parseObject(body);
    if (typeof fields.id !== 'number') throw new Error('the answer is no status');
    const reason = await whyNotReady(address, fields, deadlineMs - performance.now());
    return { id: fields.id, address, reachable: true, error: '', status: { ...fields, ...reason } };
  } catch (error) {
    return {
      id,
      address,
      reachable: false,
      error: error instanceof Error ? error.message : String(error),
      status: {},
    };
  }
}

/** The status has a reason only where something is wrong with the replica itself; /readyz has one whenever it is not ready. */
async function whyNotReady(
  address: string,
  { ready, reason }: Readonly<Record<string, unknown>>,
  timeoutMs: number,
): Promise<{ readonly reason?: string }> {
  if (ready !== false || (typeof reason === 'string' && reason !== '')) return {};
  try {
    const answer = await httpCall('GET', address, '/readyz', Math.max(1, Math.ceil(timeoutMs)));
    const { message } = parseObject(answer.body);
    return answer.status === 503 && typeof message === 'string' ? { reason: message } : {};
  } catch {
    // It answered a moment ago, and what it said then is worth showing.
    return {};
  }
}

function membersOf(report: ReplicaReport): { id: number; address: string }[] {
  const { members } = report.status;
  if (!Array.isArray(members)) return [];
  return members.flatMap((member: unknown) => {
    if (typeof member !== 'object' || member === null) return [];
    const id: unknown = Reflect.get(member, 'id');
    const address: unknown = Reflect.get(member, 'address');
    return typeof id === 'number' && typeof address === 'string' ? [{ id, address }] : [];
  });
}

export function textOf(report: ReplicaReport, field: string): string {
  const value = report.status[field];
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

export function numberOf(report: ReplicaReport, field: string): number {
  const value = report.status[field];
  return typeof value === 'number' ? value : 0;
}
