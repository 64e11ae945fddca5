/** What every command shares: the global options, and a client made from them. */
import { type Consistency, connect, type KvdClient, KvdError } from '@kvd/client';
import type { Encoding } from './bytes.js';
import { usage } from './errors.js';
import { Output, type Format } from './output.js';
import { defaultPrincipal } from './principal.js';

/** Global options as yargs hands them over. */
export interface GlobalArgs {
  readonly endpoints: string;
  readonly output: Format;
  readonly timeout?: number | undefined;
  readonly consistency: Consistency;
  readonly hex?: boolean | undefined;
  readonly base64?: boolean | undefined;
  readonly principal?: string | undefined;
  readonly reason?: string | undefined;
}

/** What a command that is typed in the shell has of it. */
export interface ShellParts {
  readonly client: KvdClient;
  /** Of the context that the client was made for. */
  readonly clientKey: string;
  /** Fires when the shell wants the command to end. */
  readonly stop: AbortSignal;
}

export const DEFAULT_TIMEOUT_MS = 5_000;

export class Context {
  readonly out: Output;
  readonly endpoints: readonly string[];
  readonly timeoutMs: number;
  /** Or is timeoutMs the default? */
  readonly isTimeoutGiven: boolean;
  readonly consistency: Consistency;
  readonly encoding: Encoding;
  /** Who its mutations are noted to be by; empty: nobody is named. */
  readonly principal: string;
  /** For each mutation: why, if it was said. */
  readonly note: { readonly reason?: string };

  /** @throws CliError usage on options that exclude each other */
  constructor(
    readonly args: GlobalArgs,
    private readonly shell?: ShellParts,
  ) {
    if (args.hex && args.base64) throw usage('--hex and --base64 exclude each other');
    this.out = new Output(args.output);
    this.endpoints = args.endpoints.split(',').map((endpoint) => endpoint.trim());
    this.timeoutMs = args.timeout ?? DEFAULT_TIMEOUT_MS;
    this.isTimeoutGiven = args.timeout !== undefined;
    this.consistency = args.consistency;
    this.encoding = args.hex ? 'hex' : args.base64 ? 'base64' : 'text';
    this.principal = args.principal ?? defaultPrincipal();
    this.note = args.reason === undefined ? {} : { reason: args.reason };
  }

  get isShell(): boolean {
    return this.shell !== undefined;
  }

  /** Fires when whoever runs the command wants it to end. */
  get stop(): AbortSignal | undefined {
    return this.shell?.stop;
  }

  /** For each operation that may take long. */
  get stopping(): { readonly signal?: AbortSignal } {
    return this.stop === undefined ? {} : { signal: this.stop };
  }

  /** Contexts with the same key can share a client. */
  get clientKey(): string {
    const { endpoints, timeoutMs, consistency, principal } = this;
    return JSON.stringify([endpoints, timeoutMs, consistency, principal]);
  }

  connect(): Promise<KvdClient> {
    const { endpoints, timeoutMs, consistency, principal } = this;
    const name = `kvctl-${process.pid}`;
    return connect({ endpoints, timeoutMs, consistency, principal, name }).catch((error: unknown) => {
      const isOption = error instanceof KvdError && error.message.startsWith('endpoints: ');
      throw isOption ? usage(`--${error.message}`) : error;
    });
  }

  /** Connect, do `work`, disconnect whatever comes of it; in the shell: with its client, if that is as asked for. */
  async withClient<T>(work: (client: KvdClient) => Promise<T>): Promise<T> {
    if (this.shell?.clientKey === this.clientKey) return work(this.shell.client);
    const client = await this.connect();
    try {
      return await work(client);
    } finally {
      await client.close();
    }
  }
}
