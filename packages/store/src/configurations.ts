/**
 * The list of configurations that a state keeps (S9): the one in force for the next slot, and every one chosen in the
 * last alpha slots.
 */
import type { Configuration, ConfigurationAt, Slot } from '@kvd/paxos';

/** With the configuration chosen in `slot`. One that does not replace the latest is a no-op (S11). */
export function addConfiguration(
  list: readonly ConfigurationAt[],
  slot: Slot,
  configuration: Configuration,
): readonly ConfigurationAt[] {
  const latest = list.at(-1)?.slot ?? 0;
  return configuration.replaces === latest ? [...list, { slot, configuration }] : list;
}

/** Without what nobody needs any more once `appliedThrough` is applied. */
export function trimConfigurations(
  list: readonly ConfigurationAt[],
  appliedThrough: Slot,
): readonly ConfigurationAt[] {
  if (list.length < 2) return list;
  const alpha = list[0]?.configuration.alpha ?? 1;
  // In force for slot s is the last one chosen at or below s - alpha.
  const inForce = list.findLastIndex(({ slot }) => slot <= appliedThrough + 1 - alpha);
  return inForce > 0 ? list.slice(inForce) : list;
}
