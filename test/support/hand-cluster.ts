/**
 * Replicas in this process on memory disks, whose time, network and disks a test moves by hand: the real Replica with the
 * settings of a daemon. For what takes hours, or an order that chance would not find.
 */
import type { ReplicaId } from '@kvd/paxos';
import { type Command, type CommandResult, encodeCommand, type Request, type Response } from '@kvd/protocol';
import type { KvdOptions } from '@kvd/kvd';
import { connectAll, type OpenedReplica, openReplica, REPLICAS } from './open-replica.js';

const WALL_MS = 1_700_000_000_000;
const TIMEOUT_MS = 60_000;
const ROUNDS_MAX = 10_000;

export interface Member extends OpenedReplica {
  /** Its log's and its state's completions wait. */
  hangs: boolean;
  readonly ends: (() => void)[];
  readonly completions: (() => void)[];
}

/** What became of a request. */
export interface Answer {
  response: Response | null;
}

export class HandCluster {
  nowMs = WALL_MS;
  /** May put something else in a frame's place, on its way. */
  onFrame: (to: ReplicaId, frame: Uint8Array) => Uint8Array = (_to, frame) => frame;
  private readonly members = new Map<ReplicaId, Member>();
  private readonly cut = new Set<string>();
  private frames: { readonly from: ReplicaId; readonly to: ReplicaId; readonly bytes: Uint8Array }[] = [];
  private lastRequest = 0;

  private constructor(private readonly options: KvdOptions) {}

  static async start(options: KvdOptions): Promise<HandCluster> {
    const cluster = new HandCluster(options);
    for (const id of REPLICAS) cluster.members.set(id, await cluster.open(id));
    connectAll(cluster.members.values());
    cluster.until(() => cluster.leaders().length > 0);
    // All know of the founding: it takes all of them.
    cluster.pass(1_000);
    return cluster;
  }

  at(id: ReplicaId): Member {
    return this.members.get(id) as Member;
  }

  /** Who leads and knows everything chosen, of those named. */
  leaders(of: readonly ReplicaId[] = REPLICAS): ReplicaId[] {
    return of.filter((id) => {
      const { role, ready } = this.at(id).replica.status();
      return role === 'leader' && ready;
    });
  }

  others(...but: ReplicaId[]): ReplicaId[] {
    return REPLICAS.filter((id) => !but.includes(id));
  }

  /** Nothing goes between it and any other; connections stay. */
  isolate(id: ReplicaId): void {
    for (const other of this.others(id)) for (const link of linksOf(id, other)) this.cut.add(link);
  }

  join(a: ReplicaId, b: ReplicaId): void {
    for (const link of linksOf(a, b)) this.cut.delete(link);
  }

  mutate(id: ReplicaId, command: Command, timeoutMs = TIMEOUT_MS): Answer {
    return this.request(id, { type: 'mutate', timeoutMs, command: encodeCommand(command) });
  }

  request(id: ReplicaId, request: Request): Answer {
    const answer: Answer = { response: null };
    const reply = (_id: number, response: Response): void => {
      answer.response = response;
    };
    this.at(id).replica.request({ reply }, ++this.lastRequest, request);
    return answer;
  }

  /** The result, once it is there. */
  done(answer: Answer, ids: readonly ReplicaId[] = REPLICAS): CommandResult {
    this.until(() => answer.response !== null, ids);
    const { response } = answer;
    if (response?.type !== 'result') throw new Error(`answered with ${JSON.stringify(response)}`);
    return response.result;
  }

  /** Time passes for these, in ticks; the others sleep. */
  pass(ms: number, ids: readonly ReplicaId[] = REPLICAS): void {
    for (let passed = 0; passed < ms; passed += this.options.tickMs) {
      this.nowMs += this.options.tickMs;
      for (const id of ids) this.at(id).replica.tick(this.nowMs);
      this.settle();
    }
  }

  /** Time passes until it is so. */
  until(isSo: () => boolean, ids: readonly ReplicaId[] = REPLICAS): void {
    for (let ticks = 0; !isSo(); ticks += 1) {
      if (ticks > ROUNDS_MAX) throw new Error('it does not come about');
      this.pass(this.options.tickMs, ids);
    }
  }

  /** Everything that is on its way arrives, and what it causes, in no time. */
  settle(): void {
    for (let rounds = 0; ; rounds += 1) {
      if (rounds > ROUNDS_MAX) throw new Error('it does not come to rest');
      const { frames } = this;
      this.frames = [];
      for (const { from, to, bytes } of frames) {
        if (this.cut.has(`${from} ${to}`)) continue;
        this.at(to).replica.onPeerFrame(this.at(from).identity, this.onFrame(to, bytes));
      }
      let busy = frames.length > 0;
      for (const member of this.members.values()) {
        const ends = member.ends.splice(0);
        const completions = member.hangs ? [] : member.completions.splice(0);
        for (const task of [...ends, ...completions]) task();
        busy ||= ends.length + completions.length > 0;
      }
      if (!busy) return;
    }
  }

  private async open(id: ReplicaId): Promise<Member> {
    const ends: (() => void)[] = [];
    const completions: (() => void)[] = [];
    const opened = await openReplica(id, this.options, {
      send: (to, bytes) => {
        this.frames.push({ from: id, to, bytes: Uint8Array.from(bytes) });
        return true;
      },
      endOfTurn: (task) => void ends.push(task),
      completed: (task) => void completions.push(task),
    });
    return { ...opened, hangs: false, ends, completions };
  }
}

function linksOf(a: ReplicaId, b: ReplicaId): readonly string[] {
  return [`${a} ${b}`, `${b} ${a}`];
}
