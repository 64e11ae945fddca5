/**
 * The all-seeing judge of the protocol. It sees every write that reached a disk, every message that left, every slot
 * that was applied, of all replicas at once, and holds them against the rules: one value per slot and per ballot,
 * promises that never go back (S1, S2), ballots never used twice, no vote before it can be known who votes (S11), nothing
 * believed chosen that no quorum of its slot's configuration has on disk, by incarnation (S5).
 *
 * It counts by itself: it must never ask the code under test what is chosen.
 */
import type {
  Ballot,
  Configuration,
  ConfigurationAt,
  Identity,
  Incarnation,
  Message,
  Persist,
  RecoveredLog,
  ReplicaId,
  Slot,
  Value,
} from '@kvd/paxos';
import { encodeConfigurations } from '@kvd/protocol';
import { crc32 } from 'node:zlib';
import { safety } from '../violation.js';
import { before, highest, keyOf, show } from './ballots.js';
import { ConfigurationChain, isAcceptedBy } from './configurations.js';
import { type DirectoryRecord, DirectoryRecords } from './directory-record.js';
import { MembershipRules } from './membership.js';

export interface Proposal {
  readonly ballot: Ballot;
  readonly hash: string;
  readonly voters: Set<Incarnation>;
}

/** What is looked at of a state. */
export interface LoadedState {
  readonly durableThrough: Slot;
  readonly appliedThrough: Slot;
  /** Null: it is a witness's, whose log has them. */
  readonly configurations: readonly ConfigurationAt[] | null;
}

export class Votes {
  /** Slots that a quorum has on disk, with the value's hash. */
  readonly chosen = new Map<Slot, string>();
  readonly chain = new ConfigurationChain();
  readonly directories = new DirectoryRecords();
  readonly members: MembershipRules;
  /** By slot and ballot. */
  private readonly proposals = new Map<Slot, Map<string, Proposal>>();
  private readonly configurations = new Map<string, Configuration>();
  private readonly prepared = new Map<string, string>();

  /** @param witnesses whose directories keep no state */
  constructor(witnesses: readonly ReplicaId[] = []) {
    this.members = new MembershipRules(this, witnesses);
  }

  get founded(): boolean {
    return this.chain.founding !== null;
  }

  /** Has the directory on disk that slot 1 is chosen? */
  knowsFounding(identity: Identity): boolean {
    return this.directories.of(identity).chosenThrough > 0;
  }

  proposalsIn(slot: Slot): Iterable<Proposal> {
    return this.proposals.get(slot)?.values() ?? [];
  }

  /** Configurations that somebody has on disk where nothing is chosen yet: any of them may come to be. */
  *configurationsProposed(): Iterable<Configuration> {
    const { chosenThrough, alpha } = this.chain;
    for (let slot = chosenThrough + 1; slot <= chosenThrough + alpha; slot++) {
      for (const { hash } of this.proposalsIn(slot)) {
        const configuration = this.configurations.get(hash);
        if (configuration !== undefined) yield configuration;
      }
    }
  }

  /** A directory was opened: what it promised and said must still be there. */
  onOpened({ identity, promised, chosenThrough, configurations }: RecoveredLog): void {
    const directory = this.directories.of(identity);
    if (directory.told && before(promised, directory.told)) {
      throw safety(
        'S2',
        `replica ${identity.replicaId} promised ${show(directory.told)} and started with ${show(promised)}`,
      );
    }
    if (chosenThrough < directory.chosenThrough) {
      throw safety(
        'S1',
        `replica ${identity.replicaId} started with chosenThrough ${chosenThrough}, it was ${directory.chosenThrough}`,
      );
    }
    directory.promised = promised;
    directory.configurations = slotsOf(configurations);
  }

  /** The directory was put back to what it once was: what it promised since is no promise of what is there now. */
  forget(identity: Identity): void {
    this.directories.forget(identity);
  }

  /** A write of the log is on the disk. */
  onWritten(identity: Identity, batch: Persist, durableThrough: Slot): void {
    const directory = this.directories.of(identity);
    if ((batch.cutThrough ?? 0) > durableThrough) {
      throw safety(
        'S9',
        `replica ${identity.replicaId} cut its log through ${batch.cutThrough}, its state is on disk through ${durableThrough}`,
      );
    }
    for (const entry of batch.entries) {
      const hash = hashOf(entry.value);
      directory.content.set(entry.slot, hash);
      if (entry.chosen) {
        this.mustBeChosenValue(identity, entry.slot, hash);
        continue;
      }
      if (directory.told && before(entry.ballot, directory.told)) {
        throw safety(
          'S2',
          `replica ${identity.replicaId} promised ${show(directory.told)} and accepted slot ${entry.slot} at ${show(entry.ballot)}`,
        );
      }
      directory.accepted.set(entry.slot, entry.ballot);
      if (directory.promised === null || before(directory.promised, entry.ballot))
        directory.promised = entry.ballot;
      this.vote(identity, entry.slot, entry.ballot, entry.value, hash);
    }
    if (batch.promised) {
      if (directory.promised && before(batch.promised, directory.promised) && !this.raisedBy(batch)) {
        throw safety(
          'S2',
          `replica ${identity.replicaId} wrote the promise ${show(batch.promised)} over ${show(directory.promised)}`,
        );
      }
      if (directory.promised === null || before(directory.promised, batch.promised))
        directory.promised = batch.promised;
    }
    const cutBefore = directory.cutThrough;
    directory.chosenThrough = Math.max(directory.chosenThrough, batch.chosenThrough ?? 0);
    directory.cutThrough = Math.max(cutBefore, batch.cutThrough ?? 0);
    directory.stateThrough = durableThrough;
    this.mustBeChosen(directory);
    if (batch.configurations) directory.configurations = slotsOf(batch.configurations);
    const { cutThrough, chosenThrough, configurations } = directory;
    this.mustHold('log', identity, cutThrough, chosenThrough, configurations);
    directory.heldThrough = Math.max(directory.heldThrough, this.members.knownThrough(identity));
    if (directory.cutThrough > cutBefore) this.members.onCut(directory, batch.installedThrough ?? 0);
  }

  /** A state was read from disk, or dropped there, or came with a snapshot. */
  onLoaded(identity: Identity, { durableThrough, appliedThrough, configurations }: LoadedState): void {
    this.directories.of(identity).stateThrough = durableThrough;
    if (configurations === null) return;
    this.mustHold('state', identity, appliedThrough, appliedThrough, slotsOf(configurations));
  }

  /** A snapshot became the state of a replica. What it lacks the log has to bring back. */
  onInstalled(identity: Identity, slot: Slot): void {
    const { cutThrough } = this.directories.of(identity);
    if (slot < cutThrough)
      throw safety(
        'S9',
        `replica ${identity.replicaId} put a snapshot of slot ${slot} in the place of its state, its log is cut through ${cutThrough}`,
      );
  }

  /** A message leaves its replica. `life`: of the process, no ballot is shared by two. */
  onSent(identity: Identity, life: number, message: Message): void {
    const directory = this.directories.of(identity);
    const who = `replica ${identity.replicaId}`;
    switch (message.type) {
      case 'promise':
        this.mustHavePromised(directory, message.ballot, 'promises');
        directory.told = highest(directory.told, message.ballot);
        return;
      case 'accepted':
        this.mustHavePromised(directory, message.ballot, 'accepted');
        for (const slot of message.slots) {
          // A snapshot that came meanwhile covers it: then it is known what was chosen, and any vote says the same.
          if (slot <= directory.chosenThrough) continue;
          const at = directory.accepted.get(slot);
          if (at === undefined || before(at, message.ballot))
            throw safety(
              'S1',
              `${who} says that it accepted slot ${slot} at ${show(message.ballot)}; its disk does not`,
            );
        }
        directory.told = highest(directory.told, message.ballot);
        return;
      case 'probe':
        this.members.mayCampaign(identity, 'probes');
        return;
      case 'prepare':
        this.members.mayCampaign(identity, 'prepares');
        this.mustHavePromised(directory, message.ballot, 'prepares');
        this.usesBallot(identity, life, message.ballot);
        return;
      default:
        return;
    }
  }

  /** The state of some replica takes in a slot. */
  onApplied(identity: Identity, slot: Slot, value: Value): void {
    if (value.type === 'configuration') this.members.onSeen(identity, value.configuration);
    const hash = hashOf(value);
    const chosen = this.chosen.get(slot);
    if (chosen === undefined)
      throw safety(
        'quorum',
        `replica ${identity.replicaId} applied slot ${slot}, which no quorum has on disk`,
      );
    if (chosen !== hash)
      throw safety(
        'agreement',
        `replica ${identity.replicaId} applied ${hash} in slot ${slot}; chosen was ${chosen}`,
      );
  }

  /** What a directory says on disk to be chosen is what a quorum has on disk. */
  private mustBeChosen({ identity, chosenThrough }: DirectoryRecord): void {
    if (chosenThrough > this.chain.chosenThrough)
      throw safety(
        'quorum',
        `replica ${identity.replicaId} has on disk that slots through ${chosenThrough} are chosen; no quorum has slot ${this.chain.chosenThrough + 1}`,
      );
    this.directories.noteKnown(chosenThrough);
  }

  /** S9: a state, and a log that was cut, hold every configuration that the slots above may need. */
  private mustHold(
    what: string,
    { replicaId }: Identity,
    through: Slot,
    known: Slot,
    held: ReadonlySet<Slot>,
  ): void {
    for (const { slot } of this.chain.from(through + 1, known)) {
      if (held.has(slot)) continue;
      throw safety(
        'S9',
        `the ${what} of replica ${replicaId} goes back to slot ${through}, and has not the configuration of slot ${slot}`,
      );
    }
  }

  private mustBeChosenValue({ replicaId }: Identity, slot: Slot, hash: string): void {
    const right = this.chosen.get(slot);
    if (right !== hash)
      throw safety(
        'agreement',
        `replica ${replicaId} has ${hash} on disk as chosen in slot ${slot}; chosen was ${right ?? 'nothing'}`,
      );
  }

  private vote(identity: Identity, slot: Slot, ballot: Ballot, value: Value, hash: string): void {
    let bySlot = this.proposals.get(slot);
    if (bySlot === undefined) this.proposals.set(slot, (bySlot = new Map()));
    const name = keyOf(ballot);
    let proposal = bySlot.get(name);
    if (proposal === undefined) bySlot.set(name, (proposal = { ballot, hash, voters: new Set() }));
    if (proposal.hash !== hash)
      throw safety(
        'S4',
        `slot ${slot} has two values at ballot ${show(ballot)}: ${proposal.hash} and ${hash}`,
      );
    proposal.voters.add(identity.incarnation);
    if (value.type === 'configuration') this.configurations.set(hash, value.configuration);
    if (!isAcceptedBy(this.governing(slot, value, identity), proposal.voters)) return;
    const chosen = this.chosen.get(slot);
    if (chosen !== undefined && chosen !== hash)
      throw safety(
        'agreement',
        `slot ${slot}: ${chosen} was chosen, and now ${hash} at ballot ${show(ballot)}`,
      );
    this.chosen.set(slot, hash);
    this.advance();
  }

  /** Slot 1 is voted on by those whom it names. */
  private governing(slot: Slot, value: Value, { replicaId }: Identity): Configuration {
    const { chain } = this;
    const own = value.type === 'configuration' ? value.configuration : null;
    const configuration = slot === 1 ? (chain.founding ?? own) : chain.governing(slot);
    if (configuration === null)
      throw safety(
        'S11',
        `replica ${replicaId} accepted slot ${slot} when slot ${chain.chosenThrough + 1} was not chosen: who votes there?`,
      );
    return configuration;
  }

  private advance(): void {
    const { chain, chosen } = this;
    for (
      let hash = chosen.get(chain.chosenThrough + 1);
      hash !== undefined;
      hash = chosen.get(chain.chosenThrough + 1)
    ) {
      if (chain.choose(chain.chosenThrough + 1, this.configurations.get(hash))) this.members.onConfigured();
    }
  }

  private mustHavePromised({ promised, identity }: DirectoryRecord, ballot: Ballot, what: string): void {
    if (promised === null || before(promised, ballot))
      throw safety(
        'S1',
        `replica ${identity.replicaId} ${what} ${show(ballot)}, its disk holds ${promised ? show(promised) : 'nothing'}`,
      );
  }

  private usesBallot(identity: Identity, life: number, ballot: Ballot): void {
    const name = keyOf(ballot);
    const user = `${identity.incarnation}/${life}`;
    const other = this.prepared.get(name);
    if (other !== undefined && other !== user)
      throw safety('ballot', `replica ${identity.replicaId} prepares ${show(ballot)}, which was used before`);
    this.prepared.set(name, user);
  }

  /** An entry of a higher ballot in the same write has raised the promise already. */
  private raisedBy({ promised, entries }: Persist): boolean {
    return promised !== undefined && entries.some((entry) => !entry.chosen && before(promised, entry.ballot));
  }
}

function slotsOf(configurations: readonly ConfigurationAt[]): ReadonlySet<Slot> {
  return new Set(configurations.map(({ slot }) => slot));
}

/** A short name of a value: what it is, how long, and its checksum. */
export function hashOf(value: Value): string {
  switch (value.type) {
    case 'noop':
      return 'no-op';
    case 'batch':
      return `batch ${value.bytes.length}:${crc32(value.bytes).toString(16)}`;
    case 'configuration':
      return `configuration ${crc32(encodeConfigurations([{ slot: 1, configuration: value.configuration }])).toString(16)}`;
  }
}
