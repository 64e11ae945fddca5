/** What one replica says of itself over HTTP, as far as a drill needs it. */
import { httpCall, parseObject } from '../http.js';

export interface ReplicaState {
  readonly id: number;
  readonly role: string;
  /** Why it is not an ordinary voter, or empty. */
  readonly reason: string;
  readonly clusterId: string;
  /** 0: none. */
  readonly leader: number;
  /** The counter of the ballot that it promised last. */
  readonly ballot: number;
  readonly chosenThrough: number;
  readonly appliedThrough: number;
  readonly revision: number;
  readonly stateHash: string;
  readonly incarnation: string;
  readonly ready: boolean;
  /** Roles that chaos holds down. */
  readonly down: number;
}

const ASK_MS = 1_000;

/** null: no answer within a second. */
export async function askState(address: string): Promise<ReplicaState | null> {
  try {
    const { status, body } = await httpCall('GET', address, '/v1/status', ASK_MS);
    return status === 200 ? stateOf(parseObject(body)) : null;
  } catch {
    return null;
  }
}

function stateOf(fields: Readonly<Record<string, unknown>>): ReplicaState {
  const text = (name: string): string => {
    const value = fields[name];
    return typeof value === 'string' ? value : '';
  };
  const count = (name: string): number => {
    const value = fields[name];
    return typeof value === 'number' ? value : 0;
  };
  return {
    id: count('id'),
    role: text('role'),
    reason: text('reason'),
    clusterId: text('clusterId'),
    leader: count('leader'),
    ballot: Number.parseInt(text('ballot'), 10) || 0,
    chosenThrough: count('chosenThrough'),
    appliedThrough: count('appliedThrough'),
    revision: count('revision'),
    stateHash: text('stateHash'),
    incarnation: text('incarnation'),
    ready: fields.ready === true,
    down: Array.isArray(fields.down) ? fields.down.length : 0,
  };
}
