// Three replicas on loopback in a scratch directory, for the measurements of this folder.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const REPLICAS = 3;
const kvd = fileURLToPath(new URL('../../../bin/kvd', import.meta.url));

export class Cluster {
  static async start(replicas = REPLICAS) {
    return new Cluster(mkdtempSync(path.join(tmpdir(), 'kvd-bench-')), await freePorts(replicas));
  }

  constructor(directory, ports) {
    this.directory = directory;
    this.endpoints = ports.map((port) => `127.0.0.1:${port}`);
    this.peers = this.endpoints.map((endpoint, i) => `${i + 1}=${endpoint}`).join(',');
    this.replicas = ports.map((_, i) => this.spawn(i));
  }

  spawn(i) {
    const args = [
      '--id',
      String(i + 1),
      '--peers',
      this.peers,
      '--data',
      path.join(this.directory, String(i + 1)),
    ];
    const options = { stdio: ['ignore', 'pipe', 'inherit'] };
    return spawn(process.execPath, [kvd, ...args, '--log-level', 'error'], options);
  }

  /** Stop one replica as an operator would and start it again; ms until it says that it is ready. */
  async restart(i) {
    this.replicas[i].kill('SIGTERM');
    await once(this.replicas[i], 'exit');
    const beganMs = performance.now();
    this.replicas[i] = this.spawn(i);
    let said = '';
    for await (const text of this.replicas[i].stdout) {
      said += text;
      if (said.includes('kvd ready')) break;
    }
    return performance.now() - beganMs;
  }

  /** Resident memory of each replica, MiB. */
  memory() {
    return this.#statusMiB('VmRSS');
  }

  /** Of that its own: without what it only maps, which are files that it reads (LevelDB's tables, its own program). */
  ownMemory() {
    return this.#statusMiB('RssAnon');
  }

  #statusMiB(field) {
    return this.replicas.map(({ pid }) => {
      const [, kib] =
        new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
      return Math.round(Number(kib) / 1024);
    });
  }

  /** Processor time of each replica since it was started, us. */
  processorUs() {
    return this.replicas.map(({ pid }) => {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      // User and system time, in hundredths of a second.
      return (Number(fields[11]) + Number(fields[12])) * 10_000;
    });
  }

  stop() {
    for (const replica of this.replicas) replica.kill('SIGKILL');
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export function percentile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const found = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return found;
}
