/**
 * Who the members are, by what was chosen, and whether all has come about that comes about by itself: who lost its disk is
 * a member again, who is to be promoted is, who was removed has stopped, the last change is done.
 */
import type { Host } from './host.js';
import { quorumsOf } from './oracle/configurations.js';
import type { World } from './world.js';

export class Census {
  constructor(private readonly world: World) {}

  /** The machines of those whom the latest configuration names. */
  get members(): Host[] {
    const { votes, hosts } = this.world;
    const members = votes.chain.latest?.configuration.members ?? [];
    return hosts.filter(({ id }) => members.some(({ replicaId }) => replicaId === id));
  }

  /** Those that keep a state. */
  get keepers(): Host[] {
    return this.members.filter(({ isWitness }) => !isWitness);
  }

  /** What is not as it will be; empty: nothing. */
  get unsettled(): string {
    const { votes, hosts, operator } = this.world;
    const { latest } = votes.chain;
    if (latest === null) return 'nothing is founded';
    const { slot, configuration } = latest;
    for (const { replicaId, incarnation, promoteTo, replaces } of configuration.members) {
      const who = `replica ${replicaId}`;
      const host = hosts[replicaId - 1];
      if (host?.isUp !== true) return `${who} is not up`;
      if (host.identity?.incarnation !== incarnation)
        return `${who} lost its disk and was not admitted again`;
      if (promoteTo === undefined) continue;
      const members = configuration.members.filter((other) => other.replicaId !== replaces);
      const promoted = members.map((other) =>
        other.replicaId === replicaId ? { ...other, role: promoteTo } : other,
      );
      if (isPossible({ ...configuration, members: promoted })) return `${who} was not made a ${promoteTo}`;
    }
    for (const host of hosts) {
      const isNamed = configuration.members.some(({ replicaId }) => replicaId === host.id);
      // Who was added and removed again while it took a snapshot of all that cannot know.
      const wasMember = host.identity !== null && votes.directories.of(host.identity).sawItself;
      if (!isNamed && host.isUp && wasMember && this.isInTouch(host))
        return `replica ${host.id} was removed and has not stopped`;
    }
    if (!votes.members.isKnown(latest)) return `the change of slot ${slot} is not done`;
    return operator.isIdle ? '' : 'the operator waits for an answer';
  }

  /** Is a member connected with it? All whom it knows may have left: then nobody can tell it anything. */
  private isInTouch({ identity }: Host): boolean {
    return this.members.some(
      ({ replica }) => identity !== null && replica?.neighbours.with(identity) !== undefined,
    );
  }
}

/** Some cannot be: then the learner stays one. */
function isPossible(configuration: Parameters<typeof quorumsOf>[0]): boolean {
  const { accept, prepare, voters } = quorumsOf(configuration);
  const witnesses = configuration.members.filter(({ role }) => role === 'witness').length;
  return accept <= voters && witnesses < accept && witnesses < prepare;
}
