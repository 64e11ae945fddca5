/** What every command shares: the global options, and a client made from them. */
import { type Consistency, connect, type KvdClient } from '@kvd/client';
import type { Encoding } from './bytes.js';
import { usage } from './errors.js';
import { Output, type Format } from './output.js';

/** Global options as yargs hands them over. */
export interface GlobalArgs {
  readonly endpoints: string;
  readonly output: Format;
  readonly timeout: number;
  readonly consistency: Consistency;
  readonly hex?: boolean | undefined;
  readonly base64?: boolean | undefined;
}

export class Context {
  readonly out: Output;
  readonly endpoints: readonly string[];
  readonly timeoutMs: number;
  readonly consistency: Consistency;
  readonly encoding: Encoding;

  /** @throws CliError usage on options that exclude each other */
  constructor(args: GlobalArgs) {
    if (args.hex && args.base64) throw usage('--hex and --base64 exclude each other');
    this.out = new Output(args.output);
    this.endpoints = args.endpoints.split(',').map((endpoint) => endpoint.trim());
    this.timeoutMs = args.timeout;
    this.consistency = args.consistency;
    this.encoding = args.hex ? 'hex' : args.base64 ? 'base64' : 'text';
  }

  connect(): Promise<KvdClient> {
    const { endpoints, timeoutMs, consistency } = this;
    return connect({ endpoints, timeoutMs, consistency, name: `kvctl-${process.pid}` });
  }

  /** Connect, do `work`, disconnect whatever comes of it. */
  async withClient<T>(work: (client: KvdClient) => Promise<T>): Promise<T> {
    const client = await this.connect();
    try {
      return await work(client);
    } finally {
      await client.close();
    }
  }
}
