// Every directory and process of a run. Nothing of it outlives the run, however that ends.
import { execFile, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

// Below the ports that a system hands out by itself, so that nobody takes the port of a member that is down.
const PORT_MIN = 20_000;
const PORT_MAX = 30_000;
const LOG_TAIL_CHARS = 600;

export class Scratch {
  constructor() {
    this.root = mkdtempSync(path.join(tmpdir(), 'kvd-peers-'));
    this.children = new Set();
    this.closed = false;
    this.nextPort = PORT_MIN + Math.floor(Math.random() * 5_000);
    // The last resort: also when something throws that nobody catches.
    process.once('exit', () => this.killAndRemove());
  }

  directory(name) {
    const directory = path.join(this.root, name);
    mkdirSync(directory, { recursive: true });
    return directory;
  }

  remove(directory) {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }

  /** A server, told only what it is given: settings in our environment (ETCD_…, KVD_…) are not for it. */
  spawn(command, args, { directory }) {
    const log = path.join(directory, 'output.log');
    const fd = openSync(log, 'a');
    const env = { PATH: process.env.PATH, HOME: directory };
    const child = spawn(command, args, { cwd: directory, env, stdio: ['ignore', fd, fd] });
    closeSync(fd);
    child.logTail = () => readFileSync(log, 'utf8').slice(-LOG_TAIL_CHARS);
    return this.keep(child);
  }

  /** One of our own modules in a process of its own, which ends with us by the channel between us. */
  fork(module, args) {
    return this.keep(
      fork(module, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], serialization: 'advanced' }),
    );
  }

  /** What a program that ends by itself printed. */
  run(command, args, { limitMs = 60_000 } = {}) {
    return new Promise((resolve, reject) => {
      const options = { timeout: limitMs, killSignal: 'SIGKILL', maxBuffer: 16 << 20 };
      const child = execFile(command, args, options, (error, stdout, stderr) => {
        if (error) reject(new Error(`${path.basename(command)}: ${stderr.trim() || error.message}`));
        else resolve(stdout + stderr);
      });
      this.keep(child);
    });
  }

  async freePorts(count) {
    const found = [];
    while (found.length < count) {
      if (this.nextPort >= PORT_MAX) this.nextPort = PORT_MIN;
      const port = this.nextPort++;
      if (await isFree(port)) found.push(port);
    }
    return found;
  }

  keep(child) {
    this.children.add(child);
    // What was about to start when the run was interrupted.
    if (this.closed) child.kill('SIGKILL');
    child.once('exit', () => this.children.delete(child));
    child.once('error', () => this.children.delete(child));
    return child;
  }

  killAndRemove() {
    this.closed = true;
    for (const child of this.children) child.kill('SIGKILL');
    this.remove(this.root);
  }

  /** Kill all and remove all, the processes being gone before the files they write to. */
  async close() {
    this.closed = true;
    const running = [...this.children];
    await Promise.all(running.map((child) => killed(child)));
    this.killAndRemove();
  }
}

/** Resolves when a process is gone. */
export async function killed(child, signal = 'SIGKILL') {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
