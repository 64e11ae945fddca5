/**
 * The values of all keys of a group, each a number, and one number for the whole that is equal exactly when all of them are:
 * the root of a tree over the keys whose nodes are pairs of numbers, each pair numbered once (hash consing). A change of one
 * key renames the nodes above it only, so a state costs the logarithm of its size and not its size.
 */

/** Nodes that are held at most. */
const NODES_MAX = 8_000_000;
/** Numbers of nodes and values are below this, so that a pair of them is a whole number that a double holds. */
const RADIX = 2 ** 26;

export class WholeState {
  private readonly leaves: number;
  /** Node 1 is the root, 2n and 2n + 1 are below n; from `leaves` on, the values. */
  private readonly nodes: Float64Array;
  private readonly numbers = new Map<number, number>();
  /** Keys whose nodes are not renamed yet. */
  private readonly stale: number[] = [];

  constructor(keys: number) {
    this.leaves = 2 ** Math.ceil(Math.log2(Math.max(2, keys)));
    this.nodes = new Float64Array(2 * this.leaves);
    for (let node = this.leaves - 1; node > 0; node--) this.rename(node);
  }

  get(key: number): number {
    return this.nodes[this.leaves + key] as number;
  }

  set(key: number, value: number): void {
    this.nodes[this.leaves + key] = value;
    this.stale.push(key);
  }

  /** The number of the whole. */
  get number(): number {
    for (const key of this.stale) {
      for (let node = (this.leaves + key) >>> 1; node > 0; node >>>= 1) this.rename(node);
    }
    this.stale.length = 0;
    return this.nodes[1] as number;
  }

  /** Too many states were seen to go on. */
  get full(): boolean {
    return this.numbers.size > NODES_MAX;
  }

  private rename(node: number): void {
    const pair = (this.nodes[2 * node] as number) * RADIX + (this.nodes[2 * node + 1] as number);
    let number = this.numbers.get(pair);
    if (number === undefined) {
      number = this.numbers.size;
      this.numbers.set(pair, number);
    }
    this.nodes[node] = number;
  }
}
