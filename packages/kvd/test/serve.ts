/** An HTTP server over a FakeReplica, closed when the test ends. */
import type { PeerStats } from '@kvd/transport';
import type { Test } from 'tap';
import { Chaos, systemClock } from '../src/chaos.js';
import type { DaemonFacts } from '../src/http/admin-routes.js';
import { type SnapshotPorts, SnapshotStreams } from '../src/http/snapshot-routes.js';
import { WatchStreams } from '../src/http/watch-routes.js';
import { DEFAULT_HTTP_LIMITS, type HttpLimits, HttpServer } from '../src/http-server.js';
import { LoopLag } from '../src/loop-lag.js';
import { Metrics } from '../src/metrics.js';
import { RequestMeter } from '../src/request-meter.js';
import { Requester } from '../src/requester.js';
import { FakeReplica } from './fake-replica.js';

const PEER: PeerStats = {
  id: 2,
  address: '127.0.0.1:15001',
  incoming: true,
  connected: true,
  framesReceived: 6,
  bytesReceived: 60,
  framesSent: 7,
  messagesSent: 77,
  bytesSent: 70,
  droppedDown: 8,
  droppedFull: 9,
  bufferedBytes: 0,
};

export interface Served {
  readonly replica: FakeReplica;
  readonly port: number;
  readonly server: HttpServer;
  readonly facts: { failure: string; stopping: boolean };
  readonly requester: Requester;
}

export async function serve(
  t: Test,
  limits: Partial<HttpLimits> = {},
  state: SnapshotPorts['state'] = null,
): Promise<Served> {
  const replica = new FakeReplica();
  const meter = new RequestMeter(replica);
  const requester = new Requester(meter);
  const facts = { failure: '', stopping: false };
  const chaos = new Chaos(
    { failRate: 0, intervalMs: 1_000, downMs: 1_000, roles: ['acceptor'] },
    { replica, random: Math.random, clock: systemClock, log: () => undefined },
  );
  const metrics = new Metrics(1, '1.2.3', meter, {
    status: () => replica.status(),
    chaosKills: () => chaos.kills,
    httpRequests: () => server.activeRequests,
    clients: () => ({ connections: 3, bytesIn: 4, bytesOut: 5 }),
    peers: () => [PEER],
    slowMs: () => replica.slowMs,
    takeLag: () => new LoopLag().take(),
  });
  const allFacts = (): DaemonFacts => ({ version: '1.2.3', uptimeMs: 5, ...facts });
  const server: HttpServer = new HttpServer(
    {
      targets: {
        replica,
        requester,
        watches: new WatchStreams(replica),
        snapshots: new SnapshotStreams({ state, status: () => replica.status(), requester, wallMs: () => 7 }),
        chaos,
        metrics,
        facts: allFacts,
      },
      upgrades: new Map([['/client', (_request, socket) => void socket.end('HTTP/1.1 101 Mine\r\n\r\n')]]),
      log: () => undefined,
    },
    { ...DEFAULT_HTTP_LIMITS, ...limits },
  );
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(async () => {
    chaos.stop();
    metrics.close();
    requester.close();
    await server.close(0);
  });
  return { replica, port, server, facts, requester };
}
