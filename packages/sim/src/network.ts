/**
 * The virtual network between replicas: connections that come up and break, frames of real bytes that are delayed,
 * lost, doubled and overtaken. It knows machines by number and never looks into a frame. As in kvd, whoever wants to send
 * dials, and a replica hears of those who dial it.
 *
 * Real connections keep order and lose nothing while they live; this network is worse than that on purpose.
 */
import type { Identity, ReplicaId } from '@kvd/paxos';
import type { VirtualClock } from './clock.js';
import type { Journal } from './journal.js';
import { MARK } from './journal.js';
import type { Weather } from './plan.js';
import type { Random } from './random.js';

/** A connection that says nothing for so long is given up. */
const SILENCE_MS = 1500;
const CONNECT_MS = 20;
const RESET_MS = 3;
/** Where frames may outlast their connection, so many of them take up to so much longer. */
const LATE = 0.02;
const LATE_MS = 1500;
/** Bytes under way on one connection; above, sending is refused. */
const QUEUE_BYTES_MAX = 4 * 1024 * 1024;

/** What the network needs of a replica's machine. */
export interface Station {
  /** No two have the same. */
  readonly number: number;
  readonly id: ReplicaId;
  readonly identity: Identity | null;
  /** Which of its processes runs. */
  readonly life: number;
  readonly address: string;
  /** Does its process want to be connected with the other, at its address? What it does not dial it cannot send to. */
  dials(other: Station): boolean;
  /** Hands an event to the process, now or when it goes on; dropped when it dies before. */
  deliver(run: () => void): void;
  onFrame(from: Identity, bytes: Uint8Array): void;
  onConnected(from: Identity, address: string): void;
  onDisconnected(from: Identity): void;
  /** Does it speak to the other, as far as their handshakes go? */
  accepts(other: Station): boolean;
}

interface End {
  readonly station: Station;
  /** Its process believes the connection to be there. */
  open: boolean;
  /** Who, to its knowledge, has dialled it over this connection. */
  peer: Identity | null;
  outbox: Uint8Array[];
  lastArrivalMs: number;
  bytesUnderWay: number;
}

interface Link {
  readonly ends: readonly [End, End];
  up: boolean;
  /** Frames and news of an earlier connection are void. */
  epoch: number;
  connecting: boolean;
}

export class Network {
  weather: Weather;
  private readonly stations: Station[] = [];
  private readonly links: Link[] = [];
  private readonly byPair = new Map<number, Link>();
  private readonly up = new Set<Station>();
  /** Directed pairs that nothing passes, with the number of faults that say so. */
  private readonly blocks = new Map<number, number>();
  private full: { readonly link: Link; readonly from: 0 | 1 }[] = [];

  constructor(
    stations: readonly Station[],
    weather: Weather,
    private readonly clock: VirtualClock,
    private readonly random: Random,
    private readonly journal: Journal,
    /** Frames sent in one turn leave together. */
    private readonly coalesce: boolean,
    /** What is under way arrives although its connection has ended, as long as the process that it is for is there. */
    private readonly outlasts: boolean,
  ) {
    this.weather = weather;
    for (const station of stations) this.add(station);
  }

  /** Another machine. */
  add(station: Station): void {
    for (const other of this.stations) {
      const link: Link = { ends: [newEnd(other), newEnd(station)], up: false, epoch: 0, connecting: false };
      this.links.push(link);
      this.byPair.set(pair(other.number, station.number), link);
      this.byPair.set(pair(station.number, other.number), link);
    }
    this.stations.push(station);
  }

  send(from: Station, to: Station, bytes: Uint8Array): boolean {
    const link = this.byPair.get(pair(from.number, to.number));
    if (link === undefined || !from.dials(to)) return false;
    const side = link.ends[0].station === from ? 0 : 1;
    const end = link.ends[side];
    if (!end.open || end.bytesUnderWay > QUEUE_BYTES_MAX) return false;
    end.bytesUnderWay += bytes.length;
    if (!this.coalesce) {
      this.transmit(link, side, bytes);
      return true;
    }
    if (end.outbox.length === 0) this.full.push({ link, from: side });
    end.outbox.push(bytes);
    return true;
  }

  /** After every event: what was sent in it leaves. */
  flush(): void {
    if (this.full.length === 0) return;
    const { full } = this;
    this.full = [];
    for (const { link, from } of full) {
      const end = link.ends[from];
      const frames = end.outbox;
      end.outbox = [];
      if (frames.length > 0)
        this.transmit(link, from, frames.length === 1 ? (frames[0] as Uint8Array) : Buffer.concat(frames));
    }
  }

  stationUp(station: Station): void {
    this.up.add(station);
    for (const link of this.linksOf(station)) this.connect(link);
  }

  /** The process is gone: its connections are reset. */
  stationDown(station: Station): void {
    this.up.delete(station);
    for (const link of this.linksOf(station)) {
      const own = link.ends[0].station === station ? 0 : 1;
      // The dead side hears nothing any more.
      link.ends[own].open = false;
      link.ends[own].peer = null;
      link.ends[own].outbox = [];
      const passes = !this.isBlocked(station.number, (link.ends[1 - own] as End).station.number);
      this.breakLink(link, passes ? RESET_MS : SILENCE_MS);
    }
  }

  /** Whom it dials has changed. */
  redial(station: Station): void {
    for (const link of this.linksOf(station)) {
      if (!link.up) {
        this.connect(link);
        continue;
      }
      const end = link.ends[link.ends[0].station === station ? 1 : 0];
      const { epoch } = link;
      this.clock.after(this.random.between(0, RESET_MS), () =>
        end.station.deliver(() => {
          if (link.epoch === epoch && end.open) this.noticeDialler(end, station);
        }),
      );
    }
  }

  block(from: number, to: number, noticed: boolean): void {
    const key = pair(from, to);
    this.blocks.set(key, (this.blocks.get(key) ?? 0) + 1);
    const link = this.byPair.get(key);
    if (!noticed || link === undefined) return;
    const { epoch } = link;
    this.clock.after(SILENCE_MS, () => {
      if (link.epoch === epoch && link.up && this.isBlocked(from, to)) this.breakLink(link, 0);
    });
  }

  unblock(from: number, to: number): void {
    const key = pair(from, to);
    const count = (this.blocks.get(key) ?? 0) - 1;
    if (count > 0) this.blocks.set(key, count);
    else this.blocks.delete(key);
    const link = this.byPair.get(key);
    if (link !== undefined) this.connect(link);
  }

  private isBlocked(from: number, to: number): boolean {
    return this.blocks.has(pair(from, to));
  }

  private transmit(link: Link, side: 0 | 1, bytes: Uint8Array): void {
    const { random, weather } = this;
    const from = link.ends[side];
    const to = link.ends[1 - side] as End;
    this.journal.markBytes(MARK.send, from.station.number * 16 + to.station.number, bytes);
    const identity = from.station.identity;
    const lost =
      !link.up ||
      identity === null ||
      this.isBlocked(from.station.number, to.station.number) ||
      random.chance(weather.loss);
    const copies = lost ? 0 : random.chance(weather.duplication) ? 2 : 1;
    if (copies === 0) {
      from.bytesUnderWay -= bytes.length;
      this.journal.say(from.station.id, () => `a frame to replica ${to.station.id} is lost`);
      return;
    }
    const { epoch } = link;
    const { life } = to.station;
    const isVoid = (): boolean => link.epoch !== epoch && !(this.outlasts && to.station.life === life);
    for (let copy = 0; copy < copies; copy++) {
      let atMs = this.clock.nowMs + weather.delayMs + random.exponential(weather.jitterMs);
      if (random.chance(weather.reordering)) atMs += random.between(0, 10 * (weather.jitterMs + 1));
      else atMs = Math.max(atMs, to.lastArrivalMs);
      if (copy === 0) to.lastArrivalMs = Math.max(to.lastArrivalMs, atMs);
      if (this.outlasts && random.chance(LATE)) atMs += random.between(0, LATE_MS);
      this.clock.at(atMs, () => {
        if (isVoid()) return;
        if (copy === 0 && link.epoch === epoch) from.bytesUnderWay -= bytes.length;
        if (this.isBlocked(from.station.number, to.station.number)) return;
        to.station.deliver(() => {
          if (isVoid()) return;
          this.journal.markBytes(MARK.deliver, to.station.number * 16 + from.station.number, bytes);
          to.station.onFrame(identity as Identity, bytes);
        });
      });
    }
  }

  private connect(link: Link): void {
    if (link.up || link.connecting) return;
    link.connecting = true;
    this.clock.after(this.random.between(1, CONNECT_MS), () => {
      link.connecting = false;
      const [a, b] = link.ends;
      if (link.up || !this.up.has(a.station) || !this.up.has(b.station)) return;
      if (
        this.isBlocked(a.station.number, b.station.number) ||
        this.isBlocked(b.station.number, a.station.number)
      )
        return;
      if (!a.station.accepts(b.station) || !b.station.accepts(a.station)) return;
      if (!a.station.dials(b.station) && !b.station.dials(a.station)) return;
      link.up = true;
      link.epoch += 1;
      this.announce(link, a, b.station);
      this.announce(link, b, a.station);
    });
  }

  private announce(link: Link, end: End, other: Station): void {
    const { epoch } = link;
    end.station.deliver(() => {
      if (link.epoch !== epoch || other.identity === null) return;
      this.forget(end);
      end.open = true;
      end.bytesUnderWay = 0;
      this.noticeDialler(end, other);
    });
  }

  /** Does the other side want the connection for what it sends? */
  private noticeDialler(end: End, other: Station): void {
    const { peer, station } = end;
    const wants = other.dials(station);
    if (wants && peer === null && other.identity !== null) {
      end.peer = other.identity;
      station.onConnected(other.identity, other.address);
    } else if (!wants && peer !== null) {
      end.peer = null;
      station.onDisconnected(peer);
    }
  }

  /** What is under way is lost; each side hears of it after a while. */
  private breakLink(link: Link, afterMs: number): void {
    if (!link.up) return;
    link.up = false;
    link.epoch += 1;
    const { epoch } = link;
    for (const end of link.ends) {
      this.clock.after(afterMs, () => {
        end.station.deliver(() => {
          if (link.epoch === epoch) this.forget(end);
        });
      });
    }
    this.clock.after(afterMs + CONNECT_MS, () => this.connect(link));
  }

  private forget(end: End): void {
    const { peer } = end;
    end.open = false;
    end.peer = null;
    end.outbox = [];
    end.bytesUnderWay = 0;
    if (peer !== null) end.station.onDisconnected(peer);
  }

  private linksOf(station: Station): Link[] {
    return this.links.filter(({ ends }) => ends[0].station === station || ends[1].station === station);
  }
}

function newEnd(station: Station): End {
  return { station, open: false, peer: null, outbox: [], lastArrivalMs: 0, bytesUnderWay: 0 };
}

function pair(from: number, to: number): number {
  return from * 256 + to;
}
