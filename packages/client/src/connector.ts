/**
 * Keeps the client connected: opens links, chooses the one in use (the leader's, when it can be reached), and replaces
 * one whose replica is gone, silent or of no use.
 *
 * At most one link per address. A link that was replaced stays until its last answer is in. Time comes in through
 * tick(); without ticks it only reacts. It never decides about operations: dispatcher.ts does.
 */
import { KvdError, type Response, type WatchMessage, type Welcome } from '@kvd/protocol';
import { Link, type OpenSocket } from './link.js';
import { Roster } from './roster.js';

export interface ConnectorHost {
  /** `link` is the one to use now. `overtake`: what is unanswered elsewhere should be sent on it too. */
  linkReady(link: Link, overtake: boolean): void;
  /** It broke; what it holds as outstanding will not be answered. */
  linkLost(link: Link): void;
  answered(link: Link, requestId: number, response: Response): void;
  watchTold(link: Link, watchId: number, message: WatchMessage): void;
  nextRequestId(): number;
}

export interface ConnectorOptions {
  readonly endpoints: readonly string[];
  readonly name: string;
  readonly handshakeTimeoutMs: number;
  readonly openSocket: OpenSocket;
  readonly random: () => number;
}

/** While one address does not answer, the next is tried beside it. */
const DIAL_STAGGER_MS = 300;
const DIALS_MAX = 3;
/** A replica that is alive but gives no useful answer for so long (doubled each time) is left for another. */
const USELESS_MS = 1_500;
const USELESS_DOUBLINGS_MAX = 3;
/** A replica that has answered nothing but "unavailable" for so long may be the one that is cut off. */
const REFUSING_MS = 500;
/** How long a replica that was left is not gone back to on purpose. */
const AVOID_MS = 1_000;
/** Ticks further apart than this: our own event loop was held up. */
const HELD_UP_MS = 250;

export class Connector {
  /** The link in use. */
  current: Link | null = null;
  clusterId = '';
  readonly roster: Roster;
  private readonly links = new Map<string, Link>();
  private rotations = 0;
  private tickedMs = 0;
  private closed = false;

  constructor(
    private readonly options: ConnectorOptions,
    private readonly host: ConnectorHost,
    private readonly now: () => number,
  ) {
    this.roster = new Roster(options.endpoints, options.random);
  }

  /** Is there nothing to see to: no link but the one in use, and that one not to be asked whether it is alive? */
  get settled(): boolean {
    if (this.current === null) return this.links.size === 0;
    return this.links.size === 1 && !this.current.isSilent(this.now());
  }

  /** tick() is called regularly from now on, after a time without. */
  startTicking(): void {
    this.tickedMs = this.now();
  }

  /** `wanted`: there is something to send, so be connected. */
  tick(wanted: boolean): void {
    const nowMs = this.now();
    const heldUp = nowMs - this.tickedMs > HELD_UP_MS;
    this.tickedMs = nowMs;
    for (const link of this.links.values()) {
      if (heldUp) link.excuse(nowMs);
      else if (!link.checkLife(nowMs, () => this.host.nextRequestId())) {
        this.roster.avoid(link.address, nowMs, AVOID_MS * 2);
        this.drop(link, new KvdError('KVD_UNAVAILABLE', `${link.address} does not answer`), true);
      } else if (link !== this.current && link.welcome !== null && link.outstanding.size === 0) {
        this.drop(link, new KvdError('KVD_CLOSED', 'replaced'), false);
      }
    }
    if (this.current !== null) {
      this.followLeader(nowMs);
      this.leaveUseless(this.current, nowMs);
    } else if (wanted) this.dialMore(nowMs);
  }

  /** `link` answered that it cannot help. Goes on at another replica, at once when that is for sure its own fault. */
  refused(link: Link, ownFault: boolean): void {
    const nowMs = this.now();
    if (link !== this.current || (!ownFault && nowMs - link.usefulMs < REFUSING_MS)) return;
    this.roster.avoid(link.address, nowMs, AVOID_MS);
    this.rotate(nowMs);
  }

  /** `link` gave an answer that was of use. */
  useful(link: Link): void {
    link.usefulMs = this.now();
    this.rotations = 0;
  }

  /** Why connect() fails now; null: it may still succeed. `isLate`: its time is over. */
  connectFailure(isLate: boolean, timeoutMs: number): KvdError | null {
    const errors = this.roster.errors();
    const codes = [...errors.values()].map((e) => (e instanceof KvdError ? e.code : undefined));
    const refusal = codes.find((code) => code === 'KVD_WRONG_CLUSTER' || code === 'KVD_PROTOCOL_VERSION');
    const hopeless = refusal !== undefined && codes.every((code) => code === refusal);
    if (!hopeless && !isLate) return null;
    const details = [...errors].map(([address, error]) => {
      const what = error?.message ?? 'no answer';
      return what.startsWith(address) ? what : `${address}: ${what}`;
    });
    const text = hopeless ? 'refused by every endpoint' : `no endpoint answered within ${timeoutMs} ms`;
    const code = hopeless ? refusal : 'KVD_UNAVAILABLE';
    return new KvdError(code, `${text} (${details.join('; ')})`, 'not-done');
  }

  forEachLink(visit: (link: Link) => void): void {
    for (const link of this.links.values()) visit(link);
  }

  close(): void {
    this.closed = true;
    for (const link of this.links.values()) this.drop(link, new KvdError('KVD_CLOSED', 'closed'), false);
  }

  private dialMore(nowMs: number): void {
    let newestMs = Number.NEGATIVE_INFINITY;
    let dials = 0;
    for (const link of this.links.values()) {
      if (link.welcome !== null) continue;
      dials++;
      newestMs = Math.max(newestMs, link.openedMs);
    }
    if (dials >= DIALS_MAX || nowMs - newestMs < DIAL_STAGGER_MS) return;
    const address = this.roster.pick(nowMs, (a) => this.links.has(a));
    if (address !== null) this.open(address, 'any', nowMs);
  }

  private followLeader(nowMs: number): void {
    const address = this.roster.leaderAddress;
    if (address === null || this.current === null || this.current.leads) return;
    if (this.current.address === address || !this.roster.mayTry(address, nowMs)) return;
    const link = this.links.get(address);
    if (link === undefined) this.open(address, 'leader', nowMs);
    else if (link.leads) this.use(link, false);
  }

  private leaveUseless(link: Link, nowMs: number): void {
    if (link.outstanding.size === 0) return;
    const patienceMs = USELESS_MS * 2 ** Math.min(this.rotations, USELESS_DOUBLINGS_MAX);
    if (nowMs - link.usefulMs < patienceMs) return;
    link.usefulMs = nowMs;
    this.roster.avoid(link.address, nowMs, AVOID_MS);
    this.rotate(nowMs);
  }

  /** Go on at another replica, if there is one: over a link that is open, else over a new one. */
  private rotate(nowMs: number): void {
    for (const link of this.links.values()) if (link.purpose === 'rotate' && link.welcome === null) return;
    const address = this.roster.pick(nowMs, (a) => a === this.current?.address);
    if (address === null) return;
    this.rotations++;
    const link = this.links.get(address);
    if (link === undefined) this.open(address, 'rotate', nowMs);
    else if (link.welcome !== null) this.use(link, true);
  }

  private open(address: string, purpose: Link['purpose'], nowMs: number): void {
    if (this.closed) return;
    const link = new Link(address, purpose, nowMs);
    this.links.set(address, link);
    const { name, handshakeTimeoutMs, openSocket } = this.options;
    const socketOptions = { clusterId: this.clusterId, name, handshakeTimeoutMs };
    link.attach(
      openSocket(address, socketOptions, {
        onWelcome: (welcome) => this.onWelcome(link, welcome),
        onResponse: (requestId, response) => this.host.answered(link, requestId, response),
        onWatchMessage: (watchId, message) => this.host.watchTold(link, watchId, message),
        onClosed: (error) => this.drop(link, error, true),
      }),
    );
  }

  private onWelcome(link: Link, welcome: Welcome): void {
    if (this.links.get(link.address) !== link) return;
    const first = link.welcome === null;
    link.welcome = welcome;
    if (this.clusterId === '') this.clusterId = welcome.clusterId;
    if (first) this.roster.succeeded(link.address);
    // What a replica that is not in use says of the leader may be older than what we know.
    if (this.current === null || link === this.current || link.leads) this.roster.learn(welcome);
    if (first && this.current === null) this.use(link, true);
    else if (first && link.purpose === 'rotate') this.use(link, true);
    else if (link.leads && link !== this.current && this.current?.leads !== true) this.use(link, false);
    else if (link === this.current) this.followLeader(this.now());
  }

  private use(link: Link, overtake: boolean): void {
    link.usefulMs = this.now();
    this.current = link;
    this.host.linkReady(link, overtake);
    this.followLeader(this.now());
  }

  /** End a link; `failed`: not by our own wish. */
  private drop(link: Link, error: KvdError, failed: boolean): void {
    if (this.links.get(link.address) !== link) return;
    this.links.delete(link.address);
    if (failed) this.roster.failed(link.address, this.now(), error);
    if (this.current === link) this.current = null;
    link.close();
    this.host.linkLost(link);
    if (this.current !== null || this.closed) return;
    for (const other of this.links.values()) {
      if (other.welcome === null) continue;
      this.use(other, false);
      return;
    }
  }
}
