// The hold on a load process: asks it one thing at a time.
import { fileURLToPath } from 'node:url';
import { killed } from './scratch.mjs';
import { within } from './waiting.mjs';

const module = fileURLToPath(new URL('./load-process.mjs', import.meta.url));
const CONNECT_LIMIT_MS = 60_000;
const ANSWER_LIMIT_MS = 90_000;

export class Loader {
  /** Resolves when its client is connected. */
  static async start(scratch, cluster) {
    const { system, endpoints } = cluster;
    const loader = new Loader(scratch.fork(module, [system.name, ...endpoints]), system);
    loader.reads = await within(CONNECT_LIMIT_MS, `the client of ${system.name}`, loader.answer(0));
    return loader;
  }

  constructor(child, system) {
    this.child = child;
    this.system = system;
    /** Which kinds of reads its client has: { get, stale }. */
    this.reads = {};
    this.lastId = 0;
    this.waiting = new Map();
    child.on('message', (message) => this.onMessage(message));
    child.once('exit', (code, signal) => this.onExit(code, signal));
  }

  prepare(options, limitMs) {
    return this.ask('prepare', options, limitMs);
  }

  measure(options) {
    return this.ask('measure', options, options.seconds * 1000 + ANSWER_LIMIT_MS);
  }

  outage(options) {
    return this.ask('outage', options);
  }

  async close() {
    await this.ask('close', {}, 10_000).catch(() => {
      // It is ended either way.
    });
    await killed(this.child);
  }

  ask(name, options, limitMs = ANSWER_LIMIT_MS) {
    const id = ++this.lastId;
    const answer = this.answer(id);
    this.child.send({ id, name, options });
    return within(limitMs, `${name} on ${this.system.name}`, answer);
  }

  answer(id) {
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  onMessage({ id, error, result }) {
    const asked = this.waiting.get(id);
    this.waiting.delete(id);
    if (error === undefined) asked?.resolve(result);
    else asked?.reject(new Error(`${this.system.name}: ${error}`));
  }

  onExit(code, signal) {
    const error = new Error(`the load process of ${this.system.name} ended (${code ?? signal})`);
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}
