// npm run bench:peers: kvd and its peers, side by side. See docs/BENCHMARKS.md, "Side by side".
import os from 'node:os';
import { setup, SetupError } from '../../../../scripts/setup.mjs';
import { Figures } from './figures.mjs';
import { installClients } from './install.mjs';
import { describeMachine } from './machine.mjs';
import { parseOptions, USAGE, UsageError } from './options.mjs';
import { kill } from './parts/kill.mjs';
import { neutral } from './parts/neutral.mjs';
import { processor } from './parts/processor.mjs';
import { replicas } from './parts/replicas.mjs';
import { size } from './parts/size.mjs';
import { throughput } from './parts/throughput.mjs';
import { machineLines, report } from './report.mjs';
import { Scratch } from './scratch.mjs';
import { SYSTEMS } from './systems/index.mjs';

const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130, terminated: 143 };
const THROUGHPUT_PARTS = ['put', 'get', 'stale', 'values'];

class Run {
  constructor(options, scratch) {
    this.options = options;
    this.scratch = scratch;
    this.figures = new Figures();
    this.machine = describeMachine(scratch.root);
    this.systems = [];
    this.leftOut = [];
    this.failures = [];
  }

  say(text) {
    process.stderr.write(`${text}\n`);
  }

  leaveOut(what, why) {
    this.leftOut.push({ what, why });
    this.say(`${what} is left out: ${why}`);
  }

  /** One that fails is told of, and the others are measured all the same. */
  async attempt(what, action) {
    this.say(what);
    try {
      await action();
    } catch (error) {
      if (this.scratch.closed) throw error;
      this.failures.push({ what, error: error.message });
      this.say(`failed: ${what}: ${error.message}`);
    }
  }

  /** Which of the systems can be measured. */
  async findSystems() {
    const wanted = SYSTEMS.filter(({ name }) => this.options.systems.includes(name));
    for (const system of wanted) {
      const missing = system.missing();
      if (missing.length > 0) this.leaveOut(system.name, missing.join(', '));
      else this.systems.push({ ...system, version: await system.version(this.scratch) });
    }
    if (!this.systems.some(({ name }) => name !== 'kvd') || !this.needsClients) return;
    try {
      await installClients(this.scratch, (text) => this.say(text));
    } catch (error) {
      if (this.scratch.closed) throw error;
      for (const { name } of this.systems)
        if (name !== 'kvd') this.leaveOut(name, `no client: ${error.message}`);
      this.systems = this.systems.filter(({ name }) => name === 'kvd');
    }
  }

  get needsClients() {
    return this.options.parts.some((part) => part !== 'neutral');
  }

  async measure() {
    const { parts } = this.options;
    if (parts.some((part) => THROUGHPUT_PARTS.includes(part))) await throughput(this);
    if (parts.includes('neutral')) await neutral(this);
    if (parts.includes('replicas')) await replicas(this);
    if (parts.includes('processor')) await processor(this);
    if (parts.includes('kill')) await kill(this);
    if (parts.includes('size')) await size(this);
    this.machine.loadAfter = os.loadavg()[0];
  }

  result() {
    const { options, machine, leftOut, failures } = this;
    const systems = this.systems.map(({ name, version, client, synced, size }) => ({
      name,
      version,
      client,
      synced,
      members: size,
    }));
    return { options, machine, systems, leftOut, tables: this.figures.tables(), failures };
  }
}

/** Resolves with an exit code once a signal asks for the end. */
function interrupted() {
  return new Promise((resolve) => {
    process.on('SIGINT', () => resolve(EXIT.interrupted));
    for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => resolve(EXIT.terminated));
  });
}

async function main() {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) {
    console.log(USAGE);
    return EXIT.done;
  }
  await setup();
  const scratch = new Scratch();
  const run = new Run(options, scratch);
  const interruption = interrupted();
  try {
    for (const line of machineLines(run.machine)) run.say(line);
    const measured = run.findSystems().then(() => run.measure());
    const exitCode = await Promise.race([measured, interruption]);
    if (exitCode !== undefined) return exitCode;
  } finally {
    await scratch.close();
  }
  const result = run.result();
  console.log(options.output === 'json' ? JSON.stringify(result) : report(result));
  return result.failures.length > 0 || run.systems.length === 0 ? EXIT.failed : EXIT.done;
}

try {
  // What an interrupted measurement still waits for is not waited for.
  process.exit(await main());
} catch (error) {
  if (error instanceof UsageError) {
    console.error(`${error.message}\n\n${USAGE}`);
    process.exitCode = EXIT.usage;
  } else if (error instanceof SetupError) {
    console.error(`setup: ${error.message}`);
    process.exitCode = error.exitCode;
  } else {
    console.error(error.message);
    process.exitCode = EXIT.failed;
  }
}
