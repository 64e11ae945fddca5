/**
 * A founded, empty cluster on disk, from which every drill of a run takes a copy of its own. Founding takes a start under
 * the addresses where the replicas really listen: members compare the lists that they are founded with, and only a
 * directory that has been founded may be given other addresses, those of the proxies.
 */
import path from 'node:path';
import { createServer } from 'node:net';
import { CliError, EXIT } from '../errors.js';
import { DrillCluster } from './cluster.js';

const HOST = '127.0.0.1';
/** Below the ports that systems hand out by themselves, so that nobody takes the port of a replica that is down. */
const PORT_MIN = 20_000;
const PORT_SPAN = 10_000;
const ATTEMPTS = 100;

export interface Template {
  readonly dir: string;
  readonly port: number;
  readonly replicas: number;
}

/** Makes templates as they are needed, one for each number of replicas, under `dir`. */
export class Templates {
  private readonly made = new Map<number, Promise<Template>>();

  constructor(private readonly dir: string) {}

  /** @throws CliError (exit 1) when the replicas found no cluster */
  of(replicas: number): Promise<Template> {
    const template = this.made.get(replicas) ?? this.make(replicas);
    this.made.set(replicas, template);
    return template;
  }

  private async make(replicas: number): Promise<Template> {
    const template = {
      dir: path.join(this.dir, `founded-${replicas}`),
      port: await freePorts(replicas),
      replicas,
    };
    const cluster = new DrillCluster(template);
    try {
      await cluster.found();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new CliError(EXIT.negative, 'KVCTL_DRILL', `no cluster of ${replicas} could be founded: ${why}`);
    } finally {
      await cluster.close();
    }
    return template;
  }
}

/** The first of `count` ports in a row that are free just now. @throws Error when there are none */
async function freePorts(count: number): Promise<number> {
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
