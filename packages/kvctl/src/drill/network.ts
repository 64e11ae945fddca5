/**
 * The links between the replicas of a drill: a proxy for every ordered pair, and what can be done to them. A replica
 * sends only on connections that it dialled itself, so the proxy from a to b carries what a says to b, and no more.
 */
import { type Condition, LinkProxy } from './link-proxy.js';

const OPEN: Condition = { type: 'open' };
const HELD: Condition = { type: 'held' };

export class Network {
  private constructor(
    private readonly ids: readonly number[],
    private readonly links: ReadonlyMap<string, LinkProxy>,
  ) {}

  /** Of founding members; whoever joins them talks to all directly. */
  static async open(
    founders: readonly number[],
    addressOf: (id: number) => string,
    random: () => number,
  ): Promise<Network> {
    const links = new Map<string, LinkProxy>();
    for (const from of founders) {
      for (const to of founders) {
        if (from === to) continue;
        links.set(`${from} ${to}`, await LinkProxy.open(Number(addressOf(to).split(':')[1]), random));
      }
    }
    return new Network([...founders], links);
  }

  /** What --dial of a founding member says: the others are reached through their proxies, whatever they say. */
  dialOf(id: number): string {
    if (!this.ids.includes(id)) return '';
    const others = this.ids.filter((peer) => peer !== id);
    return others.map((peer) => `${peer}=${this.link(id, peer).address}`).join(',');
  }

  /** The condition of what each of `from` says to each of `to`. */
  set(from: readonly number[], to: readonly number[], condition: Condition): void {
    for (const a of from) for (const b of to) if (a !== b) this.link(a, b).set(condition);
  }

  /** Nothing passes between the two groups, either way. */
  part(one: readonly number[], other: readonly number[]): void {
    this.set(one, other, HELD);
    this.set(other, one, HELD);
  }

  /** What each of `from` says to each of `to` does not arrive. */
  mute(from: readonly number[], to: readonly number[]): void {
    this.set(from, to, HELD);
  }

  /** End the connections between two replicas, both ways. */
  reset(a: number, b: number): void {
    this.link(a, b).reset();
    this.link(b, a).reset();
  }

  /** What the links did to what the replicas said to each other, all together. */
  effects(): LinkProxy['effects'] {
    const sum = { held: 0, late: 0, reset: 0 };
    for (const { effects } of this.links.values()) {
      sum.held += effects.held;
      sum.late += effects.late;
      sum.reset += effects.reset;
    }
    return sum;
  }

  heal(): void {
    this.set(this.ids, this.ids, OPEN);
  }

  close(): void {
    for (const link of this.links.values()) link.close();
  }

  private link(from: number, to: number): LinkProxy {
    const link = this.links.get(`${from} ${to}`);
    if (link === undefined) throw new Error(`there is no link from ${from} to ${to}`);
    return link;
  }
}
