/** Choices that a seed decides: which replica, which key, how long. The same seed, the same choices. */

/** A seed's low 32 bits are what counts. */
export const SEED_MAX = 2 ** 32 - 1;

/** Numbers from 0 inclusive to 1. (mulberry32) */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `count` different elements, in any order. */
export function pick<T>(random: () => number, from: readonly T[], count: number): T[] {
  const rest = [...from];
  const picked: T[] = [];
  while (picked.length < count && rest.length > 0)
    picked.push(...rest.splice(Math.floor(random() * rest.length), 1));
  return picked;
}
