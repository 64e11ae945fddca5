/**
 * A founded, empty cluster on disk, from which every drill of a run takes a copy of its own, so that none has to wait for a
 * founding.
 */
import path from 'node:path';
import { CliError, EXIT } from '../errors.js';
import { DrillCluster } from './cluster.js';
import { freePorts } from './free-ports.js';

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
