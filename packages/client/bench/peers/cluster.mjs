// The members of one system, on loopback, each in a directory of its own: started, killed, asked who leads.
// What differs from system to system is in systems/.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { killed } from './scratch.mjs';
import { waitFor } from './waiting.mjs';

const START_LIMIT_MS = 60_000;
const PROBE_MS = 5;
/** Of /proc/PID/stat, after the name. */
const USER_TIME = 11;
const TICKS_A_SECOND = 100;
const STOP_LIMIT_MS = 20_000;
let clusters = 0;

export class Cluster {
  /** Resolves when every member takes requests. */
  static async start(scratch, system) {
    const cluster = new Cluster(scratch, system, scratch.directory(`${system.name}-${++clusters}`));
    const ports = await scratch.freePorts(system.size * system.portsEach);
    for (let i = 0; i < system.size; i++) {
      const id = i + 1;
      const own = ports.slice(i * system.portsEach, id * system.portsEach);
      const directory = scratch.directory(path.join(path.basename(cluster.directory), String(id)));
      cluster.members.push({ id, directory, ports: own, address: `127.0.0.1:${own[0]}` });
    }
    for (const member of cluster.members) cluster.spawn(member);
    await cluster.ready();
    return cluster;
  }

  constructor(scratch, system, directory) {
    this.scratch = scratch;
    this.system = system;
    this.directory = directory;
    this.members = [];
  }

  get endpoints() {
    return this.members.map(({ address }) => address);
  }

  spawn(member) {
    const { command, args } = this.system.command(member, this.members);
    member.child = this.scratch.spawn(command, args, member);
  }

  /** Resolves when one member, or all of them and a leader, take requests. */
  async ready(members = this.members) {
    for (const member of members) await this.memberReady(member);
    if (members === this.members) await this.leader();
  }

  async memberReady(member) {
    const { child } = member;
    const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
    const probe = async () => hasEnded() || (await this.system.isReady(member));
    const what = `${this.system.name} ${member.id} to be ready`;
    const limits = { everyMs: PROBE_MS, limitMs: START_LIMIT_MS };
    try {
      await waitFor(what, probe, limits);
      if (hasEnded()) throw new Error(`${what}: it ended with ${child.exitCode ?? child.signalCode}`);
    } catch (error) {
      throw new Error(`${error.message}; it said last: ${child.logTail()}`);
    }
  }

  /** Who leads, of those `among` which all run. */
  leader(among = this.members) {
    const probe = () => this.system.leader(among);
    return waitFor(`${this.system.name} to have a leader`, probe);
  }

  /** Stop one as an operator would, start it again: ms from then until it takes requests. */
  async restart(member) {
    const stopper = setTimeout(() => member.child.kill('SIGKILL'), STOP_LIMIT_MS);
    await killed(member.child, 'SIGTERM');
    clearTimeout(stopper);
    const beganMs = performance.now();
    this.spawn(member);
    await this.memberReady(member);
    return performance.now() - beganMs;
  }

  /** After a member was killed. */
  async revive(member) {
    await killed(member.child);
    this.spawn(member);
    await this.ready();
  }

  /** Resident memory of each member, MiB. */
  memoryMiB() {
    return this.members.map(({ child }) => {
      const [, kib] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8')) ?? [];
      return Math.round(Number(kib) / 1024);
    });
  }

  /** Processor time of each member since it was started, microseconds. */
  processorUs() {
    return this.members.map(({ child }) => {
      const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const [userTicks, systemTicks] = fields.slice(USER_TIME, USER_TIME + 2).map(Number);
      return ((userTicks + systemTicks) * 1e6) / TICKS_A_SECOND;
    });
  }

  async stop() {
    await Promise.all(this.members.map(({ child }) => killed(child)));
    this.scratch.remove(this.directory);
  }
}
