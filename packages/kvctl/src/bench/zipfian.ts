/**
 * Numbers from 0 of which the low ones are wanted often: rank r with a probability of 1 / (r + 1)^theta / zeta(n).
 *
 * Source: Gray et al., Quickly Generating Billion-Record Synthetic Databases, SIGMOD 1994, section 3.2, in constant time a
 * number; theta and the scattering as in YCSB (Cooper et al., Benchmarking Cloud Serving Systems with YCSB, SoCC 2010).
 * Ranks 0 and 1 have exactly that probability, those above come close to it.
 */

/** YCSB's. */
export const THETA = 0.99;

/**
 * YCSB draws from so many ranks and folds them onto the keys that there are, so that the same keys are popular however
 * many there are. The sum over so many terms takes a minute, hence as a constant.
 */
const SCATTERED_RANKS = 1e10;
const SCATTERED_ZETA = 26.46902820178302;

export class Zipfian {
  private readonly alpha: number;
  private readonly zetaOfTwo: number;
  private readonly boundOfOne: number;
  private eta: number;

  /** `zeta`: of `ranks`, where it is known. */
  constructor(
    private readonly random: () => number,
    private ranks: number,
    private readonly theta = THETA,
    private zeta = zetaBetween(0, ranks, theta),
  ) {
    this.alpha = 1 / (1 - theta);
    this.zetaOfTwo = zetaBetween(0, 2, theta);
    this.boundOfOne = 1 + 0.5 ** theta;
    this.eta = this.etaNow();
  }

  next(): number {
    const uniform = this.random();
    const share = uniform * this.zeta;
    if (share < 1 || this.ranks === 1) return 0;
    if (share < this.boundOfOne) return 1;
    // Rounding may reach the number of ranks.
    return Math.min(
      this.ranks - 1,
      Math.floor(this.ranks * (this.eta * uniform - this.eta + 1) ** this.alpha),
    );
  }

  /** There are more ranks from now on; costs only what is new. */
  grow(ranks: number): void {
    if (ranks <= this.ranks) return;
    this.zeta += zetaBetween(this.ranks, ranks, this.theta);
    this.ranks = ranks;
    this.eta = this.etaNow();
  }

  private etaNow(): number {
    return (1 - (2 / this.ranks) ** (1 - this.theta)) / (1 - this.zetaOfTwo / this.zeta);
  }
}

/** Zipfian numbers below `items` of which the popular ones are not neighbours. */
export function scatteredZipfian(random: () => number, items: number): () => number {
  const ranks = new Zipfian(random, SCATTERED_RANKS, THETA, SCATTERED_ZETA);
  return () => hashed(ranks.next()) % items;
}

/** The sum of 1 / i^theta over `after` < i <= `through`. */
export function zetaBetween(after: number, through: number, theta: number): number {
  let sum = 0;
  for (let i = after + 1; i <= through; i++) sum += 1 / i ** theta;
  return sum;
}

/** 32 well mixed bits of a whole number. (The finaliser of MurmurHash3, over its high and its low half.) */
function hashed(number: number): number {
  return finalised(finalised(Math.floor(number / 2 ** 32)) ^ (number >>> 0));
}

function finalised(bits: number): number {
  let mixed = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
