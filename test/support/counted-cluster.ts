/**
 * Three replicas in this process, in lock-step, that count what they do: the real Replica on the real log and state, over
 * memory. A turn hands over what was sent in the turn before, one frame a link as the transport does, and ends what was
 * written in it. No time and no chance: the same load counts the same on every machine.
 */
import type { Identity, ReplicaId } from '@kvd/paxos';
import { type CommandResult, encodeCommand, type Response } from '@kvd/protocol';
import type { KvdOptions } from '@kvd/kvd';
import type { Replica } from '@kvd/replica';
import type { MemoryContent } from '@kvd/store';
import { connectAll, openReplica, REPLICAS } from './open-replica.js';

/** What all replicas did together. */
export interface Counts {
  /** Between replicas. */
  messages: number;
  frames: number;
  frameBytes: number;
  /** Synced writes, the records in them, and the bytes of those. */
  logSyncs: number;
  logRecords: number;
  logBytes: number;
  stateSyncs: number;
  stateRecords: number;
  stateBytes: number;
}

const NONE: Counts = {
  messages: 0,
  frames: 0,
  frameBytes: 0,
  logSyncs: 0,
  logRecords: 0,
  logBytes: 0,
  stateSyncs: 0,
  stateRecords: 0,
  stateBytes: 0,
};

const TURNS_MAX = 1_000_000;
const TIMEOUT_MS = 60_000;
const WALL_MS = 1_700_000_000_000;

interface Member {
  readonly identity: Identity;
  readonly replica: Replica;
}

/** In a session, as @kvd/client numbers them. */
interface Load {
  readonly commands: number;
  readonly inFlight: number;
  readonly keys: number;
  readonly valueBytes: number;
}

export class CountedCluster {
  private counts: Counts = { ...NONE };
  private readonly members: Member[] = [];
  /** Completions of disks, for the next turn. */
  private tasks: (() => void)[] = [];
  /** For the end of this turn. */
  private ends: (() => void)[] = [];
  /** By link: what was sent in this turn. */
  private sent = new Map<
    string,
    { readonly from: ReplicaId; readonly to: ReplicaId; readonly chunks: Uint8Array[] }
  >();
  private turns = 0;
  private lastRequest = 0;
  private session = 0;
  private sequence = 0;

  /** A turn is about a millisecond: a round trip and a sync of a LAN. */
  private constructor(private readonly tickTurns: number) {}

  static async start(options: KvdOptions): Promise<CountedCluster> {
    const cluster = new CountedCluster(options.tickMs);
    for (const id of REPLICAS) cluster.members.push(await cluster.open(id, options));
    connectAll(cluster.members);
    cluster.turnUntil(() => cluster.leader !== undefined);
    cluster.session = cluster.openSession();
    return cluster;
  }

  /** A closed loop of puts, and what it cost. */
  put({ commands, inFlight, keys, valueBytes }: Load): Counts {
    const before = { ...this.counts };
    const value = new Uint8Array(valueBytes).fill(65);
    const answered = new Set<number>();
    const first = this.sequence + 1;
    const last = this.sequence + commands;
    let lowest = first;
    const send = (): void => {
      const sequence = ++this.sequence;
      const origin = { session: this.session, sequence, lowestUnanswered: lowest };
      const key = Buffer.from(`key${String(sequence % keys).padStart(9, '0')}`);
      this.mutate(encodeCommand({ type: 'put', origin, key, value }), (result) => {
        if (result.type !== 'put') throw new Error(`a put was answered with ${JSON.stringify(result)}`);
        answered.add(sequence);
        while (answered.delete(lowest)) lowest += 1;
      });
    };
    this.turnUntil(() => {
      const underWay = this.sequence + 1 - lowest - answered.size;
      for (let room = inFlight - underWay; room > 0 && this.sequence < last; room -= 1) send();
      return lowest > last;
    });
    return this.since(before);
  }

  /** So many turns in which nobody wants anything, and what they cost. */
  rest(turns: number): Counts {
    const before = { ...this.counts };
    for (let i = 0; i < turns; i += 1) this.turn();
    return this.since(before);
  }

  /** Of each replica, as ReplicaApi.isQuiet. */
  get quiet(): readonly boolean[] {
    return this.members.map(({ replica }) => replica.isQuiet);
  }

  private since(before: Counts): Counts {
    const entries = Object.entries(this.counts) as [keyof Counts, number][];
    return Object.fromEntries(
      entries.map(([name, count]) => [name, count - before[name]]),
    ) as unknown as Counts;
  }

  private async open(id: ReplicaId, options: KvdOptions): Promise<Member> {
    const opened = await openReplica(id, options, {
      send: (to, bytes) => this.send(id, to, bytes),
      endOfTurn: (task) => void this.ends.push(task),
      completed: (task) => void this.tasks.push(task),
    });
    this.count(opened.disk.log, 'log');
    this.count(opened.disk.state, 'state');
    return opened;
  }

  private count(content: MemoryContent | undefined, part: 'log' | 'state'): void {
    if (content === undefined) throw new Error(`there is no ${part}`);
    const apply = content.apply.bind(content);
    content.apply = (ops) => {
      this.counts[`${part}Syncs`] += 1;
      this.counts[`${part}Records`] += ops.length;
      for (const { key, value } of ops) this.counts[`${part}Bytes`] += key.length + (value?.length ?? 0);
      apply(ops);
    };
  }

  private send(from: ReplicaId, to: ReplicaId, bytes: Uint8Array): boolean {
    this.counts.messages += 1;
    const link = `${from} ${to}`;
    const frame = this.sent.get(link) ?? { from, to, chunks: [] };
    frame.chunks.push(bytes);
    this.sent.set(link, frame);
    return true;
  }

  private get leader(): Replica | undefined {
    return this.members.find(({ replica }) => {
      const { role, ready } = replica.status();
      return role === 'leader' && ready;
    })?.replica;
  }

  private mutate(command: Uint8Array, done: (result: CommandResult) => void): void {
    const { leader } = this;
    if (leader === undefined) throw new Error('there is no leader');
    const reply = (_id: number, response: Response): void => {
      if (response.type !== 'result') throw new Error(`refused: ${JSON.stringify(response)}`);
      done(response.result);
    };
    leader.request({ reply }, ++this.lastRequest, { type: 'mutate', timeoutMs: TIMEOUT_MS, command });
  }

  private openSession(): number {
    let session = 0;
    this.mutate(encodeCommand({ type: 'open-session' }), (result) => {
      if (result.type === 'session') ({ session } = result);
    });
    this.turnUntil(() => session > 0);
    return session;
  }

  /** `isDone` is asked at the beginning of each turn, and may send. */
  private turnUntil(isDone: () => boolean): void {
    for (let turns = 0; !isDone(); turns += 1) {
      if (turns > TURNS_MAX) throw new Error(`not done after ${TURNS_MAX} turns`);
      this.turn();
    }
  }

  private turn(): void {
    this.turns += 1;
    const { tasks, sent } = this;
    this.tasks = [];
    this.sent = new Map();
    for (const task of tasks) task();
    for (const { from, to, chunks } of sent.values()) {
      const bytes = Buffer.concat(chunks);
      this.counts.frames += 1;
      this.counts.frameBytes += bytes.length;
      const sender = this.members.find(({ identity }) => identity.replicaId === from) as Member;
      const receiver = this.members.find(({ identity }) => identity.replicaId === to);
      receiver?.replica.onPeerFrame(sender.identity, bytes);
    }
    if (this.turns % this.tickTurns === 0)
      for (const { replica } of this.members) replica.tick(WALL_MS + this.turns);
    while (this.ends.length > 0) {
      const { ends } = this;
      this.ends = [];
      for (const end of ends) end();
    }
  }
}
