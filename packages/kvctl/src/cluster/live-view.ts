/**
 * What `npm start` shows while it runs: on a terminal a table that is drawn anew in place, else a line for each thing
 * that happens (a replica ends or comes back, the leader changes). Decides nothing.
 */
import { stripVTControlCharacters } from 'node:util';
import { statusTable } from '../commands/status.js';
import { type ReplicaReport, textOf } from '../replicas.js';
import type { ReplicaProcess } from './local-cluster.js';

export interface Snapshot {
  readonly processes: readonly ReplicaProcess[];
  readonly reports: readonly ReplicaReport[];
}

/** The id of the leader that answers, 0 when there is none. */
export function leaderOf(reports: readonly ReplicaReport[]): number {
  return reports.find((report) => textOf(report, 'role') === 'leader')?.id ?? 0;
}

/** What changed from one snapshot to the next, in words. Pure. */
export function changes(before: Snapshot, now: Snapshot): string[] {
  const lines: string[] = [];
  for (const replica of now.processes) {
    const old = before.processes.find((candidate) => candidate.id === replica.id);
    if (old === undefined || (old.state === replica.state && old.pid === replica.pid)) continue;
    if (replica.state === 'stopped')
      lines.push(`replica ${replica.id} ended; start it with: kvctl cluster restart ${replica.id}`);
    else if (replica.state === 'paused') lines.push(`replica ${replica.id} is paused`);
    else lines.push(`replica ${replica.id} runs (pid ${replica.pid})`);
  }
  const [oldLeader, leader] = [leaderOf(before.reports), leaderOf(now.reports)];
  if (leader !== oldLeader) lines.push(leader === 0 ? 'no leader' : `leader is replica ${leader}`);
  return lines;
}

export class LiveView {
  private last: Snapshot | null = null;
  private drawnLines = 0;

  constructor(private readonly stdout: NodeJS.WriteStream = process.stdout) {}

  show(now: Snapshot): void {
    const lines = this.last === null ? [] : changes(this.last, now);
    this.last = now;
    if (this.stdout.isTTY) this.draw(lines, now);
    else for (const line of lines) this.stdout.write(`${line}\n`);
  }

  /** A line above the table, for good. */
  say(line: string): void {
    this.erase();
    this.stdout.write(`${line}\n`);
  }

  private draw(lines: readonly string[], now: Snapshot): void {
    const table = statusTable(rows(now)).split('\n');
    const width = this.stdout.columns || 80;
    // Lines that wrapped would make the next erase miss.
    const cut = table.map((line) =>
      stripVTControlCharacters(line).length > width ? line.slice(0, width) : line,
    );
    this.erase();
    for (const line of lines) this.stdout.write(`${clock()} ${line}\n`);
    this.stdout.write(`${cut.join('\n')}\nCtrl-C stops the cluster; kvctl cluster kill N kills a replica\n`);
    this.drawnLines = cut.length + 1;
  }

  private erase(): void {
    if (this.drawnLines > 0) this.stdout.write(`\u001b[${this.drawnLines}A\u001b[0J`);
    this.drawnLines = 0;
  }
}

/** A report for every replica of the cluster, asked or not. */
function rows(now: Snapshot): ReplicaReport[] {
  return now.processes.map((replica) => {
    const report = now.reports.find((candidate) => candidate.id === replica.id);
    if (report !== undefined) return report;
    return { id: replica.id, address: replica.address, reachable: false, error: replica.state, status: {} };
  });
}

function clock(): string {
  return new Date().toTimeString().slice(0, 8);
}
