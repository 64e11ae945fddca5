/**
 * Replicas without a log behind them, on real sockets: they share one map and one table of sessions, and each can be
 * told to misbehave. What they are for: which requests a client sends, where, how often, and what it makes of answers.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  type Command,
  type CommandResult,
  decodeCommand,
  type Entry,
  type ErrorCode,
  ERRORS,
  type Request,
  type Response,
  type ScanRequest,
  type TxnOperation,
  type TxnOperationResult,
  type WatchMessage,
  type WatchRequest,
} from '@kvd/protocol';
import type { WatchSink } from '@kvd/replica';
import { ClientListener } from '@kvd/transport';

const CLUSTER_ID = 'c'.repeat(32);

type Numbered = Extract<Command, { readonly origin: unknown }>;

/** A watch that a replica was asked for, and has not been told to end. */
export interface FakeWatch {
  readonly watchId: number;
  readonly request: WatchRequest;
  tell(message: WatchMessage): void;
}

/** `reply` may be called now, later or never. Return false to let the replica do what it would do anyway. */
export type Misbehaviour = (
  request: Request,
  reply: (response: Response) => void,
  replica: FakeReplica,
) => boolean;

export class FakeCluster {
  readonly replicas = new Map<number, FakeReplica>();
  readonly store = new Map<string, Entry>();
  /** How often each `session/sequence` was applied. */
  readonly applied = new Map<string, number>();
  readonly commands: Command[] = [];
  readonly leases = new Set<number>();
  private readonly results = new Map<string, CommandResult>();
  private readonly sessions = new Set<number>();
  private lastSession = 0;
  private lastLease = 0;
  private revision = 0;
  leaderId = 1;
  clusterId = CLUSTER_ID;

  static async start(count: number): Promise<FakeCluster> {
    const cluster = new FakeCluster();
    for (let id = 1; id <= count; id++) cluster.replicas.set(id, await FakeReplica.start(cluster, id));
    return cluster;
  }

  replica(id: number): FakeReplica {
    const replica = this.replicas.get(id);
    if (replica === undefined) throw new Error(`no replica ${id}`);
    return replica;
  }

  get endpoints(): string[] {
    return [...this.replicas.values()].map((replica) => replica.address);
  }

  elect(id: number): void {
    this.leaderId = id;
    for (const replica of this.replicas.values()) replica.listener.broadcastWelcome();
  }

  expireSessions(): void {
    this.sessions.clear();
  }

  async close(): Promise<void> {
    await Promise.all([...this.replicas.values()].map((replica) => replica.stop()));
  }

  apply(command: Command): CommandResult {
    this.commands.push(command);
    switch (command.type) {
      case 'open-session':
        this.sessions.add(++this.lastSession);
        return { type: 'session', session: this.lastSession };
      case 'keep-alive':
      case 'close-session': {
        if (!this.sessions.has(command.session)) return expired;
        if (command.type === 'close-session') this.sessions.delete(command.session);
        return { type: 'done' };
      }
      case 'noted':
        return this.apply(decodeCommand(command.command));
      case 'lease-keep-alive':
        return this.leases.has(command.lease)
          ? { type: 'lease', lease: command.lease, ttlMs: 1 }
          : { type: 'error', code: 'KVD_LEASE_NOT_FOUND', message: 'not here' };
      case 'compact':
        return { type: 'done' };
      case 'outcome':
        return this.outcome(command.session, command.sequence);
      case 'keyed':
      case 'keyed-outcome':
      case 'expire-leases':
        return { type: 'error', code: 'KVD_BAD_REQUEST', message: 'not here' };
      default:
        return this.once(command);
    }
  }

  private once(command: Numbered): CommandResult {
    const { session, sequence } = command.origin;
    if (!this.sessions.has(session)) return expired;
    const name = `${session}/${sequence}`;
    const stored = this.results.get(name);
    if (stored !== undefined) return stored;
    const result = this.mutate(command);
    if (result.type === 'error') return result;
    this.applied.set(name, (this.applied.get(name) ?? 0) + 1);
    this.results.set(name, result);
    return result;
  }

  private outcome(session: number, sequence: number): CommandResult {
    if (!this.sessions.has(session)) return { type: 'outcome', outcome: { status: 'forgotten' } };
    const name = `${session}/${sequence}`;
    const stored = this.results.get(name);
    if (stored === undefined) this.results.set(name, fenced);
    if (stored === undefined || stored === fenced) return { type: 'outcome', outcome: { status: 'never' } };
    return { type: 'outcome', outcome: { status: 'applied', result: stored } };
  }

  private mutate(command: Numbered): CommandResult {
    switch (command.type) {
      case 'put':
        this.put(command.key, command.value);
        return { type: 'put', revision: this.revision };
      case 'delete':
        return this.delete([hex(command.key)]);
      case 'delete-range':
        return this.delete(this.between(command.from, command.to).map((e) => hex(e.key)));
      case 'txn': {
        const succeeded = command.compares.every((compare) => {
          const revision = this.store.get(hex(compare.key))?.modRevision ?? 0;
          if (compare.target === 'exists') return compare.exists === revision > 0;
          return compare.target === 'mod-revision' && compare.number === revision;
        });
        const results = (succeeded ? command.success : command.failure).map((each) => this.operate(each));
        return { type: 'txn', revision: this.revision, succeeded, results };
      }
      case 'lease-grant':
        this.leases.add(++this.lastLease);
        return { type: 'lease', lease: this.lastLease, ttlMs: command.ttlMs };
      case 'lease-revoke':
        if (this.leases.delete(command.lease)) return this.delete([]);
        return { type: 'error', code: 'KVD_LEASE_NOT_FOUND', message: 'not here' };
      case 'set-retention':
        return { type: 'done' };
    }
  }

  /** What the tests here need of a transaction; a revision for each put is none of it. */
  private operate(operation: TxnOperation): TxnOperationResult {
    if (operation.type === 'put') {
      this.put(operation.key, operation.value);
      return { type: 'put' };
    }
    if (operation.type === 'delete') {
      const { deleted } = this.delete([hex(operation.key)]);
      return { type: 'deleted', deleted };
    }
    if (operation.type === 'get') return { type: 'entry', entry: this.store.get(hex(operation.key)) ?? null };
    throw new Error(`a fake cluster does no ${operation.type} in a transaction`);
  }

  private put(key: Uint8Array, value: Uint8Array): void {
    const name = hex(key);
    const old = this.store.get(name);
    this.revision++;
    this.store.set(name, {
      key: key.slice(),
      value: value.slice(),
      createRevision: old?.createRevision ?? this.revision,
      modRevision: this.revision,
      version: (old?.version ?? 0) + 1,
      lease: 0,
    });
  }

  private delete(names: readonly string[]): Extract<CommandResult, { type: 'deleted' }> {
    const deleted = names.filter((name) => this.store.delete(name)).length;
    if (deleted > 0) this.revision++;
    return { type: 'deleted', revision: this.revision, deleted };
  }

  read(request: Exclude<Request, { type: 'mutate' }>): Response {
    if (request.type === 'get') {
      return { type: 'entry', entry: this.store.get(hex(request.key)) ?? null, revision: this.revision };
    }
    if (request.type === 'scan') return this.page(request);
    return { type: 'error', code: 'KVD_BAD_REQUEST', message: 'not here', outcome: 'not-done' };
  }

  /** Pages of three, so that a test sees some. */
  private page(request: ScanRequest): Response {
    const all = this.between(request.from, request.to);
    const size = Math.min(3, request.limit === 0 ? 3 : request.limit);
    const entries = all
      .slice(0, size)
      .map((e) => (request.keysOnly ? { ...e, value: new Uint8Array(0) } : e));
    const next = all[size]?.key ?? null;
    const page = { type: 'page', count: entries.length, next, revision: this.revision } as const;
    return request.countOnly ? { ...page, entries: [] } : { ...page, entries };
  }

  private between(from: Uint8Array, to: Uint8Array): Entry[] {
    const inside = (key: Uint8Array) =>
      Buffer.compare(key, from) >= 0 && (to.length === 0 || Buffer.compare(key, to) < 0);
    return [...this.store.values()].filter((e) => inside(e.key)).sort((a, b) => Buffer.compare(a.key, b.key));
  }
}

export class FakeReplica {
  misbehave: Misbehaviour = () => false;
  /** Every request that reached it. */
  readonly requests: Request[] = [];
  /** In the order they were asked for; those given up are gone. */
  watches: FakeWatch[] = [];
  /** Address that it says it has. */
  address = '';
  unanswered = 0;
  unansweredMax = 0;
  listener: ClientListener;
  private server = http.createServer();

  private constructor(
    private readonly cluster: FakeCluster,
    readonly id: number,
  ) {
    this.listener = this.createListener();
  }

  static async start(cluster: FakeCluster, id: number): Promise<FakeReplica> {
    const replica = new FakeReplica(cluster, id);
    await replica.listen(0);
    return replica;
  }

  /** As if the process were killed: connections break, the port is closed. */
  async kill(): Promise<void> {
    this.listener.close();
    this.server.closeAllConnections();
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  async restart(): Promise<void> {
    this.server = http.createServer();
    this.listener = this.createListener();
    await this.listen(Number(this.address.split(':')[1]));
  }

  async stop(): Promise<void> {
    if (this.server.listening) await this.kill();
  }

  /** Mutations that reached it. */
  get mutations(): Command[] {
    return this.requests.flatMap((request) =>
      request.type === 'mutate' ? [decodeCommand(request.command)] : [],
    );
  }

  private readonly sockets = new Set<Duplex>();

  private async listen(port: number): Promise<void> {
    this.server.on('upgrade', (request, socket, head) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
      this.listener.handleUpgrade(request, socket, head);
    });
    await new Promise<void>((resolve) => this.server.listen(port, '127.0.0.1', resolve));
    this.address = `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  private forget(watchId: number): void {
    this.watches = this.watches.filter((watch) => watch.watchId !== watchId);
  }

  private createListener(): ClientListener {
    return new ClientListener({
      welcome: () => ({
        type: 'welcome',
        protocolVersion: 1,
        clusterId: this.cluster.clusterId,
        replicaId: this.id,
        leaderId: this.cluster.leaderId,
        members: [...this.cluster.replicas.values()].map(({ id, address }) => ({ id, address })),
      }),
      trace: { event: () => undefined },
      handler: {
        onRequest: (sink, requestId, request) => {
          this.requests.push(request);
          this.unansweredMax = Math.max(this.unansweredMax, ++this.unanswered);
          const reply = (response: Response) => {
            this.unanswered--;
            sink.reply(requestId, response);
          };
          if (!this.misbehave(request, reply, this)) reply(this.answer(request));
        },
        onWatch: (sink: WatchSink, watchId, request) => {
          const copy = { ...request, from: request.from.slice(), to: request.to.slice() };
          const tell = (message: WatchMessage) => {
            if (message.type === 'ended') this.forget(watchId);
            sink.tell(watchId, message);
          };
          this.watches.push({ watchId, request: copy, tell });
        },
        onUnwatch: (_sink, watchId) => this.forget(watchId),
        onClosed: () => {
          this.watches = [];
        },
      },
    });
  }

  answer(request: Request): Response {
    if (request.type !== 'mutate') return this.cluster.read(request);
    return { type: 'result', result: this.cluster.apply(decodeCommand(request.command)) };
  }
}

export function refusal(code: ErrorCode, outcome = ERRORS[code].outcome): Response {
  return { type: 'error', code, message: 'as told', outcome };
}

/** Is it anything that has a number (not a session's opening or end)? */
export function isUserMutation(request: Request): boolean {
  if (request.type !== 'mutate') return false;
  const command = decodeCommand(request.command);
  return 'origin' in command || command.type === 'noted';
}

const fenced: CommandResult = { type: 'error', code: 'KVD_FENCED', message: 'fenced' };
const expired: CommandResult = { type: 'error', code: 'KVD_SESSION_EXPIRED', message: 'expired' };

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
