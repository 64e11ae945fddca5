/**
 * Puts other code in place of methods of the product's classes, for the length of one run. What a bug needs to see of
 * private parts it says as an interface of its own here; the product offers nothing for this.
 */
import type {
  Accept,
  Ballot,
  Configuration,
  ConfigurationHistory,
  Identity,
  LogEntry,
  PaxosNode,
  Prepare,
  PromiseSet,
  ReplicaId,
  Slot,
  Value,
} from '@kvd/paxos';
import type { Replica } from '@kvd/replica';

export interface AcceptorInside {
  promised: Ballot;
  chosenThrough: Slot;
  readonly accepted: Map<Slot, LogEntry>;
  acceptedAt(slot: Slot): LogEntry | undefined;
  onAccept(from: ReplicaId, accept: Accept, votes: boolean): void;
  onPrepare(from: ReplicaId, prepare: Prepare): void;
}

export interface LearnerInside {
  chosenThrough: Slot;
  acceptor(): AcceptorInside | null;
  heard(from: ReplicaId, through: Slot): void;
  choose(slot: Slot, value: Value, ballot: Ballot): void;
  advance(): void;
  fetchMore(): void;
}

export interface LeadershipInside {
  readonly promises: PromiseSet;
  readonly inFlight: Map<Slot, { readonly value: Value; readonly votes: Map<ReplicaId, string> }>;
  nextSlot: Slot;
  readonly reads: { waiting: { token: number; slot: Slot }[] };
  readonly context: { readonly history: ConfigurationHistory };
}

export interface NodeInside {
  proposer: { leadership: LeadershipInside | null; context: { acceptor: AcceptorInside | null } } | null;
  readonly context: { readonly acceptor: AcceptorInside | null; readonly learner: LearnerInside | null };
  readonly markers: object;
  votes(): boolean;
}

export function insideOf(node: PaxosNode): NodeInside {
  return node as unknown as NodeInside;
}

/** A method, seen from outside its class. */
type Method<This, Args extends readonly unknown[], Result> = (this: This, ...args: Args) => Result;

export class Patches {
  private readonly undo: (() => void)[] = [];
  private readonly seen = new WeakSet<object>();

  /** Replace the method of one object, or of all of a class when given its prototype. */
  method<This extends object, Args extends readonly unknown[], Result>(
    owner: object,
    name: string,
    make: (original: Method<This, Args, Result>) => Method<This, Args, Result>,
  ): void {
    const original = Reflect.get(owner, name) as Method<This, Args, Result> | undefined;
    if (original === undefined) throw new Error(`there is no ${name} to put something in the place of`);
    this.define(owner, name, { value: make(original), writable: true, configurable: true });
  }

  getter<This extends object, Result>(owner: object, name: string, get: (this: This) => Result): void {
    if (!(name in owner)) throw new Error(`there is no ${name} to put something in the place of`);
    this.define(owner, name, { get, configurable: true });
  }

  /** Calls `patch` with the prototype of `object`'s class, once a run. */
  once(object: object, patch: (prototype: object) => void): void {
    const prototype = Object.getPrototypeOf(object) as object;
    if (this.seen.has(prototype)) return;
    this.seen.add(prototype);
    patch(prototype);
  }

  /** Calls `patch` with the prototype of Leadership, as soon as somebody leads. */
  leadership(replica: Replica, patch: (prototype: object) => void): void {
    const { node } = replica;
    const inside = insideOf(node);
    this.method<PaxosNode, Parameters<PaxosNode['step']>, void>(node, 'step', (step) => {
      const patchLeader = (): void => {
        const leadership = inside.proposer?.leadership;
        if (leadership) this.once(leadership, patch);
      };
      return function (input) {
        patchLeader();
        step.call(this, input);
        patchLeader();
      };
    });
  }

  restore(): void {
    for (const undo of this.undo.reverse()) undo();
    this.undo.length = 0;
  }

  private define(owner: object, name: string, descriptor: PropertyDescriptor): void {
    const before = Object.getOwnPropertyDescriptor(owner, name);
    Object.defineProperty(owner, name, descriptor);
    this.undo.push(() => {
      if (before) Object.defineProperty(owner, name, before);
      else Reflect.deleteProperty(owner, name);
    });
  }
}

/** The same configuration with another size of the phase-2 quorum. */
export function withAcceptQuorum(configuration: Configuration, acceptQuorum: number): Configuration {
  return { ...configuration, acceptQuorum };
}

export function namedMember(history: ConfigurationHistory, id: ReplicaId): Identity | undefined {
  return history.latest?.configuration.members.find((member) => member.replicaId === id);
}
