/** Ports for the replicas of drills, which keep them while they are down. */
import { createServer } from 'node:net';

const HOST = '127.0.0.1';
/** Below the ports that systems hand out by themselves, so that nobody takes the port of a replica that is down. */
const PORT_MIN = 20_000;
const PORT_SPAN = 10_000;
const ATTEMPTS = 100;

/** The first of `count` ports in a row that are free just now. @throws Error when there are none */
export async function freePorts(count: number): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const first = PORT_MIN + Math.floor(Math.random() * (PORT_SPAN - count));
    const free = await Promise.all(Array.from({ length: count }, (_, index) => isFree(first + index)));
    if (free.every(Boolean)) return first;
  }
  throw new Error(`found no ${count} free ports in a row from ${PORT_MIN} to ${PORT_MIN + PORT_SPAN}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, HOST, () => server.close(() => resolve(true)));
  });
}
