/**
 * The all-seeing judge of the protocol. It sees every write that reached a disk, every message that left, every slot
 * that was applied, of all replicas at once, and holds them against the rules: one value per slot and per ballot,
 * promises that never go back (S1, S2), ballots never used twice, nothing applied that no quorum has on disk.
 *
 * It counts by itself: it must never ask the code under test what is chosen.
 */
import type {
  Ballot,
  Configuration,
  Identity,
  Incarnation,
  Message,
  Persist,
  RecoveredLog,
  Slot,
  Value,
} from '@kvd/paxos';
import { encodeConfigurations } from '@kvd/protocol';
import { crc32 } from 'node:zlib';
import { safety } from '../violation.js';

/** What one directory has on disk, and what it let others know of it. */
interface DirectoryRecord {
  readonly identity: Identity;
  promised: Ballot | null;
  /** The highest ballot that left in a promise or an accepted. */
  told: Ballot | null;
  readonly accepted: Map<Slot, Ballot>;
  chosenThrough: Slot;
  cutThrough: Slot;
}

interface Proposal {
  readonly hash: string;
  readonly voters: Set<Incarnation>;
}

export class Votes {
  /** Slots that a quorum has on disk, with the value's hash. */
  readonly chosen = new Map<Slot, string>();
  private readonly directories = new Map<Incarnation, DirectoryRecord>();
  /** By slot and ballot. */
  private readonly proposals = new Map<Slot, Map<string, Proposal>>();
  private readonly prepared = new Map<string, string>();
  private founding: Configuration | null = null;

  get founded(): boolean {
    return this.founding !== null;
  }

  /** Has the directory on disk that slot 1 is chosen? */
  knowsFounding(identity: Identity): boolean {
    return this.directoryOf(identity).chosenThrough > 0;
  }

  /** Does the configuration name the incarnation? */
  names(identity: Identity): boolean {
    return this.founding?.members.some((member) => member.incarnation === identity.incarnation) ?? false;
  }

  /** A directory was opened: what it promised and said must still be there. */
  onOpened({ identity, promised, chosenThrough }: RecoveredLog): void {
    const directory = this.directoryOf(identity);
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
  }

  /** The directory was put back to what it once was: what it promised since is no promise of what is there now. */
  forget(identity: Identity): void {
    this.directories.delete(identity.incarnation);
  }

  /** A write of the log is on the disk. */
  onWritten(identity: Identity, batch: Persist, durableThrough: Slot): void {
    const directory = this.directoryOf(identity);
    if ((batch.cutThrough ?? 0) > durableThrough) {
      throw safety(
        'S9',
        `replica ${identity.replicaId} cut its log through ${batch.cutThrough}, its state is on disk through ${durableThrough}`,
      );
    }
    for (const entry of batch.entries) {
      if (entry.chosen) continue;
      if (directory.told && before(entry.ballot, directory.told)) {
        throw safety(
          'S2',
          `replica ${identity.replicaId} promised ${show(directory.told)} and accepted slot ${entry.slot} at ${show(entry.ballot)}`,
        );
      }
      directory.accepted.set(entry.slot, entry.ballot);
      if (directory.promised === null || before(directory.promised, entry.ballot))
        directory.promised = entry.ballot;
      this.vote(identity, entry.slot, entry.ballot, entry.value);
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
    directory.chosenThrough = Math.max(directory.chosenThrough, batch.chosenThrough ?? 0);
    directory.cutThrough = Math.max(directory.cutThrough, batch.cutThrough ?? 0);
  }

  /** A snapshot became the state of a replica. What it lacks the log has to bring back. */
  onInstalled(identity: Identity, slot: Slot): void {
    const { cutThrough } = this.directoryOf(identity);
    if (slot < cutThrough)
      throw safety(
        'S9',
        `replica ${identity.replicaId} put a snapshot of slot ${slot} in the place of its state, its log is cut through ${cutThrough}`,
      );
  }

  /** A message leaves its replica. `life`: of the process, no ballot is shared by two. */
  onSent(identity: Identity, life: number, message: Message): void {
    const directory = this.directoryOf(identity);
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
      case 'prepare':
        this.mustHavePromised(directory, message.ballot, 'prepares');
        this.usesBallot(identity, life, message.ballot);
        return;
      default:
        return;
    }
  }

  /** The state of some replica takes in a slot. */
  onApplied(identity: Identity, slot: Slot, value: Value): void {
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

  private vote(identity: Identity, slot: Slot, ballot: Ballot, value: Value): void {
    let bySlot = this.proposals.get(slot);
    if (bySlot === undefined) this.proposals.set(slot, (bySlot = new Map()));
    const name = keyOf(ballot);
    const hash = hashOf(value);
    let proposal = bySlot.get(name);
    if (proposal === undefined) bySlot.set(name, (proposal = { hash, voters: new Set() }));
    if (proposal.hash !== hash)
      throw safety(
        'S4',
        `slot ${slot} has two values at ballot ${show(ballot)}: ${proposal.hash} and ${hash}`,
      );
    proposal.voters.add(identity.incarnation);
    const configuration = this.founding ?? (value.type === 'configuration' ? value.configuration : null);
    if (configuration === null || !isQuorum(configuration, proposal.voters)) return;
    const chosen = this.chosen.get(slot);
    if (chosen !== undefined && chosen !== hash)
      throw safety(
        'agreement',
        `slot ${slot}: ${chosen} was chosen, and now ${hash} at ballot ${show(ballot)}`,
      );
    this.chosen.set(slot, hash);
    if (slot === 1 && value.type === 'configuration') this.founding ??= value.configuration;
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

  private directoryOf(identity: Identity): DirectoryRecord {
    let directory = this.directories.get(identity.incarnation);
    if (directory === undefined) {
      directory = {
        identity,
        promised: null,
        told: null,
        accepted: new Map(),
        chosenThrough: 0,
        cutThrough: 0,
      };
      this.directories.set(identity.incarnation, directory);
    }
    return directory;
  }
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

function isQuorum(configuration: Configuration, voters: ReadonlySet<Incarnation>): boolean {
  let members = 0;
  let votes = 0;
  for (const { role, incarnation } of configuration.members) {
    if (role === 'learner') continue;
    members += 1;
    if (voters.has(incarnation)) votes += 1;
  }
  return votes >= (configuration.acceptQuorum || Math.floor(members / 2) + 1);
}

function before(a: Ballot, b: Ballot): boolean {
  if (a.counter !== b.counter) return a.counter < b.counter;
  if (a.replicaId !== b.replicaId) return a.replicaId < b.replicaId;
  return a.incarnation < b.incarnation;
}

function highest(a: Ballot | null, b: Ballot): Ballot {
  return a === null || before(a, b) ? b : a;
}

function keyOf(ballot: Ballot): string {
  return `${ballot.counter}.${ballot.replicaId}.${ballot.incarnation}`;
}

function show(ballot: Ballot): string {
  return `${ballot.counter}.${ballot.replicaId}`;
}
