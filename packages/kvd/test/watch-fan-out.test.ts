/** Ten thousand watchers on a real replica, over real sockets: no event is lost, doubled, or told to the wrong one. */
import { join } from 'node:path';
import {
  encodeCommand,
  type KvEvent,
  NO_ORIGIN,
  prefixEnd,
  type Response,
  type WatchMessage,
} from '@kvd/protocol';
import { ClientSocket } from '@kvd/transport';
import { type Test, test } from 'tap';
import { startDaemon } from '../src/daemon.js';
import { freePorts, optionsOf, ports, untilReady } from './daemons.js';

const CONNECTIONS = 10;
const WATCHES = 1_000;
const PUTS = 10_000;
const DEADLINE_MS = 60_000;
const ALL_ID = WATCHES + 1;
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

async function until(what: string, condition: () => boolean): Promise<void> {
  const startedMs = performance.now();
  while (!condition()) {
    if (performance.now() - startedMs > DEADLINE_MS) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What a client was told, kept as `key@revision`, and whether each watch's chain of messages is unbroken. */
class Client {
  readonly created = new Map<number, number>();
  readonly events = new Map<number, string[]>();
  readonly results: Response[] = [];
  readonly problems: string[] = [];
  eventCount = 0;
  isWelcome = false;
  readonly socket: ClientSocket;
  private readonly chain = new Map<number, number>();

  constructor(t: Test, address: string) {
    this.socket = new ClientSocket(
      address,
      { name: 'test', handshakeTimeoutMs: 10_000 },
      {
        onWelcome: () => (this.isWelcome = true),
        onResponse: (_id, response) => this.results.push(response),
        onWatchMessage: (watchId, message) => this.onTold(watchId, message),
        onClosed: (error) => this.problems.push(error.message),
      },
    );
    t.teardown(() => this.socket.close());
  }

  private onTold(watchId: number, message: WatchMessage): void {
    switch (message.type) {
      case 'created':
        this.created.set(watchId, message.revision);
        this.chain.set(watchId, message.revision);
        this.events.set(watchId, []);
        return;
      case 'events':
        if (message.previous !== this.chain.get(watchId)) this.problems.push(`watch ${watchId}: a gap`);
        this.chain.set(watchId, message.revision);
        this.eventCount += message.events.length;
        this.events.get(watchId)?.push(...message.events.map(nameOf));
        return;
      case 'ended':
        this.problems.push(`watch ${watchId}: ${message.code}`);
        return;
      case 'progress':
    }
  }
}

function nameOf(event: KvEvent): string {
  const { key, modRevision } = event.type === 'put' ? event.entry : event;
  return `${Buffer.from(key).toString()}@${modRevision}`;
}

test('ten thousand watchers of a key each, ten of all keys, and one that comes late', async (t) => {
  const [port = 0] = await freePorts(1);
  const options = await optionsOf(1, `1=127.0.0.1:${port}`, join(t.testdir({}), 'data'));
  const daemon = await startDaemon(options, ports);
  t.teardown(() => daemon.stop());
  await untilReady(t, daemon);
  const clients = Array.from({ length: CONNECTIONS }, () => new Client(t, daemon.address));
  const [writer] = clients;
  if (writer === undefined) throw new Error('nobody');
  await until('all are welcome', () => clients.every(({ isWelcome }) => isWelcome));
  for (const [c, { socket }] of clients.entries()) {
    for (let i = 1; i <= WATCHES; i += 1) {
      const from = utf8(`k/${c * WATCHES + i}`);
      socket.watch(i, { from, to: Uint8Array.of(...from, 0), fromRevision: 0, previous: false });
    }
    socket.watch(ALL_ID, { from: utf8('k/'), to: prefixEnd(utf8('k/')), fromRevision: 0, previous: false });
  }
  await until('all watch', () => clients.every(({ created }) => created.size === WATCHES + 1));
  t.equal(daemon.status().watches, CONNECTIONS * (WATCHES + 1));

  const value = new Uint8Array(100);
  for (let i = 1; i <= PUTS; i += 1) {
    const command = encodeCommand({ type: 'put', origin: NO_ORIGIN, key: utf8(`k/${i}`), value });
    writer.socket.send(i, { type: 'mutate', timeoutMs: DEADLINE_MS, command });
  }
  await until('all is written', () => writer.results.length === PUTS);
  const late = new Client(t, daemon.address);
  await until('it is welcome', () => late.isWelcome);
  const first = (writer.created.get(ALL_ID) ?? 0) + 1;
  late.socket.watch(ALL_ID, { from: utf8(''), to: utf8(''), fromRevision: first, previous: false });
  const expected = PUTS + CONNECTIONS * PUTS;
  const told = (): number => clients.reduce((sum, { eventCount }) => sum + eventCount, 0);
  await until('all is told', () => told() >= expected && late.eventCount >= PUTS);

  t.strictSame(
    [...clients, late].flatMap(({ problems }) => problems),
    [],
  );
  t.equal(told(), expected, 'and nothing twice');
  const story = writer.events.get(ALL_ID) ?? [];
  t.equal(new Set(story).size, PUTS);
  const revisions = story.map((name) => Number(name.split('@')[1]));
  t.ok(
    revisions.every((revision, i) => revision === first + i),
    'in the order of the revisions',
  );
  for (const client of [...clients, late])
    t.ok(client.events.get(ALL_ID)?.join() === story.join(), 'alike for all');
  const byKey = new Map(story.map((name) => [name.split('@')[0], name]));
  const wrong = clients.flatMap(({ events }, c) =>
    Array.from({ length: WATCHES }, (_, i) => [
      events.get(i + 1)?.join(),
      byKey.get(`k/${c * WATCHES + i + 1}`),
    ]),
  );
  t.strictSame(
    wrong.filter(([is, should]) => is !== should),
    [],
    'each watcher of a key was told that one event',
  );
});
