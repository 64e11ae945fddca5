/**
 * Finds the cluster that this replica is to join: asks the replicas named by --join who the members are, again and again
 * until one of them can say. They are only whom to ask next: what the cluster is, the log says.
 */
import type { Trace } from '@kvd/replica';
import * as v from 'valibot';
import type { PeerAddress } from './addresses.js';

const ANSWER_MS_MAX = 2_000;
const ANSWER_BYTES_MAX = 1024 * 1024;
const BACK_OFF_MIN_MS = 100;
const BACK_OFF_MAX_MS = 5_000;

/** Of GET /v1/status, what is needed. */
const STATUS = v.object({
  clusterId: v.pipe(v.string(), v.regex(/^([0-9a-f]{32})?$/, 'is no cluster id')),
  members: v.array(
    v.object({ id: v.number(), address: v.string(), incarnation: v.string(), connected: v.boolean() }),
  ),
});

export interface Cluster {
  readonly clusterId: string;
  readonly members: readonly (PeerAddress & { readonly incarnation: string; readonly connected: boolean })[];
}

/** Asks until somebody knows. Each thing that is in the way is said once. */
export async function findCluster(addresses: readonly string[], trace: Trace): Promise<Cluster> {
  const said = new Set<string>();
  for (let backOffMs = BACK_OFF_MIN_MS; ; backOffMs = Math.min(BACK_OFF_MAX_MS, backOffMs * 2)) {
    const cluster = await askAll(addresses, (address, reason) => {
      if (said.has(`${address} ${reason}`)) return;
      said.add(`${address} ${reason}`);
      trace.event('warn', 'join-waits', { address, reason });
    });
    if (cluster !== null) return cluster;
    await new Promise((resolve) => setTimeout(resolve, backOffMs));
  }
}

/** The first that can say; null: none of them, `tell` knows why. */
export async function askAll(
  addresses: readonly string[],
  tell: (address: string, reason: string) => void,
): Promise<Cluster | null> {
  const asked = addresses.map(async (address) => {
    try {
      return await ask(address);
    } catch (error) {
      tell(address, reasonOf(error));
      throw error;
    }
  });
  return Promise.any(asked).catch(() => null);
}

/** @throws Error when it cannot say */
async function ask(address: string): Promise<Cluster> {
  const response = await fetch(`http://${address}/v1/status`, { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
  const text = await boundedText(response);
  if (!response.ok) throw new Error(`answered with status ${response.status}`);
  const parsed = v.safeParse(STATUS, parseJson(text));
  if (!parsed.success) throw new Error('is no kvd');
  const { clusterId, members } = parsed.output;
  if (clusterId === '' || members.length === 0) throw new Error('knows no cluster yet');
  return { clusterId, members };
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error(`answered with more than ${ANSWER_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** fetch() hides what really happened in the cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
